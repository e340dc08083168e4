/* SPDX-License-Identifier: Apache-2.0
 * Intents that are kept while the service cannot act, and replayed when it can. */
#define _GNU_SOURCE
#include "check.h"
#include "support_deferral.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

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
  CHECK_EQUAL(ask_keeping(request(2, 7, 24), "A2", &again).reason, LTP_REASON_KEY_REUSED);
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
  verdict = ask_keeping(later, "A3", &behind);
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
  end_deferring();
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
  CHECK_EQUAL(ask_keeping(asked, "x", &kept).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  CHECK_EQUAL(kept.result, LTP_KEPT_NONE);
  carry(&asked, life);
  CHECK_EQUAL(ask_keeping(asked, "x", &kept).verdict, LTP_VERDICT_DEFER);
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
  /* Nobody else may be who replays. */
  hello.session_id = LTP_SESSION_REPLAY;
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &life), LTP_ERROR_FRAME_RANGE);
  hello.session_id = 9;
  REQUIRE_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &life), LTP_OK);
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.request.session_id, 9);
  CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
  end_deferring();
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
  CHECK_EQUAL(ltp_kept_want(core), LTP_OK);
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
  CHECK_EQUAL(ltp_kept_want(NULL), LTP_ERROR_BAD_HANDLE);
  ltp_handout handout;
  CHECK_EQUAL(ltp_intent_begin(NULL, &handout, NULL, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_intent_begin(lane, NULL, NULL, 0), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, NULL, 9), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_intent_release(core, 1, 1, UINT64_MAX), LTP_ERROR_COMMITMENT);
  CHECK_EQUAL(ltp_intent_release(core, 1, 1, 0), LTP_ERROR_TICKET);
  CHECK_EQUAL(ltp_intent_abandon(core, 1, 1), LTP_ERROR_TICKET);
  CHECK_EQUAL(ltp_intent_run(lane, NULL, NULL, 1, NULL), LTP_ERROR_NULL_ARGUMENT);
  end_deferring();
  /* Without a log. */
  core = open_small(new_directory());
  lane = open_lane(core);
  CHECK_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, NULL, 0), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_intent_commit(core, 1, 1), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_kept_wait(core, 0, 0), LTP_ERROR_NO_DEFERRAL);
  CHECK_EQUAL(ltp_kept_want(core), LTP_ERROR_NO_DEFERRAL);
  ltp_intent intent;
  CHECK_EQUAL(ltp_intent_get(core, 1, &intent), LTP_ERROR_NO_DEFERRAL);
  end_deferring();
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

static const struct test tests[] = {
  {"an intent is kept, known again, replayed and ended", kept_and_replayed},
  {"fault 30: wrong arguments and options", bad_input},
  {"a class that asks for continuity waits for its session's hello", waits_for_a_hello},
  {"in a core that the host drives", host_driven},
  {NULL, NULL},
};
const struct suite suite_deferral = {"deferral", tests};
