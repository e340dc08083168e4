/* SPDX-License-Identifier: Apache-2.0
 * Retention beside kept intents: one that waits for long holds up no segment of the trace, and is told again before the one goes that told it. */
#define _GNU_SOURCE
#include "check.h"
#include "ltp_deferral.h"
#include "support_deferral.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_BYTES (512 << 10)
#define RETAINED 3
#define DECISIONS 8000 /* half a segment */

static void open_retaining(const char *directory) {
  ltp_core_options options = small_options(directory);
  options.segment_bytes = SEGMENT_BYTES;
  options.retain_segments = RETAINED;
  options.deferral = &usual;
  core = open_core(&options);
  lane = open_lane(core);
}

/* Segments whose names begin so; the index of the first one. */
static unsigned segments(const char *directory, const char *prefix, unsigned long *first) {
  DIR *opened = opendir(directory);
  REQUIRE(opened != NULL);
  unsigned count = 0;
  *first = ~0ul;
  for (struct dirent *entry; (entry = readdir(opened)) != NULL;) {
    size_t length = strlen(prefix);
    if (strncmp(entry->d_name, prefix, length) != 0 || strlen(entry->d_name) != length + 20) continue;
    if (strcmp(entry->d_name + length + 16, ".ltp") != 0) continue;
    unsigned long index = strtoul(entry->d_name + length, NULL, 16);
    if (index < *first) *first = index;
    count++;
  }
  closedir(opened);
  return count;
}

/* Decides until so many segments have gone by. Never are there many more than are to be kept. */
static void go_by(const char *directory, unsigned long count) {
  static uint64_t frame = 1 << 20;
  unsigned long first, begun;
  segments(directory, "", &begun);
  unsigned most = 0;
  do {
    for (int index = 0; index < DECISIONS; index++) {
      ltp_route_request asked = request(frame++, 9, CLASS_READ);
      admit(lane, &asked);
    }
    settle(lane);
    unsigned now = segments(directory, "", &first);
    if (now > most) most = now;
  } while (first < begun + count && most < 40);
  CHECK(most <= RETAINED + 6);
  unsigned long kept;
  CHECK(segments(directory, LTP_DEFERRAL_PREFIX, &kept) <= 8);
}

/* One that is given back with a long delay, and is stuck. */
static ltp_kept keep_one(void) {
  ltp_kept kept;
  publish(core, LTP_STATE_UNSTABLE);
  order(1, 1, "stuck", &kept);
  wait_kept(kept);
  publish(core, LTP_STATE_HEALTHY);
  char payload[16];
  ltp_handout handout;
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(ltp_intent_release(core, handout.ticket, handout.attempt, 3600000), LTP_OK);
  return kept;
}

static void carry_out(uint64_t ticket) {
  CHECK_EQUAL(ltp_intent_hasten(core, ticket), LTP_OK);
  char payload[16];
  ltp_handout handout;
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.ticket, ticket);
  CHECK_EQUAL(handout.attempt, 2);
  CHECK(memcmp(payload, "stuck", 5) == 0);
  CHECK_EQUAL(ltp_intent_commit(core, ticket, handout.attempt), LTP_OK);
}

static void stuck(void) {
  const char *directory = new_directory();
  open_retaining(directory);
  ltp_kept kept = keep_one();
  go_by(directory, 12);
  carry_out(kept.ticket);
  end_deferring();
}

/* Killed amid decisions, twice; the next run goes on with retention. */
static void killed(void) {
  const char *directory = new_directory();
  int told[2];
  REQUIRE_EQUAL(pipe(told), 0);
  ltp_kept kept = {0};
  for (int round = 0; round < 2; round++) {
    int child = fork();
    if (child == 0) {
      open_retaining(directory);
      if (round == 0) kept = keep_one();
      publish(core, LTP_STATE_HEALTHY);
      go_by(directory, 5);
      if (write(told[1], &kept, sizeof kept) != sizeof kept) _exit(3);
      for (;;) go_by(directory, 1);
    }
    REQUIRE_EQUAL(read(told[0], &kept, sizeof kept), sizeof kept);
    sleep_ns(30 * MILLISECOND);
    kill(child, SIGKILL);
    CHECK_EQUAL(wait_for(child), 128 + SIGKILL);
  }
  open_retaining(directory);
  CHECK_EQUAL(deferral_status().pending, 1);
  publish(core, LTP_STATE_HEALTHY);
  go_by(directory, 6);
  carry_out(kept.ticket);
  end_deferring();
  open_retaining(directory);
  CHECK_EQUAL(deferral_status().pending, 0);
  end_deferring();
}

static const struct test tests[] = {
  {"retention beside an intent that is stuck", stuck},
  {"fault 1: retention beside an intent that is stuck, killed twice", killed},
  {NULL, NULL},
};
const struct suite suite_proof = {"proofs and retention", tests};
