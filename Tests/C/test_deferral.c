/* SPDX-License-Identifier: Apache-2.0
 * Intents that are kept while the service cannot act, and replayed when it can. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ltp_core *core;
static ltp_lane *lane;

static ltp_core_options deferring(const char *directory, const ltp_deferral_options *deferral) {
  ltp_core_options options = small_options(directory);
  options.deferral = deferral;
  return options;
}

static const ltp_deferral_options usual = {
  .struct_size = sizeof usual, .capacity = 1000, .segment_bytes = 1 << 20, .block_bytes = 64 << 10,
  .per_session_max = 50};

static void open_deferring(const char *directory, const ltp_deferral_options *deferral) {
  ltp_core_options options = deferring(directory, deferral);
  core = open_core(&options);
  lane = open_lane(core);
}

static void end(void) {
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static ltp_verdict ask(ltp_route_request asked, const char *payload, ltp_kept *kept) {
  ltp_keep what = {.struct_size = sizeof what, .payload = payload, .payload_bytes = strlen(payload)};
  ltp_verdict verdict;
  REQUIRE_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, kept), LTP_OK);
  return verdict;
}

static ltp_verdict order(uint64_t frame, uint64_t session, const char *payload, ltp_kept *kept) {
  return ask(request(frame, session, CLASS_ORDER_CREATE), payload, kept);
}

static void wait_kept(ltp_kept kept) { CHECK_EQUAL(ltp_kept_wait(core, kept.sequence, 20 * SECOND), LTP_OK); }

static ltp_deferral_status deferral_status(void) {
  ltp_deferral_status status = {0};
  REQUIRE_EQUAL(ltp_deferral_status_get(core, &status, sizeof status), LTP_OK);
  return status;
}

/* Until something is due. */
static int32_t begin_next(ltp_handout *handout, char *payload, size_t capacity) {
  uint64_t until = monotonic_ns() + 20 * SECOND;
  int32_t status;
  do {
    status = ltp_intent_begin(lane, handout, payload, capacity);
    if (status == LTP_ERROR_NOTHING_DUE || status == LTP_ERROR_BACKPRESSURE) sleep_ns(MILLISECOND);
  } while ((status == LTP_ERROR_NOTHING_DUE || status == LTP_ERROR_BACKPRESSURE) && monotonic_ns() < until);
  return status;
}

static void kept_and_replayed(void) {
  open_deferring(new_directory(), &usual);
  publish(core, LTP_STATE_HEALTHY);
  ltp_kept kept, again;
  CHECK_EQUAL(order(1, 7, "A1", &kept).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(kept.result, LTP_KEPT_NONE);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_verdict verdict = order(2, 7, "A2", &kept);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(verdict.reason, LTP_REASON_SYSTEM_UNSTABLE);
  CHECK_EQUAL(verdict.commitment, LTP_COMMITMENT_WHEN_STABLE);
  CHECK_EQUAL(kept.result, LTP_KEPT_NEW);
  CHECK(kept.ticket != 0 && kept.expires_unix_ns != 0);
  wait_kept(kept);
  CHECK(ltp_kept_durable(core) >= kept.sequence);
  /* Its sender refreshes. */
  verdict = order(2, 7, "A2", &again);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(verdict.reason, LTP_REASON_INTENT_PENDING);
  CHECK_EQUAL(again.result, LTP_KEPT_SAME);
  CHECK_EQUAL(again.ticket, kept.ticket);
  /* The same frame with other content, or another class, is no refresh. */
  verdict = order(2, 7, "A2, and more", &again);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_KEY_REUSED);
  CHECK_EQUAL(again.result, LTP_KEPT_DIFFERS);
  CHECK_EQUAL(ask(request(2, 7, 24), "A2", &again).reason, LTP_REASON_KEY_REUSED);
  ltp_handout handout;
  char payload[64];
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, payload, sizeof payload), LTP_ERROR_NOTHING_DUE);
  publish(core, LTP_STATE_RECOVERING);
  /* What comes now goes behind it. */
  ltp_route_request later = request(3, 7, CLASS_ORDER_CREATE);
  ltp_hello life;
  ltp_hello hello;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.session_id = 7, hello.client_nonce = 5, hello.version_max = LTP_PROTOCOL_VERSION;
  REQUIRE_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &life), LTP_OK);
  carry(&later, life);
  ltp_kept behind;
  verdict = ask(later, "A3", &behind);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(verdict.reason, LTP_REASON_INTENT_PENDING);
  CHECK_EQUAL(behind.result, LTP_KEPT_NEW);
  REQUIRE_EQUAL(ltp_intent_begin(lane, &handout, NULL, 0), LTP_ERROR_BUFFER_TOO_SMALL);
  CHECK_EQUAL(handout.payload_bytes, 2);
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.ticket, kept.ticket);
  CHECK_EQUAL(handout.request.frame_id, 2);
  CHECK_EQUAL(handout.request.session_id, 7);
  CHECK_EQUAL(handout.attempt, 1);
  CHECK_EQUAL(handout.may_have_happened, 0);
  CHECK_EQUAL(handout.verdict.verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(handout.payload_bytes, 2);
  CHECK(memcmp(payload, "A2", 2) == 0);
  /* Nothing of the session before its end. */
  ltp_handout none;
  CHECK_EQUAL(ltp_intent_begin(lane, &none, payload, sizeof payload), LTP_ERROR_NOTHING_DUE);
  ltp_intent intent;
  REQUIRE_EQUAL(ltp_intent_get(core, kept.ticket, &intent), LTP_OK);
  CHECK_EQUAL(intent.state, LTP_INTENT_BEGUN);
  CHECK_EQUAL(intent.session_id, 7);
  CHECK_EQUAL(ltp_intent_commit(core, kept.ticket, 2), LTP_ERROR_NOT_YOURS);
  CHECK_EQUAL(ltp_intent_commit(core, kept.ticket + 1, 1), LTP_ERROR_TICKET);
  CHECK_EQUAL(ltp_intent_commit(core, kept.ticket, handout.attempt), LTP_OK);
  CHECK_EQUAL(ltp_intent_commit(core, kept.ticket, handout.attempt), LTP_ERROR_INTENT_ENDED);
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.ticket, behind.ticket);
  CHECK_EQUAL(ltp_intent_commit(core, behind.ticket, handout.attempt), LTP_OK);
  publish(core, LTP_STATE_HEALTHY);
  verdict = order(2, 7, "A2", &again);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_ALREADY_REPLAYED);
  CHECK_EQUAL(again.result, LTP_KEPT_ENDED);
  CHECK_EQUAL(again.end, LTP_END_NONE);
  CHECK_EQUAL(again.ticket, kept.ticket);
  CHECK_EQUAL(order(4, 7, "A4", &again).verdict, LTP_VERDICT_EXECUTE);
  ltp_deferral_status status = deferral_status();
  CHECK_EQUAL(status.kept, 2);
  CHECK_EQUAL(status.committed, 2);
  CHECK_EQUAL(status.pending, 0);
  CHECK_EQUAL(status.remembered, 2);
  CHECK_EQUAL(status.log_status, LTP_OK);
  end();
}

/* Every way to end, and what its sender is told afterwards. */
static void every_end(void) {
  open_deferring(new_directory(), &usual);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept[5], again;
  for (uint64_t index = 0; index < 5; index++) {
    ltp_route_request asked = request(1, 1 + index, CLASS_ORDER_CREATE);
    ltp_keep what = {.struct_size = sizeof what, .payload = "x", .payload_bytes = 1, .attempts_max = 2};
    if (index == 0) what.expires_after_ms = 20;
    ltp_verdict verdict;
    REQUIRE_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept[index]), LTP_OK);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  }
  CHECK_EQUAL(ltp_intent_end(core, kept[1].ticket, LTP_END_CANCELLED), LTP_OK);
  CHECK_EQUAL(ltp_intent_end(core, kept[1].ticket, LTP_END_CANCELLED), LTP_ERROR_INTENT_ENDED);
  CHECK_EQUAL(ltp_intent_end(core, kept[2].ticket, LTP_END_ATTEMPTS), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_intent_end(core, kept[2].ticket, LTP_END_EXPIRED), LTP_OK);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  while (deferral_status().expired < 2 && monotonic_ns() < until) sleep_ns(MILLISECOND);
  publish(core, LTP_STATE_HEALTHY);
  char payload[8];
  ltp_handout handout;
  for (int attempt = 1; attempt <= 2; attempt++) {
    REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
    while (handout.ticket != kept[3].ticket) {
      CHECK_EQUAL(ltp_intent_abandon(core, handout.ticket, handout.attempt), LTP_OK);
      REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
    }
    CHECK_EQUAL(handout.attempt, attempt);
    CHECK_EQUAL(handout.may_have_happened, 0);
    CHECK_EQUAL(ltp_intent_release(core, handout.ticket, handout.attempt, 0), LTP_OK);
  }
  static const uint8_t ends[5] = {
    LTP_END_EXPIRED, LTP_END_CANCELLED, LTP_END_EXPIRED, LTP_END_ATTEMPTS, LTP_END_ABANDONED};
  for (uint64_t index = 0; index < 5; index++) {
    ltp_verdict verdict = order(1, 1 + index, "x", &again);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
    CHECK_EQUAL(verdict.reason, LTP_REASON_INTENT_ENDED);
    CHECK_EQUAL(again.end, ends[index]);
    ltp_intent intent;
    REQUIRE_EQUAL(ltp_intent_get(core, kept[index].ticket, &intent), LTP_OK);
    CHECK_EQUAL(intent.state, LTP_INTENT_OVER);
    CHECK_EQUAL(intent.end, ends[index]);
  }
  ltp_intent list[3];
  uint64_t place = 0;
  size_t count = 0, total = 0;
  do {
    REQUIRE_EQUAL(ltp_intent_list(core, &place, list, 3, &count), LTP_OK);
    total += count;
  } while (count > 0);
  CHECK_EQUAL(total, 5);
  CHECK_TEXT(ltp_end_name(LTP_END_ATTEMPTS), "ATTEMPTS_USED_UP");
  CHECK_TEXT(ltp_commitment_text(LTP_COMMITMENT_WHEN_STABLE), "retry");
  end();
}

/* Full: in all, for one session, and by bytes. */
static void bounds(void) {
  ltp_deferral_options small = usual;
  small.capacity = 4, small.per_session_max = 2, small.bytes_max = 100, small.payload_bytes_max = 60;
  open_deferring(new_directory(), &small);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept;
  CHECK_EQUAL(order(1, 1, "a", &kept).verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order(2, 1, "a", &kept).verdict, LTP_VERDICT_DEFER);
  ltp_verdict verdict = order(3, 1, "a", &kept);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK(verdict.retry_after_ms > 0);
  CHECK_EQUAL(kept.result, LTP_KEPT_FULL);
  CHECK_EQUAL(kept.ticket, 0);
  static const char fifty[] = "12345678901234567890123456789012345678901234567890";
  CHECK_EQUAL(order(1, 2, fifty, &kept).verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order(1, 3, fifty, &kept).reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order(1, 4, "a", &kept).verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order(1, 5, "a", &kept).reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(deferral_status().refused_full, 3);
  /* What has ended makes room once that is on disk, and is forgotten first. */
  CHECK_EQUAL(ltp_intent_end(core, kept.ticket, LTP_END_CANCELLED), LTP_ERROR_TICKET);
  CHECK_EQUAL(order(1, 4, "a", &kept).reason, LTP_REASON_INTENT_PENDING);
  CHECK_EQUAL(ltp_intent_end(core, kept.ticket, LTP_END_CANCELLED), LTP_OK);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  while ((verdict = order(1, 5, "a", &kept)).verdict != LTP_VERDICT_DEFER && monotonic_ns() < until) sleep_ns(MILLISECOND);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  end();
}

static void bad_input(void) {
  open_deferring(new_directory(), &usual);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_route_request asked = request(1, 1, CLASS_ORDER_CREATE);
  ltp_keep what = {.struct_size = sizeof what, .payload = "x", .payload_bytes = 1};
  ltp_verdict verdict;
  ltp_kept kept;
  uint64_t before = ltp_lane_sequence(lane);
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, NULL, &verdict, &kept), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, NULL, &kept), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_admit_keeping(NULL, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_BAD_HANDLE);
  what.payload_bytes = 0;
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_PAYLOAD);
  what.payload_bytes = (64 << 10) + 1;
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_PAYLOAD);
  what.payload_bytes = 1, what.payload = NULL;
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_PAYLOAD);
  what.payload = "x", what.expires_after_ms = UINT64_MAX;
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_COMMITMENT);
  what.expires_after_ms = 0, what.reserved = 1;
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_COMMITMENT);
  what.reserved = 0, what.struct_size = 4;
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_STRUCT_SIZE);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(ltp_lane_sequence(lane), before);
  what.struct_size = sizeof what;
  /* A frame that is none is denied as ever, and kept by nobody. */
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, 12, &what, &verdict, NULL), LTP_OK);
  CHECK_EQUAL(verdict.reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_admit_keeping(lane, NULL, 0, &what, &verdict, NULL), LTP_OK);
  CHECK_EQUAL(verdict.reason, LTP_REASON_MALFORMED_FRAME);
  /* A class that is never deferred is decided as ever. */
  asked = request(1, 1, CLASS_BID);
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_OK);
  CHECK_EQUAL(verdict.reason, LTP_REASON_SYSTEM_UNSTABLE);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(kept.result, LTP_KEPT_NONE);
  CHECK_EQUAL(ltp_kept_wait(core, 1ull << 40, 0), LTP_ERROR_SEQUENCE_AHEAD);
  CHECK_EQUAL(ltp_kept_wait(NULL, 1, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_kept_durable(NULL), 0);
  ltp_handout handout;
  CHECK_EQUAL(ltp_intent_begin(NULL, &handout, NULL, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_intent_begin(lane, NULL, NULL, 0), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, NULL, 9), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_intent_release(core, 1, 1, UINT64_MAX), LTP_ERROR_COMMITMENT);
  CHECK_EQUAL(ltp_intent_release(core, 1, 1, 0), LTP_ERROR_TICKET);
  CHECK_EQUAL(ltp_intent_abandon(core, 1, 1), LTP_ERROR_TICKET);
  CHECK_EQUAL(ltp_intent_run(lane, NULL, NULL, 1, NULL), LTP_ERROR_NULL_ARGUMENT);
  end();
  /* Without a log. */
  core = open_small(new_directory());
  lane = open_lane(core);
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, NULL, 0), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_intent_commit(core, 1, 1), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_kept_wait(core, 0, 0), LTP_ERROR_NO_DEFERRAL);
  ltp_intent intent;
  CHECK_EQUAL(ltp_intent_get(core, 1, &intent), LTP_ERROR_NO_DEFERRAL);
  end();
  static const struct { size_t at; uint32_t value; } wrong[] = {
    {offsetof(ltp_deferral_options, capacity), 1 << 24}, {offsetof(ltp_deferral_options, block_bytes), 5000},
    {offsetof(ltp_deferral_options, payload_bytes_max), 1 << 20}, {offsetof(ltp_deferral_options, attempts_max), 1 << 16},
    {offsetof(ltp_deferral_options, lease_ms), 86400001}, {offsetof(ltp_deferral_options, flags), 1},
    {offsetof(ltp_deferral_options, segment_bytes), 4096}, {offsetof(ltp_deferral_options, reserved), 1},
  };
  for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
    ltp_deferral_options options = usual;
    memcpy((char *)&options + wrong[index].at, &wrong[index].value, 4);
    ltp_core_options all = deferring(new_directory(), &options);
    ltp_error error;
    CHECK_EQUAL(ltp_core_open(&all, &core, &error), LTP_ERROR_OPTION_RANGE);
    CHECK_TEXT(error.message, "deferral");
  }
}

struct worker { int calls; int carried; };

static int32_t carry_out(void *context, const ltp_handout *handout, const void *payload) {
  struct worker *worker = context;
  CHECK_EQUAL(handout->payload_bytes, 1);
  CHECK(memcmp(payload, "x", 1) == 0);
  return worker->calls++ % 5 == 4 ? LTP_NOT_CARRIED_OUT : (worker->carried++, LTP_CARRIED_OUT);
}

/* A worker that dies with an intent: it is handed out again, with a word that it may have happened. */
static void leases(void) {
  ltp_deferral_options quick = usual;
  quick.lease_ms = 30;
  open_deferring(new_directory(), &quick);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept;
  order(1, 1, "x", &kept);
  publish(core, LTP_STATE_HEALTHY);
  ltp_handout first, second;
  char payload[8];
  REQUIRE_EQUAL(begin_next(&first, payload, sizeof payload), LTP_OK);
  REQUIRE_EQUAL(begin_next(&second, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(second.ticket, first.ticket);
  CHECK_EQUAL(second.attempt, 2);
  CHECK_EQUAL(second.may_have_happened, 1);
  CHECK(memcmp(first.key, second.key, sizeof first.key) == 0);
  CHECK_EQUAL(ltp_intent_commit(core, first.ticket, first.attempt), LTP_ERROR_NOT_YOURS);
  CHECK_EQUAL(ltp_intent_commit(core, second.ticket, second.attempt), LTP_OK);
  /* And by a function of the host's. */
  publish(core, LTP_STATE_UNSTABLE);
  for (uint64_t session = 1; session <= 20; session++) order(2, session, "x", &kept);
  wait_kept(kept);
  publish(core, LTP_STATE_HEALTHY);
  struct worker worker = {0};
  size_t done = 0;
  CHECK_EQUAL(ltp_intent_run(lane, carry_out, &worker, 100, &done), LTP_OK);
  CHECK_EQUAL(done, 20);
  CHECK_EQUAL(worker.calls, 20);
  CHECK_EQUAL(deferral_status().committed, 17);
  CHECK_EQUAL(deferral_status().pending, 4);
  end();
}

/* What was acknowledged is there after a kill, with its ticket; leases are over; what was carried out is known. */
static void killed(void) {
  const char *directory = new_directory();
  int told[2];
  REQUIRE_EQUAL(pipe(told), 0);
  int child = fork();
  if (child == 0) {
    open_deferring(directory, &usual);
    publish(core, LTP_STATE_UNSTABLE);
    ltp_kept kept[40];
    for (uint64_t frame = 0; frame < 40; frame++) order(1 + frame, 1 + frame % 4, "payload", &kept[frame]);
    wait_kept(kept[39]);
    publish(core, LTP_STATE_HEALTHY);
    ltp_handout handout;
    char payload[16];
    for (int index = 0; index < 10; index++) {
      REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
      if (index < 6) CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
      if (index == 9) break;
    }
    wait_kept((ltp_kept){.sequence = deferral_status().sequence});
    if (write(told[1], kept, sizeof kept) != sizeof kept) _exit(3);
    pause();
  }
  ltp_kept kept[40];
  REQUIRE_EQUAL(read(told[0], kept, sizeof kept), sizeof kept);
  kill(child, SIGKILL);
  wait_for(child);
  /* Not without the log: what is pending would be silent. */
  ltp_core_options options = small_options(directory);
  ltp_error error;
  ltp_core *none;
  CHECK_EQUAL(ltp_core_open(&options, &none, &error), LTP_ERROR_DEFERRAL_APART);
  CHECK_TEXT(error.message, "options.deferral");
  open_deferring(directory, &usual);
  ltp_deferral_status status = deferral_status();
  CHECK_EQUAL(status.pending, 34);
  CHECK_EQUAL(status.remembered, 6);
  CHECK_EQUAL(status.begun, 0);
  publish(core, LTP_STATE_UNSTABLE);
  int same = 0, ended = 0;
  for (uint64_t frame = 0; frame < 40; frame++) {
    ltp_kept again;
    order(1 + frame, 1 + frame % 4, "payload", &again);
    CHECK_EQUAL(again.ticket, kept[frame].ticket);
    same += again.result == LTP_KEPT_SAME;
    ended += again.result == LTP_KEPT_ENDED && again.end == LTP_END_NONE;
  }
  CHECK_EQUAL(same, 34);
  CHECK_EQUAL(ended, 6);
  publish(core, LTP_STATE_HEALTHY);
  ltp_handout handout;
  char payload[16];
  int maybe = 0;
  uint64_t last[5] = {0};
  for (int index = 0; index < 34; index++) {
    REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
    CHECK(memcmp(payload, "payload", 7) == 0);
    maybe += handout.may_have_happened;
    /* In the order in which they were sent. */
    CHECK(handout.request.frame_id > last[handout.request.session_id]);
    last[handout.request.session_id] = handout.request.frame_id;
    CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
  }
  CHECK_EQUAL(maybe, 4);
  CHECK_EQUAL(deferral_status().pending, 0);
  end();
  /* Nothing is pending, so it may be opened without. */
  core = open_core(&options);
  close_core(core);
  open_deferring(directory, &usual);
  end();
  /* Restored apart: an older deferral log, none, or another trace's. */
  char command[512];
  snprintf(command, sizeof command, "rm -f %s/deferred-*", directory);
  REQUIRE_EQUAL(system(command), 0);
  ltp_core_options again = deferring(directory, &usual);
  CHECK_EQUAL(ltp_core_open(&again, &none, &error), LTP_ERROR_DEFERRAL_APART);
  CHECK_TEXT(error.message, "missing");
}

/* A class that asks for continuity waits until its session has shaken hands again. */
static void waits_for_a_hello(void) {
  static ltp_policy policy;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.classes[CLASS_ORDER_CANCEL].attributes |= LTP_CLASS_DEFERRABLE;
  policy.rules[LTP_STATE_UNSTABLE][CLASS_ORDER_CANCEL].verdict = LTP_VERDICT_DEFER;
  ltp_core_options options = deferring(new_directory(), &usual);
  options.policy = &policy;
  core = open_core(&options);
  lane = open_lane(core);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_hello hello, life;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.session_id = 9, hello.client_nonce = 1, hello.version_max = LTP_PROTOCOL_VERSION;
  REQUIRE_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &life), LTP_OK);
  ltp_route_request asked = request(1, 9, CLASS_ORDER_CANCEL);
  ltp_kept kept;
  CHECK_EQUAL(ask(asked, "x", &kept).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  CHECK_EQUAL(kept.result, LTP_KEPT_NONE);
  carry(&asked, life);
  CHECK_EQUAL(ask(asked, "x", &kept).verdict, LTP_VERDICT_DEFER);
  wait_kept(kept);
  publish(core, LTP_STATE_FAILED);
  publish(core, LTP_STATE_HEALTHY);
  ltp_handout handout;
  char payload[8];
  sleep_ns(20 * MILLISECOND);
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, payload, sizeof payload), LTP_ERROR_NOTHING_DUE);
  ltp_intent intent;
  REQUIRE_EQUAL(ltp_intent_get(core, kept.ticket, &intent), LTP_OK);
  CHECK_EQUAL(intent.needs_hello, 1);
  hello.client_nonce = 2;
  REQUIRE_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &life), LTP_OK);
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.request.session_id, 9);
  CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
  end();
}

/* An event loop that drives the core and holds its answers. */
static void host_driven(void) {
  ltp_core_options options = deferring(new_directory(), &usual);
  options.flags |= LTP_OPEN_HOST_DRIVEN, options.backpressure_wait_ns = 0;
  core = open_core(&options);
  lane = open_lane(core);
  publish(core, LTP_STATE_UNSTABLE);
  int32_t descriptor = -1;
  REQUIRE_EQUAL(ltp_durable_descriptor(core, &descriptor), LTP_OK);
  ltp_kept kept;
  CHECK_EQUAL(order(1, 1, "x", &kept).verdict, LTP_VERDICT_DEFER);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  int raised = 0;
  while (ltp_kept_durable(core) < kept.sequence && monotonic_ns() < until) {
    CHECK_EQUAL(ltp_poll(core), LTP_OK);
    struct pollfd events = {.fd = descriptor, .events = POLLIN};
    if (poll(&events, 1, 1) == 1) {
      uint64_t count;
      raised += read(descriptor, &count, sizeof count) == sizeof count;
    }
  }
  CHECK(ltp_kept_durable(core) >= kept.sequence);
  CHECK(raised > 0);
  publish(core, LTP_STATE_HEALTHY);
  ltp_handout handout;
  char payload[8];
  CHECK_EQUAL(ltp_poll(core), LTP_OK);
  REQUIRE_EQUAL(ltp_intent_begin(lane, &handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
  CHECK_EQUAL(ltp_kept_wait(core, deferral_status().sequence, 20 * SECOND), LTP_OK);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  CHECK_EQUAL(ltp_poll_end(core), LTP_OK);
  close_core(core);
}

static const struct test tests[] = {
  {"an intent is kept, known again, replayed and ended", kept_and_replayed},
  {"every end, and what its sender is told", every_end},
  {"fault 29: full, in all, for a session and by bytes", bounds},
  {"fault 30: wrong arguments and options", bad_input},
  {"fault 28: a lease that runs out; a host's function", leases},
  {"faults 1, 28: killed with intents waiting, begun and carried out", killed},
  {"a class that asks for continuity waits for its session's hello", waits_for_a_hello},
  {"in a core that the host drives", host_driven},
  {NULL, NULL},
};
const struct suite suite_deferral = {"deferral", tests};
