/* SPDX-License-Identifier: Apache-2.0
 * The calls of the mode "calls", one function each, and the table that they are picked from. */
#define _GNU_SOURCE
#include "calls.h"

#include <stdio.h>
#include <string.h>

/* A core's handle: good, closed, or none at all. What is closed must be told. */
static ltp_core *a_core(struct caller *caller, int *is_closed) {
  *is_closed = seldom(caller, 16);
  return *is_closed ? closed_handle(&world.closed_cores, caller) : some_core(caller);
}

/* ---- Orientation ---- */

ltp_transition a_transition(struct caller *caller) {
  ltp_transition change;
  memset(&change, 0, sizeof change);
  change.struct_size = seldom(caller, 32) ? any(caller, 5000) & ~7u : sizeof change;
  if (change.struct_size > sizeof change) change.struct_size = sizeof change;
  change.to = (uint8_t)any(caller, LTP_STATE_COUNT + (seldom(caller, 16) ? 3 : 0));
  change.reason = seldom(caller, 16) ? (uint8_t)any(caller, 256) : LTP_SIGNAL_OPERATOR;
  change.flags = any(caller, 4);
  change.priority_threshold = (uint8_t)any(caller, 256);
  change.evidence_count = (uint8_t)any(caller, seldom(caller, 8) ? 256 : LTP_EVIDENCE_MAX + 1);
  for (int index = 0; index < LTP_EVIDENCE_MAX; index++) {
    change.evidence[index].signal = LTP_SIGNAL_CPU_PRESSURE;
    change.evidence[index].value = (int64_t)next_random(&caller->random);
    change.evidence[index].name_id = seldom(caller, 4) ? any(caller, 3) : 0;
  }
  memset(change.text, 'x', any(caller, sizeof change.text));
  return change;
}

static void publish(struct caller *caller) {
  int is_closed;
  ltp_core *core = a_core(caller, &is_closed);
  ltp_transition change = a_transition(caller);
  uint32_t epoch;
  int32_t status = ltp_orientation_publish(core, &change, seldom(caller, 2) ? &epoch : NULL);
  told("ltp_orientation_publish", is_closed, status);
  EXPECT("ltp_orientation_publish", status, TRANSITION_STATUSES, GONE, LTP_ERROR_OBSERVING, LTP_ERROR_PAGE_FOLLOWED);
}

static void force(struct caller *caller) {
  int is_closed;
  ltp_core *core = a_core(caller, &is_closed);
  ltp_transition change = a_transition(caller);
  int32_t status = ltp_orientation_force(core, &change, NULL);
  told("ltp_orientation_force", is_closed, status);
  EXPECT("ltp_orientation_force", status, TRANSITION_STATUSES, GONE, LTP_ERROR_NOT_OBSERVING);
}

static void release(struct caller *caller) {
  int is_closed;
  int32_t status = ltp_orientation_release(a_core(caller, &is_closed), NULL);
  told("ltp_orientation_release", is_closed, status);
  EXPECT("ltp_orientation_release", status, LTP_OK, GONE, LTP_ERROR_NOT_OBSERVING, LTP_ERROR_BACKPRESSURE);
}

static void get(struct caller *caller) {
  int is_closed;
  ltp_orientation frame;
  int32_t status = ltp_orientation_get(a_core(caller, &is_closed), &frame);
  told("ltp_orientation_get", is_closed, status);
  EXPECT("ltp_orientation_get", status, LTP_OK, LTP_ERROR_TIMED_OUT, GONE);
  if (status == LTP_OK && ltp_frame_check(&frame, sizeof frame, NULL) != LTP_OK) stress_found("a frame is none");
}

static void push(struct caller *caller) {
  int is_closed;
  ltp_core *core = a_core(caller, &is_closed);
  uint8_t signal = (uint8_t)any(caller, seldom(caller, 16) ? 256 : 14);
  int64_t value = (int64_t)any(caller, 3) - (seldom(caller, 16) ? 1 : 0);
  int32_t status = ltp_signal_push(core, signal, value * 10000000, seldom(caller, 4) ? any(caller, 3) : 0);
  told("ltp_signal_push", is_closed, status);
  EXPECT("ltp_signal_push", status, LTP_OK, GONE, LTP_ERROR_NOT_OBSERVING, LTP_ERROR_UNKNOWN_SIGNAL,
         LTP_ERROR_OPTION_RANGE, LTP_ERROR_SIGNAL_VALUE);
}

/* ---- Policies ---- */

static const ltp_policy *a_policy(struct caller *caller) {
  ltp_policy *policy = &caller->policy;
  *policy = world.policy;
  ltp_policy_limits *limits = &policy->limits;
  if (seldom(caller, 2)) {
    limits->concurrency = (uint8_t)(1 + any(caller, LTP_CONCURRENCY_COUNT - 1));
    limits->concurrency_initial = 4;
    limits->concurrency_min = 1;
    limits->concurrency_max = 1 + 4 * (1 + any(caller, 30));
    limits->permit_ttl_ms = 10 + any(caller, 100);
    limits->window_ms = 1 + any(caller, 10);
    for (int index = 8; index < 60; index++)
      if (policy->classes[index].name[0] != 0 && !(policy->classes[index].attributes & LTP_CLASS_EXEMPT))
        policy->classes[index].attributes |= LTP_CLASS_PERMIT;
  }
  if (seldom(caller, 2)) {
    limits->total.per_second = 1 + any(caller, 1000000);
    limits->tenant.per_second = 1 + any(caller, 1000000);
    limits->classes[8].per_second = 1 + any(caller, 100000);
  }
  if (seldom(caller, 3)) {
    limits->flags = LTP_LIMITS_SHED;
    limits->shed_decrease_permille = 50;
    limits->shed_increase_permille = 10;
  }
  if (seldom(caller, 4)) ((uint8_t *)policy)[any(caller, sizeof *policy)] ^= (uint8_t)(1 + any(caller, 255));
  return policy;
}

static void load(struct caller *caller) {
  int is_closed;
  ltp_core *core = a_core(caller, &is_closed);
  const ltp_policy *policy = seldom(caller, 32) ? NULL : a_policy(caller);
  ltp_policy_error error;
  int32_t good = policy == NULL ? LTP_ERROR_NULL_ARGUMENT : ltp_policy_check(policy, &error);
  uint32_t generation;
  int32_t status = ltp_policy_load(core, policy, &generation, &error);
  told("ltp_policy_load", is_closed, status);
  EXPECT("ltp_policy_load", status, good, GONE, LTP_ERROR_BACKPRESSURE, LTP_ERROR_NOT_OBSERVING, LTP_ERROR_PRESSURE);
}

static void shadow(struct caller *caller) {
  int is_closed;
  ltp_core *core = a_core(caller, &is_closed);
  const ltp_policy *policy = seldom(caller, 2) ? NULL : a_policy(caller);
  int32_t good = policy == NULL ? LTP_OK : ltp_policy_check(policy, NULL);
  int32_t status = ltp_policy_shadow(core, policy, NULL, NULL);
  told("ltp_policy_shadow", is_closed, status);
  EXPECT("ltp_policy_shadow", status, good, GONE, LTP_ERROR_BACKPRESSURE);
}

/* ---- What a core tells ---- */

static void status(struct caller *caller) {
  int is_closed;
  ltp_status found;
  int32_t result = ltp_core_status(a_core(caller, &is_closed), &found, sizeof found);
  told("ltp_core_status", is_closed, result);
  EXPECT("ltp_core_status", result, LTP_OK, GONE);
  if (result == LTP_OK && found.trace_status != LTP_OK) stress_found("trace_status is %d", (int)found.trace_status);
}

static void counters(struct caller *caller) {
  int is_closed;
  ltp_counter found[64];
  size_t count = 0;
  int32_t result = ltp_counters_read(a_core(caller, &is_closed), found, 64, &count);
  told("ltp_counters_read", is_closed, result);
  EXPECT("ltp_counters_read", result, LTP_OK, GONE, LTP_ERROR_BUFFER_TOO_SMALL);
}

static void intern(struct caller *caller) {
  int is_closed;
  char text[160] = "text";
  ltp_core *core = a_core(caller, &is_closed);
  if (seldom(caller, 8)) memset(text, 'x', sizeof text - 1);
  else snprintf(text, sizeof text, "text %u", any(caller, 50));
  uint32_t id;
  int32_t result = ltp_text_intern(core, text, &id);
  told("ltp_text_intern", is_closed, result);
  EXPECT("ltp_text_intern", result, LTP_OK, GONE, LTP_ERROR_TEXT_TOO_LONG);
}

static void descriptor(struct caller *caller) {
  int is_closed;
  int32_t found, result = ltp_event_descriptor(a_core(caller, &is_closed), &found);
  told("ltp_event_descriptor", is_closed, result);
  EXPECT("ltp_event_descriptor", result, LTP_OK, GONE, LTP_ERROR_NOT_HOST_DRIVEN);
  result = ltp_durable_descriptor(a_core(caller, &is_closed), &found);
  told("ltp_durable_descriptor", is_closed, result);
  EXPECT("ltp_durable_descriptor", result, LTP_OK, GONE);
}

/* ---- Cores ---- */

static void poll_core(struct caller *caller) {
  int is_closed;
  int32_t result = ltp_poll(a_core(caller, &is_closed));
  told("ltp_poll", is_closed, result);
  EXPECT("ltp_poll", result, LTP_OK, GONE, LTP_ERROR_NOT_HOST_DRIVEN, LTP_ERROR_IN_USE);
}

static void end_polling(struct caller *caller) {
  int is_closed;
  int32_t result = ltp_poll_end(a_core(caller, &is_closed));
  told("ltp_poll_end", is_closed, result);
  EXPECT("ltp_poll_end", result, LTP_OK, GONE, LTP_ERROR_NOT_HOST_DRIVEN, LTP_ERROR_IN_USE);
}

static void close_some_core(struct caller *caller) {
  if (seldom(caller, 2)) {
    int32_t result = ltp_core_close(closed_handle(&world.closed_cores, caller), SECOND, NULL);
    told("ltp_core_close", 1, result);
  } else if (seldom(caller, 8))
    close_core(&world.cores[any(caller, CORES)], any(caller, 3) * MILLISECOND);
}

/* ---- Lanes ---- */

static void check_verdict(ltp_verdict verdict, const ltp_route_request *asked) {
  if (verdict.verdict >= LTP_VERDICT_COUNT || verdict.reason >= LTP_REASON_COUNT || verdict.state >= LTP_STATE_COUNT)
    stress_found("verdict %d, reason %d, state %d", verdict.verdict, verdict.reason, verdict.state);
  if (verdict.verdict != LTP_VERDICT_EXECUTE) return;
  if (asked->action_class >= LTP_CLASS_COUNT) {
    stress_found("EXECUTE for class %d", asked->action_class);
    return;
  }
  uint32_t attributes = world.policy.classes[asked->action_class].attributes;
  if (verdict.state == LTP_STATE_FAILED && attributes & LTP_CLASS_CRITICAL)
    stress_found("class %d is critical, and EXECUTEd while FAILED", asked->action_class);
  if (verdict.state == LTP_STATE_UNKNOWN && !(attributes & LTP_CLASS_RECOVERY))
    stress_found("class %d is EXECUTEd while UNKNOWN", asked->action_class);
  if (verdict.state == LTP_STATE_RECOVERING && asked->continuity_token == 0)
    stress_found("class %d is EXECUTEd without continuity while RECOVERING", asked->action_class);
}

static ltp_route_request a_request(struct caller *caller) {
  ltp_route_request asked;
  ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
  asked.frame_id = ++caller->frame_id;
  asked.session_id = 1 + any(caller, 100);
  asked.action_class = (uint8_t)any(caller, seldom(caller, 16) ? 256 : 60);
  asked.priority = (uint8_t)any(caller, 256);
  if (caller->greeted.continuity_token != 0 && seldom(caller, 2)) {
    asked.session_id = 7;
    asked.continuity_token = caller->greeted.continuity_token;
    asked.intent_epoch = caller->greeted.continuity_epoch, asked.incarnation = caller->greeted.incarnation;
  }
  if (seldom(caller, 32)) ((uint8_t *)&asked)[any(caller, sizeof asked)] ^= (uint8_t)(1 + any(caller, 255));
  return asked;
}

/* A permit that any thread may release. */
static void share_permit(struct caller *caller, ltp_lane *lane, ltp_verdict verdict) {
  uint32_t permit = LTP_VERDICT_PERMIT(verdict), place = any(caller, LANES_SHARED);
  caller->executed += verdict.verdict == LTP_VERDICT_EXECUTE;
  if (permit == 0) return;
  __atomic_store_n(&world.lanes[place], lane, __ATOMIC_RELEASE);
  __atomic_store_n(&world.permits[place], permit, __ATOMIC_RELEASE);
}

static ltp_lane *own_lane(struct caller *caller) { return caller->lanes[any(caller, LANES_OF_A_CALLER)]; }

static void open_lane(struct caller *caller) {
  uint32_t place = any(caller, LANES_OF_A_CALLER);
  if (caller->lanes[place] != NULL) return;
  int is_closed;
  ltp_core *core = a_core(caller, &is_closed);
  ltp_error error;
  int32_t result = ltp_lane_open(core, &caller->lanes[place], &error);
  told("ltp_lane_open", is_closed, result);
  EXPECT("ltp_lane_open", result, LTP_OK, GONE, LTP_ERROR_LANES_MAX);
  if (result != LTP_OK) return;
  caller->opened_lanes++;
  __atomic_store_n(&world.lanes[any(caller, LANES_SHARED)], caller->lanes[place], __ATOMIC_RELEASE);
}

static void close_lane_at(struct caller *caller, uint32_t place) {
  ltp_lane *lane = caller->lanes[place];
  if (lane == NULL) return;
  caller->lanes[place] = NULL;
  int32_t result = ltp_lane_close(lane);
  if (result != LTP_OK) stress_found("ltp_lane_close: %s", ltp_status_text(result));
  remember_closed(&world.closed_lanes, lane);
}

static void close_lane(struct caller *caller) {
  if (seldom(caller, 4)) told("ltp_lane_close", 1, ltp_lane_close(closed_handle(&world.closed_lanes, caller)));
  else if (seldom(caller, 4)) close_lane_at(caller, any(caller, LANES_OF_A_CALLER));
}

static void admit(struct caller *caller) {
  ltp_lane *lane = own_lane(caller);
  ltp_route_request asked = a_request(caller);
  if (lane == NULL) {
    ltp_verdict verdict = ltp_admit(closed_handle(&world.closed_lanes, caller), &asked, sizeof asked);
    if (verdict.verdict != LTP_VERDICT_DENY || verdict.reason != LTP_REASON_TRACE_BACKPRESSURE || verdict.epoch != 0)
      stress_found("a closed lane decides: %d, %d", verdict.verdict, verdict.reason);
    return;
  }
  for (int round = 0; round < 8; round++) {
    asked = a_request(caller);
    ltp_verdict verdict = ltp_admit(lane, &asked, seldom(caller, 32) ? any(caller, 64) : sizeof asked);
    check_verdict(verdict, &asked);
    share_permit(caller, lane, verdict);
    ltp_route_response response;
    int32_t result = ltp_response_write(&asked, sizeof asked, &verdict, &response);
    /* A byte that was changed may make another frame of it. */
    if (asked.header.type == LTP_FRAME_ROUTE_REQUEST) EXPECT("ltp_response_write", result, ltp_frame_check(&asked, sizeof asked, NULL));
  }
}

static void admit_batch(struct caller *caller) {
  enum { COUNT = 32 };
  ltp_route_request asked[COUNT];
  ltp_verdict verdicts[COUNT];
  for (int index = 0; index < COUNT; index++) asked[index] = a_request(caller);
  ltp_lane *lane = own_lane(caller);
  size_t executed = ltp_admit_batch(lane, asked, sizeof *asked, COUNT, verdicts), counted = 0;
  for (int index = 0; index < COUNT; index++) {
    check_verdict(verdicts[index], &asked[index]);
    counted += verdicts[index].verdict == LTP_VERDICT_EXECUTE;
    if (lane != NULL) share_permit(caller, lane, verdicts[index]);
  }
  if (executed != counted) stress_found("ltp_admit_batch says %zu of %zu", executed, counted);
}

static void answer(struct caller *caller) {
  ltp_hello hello, answered;
  ltp_lane *lane = own_lane(caller);
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.session_id = 7;
  hello.client_nonce = 1;
  hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
  if (seldom(caller, 8)) ((uint8_t *)&hello)[any(caller, sizeof hello)] ^= (uint8_t)(1 + any(caller, 255));
  int32_t good = ltp_frame_check(&hello, sizeof hello, NULL);
  int32_t result = ltp_hello_answer(lane, &hello, sizeof hello, &answered);
  EXPECT("ltp_hello_answer", result, lane == NULL ? LTP_ERROR_BAD_HANDLE : good, LTP_ERROR_FRAME_FLAGS,
         LTP_ERROR_FRAME_VERSION, LTP_ERROR_FRAME_TYPE, LTP_ERROR_BACKPRESSURE, LTP_ERROR_HELLO_LATER);
  /* Changed nonces are other lives, of which a session may begin a few only: what puts one off is an answer to be sent. */
  if (result == LTP_ERROR_HELLO_LATER && ltp_frame_check(&answered, sizeof answered, NULL) != LTP_OK)
    stress_found("ltp_hello_answer puts off with an answer that is no frame");
  if (result == LTP_OK && hello.session_id == 7 && hello.domain == 0) caller->greeted = answered;
}

/* ---- Kept intents ---- */

static void keep(struct caller *caller) {
  ltp_lane *lane = own_lane(caller);
  keep_intent(caller, lane != NULL ? lane : closed_handle(&world.closed_lanes, caller));
}

static void carry_out(struct caller *caller) {
  for (uint32_t place = 0; place < LANES_OF_A_CALLER; place++)
    if (caller->lanes[place] != NULL) carry_out_intent(caller, caller->lanes[place], caller->lanes_cores[place]);
}

static void run(struct caller *caller) {
  ltp_lane *lane = own_lane(caller);
  if (lane != NULL) run_intents(caller, lane);
}

static void look(struct caller *caller) { look_at_intents(caller, some_core(caller)); }

/* ---- Lanes of any thread's ---- */

static void release_permit(struct caller *caller) {
  uint32_t place = any(caller, LANES_SHARED);
  ltp_lane *lane = __atomic_load_n(&world.lanes[place], __ATOMIC_ACQUIRE);
  uint32_t permit = __atomic_exchange_n(&world.permits[place], 0, __ATOMIC_ACQ_REL);
  if (seldom(caller, 8)) permit = (uint32_t)next_random(&caller->random);
  uint8_t outcome = (uint8_t)any(caller, seldom(caller, 8) ? 256 : 3);
  int32_t result = ltp_permit_release(lane, permit, outcome, any(caller, 2) * 1000);
  EXPECT("ltp_permit_release", result, LTP_OK, LTP_ERROR_PERMIT, LTP_ERROR_OPTION_RANGE, LTP_ERROR_BAD_HANDLE);
  caller->released += result == LTP_OK;
}

static void wait_durable(struct caller *caller) {
  ltp_lane *lane = __atomic_load_n(&world.lanes[any(caller, LANES_SHARED)], __ATOMIC_ACQUIRE);
  uint64_t sequence = ltp_lane_sequence(lane);
  ltp_lane_durable(lane);
  int32_t wanted = ltp_lane_want_durable(lane, sequence + seldom(caller, 16));
  EXPECT("ltp_lane_want_durable", wanted, LTP_OK, LTP_ERROR_SEQUENCE_AHEAD, LTP_ERROR_BAD_HANDLE);
  int32_t result = ltp_lane_wait_durable(lane, sequence + seldom(caller, 16), any(caller, 3) * MILLISECOND);
  EXPECT("ltp_lane_wait_durable", result, LTP_OK, LTP_ERROR_TIMED_OUT, LTP_ERROR_SEQUENCE_AHEAD, LTP_ERROR_BAD_HANDLE);
}

/* ---- The table ---- */

static const struct {
  void (*call)(struct caller *caller);
  uint32_t weight;
} table[] = {
  {admit, 30},       {admit_batch, 8}, {answer, 6},      {open_lane, 12},      {close_lane, 6},  {release_permit, 12},
  {wait_durable, 6}, {publish, 8},     {force, 4},       {release, 2},         {get, 4},         {push, 12},
  {load, 1},         {shadow, 1},      {status, 4},      {counters, 1},        {intern, 4},      {descriptor, 2},
  {poll_core, 12},   {end_polling, 3}, {open_core, 6},   {close_some_core, 2}, {open_page, 2},   {close_page, 1},
  {keep, 20},        {carry_out, 8},   {run, 2},         {look, 4},           {use_page, 3},     {use_throttle, 4}, {check_frames, 4}, {names, 1},
};

void call_something(struct caller *caller) {
  uint32_t sum = 0;
  for (size_t index = 0; index < sizeof table / sizeof *table; index++) sum += table[index].weight;
  uint32_t left = any(caller, sum);
  size_t index = 0;
  while (left >= table[index].weight) left -= table[index++].weight;
  table[index].call(caller);
  caller->calls++;
}

void end_calls(struct caller *caller) {
  for (uint32_t place = 0; place < LANES_OF_A_CALLER; place++) close_lane_at(caller, place);
  for (int index = 0; index < CORES; index++)
    ltp_poll_end(__atomic_load_n(&world.cores[index].core, __ATOMIC_ACQUIRE));
}
