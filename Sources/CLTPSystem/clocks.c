// SPDX-License-Identifier: Apache-2.0
// Clocks, randomness, futex waits, memory and SHA-256.
#define _GNU_SOURCE
#include "ltp_system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

_Static_assert(LTP_SYSTEM_EINTR == EINTR && LTP_SYSTEM_EAGAIN == EAGAIN, "errno values");
_Static_assert(LTP_SYSTEM_EIO == EIO && LTP_SYSTEM_ENOMEM == ENOMEM, "errno values");
_Static_assert(LTP_SYSTEM_EBUSY == EBUSY && LTP_SYSTEM_EINVAL == EINVAL, "errno values");
_Static_assert(LTP_SYSTEM_ENOENT == ENOENT && LTP_SYSTEM_EACCES == EACCES, "errno values");
_Static_assert(LTP_SYSTEM_EEXIST == EEXIST && LTP_SYSTEM_ENOTDIR == ENOTDIR, "errno values");
_Static_assert(LTP_SYSTEM_ENFILE == ENFILE && LTP_SYSTEM_EMFILE == EMFILE, "errno values");
_Static_assert(LTP_SYSTEM_EBADF == EBADF && LTP_SYSTEM_ESHUTDOWN == ESHUTDOWN, "errno values");
_Static_assert(LTP_SYSTEM_ENAMETOOLONG == ENAMETOOLONG, "errno values");
_Static_assert(LTP_SYSTEM_ENOSPC == ENOSPC && LTP_SYSTEM_EROFS == EROFS, "errno values");
_Static_assert(LTP_SYSTEM_ETIME == ETIME && LTP_SYSTEM_ECANCELED == ECANCELED, "errno values");
_Static_assert(LTP_SYSTEM_EFBIG == EFBIG && LTP_SYSTEM_EDQUOT == EDQUOT, "errno values");

static uint64_t read_clock(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_from(uint64_t nanoseconds) {
  struct timespec value = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
                           .tv_nsec = (long)(nanoseconds % 1000000000u)};
  return value;
}

uint64_t ltp_system_monotonic_ns(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t ltp_system_unix_ns(void) { return read_clock(CLOCK_REALTIME); }
uint64_t ltp_system_thread_cpu_ns(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
uint64_t ltp_system_process_id(void) { return (uint64_t)getpid(); }

void ltp_system_sleep_ns(uint64_t nanoseconds) {
  struct timespec duration = timespec_from(nanoseconds);
  nanosleep(&duration, NULL);
}

int ltp_system_random(void *bytes, size_t count) {
  ssize_t got = getrandom(bytes, count, 0);
  if (got < 0) return -errno;
  return (size_t)got == count ? 0 : -EIO;
}

static int futex_wait(uint32_t *word, int operation, uint32_t expected, uint64_t timeout_ns) {
  struct timespec timeout = timespec_from(timeout_ns);
  return syscall(SYS_futex, word, operation, expected, &timeout, NULL, 0) == 0 ? 0 : -errno;
}

int ltp_system_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
  return futex_wait(word, FUTEX_WAIT_PRIVATE, expected, timeout_ns);
}

void ltp_system_futex_wake_all(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void ltp_system_futex_wake_one(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int ltp_system_shared_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
  return futex_wait(word, FUTEX_WAIT, expected, timeout_ns);
}

void ltp_system_shared_futex_wake_all(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

int ltp_system_boot_id(uint8_t *bytes) {
  char text[37] = "";
  int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return -errno;
  ssize_t got = read(descriptor, text, sizeof text - 1);
  close(descriptor);
  // 32 hexadecimal digits with four hyphens between them.
  static const char values[] = "0123456789abcdef";
  unsigned digits = 0;
  for (ssize_t index = 0; index < got; index++) {
    const char *place = text[index] == 0 ? NULL : strchr(values, text[index]);
    if (place == NULL) continue;
    unsigned value = (unsigned)(place - values);
    bytes[digits / 2] = (uint8_t)(digits % 2 == 0 ? value << 4 : bytes[digits / 2] | value);
    if (++digits == 32) return 0;
  }
  return -EIO;
}

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Maps bytes at a multiple of a huge page: maps more and cuts both ends off. */
static void *map_aligned(size_t bytes) {
  size_t more = bytes + HUGE_PAGE_BYTES;
  char *base = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return MAP_FAILED;
  size_t before = (HUGE_PAGE_BYTES - (size_t)base % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
  if (before > 0) munmap(base, before);
  if (more - before > bytes) munmap(base + before + bytes, more - before - bytes);
  return base + before;
}

void *ltp_system_map(size_t bytes, int flags) {
  int huge = (flags & (LTP_SYSTEM_RESIDENT | LTP_SYSTEM_ZEROS)) && bytes >= HUGE_PAGE_BYTES;
  void *base = huge ? map_aligned(bytes)
                    : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return NULL;
  // Huge pages spare page table walks and give the device few, long segments. Both calls are only wishes.
  if (huge) madvise(base, bytes, MADV_HUGEPAGE);
  if (flags & LTP_SYSTEM_RESIDENT) madvise(base, bytes, MADV_POPULATE_WRITE);
  if (flags & LTP_SYSTEM_ZEROS) madvise(base, bytes, MADV_POPULATE_READ);
  int refused = 0;
  if (flags & LTP_SYSTEM_WIPE_ON_FORK) refused |= madvise(base, bytes, MADV_WIPEONFORK);
  if (flags & LTP_SYSTEM_NOT_IN_CHILD) refused |= madvise(base, bytes, MADV_DONTFORK);
  if (refused != 0) {
    // Without it a child could go on writing its parent's trace: rather no core than an unsafe one.
    munmap(base, bytes);
    return NULL;
  }
  return base;
}

void ltp_system_unmap(void *base, size_t bytes) { munmap(base, bytes); }
void ltp_system_discard(void *base, size_t bytes) { madvise(base, bytes, MADV_DONTNEED); }

/* Atomic loads, as the one at the other end may be storing. */
void ltp_system_copy(void *to, const void *from, size_t bytes) {
  uint8_t *target = to;
  const uint8_t *source = from;
  size_t index = 0;
  if ((uintptr_t)source % sizeof(uint64_t) == 0)
    for (; index + sizeof(uint64_t) <= bytes; index += sizeof(uint64_t)) {
      uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(source + index), __ATOMIC_RELAXED);
      memcpy(target + index, &word, sizeof word);
    }
  for (; index < bytes; index++) target[index] = __atomic_load_n(source + index, __ATOMIC_RELAXED);
}

size_t ltp_system_copy_text(char *to, const char *from, size_t capacity) {
  for (size_t index = 0; index < capacity; index++) {
    to[index] = __atomic_load_n(from + index, __ATOMIC_RELAXED);
    if (to[index] == 0) return index;
  }
  return capacity;
}

uint64_t ltp_system_locked_memory_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

const char *ltp_system_error_text(int error_number) {
  const char *text = strerrordesc_np(error_number);
  return text ? text : "unknown error";
}

static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static const EVP_MD *sha256_found;

static void sha256_look_up(void) {
  sha256_found = EVP_MD_fetch(NULL, "SHA256", NULL);
  if (sha256_found == NULL) sha256_found = EVP_sha256();
}

static const EVP_MD *sha256_method(void) {
  pthread_once(&sha256_once, sha256_look_up);
  return sha256_found;
}

int ltp_system_sha256(const void *bytes, size_t count, uint8_t *digest) {
  // Looked up once: by its name, each time, it costs more than the hash of a small payload. One context is made and freed within the call.
  unsigned length = 0;
  if (EVP_Digest(bytes, count, digest, &length, sha256_method(), NULL) != 1) return -ENOMEM;
  return length == 32 ? 0 : -EIO;
}
