/* SPDX-License-Identifier: Apache-2.0
 * Decisions: continuity, deadlines, replays, thresholds, batches, counters, durability. */
#include "check.h"
#include "support.h"

#include <string.h>

static ltp_core *core;
static ltp_lane *lane;

static void begin(uint8_t state) {
  core = open_small(new_directory());
  lane = open_lane(core);
  if (state != LTP_STATE_UNKNOWN) publish(core, state);
}

static void end(void) {
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static void check_verdict(const ltp_route_request *asked, uint8_t verdict, uint8_t reason) {
  ltp_verdict got = admit(lane, asked);
  CHECK_EQUAL(got.verdict, verdict);
  CHECK_EQUAL(got.reason, reason);
}

static void continuity(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 5, CLASS_ORDER_CANCEL);
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_REHANDSHAKE_REQUIRED);
  ltp_hello granted = shake_hands(lane, 5), later = shake_hands(lane, 5);
  CHECK(granted.incarnation != later.incarnation && granted.continuity_token != later.continuity_token);
  carry(&asked, granted);
  check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  /* The token is bound to session, life and domain, and cannot be guessed. */
  asked.continuity_token = granted.continuity_token ^ 1ull << 63;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_CONTINUITY_FORGED);
  carry(&asked, granted);
  asked.session_id = 6;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_CONTINUITY_FORGED);
  asked.session_id = 5;
  asked.incarnation = later.incarnation;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_CONTINUITY_FORGED);
  carry(&asked, granted);
  asked.domain = 1;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_CONTINUITY_FORGED);
  /* An intent says when it was made, whatever token it carries. */
  carry(&asked, granted);
  asked.intent_epoch--;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_STALE_INTENT);
  asked.intent_epoch = 0;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_STALE_INTENT);
  asked.intent_epoch = granted.continuity_epoch + 1;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_CONTINUITY_FORGED);
  /* Fresh intents need none. */
  ltp_route_request fresh = request(2, 5, CLASS_ORDER_CREATE);
  check_verdict(&fresh, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  end();
}

static void zombie_orders(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 5, CLASS_ORDER_CANCEL);
  carry(&asked, shake_hands(lane, 5));
  check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  /* DEGRADED and SATURATED leave continuity alone; an outage does not. */
  publish(core, LTP_STATE_DEGRADED);
  publish(core, LTP_STATE_HEALTHY);
  check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  const uint8_t outages[] = {LTP_STATE_UNSTABLE, LTP_STATE_FAILED};
  for (int index = 0; index < 2; index++) {
    publish(core, outages[index]);
    publish(core, LTP_STATE_HEALTHY);
    check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_REHANDSHAKE_REQUIRED);
    /* A new hello in front of the old intent does not make it a new one. */
    ltp_route_request zombie = asked;
    carry(&asked, shake_hands(lane, 5));
    zombie.continuity_token = asked.continuity_token, zombie.incarnation = asked.incarnation;
    check_verdict(&zombie, LTP_VERDICT_DENY, LTP_REASON_STALE_INTENT);
    check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  }
  ltp_transition change = {.struct_size = sizeof change, .flags = LTP_TRANSITION_ADVANCE_CONTINUITY,
                           .to = LTP_STATE_HEALTHY, .reason = LTP_SIGNAL_TRANSPORT_DISCONNECTED};
  CHECK_EQUAL(ltp_orientation_publish(core, &change, NULL), LTP_OK);
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_REHANDSHAKE_REQUIRED);
  end();
}

static ltp_verdict admit_from(const ltp_connection *connection, const ltp_route_request *asked) {
  return ltp_admit_from(lane, connection, asked, sizeof *asked);
}

/* Two lives of one session; the connection is bound to one at a time. */
static void connections(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_connection connection;
  memset(&connection, 0, sizeof connection);
  ltp_hello first = shake_hands(lane, 5), second = shake_hands(lane, 5), asking = first;
  ltp_route_request old = request(1, 5, CLASS_READ), young = request(2, 5, CLASS_ORDER_CANCEL);
  carry(&old, first), carry(&young, second);
  CHECK_EQUAL(admit_from(&connection, &old).reason, LTP_REASON_OTHER_INCARNATION);
  CHECK_EQUAL(admit_from(NULL, &old).reason, LTP_REASON_OTHER_INCARNATION);
  ltp_route_request without = request(3, 0, CLASS_READ);
  CHECK_EQUAL(admit_from(&connection, &without).reason, LTP_REASON_OTHER_INCARNATION);
  CHECK_EQUAL(ltp_connection_bind(NULL, &first), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_connection_bind(&connection, NULL), LTP_ERROR_NULL_ARGUMENT);
  asking.header.flags = 0;
  CHECK(ltp_connection_bind(&connection, &asking) != LTP_OK);
  CHECK_EQUAL(connection.incarnation, 0);
  CHECK_EQUAL(ltp_connection_bind(&connection, &first), LTP_OK);
  CHECK_EQUAL(admit_from(&connection, &old).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_connection_bind(&connection, &second), LTP_OK);
  CHECK_EQUAL(admit_from(&connection, &young).verdict, LTP_VERDICT_EXECUTE);
  /* A read of the life before, too. */
  ltp_verdict refused = admit_from(&connection, &old);
  CHECK_EQUAL(refused.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(refused.reason, LTP_REASON_OTHER_INCARNATION);
  old = young;
  old.session_id = 6;
  CHECK_EQUAL(admit_from(&connection, &old).reason, LTP_REASON_OTHER_INCARNATION);
  old = young;
  old.domain = 9;
  CHECK_EQUAL(admit_from(&connection, &old).reason, LTP_REASON_OTHER_INCARNATION);
  old.reserved[0] = 1;
  CHECK_EQUAL(admit_from(&connection, &old).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(admit_from(&connection, NULL).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_admit_from(lane, &connection, &young, 63).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_admit_from(NULL, &connection, &young, 64).reason, LTP_REASON_TRACE_BACKPRESSURE);
  end();
}

/* A repeated hello is the same life; one without a nonce, or in another version, is none. */
static void hellos(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_hello hello, answer, again;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.frame_id = 1, hello.session_id = 5, hello.domain = 200;
  hello.version_min = 1, hello.version_max = LTP_PROTOCOL_VERSION + 1;
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_ERROR_FRAME_RANGE);
  hello.client_nonce = 1ull << 63;
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_OK);
  CHECK_EQUAL(answer.domain, 200);
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &again), LTP_OK);
  CHECK(memcmp(&answer, &again, sizeof answer) == 0);
  hello.client_nonce++;
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &again), LTP_OK);
  CHECK(answer.incarnation != again.incarnation);
  hello.version_max = LTP_PROTOCOL_VERSION - 1;
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_ERROR_FRAME_VERSION);
  hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION + 1;
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_ERROR_FRAME_VERSION);
  end();
}

static void recovering_needs_continuity(void) {
  begin(LTP_STATE_FAILED);
  publish(core, LTP_STATE_RECOVERING);
  for (uint8_t action_class = 0; action_class < LTP_CLASS_COUNT; action_class++) {
    ltp_route_request asked = request(action_class, 8, action_class);
    asked.priority = 255;
    CHECK(admit(lane, &asked).verdict != LTP_VERDICT_EXECUTE);
  }
  ltp_route_request asked = request(1, 8, CLASS_READ);
  carry(&asked, shake_hands(lane, 8));
  check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  end();
}

static void deadlines(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  asked.header.flags = LTP_REQUEST_HAS_DEADLINE;
  asked.deadline_ns = monotonic_ns() + 3600 * SECOND;
  check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  asked.deadline_ns = 1;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_DEADLINE_EXCEEDED);
  /* A deadline that passes between two decisions is seen, at the clock's resolution. */
  asked.deadline_ns = monotonic_ns() + 50 * MILLISECOND;
  sleep_ns(250 * MILLISECOND);
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_DEADLINE_EXCEEDED);
  /* Without the flag the field must be zero. */
  asked.header.flags = 0;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_MALFORMED_FRAME);
  end();
}

static void check_replay(const ltp_long_request *asked, uint8_t verdict, uint8_t reason) {
  ltp_verdict got = ltp_admit(lane, asked, sizeof *asked);
  CHECK_EQUAL(got.verdict, verdict);
  CHECK_EQUAL(got.reason, reason);
}

static void replays(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_long_request asked = {.request = request(2, 1, CLASS_ORDER_CREATE), .goal = {.original_frame_id = 1}};
  asked.request.header.flags = LTP_REQUEST_REPLAY;
  asked.request.header.size_bytes = sizeof asked;
  uint64_t before = ltp_lane_sequence(lane);
  check_replay(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  /* The record and its second slot; more when the lane had something to say first. */
  CHECK(ltp_lane_sequence(lane) >= before + 2);
  asked.goal.original_frame_id = 0;
  check_replay(&asked, LTP_VERDICT_DENY, LTP_REASON_MALFORMED_FRAME);
  /* Across the ends of blocks, at every place that a pair of slots can take. */
  asked.goal.original_frame_id = 1;
  ltp_route_request single = request(3, 1, CLASS_READ);
  for (int round = 0; round < 3000; round++) {
    check_replay(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
    if (round % 7 == 0) check_verdict(&single, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  }
  settle(lane);
  end();
}

static void thresholds(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_transition change = {.struct_size = sizeof change, .flags = LTP_TRANSITION_SET_THRESHOLD,
                           .to = LTP_STATE_DEGRADED, .reason = LTP_SIGNAL_CPU_PRESSURE,
                           .priority_threshold = 150};
  REQUIRE_EQUAL(ltp_orientation_publish(core, &change, NULL), LTP_OK);
  for (int priority = 0; priority < 256; priority++) {
    ltp_route_request asked = request((uint64_t)priority, 1, CLASS_READ);
    asked.priority = (uint8_t)priority;
    ltp_verdict verdict = admit(lane, &asked);
    CHECK_EQUAL(verdict.verdict, priority >= 150 ? LTP_VERDICT_EXECUTE : LTP_VERDICT_DENY);
    asked.action_class = CLASS_PING; /* exempt */
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  }
  /* The next transition that sets none goes back to the policy's own. */
  publish(core, LTP_STATE_DEGRADED);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  asked.priority = 0;
  check_verdict(&asked, LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED);
  end();
}

static void malformed_frames(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_route_request asked = request(9, 9, CLASS_READ);
  uint64_t issued = ltp_lane_sequence(lane);
  ltp_route_request broken = asked;
  broken.header.magic = 0;
  check_verdict(&broken, LTP_VERDICT_DENY, LTP_REASON_MALFORMED_FRAME);
  broken = asked;
  broken.reserved[0] = 1;
  check_verdict(&broken, LTP_VERDICT_DENY, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_admit(lane, NULL, 64).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_admit(lane, &asked, 63).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_admit(lane, &asked, 0).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK(ltp_lane_sequence(lane) >= issued + 5);
  ltp_counter counters[16];
  size_t count = 0;
  REQUIRE_EQUAL(ltp_counters_read(core, counters, 16, &count), LTP_OK);
  REQUIRE_EQUAL(count, 1);
  CHECK_EQUAL(counters[0].count, 5);
  CHECK_EQUAL(counters[0].action_class, LTP_CLASS_NONE);
  CHECK_EQUAL(counters[0].state, LTP_STATE_HEALTHY);
  CHECK_EQUAL(counters[0].reason, LTP_REASON_MALFORMED_FRAME);
  /* A class that no policy can have is unknown, not malformed. */
  asked.action_class = 200;
  check_verdict(&asked, LTP_VERDICT_DENY, LTP_REASON_UNKNOWN_ACTION_CLASS);
  end();
}

static void retry_after_is_spread(void) {
  begin(LTP_STATE_FAILED);
  uint32_t least = UINT32_MAX, most = 0;
  for (uint64_t session = 1; session <= 1000; session++) {
    ltp_route_request asked = request(session, session, CLASS_READ);
    ltp_verdict verdict = admit(lane, &asked);
    CHECK_EQUAL(verdict.retry_after_ms, admit(lane, &asked).retry_after_ms);
    if (verdict.retry_after_ms < least) least = verdict.retry_after_ms;
    if (verdict.retry_after_ms > most) most = verdict.retry_after_ms;
  }
  CHECK(least >= 5000 && least < 5500);
  CHECK(most <= 10000 && most > 9500);
  end();
}

static void batches(void) {
  begin(LTP_STATE_SATURATED);
  enum { COUNT = 300, STRIDE = 72 };
  static _Alignas(8) uint8_t frames[COUNT * STRIDE];
  static ltp_verdict verdicts[COUNT];
  ltp_hello granted = shake_hands(lane, 3);
  for (int index = 0; index < COUNT; index++) {
    ltp_route_request asked = request((uint64_t)index, 3, (uint8_t)(index % 60));
    asked.priority = (uint8_t)(index * 7);
    if (index % 3 == 0) carry(&asked, granted);
    if (index % 11 == 0) asked.reserved[1] = 1;
    memcpy(frames + index * STRIDE, &asked, sizeof asked);
  }
  memset(verdicts, 0xAA, sizeof verdicts);
  size_t executed = ltp_admit_batch(lane, frames, STRIDE, COUNT, verdicts);
  size_t wanted = 0;
  for (int index = 0; index < COUNT; index++) {
    ltp_verdict single = ltp_admit(lane, frames + index * STRIDE, STRIDE);
    CHECK(memcmp(&single, &verdicts[index], sizeof single) == 0);
    wanted += single.verdict == LTP_VERDICT_EXECUTE;
  }
  CHECK_EQUAL(executed, wanted);
  CHECK(wanted > 0 && wanted < COUNT);
  CHECK_EQUAL(ltp_admit_batch(lane, frames, STRIDE, 0, verdicts), 0);
  verdicts[1].verdict = 9;
  CHECK_EQUAL(ltp_admit_batch(lane, frames, 63, 2, verdicts), 0);
  CHECK_EQUAL(verdicts[1].verdict, LTP_VERDICT_DENY);
  end();
}

static void counters_sum_up(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_lane *other = open_lane(core);
  const uint64_t rounds = 2500;
  for (uint64_t index = 0; index < rounds; index++) {
    ltp_route_request asked = request(index, index + 1, (uint16_t)(index % 130));
    admit(index % 2 ? lane : other, &asked);
    if (index == 1000) publish(core, LTP_STATE_UNSTABLE);
    if (index == 2000) {
      /* A closed lane's counts stay. */
      CHECK_EQUAL(ltp_lane_close(other), LTP_OK);
      other = open_lane(core);
    }
  }
  static ltp_counter counters[4096];
  size_t count = 0, again = 0;
  REQUIRE_EQUAL(ltp_counters_read(core, counters, 4096, &count), LTP_OK);
  uint64_t total = 0;
  for (size_t index = 0; index < count; index++) {
    total += counters[index].count;
    CHECK(counters[index].count > 0);
    CHECK(counters[index].state == LTP_STATE_HEALTHY || counters[index].state == LTP_STATE_UNSTABLE);
  }
  CHECK_EQUAL(total, rounds);
  CHECK_EQUAL(ltp_counters_read(core, counters, 1, &again), LTP_ERROR_BUFFER_TOO_SMALL);
  CHECK_EQUAL(again, count);
  CHECK_EQUAL(ltp_counters_read(core, NULL, 0, &again), LTP_ERROR_BUFFER_TOO_SMALL);
  CHECK_EQUAL(again, count);
  settle(lane);
  settle(other);
  CHECK(status_of(core).records_written <= rounds);
  ltp_lane_close(other);
  end();
}

static void durability(void) {
  begin(LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  for (int round = 0; round < 50; round++) {
    admit(lane, &asked);
    uint64_t sequence = ltp_lane_sequence(lane);
    CHECK_EQUAL(ltp_lane_wait_durable(lane, sequence, 20 * SECOND), LTP_OK);
    CHECK(ltp_lane_durable(lane) >= sequence);
  }
  uint64_t next = ltp_lane_sequence(lane);
  CHECK(next >= 50);
  CHECK_EQUAL(ltp_lane_wait_durable(lane, next + 1, SECOND), LTP_ERROR_SEQUENCE_AHEAD);
  CHECK_EQUAL(ltp_lane_wait_durable(lane, 0, 0), LTP_OK);
  ltp_status status = status_of(core);
  CHECK_EQUAL(status.trace_status, LTP_OK);
  CHECK_EQUAL(status.records_written, 50);
  CHECK_EQUAL(status.lanes_open, 1);
  CHECK(status.blocks_durable > 0 && status.blocks_durable <= status.blocks_sealed);
  CHECK(status.bytes_written >= status.blocks_durable * 4096);
  CHECK_EQUAL(status.backpressure_denied, 0);
  end();
}

static const struct test tests[] = {
  {"a token is good for its session only, and cannot be guessed", continuity},
  {"an outage ends every token", zombie_orders},
  {"a connection speaks for one life of its session", connections},
  {"hellos: repeated, without a nonce, in other versions", hellos},
  {"while RECOVERING nothing executes without a token", recovering_needs_continuity},
  {"deadlines", deadlines},
  {"replays take two slots, wherever a block ends", replays},
  {"thresholds, and exemption from them", thresholds},
  {"fault 26: malformed frames are denied, recorded and counted", malformed_frames},
  {"retry_after is spread over sessions and steady for each", retry_after_is_spread},
  {"a batch decides as single calls do", batches},
  {"counters add up over lanes, open and closed", counters_sum_up},
  {"durable means that the wait returns", durability},
  {NULL, NULL},
};
const struct suite suite_lane = {"lane", tests};
