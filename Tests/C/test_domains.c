/* SPDX-License-Identifier: Apache-2.0
 * Continuity domains: outages of one, their ends by the clock, and what the policy makes of them. */
#include "check.h"
#include "support.h"

#include <string.h>

static ltp_core *core;
static ltp_lane *lane;

static void begin(uint8_t outage) {
  static ltp_policy policy;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.domains.stay_ms = 50;
  policy.domains.outage = outage;
  ltp_core_options options = small_options(new_directory());
  options.policy = &policy;
  core = open_core(&options);
  lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
}

static void end(void) {
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static int32_t greet(uint64_t session_id, uint8_t domain, ltp_hello *answer) {
  ltp_hello hello;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.session_id = session_id, hello.client_nonce = monotonic_ns(), hello.domain = domain;
  hello.version_max = LTP_PROTOCOL_VERSION;
  return ltp_hello_answer(lane, &hello, sizeof hello, answer);
}

static ltp_verdict cancel(ltp_hello life) {
  ltp_route_request asked = request(1, life.session_id, CLASS_ORDER_CANCEL);
  carry(&asked, life);
  return admit(lane, &asked);
}

static void one_gateway_of_two(void) {
  begin(LTP_OUTAGE_OF_DOMAIN);
  ltp_hello here, there, later;
  REQUIRE_EQUAL(greet(1, 0, &here), LTP_OK);
  REQUIRE_EQUAL(greet(2, 255, &there), LTP_OK);
  CHECK_EQUAL(ltp_transport_event(core, 255, LTP_TRANSPORT_CONNECTED), LTP_OK);
  CHECK_EQUAL(cancel(there).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_transport_event(core, 255, LTP_TRANSPORT_DISCONNECTED), LTP_OK);
  CHECK_EQUAL(cancel(here).verdict, LTP_VERDICT_EXECUTE);
  ltp_verdict refused = cancel(there);
  CHECK_EQUAL(refused.reason, LTP_REASON_SYSTEM_UNSTABLE);
  CHECK_EQUAL(refused.state, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(greet(2, 255, &later), LTP_ERROR_HELLO_LATER);
  CHECK_EQUAL(ltp_frame_check(&later, sizeof later, NULL), LTP_OK);
  CHECK(later.header.flags & LTP_HELLO_LATER && later.continuity_token == 0 && later.retry_after_ms >= 50);
  ltp_connection connection;
  CHECK(ltp_connection_bind(&connection, &later) != LTP_OK);
  CHECK_EQUAL(greet(3, 0, &later), LTP_OK);
  /* Down it stays, however long; once it is back, for its stay. */
  sleep_ns(100 * MILLISECOND);
  CHECK_EQUAL(cancel(there).reason, LTP_REASON_SYSTEM_UNSTABLE);
  CHECK_EQUAL(ltp_transport_event(core, 255, LTP_TRANSPORT_CONNECTED), LTP_OK);
  while (cancel(there).reason == LTP_REASON_SYSTEM_UNSTABLE) sleep_ns(MILLISECOND);
  CHECK_EQUAL(cancel(there).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  REQUIRE_EQUAL(greet(2, 255, &there), LTP_OK);
  CHECK_EQUAL(cancel(there).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(cancel(here).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_transport_event(core, 0, 0), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_transport_event(core, 0, 4), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_transport_event(NULL, 0, LTP_TRANSPORT_CONNECTED), LTP_ERROR_BAD_HANDLE);
  end();
}

/* A domain whose outage is the service's, too: the host leads a core back that it orients itself. */
static void outage_of_both(void) {
  begin(LTP_OUTAGE_OF_BOTH);
  ltp_hello here;
  REQUIRE_EQUAL(greet(1, 0, &here), LTP_OK);
  CHECK_EQUAL(ltp_transport_event(core, 7, LTP_TRANSPORT_RESTARTED), LTP_OK);
  ltp_orientation frame;
  REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.to, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_TRANSPORT_DISCONNECTED);
  CHECK_EQUAL(frame.evidence[0].value, 1);
  publish(core, LTP_STATE_HEALTHY);
  CHECK_EQUAL(cancel(here).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  end();
}

/* A domain whose outage is the service's alone: its requests are decided as all others, and its sessions shake hands again. */
static void outage_of_service(void) {
  begin(LTP_OUTAGE_OF_SERVICE);
  ltp_hello here, there;
  REQUIRE_EQUAL(greet(1, 0, &here), LTP_OK);
  REQUIRE_EQUAL(greet(2, 7, &there), LTP_OK);
  CHECK_EQUAL(ltp_transport_event(core, 7, LTP_TRANSPORT_DISCONNECTED), LTP_OK);
  ltp_orientation frame;
  REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.to, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(cancel(here).reason, LTP_REASON_SYSTEM_UNSTABLE);
  /* Led back by the host, the domain is in no outage of its own, though it is still down. */
  publish(core, LTP_STATE_HEALTHY);
  CHECK_EQUAL(cancel(there).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  CHECK_EQUAL(cancel(here).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  REQUIRE_EQUAL(greet(2, 7, &there), LTP_OK);
  CHECK_EQUAL(cancel(there).verdict, LTP_VERDICT_EXECUTE);
  /* Said again it is the same outage; once it is over, the next one is another. */
  CHECK_EQUAL(ltp_transport_event(core, 7, LTP_TRANSPORT_DISCONNECTED), LTP_OK);
  CHECK_EQUAL(cancel(there).verdict, LTP_VERDICT_EXECUTE);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  do {
    CHECK_EQUAL(ltp_transport_event(core, 7, LTP_TRANSPORT_CONNECTED), LTP_OK);
    sleep_ns(200 * MILLISECOND); /* its stay */
    CHECK_EQUAL(ltp_transport_event(core, 7, LTP_TRANSPORT_DISCONNECTED), LTP_OK);
    REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  } while (frame.to == LTP_STATE_HEALTHY && monotonic_ns() < until);
  CHECK_EQUAL(frame.to, LTP_STATE_UNSTABLE);
  end();
}

/* A domain whose heartbeats stop is out until they go on. */
static void heartbeats(void) {
  begin(LTP_OUTAGE_OF_DOMAIN);
  ltp_hello here, there;
  REQUIRE_EQUAL(greet(1, 0, &here), LTP_OK);
  REQUIRE_EQUAL(greet(2, 5, &there), LTP_OK);
  ltp_heartbeat beat;
  ltp_frame_init(&beat, sizeof beat, LTP_FRAME_HEARTBEAT, 0);
  beat.domain = 5, beat.interval_ms = 20;
  CHECK_EQUAL(ltp_heartbeat_take(core, &beat, sizeof beat), LTP_OK);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  while (cancel(there).verdict == LTP_VERDICT_EXECUTE && monotonic_ns() < until) sleep_ns(MILLISECOND);
  CHECK_EQUAL(cancel(there).reason, LTP_REASON_SYSTEM_UNSTABLE);
  CHECK_EQUAL(cancel(here).verdict, LTP_VERDICT_EXECUTE);
  ltp_orientation frame;
  REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_HEARTBEAT_TIMEOUT);
  CHECK_EQUAL(frame.evidence[0].threshold, 60);
  CHECK(frame.evidence[0].value >= 60);
  /* It goes on: after its stay the domain is well, for as long as it is heard. */
  while (cancel(there).reason != LTP_REASON_REHANDSHAKE_REQUIRED && monotonic_ns() < until) {
    CHECK_EQUAL(ltp_heartbeat_take(core, &beat, sizeof beat), LTP_OK);
    sleep_ns(MILLISECOND);
  }
  beat.interval_ms = 0;
  CHECK_EQUAL(ltp_heartbeat_take(core, &beat, sizeof beat), LTP_OK);
  /* On a slow machine it may have been silent once more. */
  while (greet(2, 5, &there) != LTP_OK && monotonic_ns() < until) sleep_ns(10 * MILLISECOND);
  sleep_ns(100 * MILLISECOND);
  CHECK_EQUAL(cancel(there).verdict, LTP_VERDICT_EXECUTE);
  beat.state = LTP_STATE_COUNT;
  CHECK_EQUAL(ltp_heartbeat_take(core, &beat, sizeof beat), LTP_ERROR_FRAME_RANGE);
  CHECK_EQUAL(ltp_heartbeat_take(core, NULL, sizeof beat), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_heartbeat_take(NULL, &beat, sizeof beat), LTP_ERROR_BAD_HANDLE);
  end();
}

/* One session is voided, in every lane; nobody else has to shake hands. */
static void voided_sessions(void) {
  begin(LTP_OUTAGE_OF_DOMAIN);
  ltp_lane *other = open_lane(core);
  ltp_hello one, two;
  REQUIRE_EQUAL(greet(1, 0, &one), LTP_OK);
  REQUIRE_EQUAL(greet(2, 0, &two), LTP_OK);
  CHECK_EQUAL(ltp_lane_void_session(lane, 1), LTP_OK);
  ltp_route_request asked = request(1, 1, CLASS_ORDER_CANCEL);
  carry(&asked, one);
  CHECK_EQUAL(cancel(one).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  CHECK_EQUAL(admit(other, &asked).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  asked.continuity_token ^= 1ull << 40;
  CHECK_EQUAL(admit(other, &asked).reason, LTP_REASON_CONTINUITY_FORGED);
  CHECK_EQUAL(cancel(two).verdict, LTP_VERDICT_EXECUTE);
  /* The same hello, or another: both begin a life anew. */
  ltp_hello again;
  REQUIRE_EQUAL(greet(1, 0, &again), LTP_OK);
  CHECK_EQUAL(cancel(again).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(cancel(one).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  for (int round = 0; round < 3; round++) CHECK_EQUAL(ltp_lane_void_session(other, 1), LTP_OK);
  CHECK_EQUAL(cancel(again).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  CHECK_EQUAL(ltp_lane_void_session(lane, 0), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_lane_void_session(NULL, 1), LTP_ERROR_BAD_HANDLE);
  ltp_lane_close(other);
  end();
}

/* What is let in before an outage has a lower number than what is let in after it, over restarts as well. */
static void fencing_numbers(void) {
  ltp_core_options options = small_options(new_directory());
  uint64_t last = 0;
  for (int run = 0; run < 3; run++) {
    core = open_core(&options);
    lane = open_lane(core);
    publish(core, LTP_STATE_HEALTHY);
    ltp_route_request asked = request(1, 1, CLASS_READ);
    ltp_verdict first = admit(lane, &asked);
    CHECK_EQUAL(first.verdict, LTP_VERDICT_EXECUTE);
    uint64_t before = ltp_lane_fence(lane, 3, first.epoch), elsewhere = ltp_lane_fence(lane, 4, first.epoch);
    CHECK(before > last && elsewhere > last);
    CHECK_EQUAL(ltp_transport_event(core, 3, LTP_TRANSPORT_RESTARTED), LTP_OK);
    /* Until the lane has seen it, what it let in is of before; afterwards nobody can say. */
    CHECK_EQUAL(ltp_lane_fence(lane, 3, first.epoch), before);
    ltp_verdict second = admit(lane, &asked);
    CHECK_EQUAL(ltp_lane_fence(lane, 3, first.epoch), 0);
    CHECK(ltp_lane_fence(lane, 3, second.epoch) > before);
    CHECK_EQUAL(ltp_lane_fence(lane, 4, second.epoch), elsewhere);
    publish(core, LTP_STATE_FAILED);
    publish(core, LTP_STATE_HEALTHY);
    ltp_verdict third = admit(lane, &asked);
    last = ltp_lane_fence(lane, 3, third.epoch);
    CHECK(last > before + 1);
    CHECK_EQUAL(ltp_lane_fence(lane, 4, third.epoch), last);
    CHECK_EQUAL(ltp_lane_fence(NULL, 4, third.epoch), 0);
    end();
  }
}

static void wrong_policies(void) {
  static ltp_policy policy;
  ltp_policy_error error;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.domains.outage = LTP_OUTAGE_COUNT;
  CHECK_EQUAL(ltp_policy_check(&policy, &error), LTP_ERROR_POLICY_RULE);
  CHECK_TEXT(error.message, "domains.outage");
  policy.domains.outage = 0;
  policy.domains.stay_ms = 2000, policy.domains.stay_ms_max = 1000;
  CHECK_EQUAL(ltp_policy_check(&policy, &error), LTP_ERROR_POLICY_RULE);
  CHECK_TEXT(error.message, "stay_ms_max");
  policy.domains.stay_ms_max = 3600001;
  CHECK_EQUAL(ltp_policy_check(&policy, &error), LTP_ERROR_POLICY_RULE);
  policy.domains.stay_ms_max = 3600000;
  CHECK_EQUAL(ltp_policy_check(&policy, &error), LTP_OK);
  policy.domains.reserved_2[39] = 1;
  CHECK_EQUAL(ltp_policy_check(&policy, &error), LTP_ERROR_POLICY_RULE);
}

static const struct test tests[] = {
  {"one gateway is out: the sessions of others keep their tokens", one_gateway_of_two},
  {"an outage of a domain that is the service's, too", outage_of_both},
  {"an outage of a domain that is the service's alone", outage_of_service},
  {"a domain whose heartbeats stop is out until they go on", heartbeats},
  {"a session that is voided has to shake hands again, and no other", voided_sessions},
  {"fencing numbers grow with each outage and restart", fencing_numbers},
  {"a policy whose domains are out of range is refused", wrong_policies},
  {NULL, NULL},
};
const struct suite suite_domains = {"domains", tests};
