/* SPDX-License-Identifier: Apache-2.0
 *
 * What scripts/budget counts the instructions of: decisions through the C library, single and in batches of 64,
 * while the ring has room. callgrind collects inside budget_single() and budget_batch() only, so opening,
 * the writer's thread and closing do not count.
 *
 *   admit single|batch|planted DIR
 *
 * Prints how many decisions were made. "planted" allocates once a decision: the check must find it.
 */
#define _POSIX_C_SOURCE 200809L
#include "ltp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECISIONS 65536u
#define FRAMES 1024u
#define BATCH 64u

static ltp_route_request frames[FRAMES];
static ltp_verdict verdicts[BATCH];
/* Reads, writes, changes that ask for continuity, critical actions: mostly reads. */
static const uint16_t classes[16] = {8, 8, 9, 9, 10, 11, 14, 14, 24, 25, 27, 40, 44, 48, 56, 1};

static void check(int32_t status, const char *what) {
  if (status == LTP_OK) return;
  fprintf(stderr, "admit: %s: %s\n", what, ltp_status_text(status));
  exit(2);
}

__attribute__((noinline)) static uint64_t budget_single(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index++)
    executed += ltp_admit(lane, &frames[index % FRAMES], sizeof frames[0]).verdict == LTP_VERDICT_EXECUTE;
  return executed;
}

__attribute__((noinline)) static uint64_t budget_batch(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index += BATCH)
    executed += ltp_admit_batch(lane, &frames[index % FRAMES], sizeof frames[0], BATCH, verdicts);
  return executed;
}

static void *volatile kept;

__attribute__((noinline)) static uint64_t budget_planted(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index++) {
    kept = malloc(16);
    executed += ltp_admit(lane, &frames[index % FRAMES], sizeof frames[0]).verdict == LTP_VERDICT_EXECUTE;
    free(kept);
  }
  return executed;
}

/* Shakes hands for every session and fills the frames in. */
static void make_frames(ltp_lane *lane) {
  for (uint32_t index = 0; index < FRAMES; index++) {
    ltp_hello hello, answer;
    check(ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0), "hello");
    hello.frame_id = hello.session_id = index + 1;
    hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
    check(ltp_hello_answer(lane, &hello, sizeof hello, &answer), "handshake");
    ltp_route_request *request = &frames[index];
    check(ltp_frame_init(request, sizeof *request, LTP_FRAME_ROUTE_REQUEST, 0), "request");
    request->frame_id = request->session_id = index + 1;
    request->continuity_token = answer.continuity_token;
    request->action_class = classes[index * 7 % 16];
    request->priority = (uint8_t)(index * 37);
  }
}

static ltp_core *open_core(const char *directory) {
  ltp_core_options options;
  check(ltp_core_options_init(&options, sizeof options), "options");
  options.trace_directory = directory;
  options.storage = LTP_STORAGE_PWRITEV;
  /* The clock moves once a second at most: what a tick costs a lane would depend on callgrind's own speed. */
  options.clock_interval_ns = options.commit_interval_ns = 1000000000;
  ltp_core *core = NULL;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) != LTP_OK) {
    fprintf(stderr, "admit: cannot open the core: %s\n", error.message);
    exit(2);
  }
  ltp_transition transition;
  memset(&transition, 0, sizeof transition);
  transition.struct_size = sizeof transition;
  transition.to = LTP_STATE_HEALTHY;
  transition.reason = LTP_SIGNAL_METRICS_STABILIZED;
  check(ltp_orientation_publish(core, &transition, NULL), "publish");
  return core;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: admit single|batch|planted DIR\n");
    return 2;
  }
  ltp_core *core = open_core(arguments[2]);
  ltp_lane *lane = NULL;
  check(ltp_lane_open(core, &lane, NULL), "lane");
  make_frames(lane);
  uint64_t executed;
  if (strcmp(arguments[1], "single") == 0)
    executed = budget_single(lane);
  else if (strcmp(arguments[1], "batch") == 0)
    executed = budget_batch(lane);
  else
    executed = budget_planted(lane);
  ltp_status status;
  check(ltp_core_status(core, &status, sizeof status), "status");
  if (status.backpressure_denied != 0 || executed == 0) {
    fprintf(stderr, "admit: the ring had no room, so something else was counted\n");
    return 2;
  }
  check(ltp_lane_close(lane), "lane close");
  check(ltp_core_close(core, 30000000000u, NULL), "close");
  printf("%u\n", DECISIONS);
  return 0;
}
