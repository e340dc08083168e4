/* SPDX-License-Identifier: Apache-2.0
 * Decides until killed; compares what was acknowledged with what the trace holds. */
#define _GNU_SOURCE
#include "witness.h"

#include "trace_reader.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND ((uint64_t)1000000000)

uint64_t witness_patience_ns = 10 * SECOND;

ltp_core_options crash_options(const char *directory, uint32_t storage) {
  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  options.trace_directory = directory;
  options.storage = storage;
  options.segment_bytes = 512 << 10;
  options.block_bytes = 16 << 10;
  options.lane_blocks = 4;
  options.commit_interval_ns = 200000;
  options.backpressure_wait_ns = SECOND;
  /* A dead owner's lock lives until its last write has ended, which a loaded machine can draw out. */
  options.lock_wait_ns = 20 * SECOND;
  return options;
}

struct way {
  ltp_lane *lane;
  uint64_t session, frame;
};

/* Some decisions, then the wait, then the word. 0: done; 3: the trace failed. */
static int decide(struct way *way, int count, int descriptor) {
  ltp_route_request asked;
  ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
  asked.session_id = way->session;
  asked.action_class = 1; /* status: admitted in every state */
  for (int index = 0; index < count; index++) {
    asked.frame_id = way->frame + 1;
    ltp_verdict verdict = ltp_admit(way->lane, &asked, sizeof asked);
    if (verdict.reason == LTP_REASON_TRACE_BACKPRESSURE) return 3;
    way->frame++;
  }
  struct acknowledgement said = {way->session, way->frame, ltp_lane_sequence(way->lane) - 1};
  if (ltp_lane_wait_durable(way->lane, said.sequence + 1, witness_patience_ns) != LTP_OK) return 3;
  return write(descriptor, &said, sizeof said) == (ssize_t)sizeof said ? 0 : 4;
}

int victim_run(const char *directory, uint32_t storage, uint64_t session, int descriptor, int rounds) {
  ltp_core_options options = crash_options(directory, storage);
  ltp_core *core = NULL;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) != LTP_OK) {
    fprintf(stderr, "crash: open: %s\n", error.message);
    return 5;
  }
  struct way ways[2] = {{NULL, session, 0}, {NULL, session + 1, 0}};
  for (int index = 0; index < 2; index++)
    if (ltp_lane_open(core, &ways[index].lane, NULL) != LTP_OK) return 6;
  int result = 0;
  for (int round = 0; round < rounds && result == 0; round++) {
    ltp_transition change = {.struct_size = sizeof change, .to = LTP_STATE_HEALTHY,
                             .reason = LTP_SIGNAL_OPERATOR};
    ltp_orientation_publish(core, &change, NULL);
    static const int counts[] = {1, 7, 200, 40, 1200, 3};
    result = decide(&ways[round % 2], counts[round % 6], descriptor);
  }
  for (int index = 0; index < 2; index++) ltp_lane_close(ways[index].lane);
  int32_t closed = ltp_core_close(core, 10 * SECOND, &error);
  if (result == 0 && closed != LTP_OK) {
    fprintf(stderr, "crash: close: %s\n", error.message);
    return closed == LTP_ERROR_LANES_OPEN ? 7 : 3;
  }
  return result;
}

void witness_listen(struct witness *witness, int descriptor) {
  struct acknowledgement said;
  while (read(descriptor, &said, sizeof said) == (ssize_t)sizeof said) {
    int place = 0;
    while (place < witness->count && witness->sessions[place].session != said.session) place++;
    if (place == SESSIONS_MAX) return;
    if (place == witness->count) witness->count++;
    witness->sessions[place] = said;
  }
}

int reopen(const char *directory, uint32_t storage) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    ltp_core_options options = crash_options(directory, storage);
    ltp_core *core = NULL;
    ltp_error error;
    int32_t status = ltp_core_open(&options, &core, &error);
    if (status == LTP_OK) status = ltp_core_close(core, SECOND, &error);
    if (status != LTP_OK) fprintf(stderr, "crash: reopen: %s\n", error.message);
    _exit(status == LTP_OK ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

static void see(void *context, uint32_t lane, uint64_t sequence, const ltp_decision_record *record) {
  (void)lane;
  struct witness *witness = context;
  int place = 0;
  while (place < witness->count && witness->sessions[place].session != record->session_id) place++;
  if (place == witness->count) return; /* never acknowledged: may be there or not */
  witness->disorder += record->frame_id != witness->seen[place] + 1;
  witness->seen[place] = record->frame_id;
  const struct acknowledgement *said = &witness->sessions[place];
  witness->disorder += record->frame_id == said->frame && sequence != said->sequence;
}

int witness_check(struct witness *witness, const char *directory) {
  struct trace_reader reader = {.decision = see, .context = witness};
  memset(witness->seen, 0, sizeof witness->seen);
  witness->disorder = 0;
  if (trace_read(&reader, directory) != 0) {
    printf("  %s\n", reader.fault);
    return 1;
  }
  int lost = 0;
  for (int place = 0; place < witness->count; place++) {
    if (witness->seen[place] >= witness->sessions[place].frame) continue;
    printf(
      "  session %llx: %llu frames acknowledged, %llu in the trace\n",
      (unsigned long long)witness->sessions[place].session,
      (unsigned long long)witness->sessions[place].frame, (unsigned long long)witness->seen[place]);
    lost++;
  }
  if (witness->disorder > 0) printf("  %d records out of order\n", witness->disorder);
  return lost > 0 || witness->disorder > 0;
}
