/* SPDX-License-Identifier: Apache-2.0
 * A client's session: its lives over outages, against a real core. */
#include "check.h"
#include "support.h"

#include <string.h>

static ltp_core *core;
static ltp_lane *lane;
static ltp_session session;

/* The session shakes hands with the core; returns what the session made of the answer. */
static int32_t greet(uint64_t now) {
  ltp_hello hello, answer;
  REQUIRE_EQUAL(ltp_session_hello(&session, now, &hello), LTP_OK);
  CHECK_EQUAL(ltp_frame_check(&hello, sizeof hello, NULL), LTP_OK);
  ltp_hello_answer(lane, &hello, sizeof hello, &answer);
  return ltp_session_greeted(&session, now, &answer, sizeof answer);
}

/* Sends a stamped request if it may be sent; returns what to do next. */
static uint8_t send(uint64_t now, ltp_route_request *asked) {
  ltp_route_response response;
  uint8_t next = 99;
  REQUIRE_EQUAL(ltp_session_carry(&session, now, asked), LTP_OK);
  ltp_verdict verdict = admit(lane, asked);
  REQUIRE_EQUAL(ltp_response_write(asked, sizeof *asked, &verdict, &response), LTP_OK);
  CHECK_EQUAL(ltp_session_told(&session, now, asked, &response, sizeof response, &next), LTP_OK);
  return next;
}

static void over_an_outage(void) {
  core = open_small(new_directory());
  lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  const uint64_t now = 1000 * SECOND;
  REQUIRE_EQUAL(ltp_session_init(&session, 7, 9), LTP_OK);
  ltp_route_request order = request(1, 0, CLASS_ORDER_CANCEL), look = request(2, 0, CLASS_READ);
  CHECK_EQUAL(ltp_session_stamp(&session, &order), LTP_ERROR_SESSION_HELD);
  CHECK_EQUAL(greet(now), LTP_OK);
  CHECK_EQUAL(session.phase, LTP_SESSION_RESYNC);
  CHECK_EQUAL(ltp_session_stamp(&session, &order), LTP_ERROR_SESSION_HELD);
  CHECK_EQUAL(ltp_session_look(&session, &look), LTP_OK);
  CHECK_EQUAL(send(now, &look), LTP_NEXT_NONE);
  CHECK_EQUAL(ltp_session_resynced(&session), LTP_OK);
  CHECK_EQUAL(ltp_session_stamp(&session, &order), LTP_OK);
  CHECK_EQUAL(order.session_id, 7);
  CHECK_EQUAL(order.domain, 9);
  CHECK_EQUAL(send(now, &order), LTP_NEXT_NONE);
  /* An outage: the order waits, then its session must shake hands, and the order is one of the life before. */
  publish(core, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(send(now, &order), LTP_NEXT_WAIT);
  CHECK_EQUAL(session.phase, LTP_SESSION_LIVE);
  publish(core, LTP_STATE_HEALTHY);
  CHECK_EQUAL(send(now, &order), LTP_NEXT_REHANDSHAKE);
  CHECK_EQUAL(session.phase, LTP_SESSION_NEW);
  CHECK(session.not_before_ns >= now + 250 * MILLISECOND);
  CHECK_EQUAL(ltp_session_carry(&session, now, &order), LTP_ERROR_SESSION_HELD);
  ltp_hello hello;
  CHECK_EQUAL(ltp_session_hello(&session, now, &hello), LTP_ERROR_SESSION_HELD);
  const uint64_t later = session.not_before_ns;
  CHECK_EQUAL(greet(later), LTP_OK);
  CHECK_EQUAL(ltp_session_carry(&session, later, &order), LTP_ERROR_INTENT_STALE);
  CHECK_EQUAL(ltp_session_resynced(&session), LTP_OK);
  CHECK_EQUAL(ltp_session_carry(&session, later, &order), LTP_ERROR_INTENT_STALE);
  /* A client that sends it all the same is refused there, and told to look first. */
  ltp_route_request zombie = order;
  zombie.continuity_token = session.continuity_token, zombie.incarnation = session.incarnation;
  ltp_verdict verdict = admit(lane, &zombie);
  CHECK_EQUAL(verdict.reason, LTP_REASON_STALE_INTENT);
  ltp_route_response response;
  REQUIRE_EQUAL(ltp_response_write(&zombie, sizeof zombie, &verdict, &response), LTP_OK);
  CHECK_EQUAL(response.next_step, LTP_NEXT_RESYNC);
  CHECK_EQUAL(ltp_session_told(&session, later, &zombie, &response, sizeof response, NULL), LTP_OK);
  CHECK_EQUAL(session.phase, LTP_SESSION_RESYNC);
  /* Made anew, it runs. */
  CHECK_EQUAL(ltp_session_resynced(&session), LTP_OK);
  CHECK_EQUAL(ltp_session_stamp(&session, &order), LTP_OK);
  CHECK_EQUAL(send(later, &order), LTP_NEXT_NONE);
  /* A late answer to the life before says nothing of this one. */
  zombie.incarnation ^= 1;
  response.next_step = LTP_NEXT_REHANDSHAKE;
  CHECK_EQUAL(ltp_session_told(&session, later, &zombie, &response, sizeof response, NULL), LTP_OK);
  CHECK_EQUAL(session.phase, LTP_SESSION_LIVE);
  /* The connection is lost: another life, after a wait of this session's own. */
  CHECK_EQUAL(ltp_session_lost(&session, later, 2000), LTP_OK);
  CHECK(session.not_before_ns > later && session.not_before_ns < later + 2 * SECOND);
  CHECK_EQUAL(session.continuity_token, 0);
  /* Its domain is out: the hello is put off. */
  CHECK_EQUAL(ltp_transport_event(core, 9, LTP_TRANSPORT_DISCONNECTED), LTP_OK);
  CHECK_EQUAL(greet(session.not_before_ns), LTP_ERROR_HELLO_LATER);
  CHECK_EQUAL(session.phase, LTP_SESSION_NEW);
  CHECK(session.not_before_ns >= later + SECOND);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static void wrong_answers(void) {
  ltp_hello hello, answer;
  const uint64_t now = SECOND;
  memset(&session, 0, sizeof session);
  CHECK_EQUAL(ltp_session_hello(&session, now, &hello), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_session_init(NULL, 1, 0), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_session_init(&session, 0, 0), LTP_ERROR_OPTION_RANGE);
  REQUIRE_EQUAL(ltp_session_init(&session, 7, 0), LTP_OK);
  CHECK_EQUAL(ltp_session_hello(&session, now, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_session_resynced(&session), LTP_ERROR_SESSION_HELD);
  REQUIRE_EQUAL(ltp_session_hello(&session, now, &hello), LTP_OK);
  answer = hello;
  CHECK(ltp_session_greeted(&session, now, &answer, sizeof answer) == LTP_ERROR_FRAME_FLAGS);
  answer.header.flags = LTP_HELLO_ANSWER;
  CHECK(ltp_session_greeted(&session, now, &answer, sizeof answer) == LTP_ERROR_FRAME_RANGE);
  answer.continuity_token = 5, answer.incarnation = 6, answer.continuity_epoch = 1;
  ltp_hello other = answer;
  other.client_nonce ^= 1;
  CHECK_EQUAL(ltp_session_greeted(&session, now, &other, sizeof other), LTP_ERROR_SESSION_ANSWER);
  other = answer, other.session_id = 8;
  CHECK_EQUAL(ltp_session_greeted(&session, now, &other, sizeof other), LTP_ERROR_SESSION_ANSWER);
  other = answer, other.domain = 8;
  CHECK_EQUAL(ltp_session_greeted(&session, now, &other, sizeof other), LTP_ERROR_SESSION_ANSWER);
  /* Asked again meanwhile, it is the same hello; after the connection was lost, another one, and the first one's answer is late. */
  ltp_hello again;
  REQUIRE_EQUAL(ltp_session_hello(&session, now, &again), LTP_OK);
  CHECK(memcmp(&hello, &again, sizeof hello) == 0);
  CHECK_EQUAL(ltp_session_lost(&session, now, 0), LTP_OK);
  REQUIRE_EQUAL(ltp_session_hello(&session, now, &hello), LTP_OK);
  CHECK_EQUAL(ltp_session_greeted(&session, now, &answer, sizeof answer), LTP_ERROR_SESSION_ANSWER);
  answer.client_nonce = hello.client_nonce;
  CHECK_EQUAL(ltp_session_greeted(&session, now, &answer, sizeof answer), LTP_OK);
  CHECK_EQUAL(ltp_session_greeted(&session, now, &answer, sizeof answer), LTP_ERROR_SESSION_ANSWER);
  ltp_route_request asked = request(1, 0, CLASS_READ);
  CHECK_EQUAL(ltp_session_stamp(NULL, &asked), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_session_stamp(&session, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_session_carry(&session, now, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_session_look(&session, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK(ltp_session_told(&session, now, &asked, &asked, sizeof asked, NULL) != LTP_OK);
  session.phase = LTP_SESSION_COUNT;
  CHECK_EQUAL(ltp_session_lost(&session, now, 1), LTP_ERROR_BAD_HANDLE);
}

static const struct test tests[] = {
  {"a session over an outage: hold, shake hands, look, ask anew", over_an_outage},
  {"answers to other hellos, and memory that is no session", wrong_answers},
  {NULL, NULL},
};
const struct suite suite_session = {"session", tests};
