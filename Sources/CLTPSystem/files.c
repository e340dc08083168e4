// SPDX-License-Identifier: Apache-2.0
// Files, one call each. Descriptors are close-on-exec: a child of the host must not keep the trace's lock.
#define _GNU_SOURCE
#include "ltp_system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

static int or_errno(int result) { return result < 0 ? -errno : result; }

int ltp_system_open_directory(const char *path) {
  return or_errno(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int ltp_system_open_at(int directory, const char *name, int flags) {
  int mode = (flags & LTP_SYSTEM_READ_ONLY) ? O_RDONLY : O_RDWR;
  if (flags & LTP_SYSTEM_CREATE) mode |= O_CREAT | O_EXCL;
  if (flags & LTP_SYSTEM_DIRECT) mode |= O_DIRECT;
  return or_errno(openat(directory, name, mode | O_CLOEXEC | O_NOFOLLOW, 0640));
}

int ltp_system_open_path(const char *path, int flags, unsigned mode) {
  int how = (flags & LTP_SYSTEM_READ_ONLY) ? O_RDONLY : O_RDWR;
  if (flags & LTP_SYSTEM_CREATE) how |= O_CREAT | O_EXCL;
  return or_errno(open(path, how | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode));
}

int ltp_system_facts_of(int descriptor, ltp_system_facts *facts) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return -errno;
  *facts = (ltp_system_facts){.size = (uint64_t)status.st_size,
                              .device = status.st_dev,
                              .inode = status.st_ino,
                              .owner = status.st_uid,
                              .mode = status.st_mode & 07777,
                              .is_regular = S_ISREG(status.st_mode)};
  return 0;
}

uint32_t ltp_system_user(void) { return geteuid(); }

void *ltp_system_map_file(int descriptor, size_t bytes, int is_writable) {
  void *base =
    mmap(NULL, bytes, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor, 0);
  if (base == MAP_FAILED) return NULL;
  if (madvise(base, bytes, MADV_DONTFORK) == 0) return base;
  munmap(base, bytes);
  return NULL;
}

int ltp_system_is_writable(int directory) {
  return or_errno(faccessat(directory, ".", W_OK | X_OK, AT_EACCESS));
}

int ltp_system_close(int descriptor) { return or_errno(close(descriptor)); }
int ltp_system_lock(int descriptor) { return or_errno(flock(descriptor, LOCK_EX | LOCK_NB)); }
int ltp_system_unlock(int descriptor) { return or_errno(flock(descriptor, LOCK_UN)); }

int ltp_system_is_locked_at(int directory, const char *name) {
  // Not to wait for a FIFO's writer: O_NONBLOCK.
  int descriptor = openat(directory, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return -errno;
  int result = flock(descriptor, LOCK_SH | LOCK_NB);
  int locked = result != 0 ? (errno == EWOULDBLOCK ? 1 : -errno) : 0;
  close(descriptor); // gives the lock back
  return locked;
}

int ltp_system_is_regular_at(int directory, const char *name) {
  struct stat status;
  if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
  return S_ISREG(status.st_mode) ? 1 : 0;
}

int64_t ltp_system_size(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return -errno;
  return status.st_size;
}

int64_t ltp_system_read_at(int descriptor, void *bytes, size_t count, uint64_t offset) {
  ssize_t got = pread(descriptor, bytes, count, (off_t)offset);
  return got < 0 ? -errno : got;
}

int64_t ltp_system_write_at(
  int descriptor, const void *bytes, size_t count, uint64_t offset, int durable) {
  struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
  ssize_t put = pwritev2(descriptor, &vector, 1, (off_t)offset, durable ? RWF_DSYNC : 0);
  return put < 0 ? -errno : put;
}

int ltp_system_sync(int descriptor) { return or_errno(fsync(descriptor)); }
int ltp_system_truncate(int descriptor, uint64_t bytes) {
  return or_errno(ftruncate(descriptor, (off_t)bytes));
}
int ltp_system_rename_at(int directory, const char *from, const char *to, int replaces) {
  if (renameat2(directory, from, directory, to, replaces ? 0 : RENAME_NOREPLACE) == 0) return 0;
  if (replaces || errno != EINVAL) return -errno;
  /* A file system without RENAME_NOREPLACE: the directory is locked, so that nobody of ours comes in between. */
  if (faccessat(directory, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return -EEXIST;
  return errno == ENOENT ? or_errno(renameat2(directory, from, directory, to, 0)) : -errno;
}
int ltp_system_unlink_at(int directory, const char *name) {
  return or_errno(unlinkat(directory, name, 0));
}

const char *ltp_system_next_entry(int directory, void **stream, int *failure) {
  *failure = 0;
  if (*stream == NULL) {
    // A descriptor of its own: fdopendir takes it over, and reading moves its position.
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *opened = copy < 0 ? NULL : fdopendir(copy);
    if (opened == NULL) {
      *failure = -errno;
      if (copy >= 0) close(copy);
      return NULL;
    }
    *stream = opened;
  }
  errno = 0;
  struct dirent *entry = readdir(*stream);
  if (entry != NULL) return entry->d_name;
  *failure = -errno;
  closedir(*stream);
  *stream = NULL;
  return NULL;
}

void ltp_system_end_entries(void *stream) {
  if (stream != NULL) closedir(stream);
}

int ltp_system_is_in_memory(int descriptor) {
  struct statfs status;
  if (fstatfs(descriptor, &status) != 0) return -errno;
  return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
}

uint64_t ltp_system_free_bytes(int descriptor) {
  struct statvfs status;
  if (fstatvfs(descriptor, &status) != 0) return 0;
  return (uint64_t)status.f_bavail * status.f_frsize;
}
