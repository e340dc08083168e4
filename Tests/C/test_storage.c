/* SPDX-License-Identifier: Apache-2.0
 * Storage: which one is used and why, directories that cannot be used, locks, fork. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void check_refused(const ltp_core_options *options, int32_t status) {
  ltp_core *core = NULL;
  ltp_error error;
  CHECK_EQUAL(ltp_core_open(options, &core, &error), status);
  CHECK(core == NULL);
  CHECK_EQUAL(error.status, status);
  CHECK(strlen(error.message) > 0);
}

static void forbid_io_uring(int error_number) {
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error_number),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = 4, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    cannot_run("no seccomp filter: %s", strerror(errno));
}

static void without_io_uring(int error_number) {
  forbid_io_uring(error_number);
  ltp_core_options options = small_options(new_directory());
  options.storage = LTP_STORAGE_IO_URING;
  check_refused(&options, LTP_ERROR_STORAGE_UNAVAILABLE);
  CHECK_EQUAL(count_files(options.trace_directory, ".ltp"), 0);
  options.storage = LTP_STORAGE_AUTO;
  ltp_core *core = open_core(&options);
  ltp_status status = status_of(core);
  CHECK_EQUAL(status.storage, LTP_STORAGE_PWRITEV);
  CHECK_TEXT(status.storage_reason, "io_uring");
  CHECK_TEXT(status.storage_reason, strerror(error_number));
  ltp_lane *lane = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  settle(lane);
  ltp_lane_close(lane);
  close_core(core);
}

static void forbidden(void) { without_io_uring(EPERM); }
static void unknown_to_the_kernel(void) { without_io_uring(ENOSYS); }

static void pwritev_when_asked(void) {
  ltp_core_options options = small_options(new_directory());
  options.storage = LTP_STORAGE_PWRITEV;
  ltp_core *core = open_core(&options);
  ltp_status status = status_of(core);
  CHECK_EQUAL(status.storage, LTP_STORAGE_PWRITEV);
  CHECK_EQUAL(status.storage_reason[0], 0);
  CHECK_EQUAL(status.registered_buffers, 0);
  close_core(core);
}

static void bad_directories(void) {
  ltp_core_options options = small_options("/nowhere/at/all");
  check_refused(&options, LTP_ERROR_TRACE_DIRECTORY);
  options.trace_directory = "/dev/null";
  check_refused(&options, LTP_ERROR_TRACE_DIRECTORY);
  options.trace_directory = "";
  check_refused(&options, LTP_ERROR_TRACE_DIRECTORY);
}

static void read_only(void) {
  const char *directory = new_directory();
  ltp_core_options options = small_options(directory);
  if (geteuid() != 0) {
    REQUIRE_EQUAL(chmod(directory, 0500), 0);
    check_refused(&options, LTP_ERROR_TRACE_READ_ONLY);
    chmod(directory, 0700);
    return;
  }
  /* Root may write wherever the mount allows it: so a mount that does not, in a name space of our own. */
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount(directory, directory, NULL, MS_BIND, NULL) != 0 ||
      mount(NULL, directory, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0)
    cannot_run("no read-only mount: %s", strerror(errno));
  check_refused(&options, LTP_ERROR_TRACE_READ_ONLY);
  CHECK_EQUAL(mount(NULL, directory, NULL, MS_BIND | MS_REMOUNT, NULL), 0);
  ltp_core *core = open_core(&options);
  close_core(core);
  CHECK_EQUAL(mount(NULL, directory, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
  check_refused(&options, LTP_ERROR_TRACE_READ_ONLY);
  umount2(directory, MNT_DETACH);
}

static void locked(void) {
  const char *directory = new_directory();
  ltp_core_options options = small_options(directory);
  options.lock_wait_ns = 20 * MILLISECOND;
  int ready[2], done[2];
  REQUIRE(pipe(ready) == 0 && pipe(done) == 0);
  pid_t owner = fork();
  if (owner == 0) {
    close(done[1]);
    ltp_core *core = open_core(&options);
    REQUIRE_EQUAL(write(ready[1], "r", 1), 1);
    char byte;
    (void)!read(done[0], &byte, 1);
    close_core(core);
    _exit(check_status());
  }
  char byte;
  REQUIRE_EQUAL(read(ready[0], &byte, 1), 1);
  check_refused(&options, LTP_ERROR_TRACE_LOCKED);
  /* Reading is allowed: the files can be opened and read. */
  char path[300], first[8];
  snprintf(path, sizeof path, "%s/%016x.ltp", directory, 0);
  int file = open(path, O_RDONLY);
  CHECK(file >= 0);
  CHECK_EQUAL(read(file, first, sizeof first), 8);
  CHECK(memcmp(first, "TPBLOCK1", 8) == 0);
  close(file);
  close(done[1]);
  CHECK_EQUAL(wait_for(owner), 0);
  ltp_core *core = open_core(&options);
  /* Nor twice in one process. */
  check_refused(&options, LTP_ERROR_TRACE_LOCKED);
  close_core(core);
}

static void forked(void) {
  const char *directory = new_directory();
  ltp_core *core = open_small(directory);
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  int done[2];
  REQUIRE(pipe(done) == 0);
  pid_t child = fork();
  if (child == 0) {
    close(done[1]);
    ltp_verdict verdict = admit(lane, &asked);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
    CHECK_EQUAL(ltp_lane_wait_durable(lane, 0, 0), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_lane_sequence(lane), 0);
    CHECK_EQUAL(ltp_lane_close(lane), LTP_ERROR_BAD_HANDLE);
    ltp_status status;
    CHECK_EQUAL(ltp_core_status(core, &status, sizeof status), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_BAD_HANDLE);
    /* A core of its own, elsewhere, works. */
    ltp_core *own = open_small(new_directory());
    close_core(own);
    char byte;
    (void)!read(done[0], &byte, 1);
    _exit(check_status());
  }
  for (int index = 0; index < 2000; index++)
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  settle(lane);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
  /* The child lives on with copies of the descriptors; a trace that was closed in order is free all the same. */
  core = open_small(directory);
  close_core(core);
  close(done[1]);
  CHECK_EQUAL(wait_for(child), 0);
}

static const struct test tests[] = {
  {"fault 15: io_uring forbidden (EPERM): pwritev, and why", forbidden},
  {"fault 15: io_uring unknown (ENOSYS): pwritev, and why", unknown_to_the_kernel},
  {"pwritev when asked for", pwritev_when_asked},
  {"directories that are none", bad_directories},
  {"fault 33: a read-only directory", read_only},
  {"fault 22: a trace that another process writes is locked, and readable", locked},
  {"fault 24: a child after fork is refused, its parent goes on", forked},
  {NULL, NULL},
};
const struct suite suite_storage = {"storage", tests};
