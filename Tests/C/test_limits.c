/* SPDX-License-Identifier: Apache-2.0
 * A system that has no more to give: descriptors, memory, file size, ring space. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void limit(int what, rlim_t value) {
  struct rlimit now;
  REQUIRE_EQUAL(getrlimit(what, &now), 0);
  now.rlim_cur = value;
  REQUIRE_EQUAL(setrlimit(what, &now), 0);
}

static int open_descriptors(void) { return count_files("/proc/self/fd", ""); }

static void descriptors(void) {
  ltp_core_options options = small_options(new_directory());
  int before = open_descriptors(), opened = 0;
  for (rlim_t allowed = 3; allowed < 64 && !opened; allowed++) {
    limit(RLIMIT_NOFILE, allowed);
    ltp_core *core = NULL;
    ltp_error error;
    int32_t status = ltp_core_open(&options, &core, &error);
    limit(RLIMIT_NOFILE, 256);
    if (status == LTP_OK) {
      opened = 1;
      close_core(core);
    } else {
      CHECK_EQUAL(status, LTP_ERROR_TRACE_DESCRIPTORS);
      CHECK(core == NULL);
      CHECK_EQUAL(open_descriptors(), before);
    }
  }
  CHECK(opened);
  CHECK_EQUAL(open_descriptors(), before);
  ltp_core *core = open_core(&options);
  close_core(core);
}

static rlim_t mapped_bytes(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  REQUIRE(file != NULL && fscanf(file, "%lu", &pages) == 1);
  fclose(file);
  return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void memory(void) {
#ifdef LTP_LIBRARY_IS_DEBUG
  cannot_run("the address sanitizer's own memory would be under the limit too");
#endif
  ltp_core_options options = small_options(new_directory());
  options.block_bytes = 256 << 10;
  options.lane_blocks = 1024;
  int before = open_descriptors(), opened = 0, refused = 0;
  for (rlim_t room = 64 << 10; room <= (rlim_t)256 << 20; room += room / 2) {
    rlim_t hard = RLIM_INFINITY;
    limit(RLIMIT_AS, mapped_bytes() + room);
    ltp_core *core = NULL;
    ltp_lane *lane = NULL;
    ltp_error error;
    int32_t status = ltp_core_open(&options, &core, &error);
    int32_t lane_status = status == LTP_OK ? ltp_lane_open(core, &lane, &error) : LTP_OK;
    limit(RLIMIT_AS, hard);
    refused += status != LTP_OK || lane_status != LTP_OK;
    if (status != LTP_OK) {
      CHECK(status == LTP_ERROR_NO_MEMORY || status == LTP_ERROR_THREAD ||
            status == LTP_ERROR_STORAGE_UNAVAILABLE);
      CHECK(core == NULL);
      CHECK_EQUAL(open_descriptors(), before);
      continue;
    }
    opened++;
    if (lane_status == LTP_OK) ltp_lane_close(lane);
    else CHECK_EQUAL(lane_status, LTP_ERROR_NO_MEMORY);
    close_core(core);
  }
  CHECK(opened > 0 && refused > 0);
  CHECK_EQUAL(open_descriptors(), before);
}

/* The size limit makes writes short and then fail, as a full disk does; lifted, the trace goes on. */
static void file_size(uint32_t storage) {
  ltp_core_options options = small_options(new_directory());
  options.storage = storage;
  options.backpressure_wait_ns = 0;
  ltp_core *core = NULL;
  ltp_error error;
  signal(SIGXFSZ, SIG_IGN);
  limit(RLIMIT_FSIZE, 512 << 10);
  int32_t status = ltp_core_open(&options, &core, &error);
  if (status != LTP_OK) {
    CHECK_EQUAL(status, LTP_ERROR_TRACE_NO_SPACE);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    core = open_core(&options);
    limit(RLIMIT_FSIZE, 512 << 10);
  }
  ltp_lane *lane = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  uint64_t executed = 0, denied = 0;
  /* More than the file, the ring and what is prepared can hold. */
  for (int index = 0; index < 400000 && denied < 100; index++) {
    ltp_verdict verdict = admit(lane, &asked);
    if (verdict.verdict == LTP_VERDICT_EXECUTE) executed++;
    else {
      CHECK_EQUAL(verdict.reason, LTP_REASON_TRACE_BACKPRESSURE);
      denied++;
      sleep_ns(MILLISECOND);
    }
  }
  CHECK(executed > 0);
  CHECK(denied >= 100);
  limit(RLIMIT_FSIZE, RLIM_INFINITY);
  if (status_of(core).trace_status == LTP_ERROR_TRACE_NO_SPACE || status_of(core).trace_status == LTP_OK) {
    int tries = 0;
    while (admit(lane, &asked).verdict != LTP_VERDICT_EXECUTE && ++tries < 20000) sleep_ns(MILLISECOND);
    CHECK(tries < 20000);
    settle(lane);
    CHECK_EQUAL(status_of(core).trace_status, LTP_OK);
  }
  ltp_lane_close(lane);
  close_core(core);
  core = open_core(&options);
  close_core(core);
}

static void file_size_io_uring(void) { file_size(LTP_STORAGE_AUTO); }
static void file_size_pwritev(void) { file_size(LTP_STORAGE_PWRITEV); }

/* A lane that decides without pause in the smallest ring: each refusal is a verdict, is counted, and is told
 * in the trace; each EXECUTE has its record. */
static void backpressure(uint32_t storage) {
  ltp_core_options options = small_options(new_directory());
  options.storage = storage;
  options.lane_blocks = 2;
  options.backpressure_wait_ns = 0;
  options.segment_bytes = 1 << 20;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  uint64_t executed = 0, denied = 0;
  for (int index = 0; index < 200000; index++) {
    asked.frame_id = (uint64_t)index;
    ltp_verdict verdict = admit(lane, &asked);
    executed += verdict.verdict == LTP_VERDICT_EXECUTE;
    if (verdict.verdict == LTP_VERDICT_EXECUTE) continue;
    CHECK_EQUAL(verdict.reason, LTP_REASON_TRACE_BACKPRESSURE);
    CHECK(verdict.retry_after_ms > 0);
    denied++;
  }
  CHECK_EQUAL(executed + denied, 200000);
  CHECK(denied > 0 && executed > 0);
  settle(lane);
  ltp_status status = status_of(core);
  CHECK_EQUAL(status.trace_status, LTP_OK);
  CHECK_EQUAL(status.records_written, executed);
  CHECK_EQUAL(status.backpressure_denied, denied);
  ltp_counter counters[8];
  size_t count = 0;
  uint64_t total = 0;
  REQUIRE_EQUAL(ltp_counters_read(core, counters, 8, &count), LTP_OK);
  for (size_t index = 0; index < count; index++) {
    total += counters[index].count;
    if (counters[index].reason == LTP_REASON_TRACE_BACKPRESSURE)
      CHECK_EQUAL(counters[index].count, denied);
  }
  CHECK_EQUAL(total, executed + denied);
  ltp_lane_close(lane);
  close_core(core);
}

static void backpressure_io_uring(void) { backpressure(LTP_STORAGE_AUTO); }
static void backpressure_pwritev(void) { backpressure(LTP_STORAGE_PWRITEV); }

static void backpressure_waits(void) {
  ltp_core_options options = small_options(new_directory());
  options.lane_blocks = 2;
  options.backpressure_wait_ns = 60 * SECOND;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  for (int index = 0; index < 100000; index++)
    REQUIRE_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  settle(lane);
  CHECK_EQUAL(status_of(core).records_written, 100000);
  CHECK_EQUAL(status_of(core).backpressure_denied, 0);
  ltp_lane_close(lane);
  close_core(core);
}

static const struct test tests[] = {
  {"fault 33: no descriptor left: said, and nothing half open", descriptors},
  {"fault 33: no memory left: said, and nothing half open", memory},
  {"fault 10: short writes, then none (io_uring)", file_size_io_uring},
  {"fault 10: short writes, then none (pwritev)", file_size_pwritev},
  {"fault 31: a full ring denies and counts (io_uring)", backpressure_io_uring},
  {"fault 31: a full ring denies and counts (pwritev)", backpressure_pwritev},
  {"fault 31: or waits, when the options say so", backpressure_waits},
  {NULL, NULL},
};
const struct suite suite_limits = {"limits", tests};
