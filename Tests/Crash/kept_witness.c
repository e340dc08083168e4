/* SPDX-License-Identifier: Apache-2.0
 * Keeps intents and carries some of them out until it dies or the disk has no more room; says what was acknowledged, and looks afterwards whether that is
 * there. */
#define _GNU_SOURCE
#include "kept.h"

#include "witness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND ((uint64_t)1000000)
#define ORDER_CREATE 25
#define PAYLOAD_BYTES 3000

/* What a victim writes once it is durable: an intent is kept, or has ended. */
struct said {
  uint64_t session, frame, has_ended;
};

static void publish(ltp_core *core, uint8_t state) {
  ltp_transition change = {.struct_size = sizeof change, .to = state, .reason = LTP_SIGNAL_OPERATOR};
  ltp_orientation_publish(core, &change, NULL);
}

static int open_keeping(const char *directory, uint32_t storage, ltp_core **core, ltp_lane **lane) {
  ltp_core_options options = crash_options(directory, storage);
  ltp_deferral_options deferral = {.struct_size = sizeof deferral, .segment_bytes = 512 << 10, .block_bytes = 64 << 10};
  options.deferral = &deferral;
  ltp_error error;
  int32_t opened = ltp_core_open(&options, core, &error);
  if (opened == LTP_OK && ltp_lane_open(*core, lane, NULL) == LTP_OK) return 0;
  fprintf(stderr, "crash: open: %s\n", error.message);
  return 5;
}

static ltp_verdict send_intent(ltp_lane *lane, uint64_t session, uint64_t frame, ltp_kept *kept) {
  ltp_route_request asked;
  ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
  asked.session_id = session, asked.frame_id = frame, asked.action_class = ORDER_CREATE, asked.priority = 200;
  unsigned char payload[PAYLOAD_BYTES];
  memset(payload, (int)(session + frame), sizeof payload);
  ltp_keep what = {.struct_size = sizeof what, .payload = payload, .payload_bytes = frame % 2 ? 20 : sizeof payload};
  ltp_verdict verdict = {0};
  if (ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, kept) != LTP_OK) kept->result = LTP_KEPT_LATER;
  return verdict;
}

/* Keeps one intent and says so. 0: done; 3: the log takes nothing, or cannot write it. */
static int keep_one(ltp_core *core, ltp_lane *lane, uint64_t session, uint64_t frame, int descriptor) {
  ltp_kept kept = {0};
  uint64_t waited = 0;
  while (send_intent(lane, session, frame, &kept), kept.result != LTP_KEPT_NEW) {
    if (kept.result != LTP_KEPT_LATER && kept.result != LTP_KEPT_NONE) return 8;
    struct timespec pause = {.tv_nsec = (long)MILLISECOND};
    nanosleep(&pause, NULL);
    if ((waited += MILLISECOND) > witness_patience_ns) return 3;
  }
  if (ltp_kept_wait(core, kept.sequence, witness_patience_ns) != LTP_OK) return 3;
  struct said said = {session, frame, 0};
  return write(descriptor, &said, sizeof said) == (ssize_t)sizeof said ? 0 : 4;
}

/* Hands one intent out, carries it out and says so. */
static int end_one(ltp_core *core, ltp_lane *lane, int descriptor) {
  unsigned char payload[PAYLOAD_BYTES];
  ltp_handout handout;
  /* Limits, and a state that is not in force yet. */
  if (ltp_intent_begin(lane, &handout, payload, sizeof payload) != LTP_OK) return 0;
  if (ltp_intent_commit(core, handout.ticket, handout.attempt) != LTP_OK) return 0;
  ltp_deferral_status status = {0};
  if (ltp_deferral_status_get(core, &status, sizeof status) != LTP_OK) return 9;
  if (ltp_kept_wait(core, status.sequence, witness_patience_ns) != LTP_OK) return 3;
  struct said said = {handout.request.session_id, handout.request.frame_id, 1};
  return write(descriptor, &said, sizeof said) == (ssize_t)sizeof said ? 0 : 4;
}

int kept_victim_run(const char *directory, uint32_t storage, uint64_t session, int descriptor, int rounds) {
  ltp_core *core = NULL;
  ltp_lane *lane = NULL;
  int result = open_keeping(directory, storage, &core, &lane);
  if (result != 0) return result;
  for (int round = 0; round < rounds && result == 0; round++) {
    publish(core, LTP_STATE_UNSTABLE);
    for (int index = 0; index < 4 && result == 0; index++)
      result = keep_one(core, lane, session + (uint64_t)index, (uint64_t)round + 1, descriptor);
    publish(core, LTP_STATE_HEALTHY);
    for (int index = 0; index < 2 && result == 0; index++) result = end_one(core, lane, descriptor);
  }
  ltp_lane_close(lane);
  ltp_error error;
  int32_t closed = ltp_core_close(core, 10000 * MILLISECOND, &error);
  if (result == 0 && closed != LTP_OK) {
    fprintf(stderr, "crash: close: %s\n", error.message);
    return 7;
  }
  return result;
}

int kept_witness_check(const char *directory, uint32_t storage, int file, int may_be_empty) {
  ltp_core *core = NULL;
  ltp_lane *lane = NULL;
  if (open_keeping(directory, storage, &core, &lane) != 0) return 1;
  publish(core, LTP_STATE_UNSTABLE);
  struct said said;
  int count = 0, faults = 0;
  while (read(file, &said, sizeof said) == (ssize_t)sizeof said) {
    ltp_kept kept = {0};
    count++;
    for (int tries = 0; tries < 1000; tries++) {
      send_intent(lane, said.session, said.frame, &kept);
      if (kept.result != LTP_KEPT_LATER) break;
      struct timespec pause = {.tv_nsec = (long)MILLISECOND};
      nanosleep(&pause, NULL);
    }
    int has_ended = kept.result == LTP_KEPT_ENDED && kept.end == LTP_END_NONE;
    if (has_ended || (kept.result == LTP_KEPT_SAME && !said.has_ended)) continue;
    printf(
      "  session %llx, frame %llu: was acknowledged as %s, and is answered with %u, end %u\n", (unsigned long long)said.session,
      (unsigned long long)said.frame, said.has_ended ? "carried out" : "kept", kept.result, kept.end);
    faults++;
  }
  if (count == 0 && !may_be_empty) printf("  nothing was acknowledged\n");
  ltp_lane_close(lane);
  ltp_error error;
  int32_t closed = ltp_core_close(core, 10000 * MILLISECOND, &error);
  if (closed != LTP_OK) printf("  close: %s\n", error.message);
  return faults > 0 || closed != LTP_OK || (count == 0 && !may_be_empty);
}
