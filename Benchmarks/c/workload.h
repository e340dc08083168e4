/* SPDX-License-Identifier: Apache-2.0
 *
 * What every program of the interop benchmark decides, and how it says what that took. Each program opens a core,
 * fills the same frames, and measures bursts of its own calls; only the loop that calls is its own.
 */
#ifndef LTP_WORKLOAD_H
#define LTP_WORKLOAD_H

#include "ltp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Decisions of a burst: 1 MiB of records, a quarter of a lane's ring. */
#define WORKLOAD_DECISIONS 32768u
#define WORKLOAD_FRAMES 4096u
#define WORKLOAD_BURSTS 24u

/* Reads, writes, and one class in eight that asks for a token, in the order of a fixed random sequence. */
static const uint8_t workload_classes[16] = {8, 9, 10, 11, 13, 14, 15, 24, 25, 27, 8, 9, 0, 1, 40, 48};

static inline void workload_check(int32_t status, const char *what) {
  if (status == LTP_OK) return;
  fprintf(stderr, "interop: %s: %s\n", what, ltp_status_text(status));
  exit(2);
}

static inline uint64_t workload_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* A core on the directory, HEALTHY. Under callgrind the clock stands still: what a tick costs would depend on
 * callgrind's own speed. */
static inline ltp_core *workload_open(const char *directory, int counts_instructions) {
  ltp_core_options options;
  workload_check(ltp_core_options_init(&options, sizeof options), "options");
  options.trace_directory = directory;
  if (counts_instructions) {
    options.storage = LTP_STORAGE_PWRITEV;
    options.clock_interval_ns = options.commit_interval_ns = 1000000000;
  }
  ltp_core *core = NULL;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) != LTP_OK) {
    fprintf(stderr, "interop: cannot open the core: %s\n", error.message);
    exit(2);
  }
  ltp_transition transition;
  memset(&transition, 0, sizeof transition);
  transition.struct_size = sizeof transition;
  transition.to = LTP_STATE_HEALTHY;
  transition.reason = LTP_SIGNAL_METRICS_STABILIZED;
  workload_check(ltp_orientation_publish(core, &transition, NULL), "publish");
  return core;
}

/* WORKLOAD_FRAMES requests; lane NULL: without tokens, to be filled in by the caller. */
static inline ltp_route_request *workload_frames(ltp_lane *lane) {
  ltp_route_request *frames = (ltp_route_request *)aligned_alloc(4096, WORKLOAD_FRAMES * sizeof *frames);
  if (frames == NULL) exit(2);
  uint64_t random = 88172645463325252u;
  for (uint32_t index = 0; index < WORKLOAD_FRAMES; index++) {
    ltp_route_request *request = &frames[index];
    workload_check(ltp_frame_init(request, sizeof *request, LTP_FRAME_ROUTE_REQUEST, 0), "request");
    random ^= random << 13, random ^= random >> 7, random ^= random << 17; /* xorshift64 */
    request->frame_id = index + 1;
    request->session_id = random;
    request->action_class = workload_classes[random >> 60];
    request->priority = (uint8_t)(random >> 40);
    if (lane == NULL) continue;
    ltp_hello hello, answer;
    workload_check(ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0), "hello");
    hello.frame_id = index + 1;
    hello.session_id = request->session_id;
    hello.client_nonce = index + 1;
    hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
    workload_check(ltp_hello_answer(lane, &hello, sizeof hello, &answer), "handshake");
    request->continuity_token = answer.continuity_token;
    request->intent_epoch = answer.continuity_epoch;
    request->incarnation = answer.incarnation;
  }
  return frames;
}

static inline void workload_settle(ltp_lane *lane) {
  workload_check(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 10000000000u), "durable");
}

/* One line a burst: nanoseconds a decision. */
static inline void workload_report(uint64_t nanoseconds) {
  printf("%.3f\n", (double)nanoseconds / WORKLOAD_DECISIONS);
}

static inline void workload_close(ltp_core *core, ltp_lane *lane, uint64_t executed) {
  ltp_status status;
  workload_check(ltp_core_status(core, &status, sizeof status), "status");
  if (status.backpressure_denied != 0 || executed == 0) {
    fprintf(stderr, "interop: the ring had no room, so something else was measured\n");
    exit(2);
  }
  workload_check(ltp_lane_close(lane), "close lane");
  workload_check(ltp_core_close(core, 10000000000u, NULL), "close core");
}

#endif
