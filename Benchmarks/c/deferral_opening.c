/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a log with intents that are pending, and what each takes in memory; and what a decision takes beside an empty log and a full one.
 */
#define _GNU_SOURCE
#include "deferral_core.h"

#include <stdio.h>
#include <stdlib.h>

/* A quarter of a lane's ring, so that no decision waits for the writer. */
#define BURST 32768
#define FRAMES 1024

/* ---- Opening ------------------------------------------------------------------------------------------- */

void measure_filling(const char *directory, uint64_t count, uint64_t per_session) {
  ltp_core *core = core_open(directory, count);
  ltp_lane *lane = lane_open(core);
  publish(core, LTP_STATE_UNSTABLE);
  uint64_t began = now_ns();
  keep_many(core, lane, count, (count + per_session - 1) / per_session);
  figure("filled_per_second", (double)count / ((double)(now_ns() - began) / 1e9));
  need_kept(core, count, count);
  figure("log_bytes_an_intent", (double)deferral_status(core).log_bytes / (double)count);
  need(ltp_lane_close(lane), "closing a lane");
  core_close(core);
  figure("kept", (double)count);
}

void measure_opening(const char *directory, uint64_t count) {
  uint64_t before = resident_bytes(), began = now_ns();
  ltp_core *core = core_open(directory, count);
  uint64_t took = now_ns() - began, grown = resident_bytes() - before;
  ltp_deferral_status status = deferral_status(core);
  figure("open_seconds", (double)took / 1e9);
  figure("open_pending", (double)status.pending);
  figure("open_sessions", (double)status.sessions);
  figure("open_memory_bytes", (double)status.memory_bytes);
  figure("open_resident_bytes", (double)grown);
  core_close(core);
}

/* ---- Decisions ----------------------------------------------------------------------------------------- */

/* Nanoseconds of a burst of decisions, all of which must be answered with this verdict. */
static uint64_t decide(ltp_lane *lane, const ltp_route_request *requests, uint8_t verdict) {
  uint64_t began = now_ns(), others = 0;
  for (int index = 0; index < BURST; index++)
    others += ltp_admit(lane, &requests[index % FRAMES], sizeof *requests).verdict != verdict;
  uint64_t took = now_ns() - began;
  if (others != 0) fail("%llu decisions were answered otherwise", (unsigned long long)others);
  need(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), PATIENCE_NS), "a wait");
  return took;
}

/* By turns, and the one that begins changes. The ratio is the median of those of pairs, because what disturbs one burst often disturbs
 * the next one too. */
static void compare(ltp_lane *empty, ltp_lane *full, uint8_t action_class, uint8_t verdict, uint64_t pairs) {
  static ltp_route_request requests[FRAMES];
  for (uint64_t index = 0; index < FRAMES; index++) requests[index] = request_of(index + 1, index + 1, action_class);
  double *ratios = malloc(pairs * sizeof *ratios), *alone = malloc(pairs * sizeof *alone);
  if (ratios == NULL || alone == NULL) fail("out of memory");
  for (uint64_t pair = 0; pair < pairs; pair++) {
    ltp_lane *first = pair % 2 ? full : empty, *second = pair % 2 ? empty : full;
    double took[2];
    took[0] = (double)decide(first, requests, verdict);
    took[1] = (double)decide(second, requests, verdict);
    alone[pair] = took[pair % 2] / BURST;
    ratios[pair] = pair % 2 ? took[0] / took[1] : took[1] / took[0];
  }
  char name[64];
  const char *word = verdict == LTP_VERDICT_EXECUTE ? "execute" : "deny";
  snprintf(name, sizeof name, "%s_ns_empty", word);
  figure(name, median_of(alone, pairs));
  snprintf(name, sizeof name, "%s_full_over_empty", word);
  figure(name, median_of(ratios, pairs));
  free(ratios), free(alone);
}

void measure_decisions(const char *empty_directory, const char *full_directory, uint64_t pending, uint64_t pairs) {
  ltp_core *empty = core_open(empty_directory, pending), *full = core_open(full_directory, pending);
  need_kept(empty, 0, 0);
  need_kept(full, pending, 0);
  publish(empty, LTP_STATE_UNSTABLE);
  publish(full, LTP_STATE_UNSTABLE);
  ltp_lane *empty_lane = lane_open(empty), *full_lane = lane_open(full);
  compare(empty_lane, full_lane, CLASS_READ, LTP_VERDICT_EXECUTE, pairs);
  compare(empty_lane, full_lane, CLASS_BID, LTP_VERDICT_DENY, pairs);
  need(ltp_lane_close(empty_lane), "closing a lane");
  need(ltp_lane_close(full_lane), "closing a lane");
  need_kept(full, pending, 0);
  core_close(empty);
  core_close(full);
}
