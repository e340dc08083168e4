/* SPDX-License-Identifier: Apache-2.0
 * Cores that orient themselves: pushes, thresholds, operators, and the system's pressure. */
#include "check.h"
#include "support.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static ltp_signal_rules quick_rules(void) {
  ltp_signal_rules rules;
  REQUIRE_EQUAL(ltp_signal_rules_default(&rules, sizeof rules), LTP_OK);
  rules.state_dwell_ns = rules.recovering_ns = 0;
  for (int signal = 1; signal <= LTP_OBSERVATION_COUNT; signal++)
    rules.rules[signal].enter_dwell_ns = rules.rules[signal].exit_dwell_ns = 0;
  return rules;
}

static ltp_core *open_observing(const ltp_signal_rules *rules) {
  ltp_core_options options = small_options(new_directory());
  options.signal_rules = rules;
  return open_core(&options);
}

static ltp_verdict ask(ltp_lane *lane, uint8_t action_class) {
  ltp_route_request asked = request(1, 1, action_class);
  return admit(lane, &asked);
}

static void push_now(ltp_core *core, uint8_t signal, int64_t value) {
  CHECK_EQUAL(ltp_signal_push(core, signal, value, LTP_PUSH_NOW), LTP_OK);
}

static void wait_for_state(ltp_lane *lane, uint8_t state) {
  uint64_t end = monotonic_ns() + 20 * SECOND;
  while (ask(lane, CLASS_PING).state != state && monotonic_ns() < end) sleep_ns(MILLISECOND);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, state);
}

static void the_core_orients_itself(void) {
  ltp_signal_rules rules = quick_rules();
  ltp_core *core = open_observing(&rules);
  ltp_lane *lane = open_lane(core);
  CHECK_EQUAL(ask(lane, CLASS_READ).reason, LTP_REASON_ORIENTATION_UNKNOWN);
  /* Observed and quiet: RECOVERING with the next tick, then HEALTHY. */
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, 100, 0), LTP_OK);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ask(lane, CLASS_ORDER_CREATE).verdict, LTP_VERDICT_EXECUTE);
  /* Pushed with "now": the next decision. */
  for (int round = 0; round < 100; round++) {
    push_now(core, LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 5000);
    CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_SATURATED);
    push_now(core, LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 0);
    CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_HEALTHY);
  }
  push_now(core, LTP_SIGNAL_DB_WRITE_LATENCY, 6200000);
  ltp_orientation frame;
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.to, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(frame.from, LTP_STATE_HEALTHY);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_DB_WRITE_LATENCY);
  CHECK_EQUAL(frame.evidence_count, 1);
  CHECK_EQUAL(frame.evidence[0].value, 6200000);
  CHECK_EQUAL(frame.evidence[0].threshold, 5000000);
  CHECK_EQUAL(ask(lane, CLASS_ORDER_CREATE).verdict, LTP_VERDICT_DEFER);
  push_now(core, LTP_SIGNAL_DB_WRITE_LATENCY, 0);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  /* Without "now", the next tick sees it. */
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_QUORUM_LOST, 1, 0), LTP_OK);
  wait_for_state(lane, LTP_STATE_FAILED);
  ltp_lane_close(lane);
  close_core(core);
}

static void operators_hold_and_release(void) {
  ltp_signal_rules rules = quick_rules();
  ltp_core *core = open_observing(&rules);
  ltp_lane *lane = open_lane(core);
  ltp_transition change = {.struct_size = sizeof change, .to = LTP_STATE_FAILED, .reason = LTP_SIGNAL_OPERATOR};
  uint32_t epoch = 0, released = 0;
  CHECK_EQUAL(ltp_orientation_publish(core, &change, NULL), LTP_ERROR_OBSERVING);
  CHECK_EQUAL(ltp_orientation_release(core, &released), LTP_OK);
  push_now(core, LTP_SIGNAL_CPU_PRESSURE, 0);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ltp_orientation_force(core, &change, &epoch), LTP_OK);
  CHECK(epoch > released);
  push_now(core, LTP_SIGNAL_CPU_PRESSURE, 0);
  sleep_ns(20 * MILLISECOND);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_FAILED);
  CHECK_EQUAL(ask(lane, CLASS_PING).epoch, epoch);
  change.to = LTP_STATE_HEALTHY;
  CHECK_EQUAL(ltp_orientation_force(core, &change, &epoch), LTP_OK);
  push_now(core, LTP_SIGNAL_QUORUM_LOST, 1);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_HEALTHY);
  /* Released, the signals speak at once. */
  CHECK_EQUAL(ltp_orientation_release(core, &released), LTP_OK);
  CHECK(released > epoch);
  wait_for_state(lane, LTP_STATE_FAILED);
  ltp_lane_close(lane);
  close_core(core);
}

struct pusher {
  ltp_core *core;
  int flags;
};

static void *push_many(void *pointer) {
  struct pusher *pusher = pointer;
  for (int64_t round = 0; round < 20000; round++)
    ltp_signal_push(pusher->core, LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, round % 3 * 1000, (uint32_t)pusher->flags);
  return NULL;
}

static void many_push_at_once(void) {
  ltp_signal_rules rules = quick_rules();
  rules.state_dwell_ns = 2 * MILLISECOND;
  ltp_core *core = open_observing(&rules);
  ltp_lane *lane = open_lane(core);
  struct pusher pushers[3] = {{core, 0}, {core, 0}, {core, LTP_PUSH_NOW}};
  pthread_t threads[3];
  for (int index = 0; index < 3; index++)
    REQUIRE_EQUAL(pthread_create(&threads[index], NULL, push_many, &pushers[index]), 0);
  for (int index = 0; index < 3; index++) pthread_join(threads[index], NULL);
  push_now(core, LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 0);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  ltp_lane_close(lane);
  close_core(core);
}

/* The machine may be under pressure; what is tested is that it is observed at all. is_there: -1: only the core can say. */
static void observed_by_the_core(uint32_t flags, int is_there, const char *why_not) {
  ltp_signal_rules rules = quick_rules();
  rules.flags = flags;
  rules.observe_interval_ns = 5 * MILLISECOND;
  for (uint8_t signal = LTP_SIGNAL_MEMORY_PRESSURE; signal <= LTP_SIGNAL_IO_PRESSURE; signal++)
    rules.rules[signal].enter = rules.rules[signal].exit = 10001;
  ltp_core_options options = small_options(new_directory());
  options.signal_rules = &rules;
  ltp_core *core = NULL;
  ltp_error error;
  int32_t status = ltp_core_open(&options, &core, &error);
  if (is_there == 0 || (is_there < 0 && status == LTP_ERROR_PRESSURE)) {
    CHECK_EQUAL(status, LTP_ERROR_PRESSURE);
    cannot_run("%s: %s", why_not, error.message);
  }
  REQUIRE_EQUAL(status, LTP_OK);
  ltp_lane *lane = open_lane(core);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  ltp_lane_close(lane);
  close_core(core);
}

static void pressure_of_the_system(void) {
  observed_by_the_core(
    LTP_OBSERVE_PRESSURE, access("/proc/pressure/cpu", R_OK) == 0, "this kernel has no /proc/pressure");
}

static void memory_of_the_group(void) {
  observed_by_the_core(
    LTP_OBSERVE_MEMORY_LIMIT, -1, "this process is in no group with a memory controller");
}

static void a_storm_of_hellos(void) {
  ltp_signal_rules rules = quick_rules();
  rules.flags = LTP_OBSERVE_HELLOS;
  rules.observe_interval_ns = 20 * MILLISECOND;
  ltp_core *core = open_observing(&rules);
  ltp_lane *lane = open_lane(core);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  /* Far more than a thousand a second, until the core notices. */
  uint64_t end = monotonic_ns() + 20 * SECOND;
  while (ask(lane, CLASS_PING).state != LTP_STATE_SATURATED && monotonic_ns() < end) {
    /* Lanes that come and go take nothing along. One that has gone leaves its place when its records are durable. */
    ltp_lane *brief = NULL;
    while (ltp_lane_open(core, &brief, NULL) != LTP_OK && monotonic_ns() < end) sleep_ns(MILLISECOND);
    REQUIRE(brief != NULL);
    for (uint64_t session = 1; session <= 200; session++) shake_hands(brief, session);
    ltp_lane_close(brief);
  }
  ltp_orientation frame;
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_WS_RECONNECT_STORM);
  CHECK(frame.evidence[0].value >= 1000);
  /* And that it has ended. */
  wait_for_state(lane, LTP_STATE_HEALTHY);
  ltp_lane_close(lane);
  close_core(core);
}

static void load(ltp_core *core, const ltp_policy *policy) {
  ltp_policy_error error;
  CHECK_EQUAL(ltp_policy_load(core, policy, NULL, &error), LTP_OK);
  CHECK_EQUAL(error.signal, LTP_SIGNAL_NONE);
}

static void expect_threshold(ltp_core *core, int64_t threshold) {
  ltp_orientation frame;
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.evidence_count, 1);
  CHECK_EQUAL(frame.evidence[0].threshold, threshold);
}

static void policies_bring_rules(void) {
  static ltp_policy policy;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.signals = quick_rules();
  ltp_core_options options = small_options(new_directory());
  options.policy = &policy;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  ltp_signal_rule *queue = &policy.signals.rules[LTP_SIGNAL_QUEUE_LATENCY_SPIKE];
  push_now(core, LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 0);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  push_now(core, LTP_SIGNAL_QUEUE_LATENCY_SPIKE, queue->enter);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_SATURATED);
  expect_threshold(core, queue->enter);
  /* Loaded while it is active: the next ticks see it by the new rule. */
  const int64_t between = queue->enter;
  queue->exit = between + 1;
  queue->enter = between + 2;
  load(core, &policy);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  expect_threshold(core, queue->exit);
  /* A policy without rules leaves them as they are. */
  memset(&policy.signals, 0, sizeof policy.signals);
  load(core, &policy);
  push_now(core, LTP_SIGNAL_QUEUE_LATENCY_SPIKE, between + 1);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_HEALTHY);
  push_now(core, LTP_SIGNAL_QUEUE_LATENCY_SPIKE, between + 2);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_SATURATED);
  push_now(core, LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 0);
  wait_for_state(lane, LTP_STATE_HEALTHY);
  /* From here on the core counts hellos itself. */
  policy.signals = quick_rules();
  policy.signals.flags = LTP_OBSERVE_HELLOS;
  policy.signals.observe_interval_ns = 20 * MILLISECOND;
  load(core, &policy);
  uint64_t end = monotonic_ns() + 20 * SECOND, session = 0;
  /* One session counts once, so it takes many. */
  while (ask(lane, CLASS_PING).state != LTP_STATE_SATURATED && monotonic_ns() < end)
    for (int count = 0; count < 200; count++) shake_hands(lane, ++session);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_SATURATED);
  /* Rules that are wrong are refused, by name, and the ones before stay. */
  policy.signals.rules[LTP_SIGNAL_IO_PRESSURE].exit = INT64_MAX;
  ltp_policy_error error;
  CHECK_EQUAL(ltp_policy_load(core, &policy, NULL, &error), LTP_ERROR_SIGNAL_RULES);
  CHECK_EQUAL(error.signal, LTP_SIGNAL_IO_PRESSURE);
  CHECK_TEXT(error.message, "signal IO_PRESSURE: an exit beyond the entrance");
  wait_for_state(lane, LTP_STATE_HEALTHY);
  ltp_lane_close(lane);
  close_core(core);
}

static void rules_for_who_does_not_orient_itself(void) {
  static ltp_policy policy;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.signals = quick_rules();
  ltp_core *core = open_small(new_directory());
  uint32_t generation = 99;
  ltp_policy_error error;
  CHECK_EQUAL(ltp_policy_load(core, &policy, &generation, &error), LTP_ERROR_NOT_OBSERVING);
  CHECK_EQUAL(generation, 99);
  /* Beside the policy in force they are not used. */
  CHECK_EQUAL(ltp_policy_shadow(core, &policy, NULL, &error), LTP_OK);
  publish(core, LTP_STATE_HEALTHY);
  close_core(core);
}

static void mistakes(void) {
  ltp_signal_rules rules = quick_rules();
  ltp_core *core = open_observing(&rules);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_NONE, 1, 0), LTP_ERROR_UNKNOWN_SIGNAL);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_OPERATOR, 1, 0), LTP_ERROR_UNKNOWN_SIGNAL);
  CHECK_EQUAL(ltp_signal_push(core, 255, 1, 0), LTP_ERROR_UNKNOWN_SIGNAL);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, -1, 0), LTP_ERROR_SIGNAL_VALUE);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, INT64_MIN, LTP_PUSH_NOW), LTP_ERROR_SIGNAL_VALUE);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, 1, 2), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, INT64_MAX, LTP_PUSH_NOW), LTP_OK);
  CHECK_EQUAL(ltp_signal_push(NULL, LTP_SIGNAL_CPU_PRESSURE, 1, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_force(core, NULL, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_orientation_force(NULL, NULL, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_release(NULL, NULL), LTP_ERROR_BAD_HANDLE);
  close_core(core);
  core = open_small(new_directory());
  ltp_transition change = {.struct_size = sizeof change, .to = LTP_STATE_FAILED, .reason = LTP_SIGNAL_OPERATOR};
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, 1, 0), LTP_ERROR_NOT_OBSERVING);
  CHECK_EQUAL(ltp_orientation_force(core, &change, NULL), LTP_ERROR_NOT_OBSERVING);
  CHECK_EQUAL(ltp_orientation_release(core, NULL), LTP_ERROR_NOT_OBSERVING);
  close_core(core);

  CHECK_EQUAL(ltp_signal_rules_default(NULL, sizeof rules), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_signal_rules_default(&rules, sizeof rules - 8), LTP_ERROR_STRUCT_SIZE);
  ltp_core_options options = small_options(new_directory());
  options.signal_rules = &rules;
  ltp_error error;
  rules.rules[LTP_SIGNAL_IO_PRESSURE].exit = rules.rules[LTP_SIGNAL_IO_PRESSURE].enter + 1;
  CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_SIGNAL_RULES);
  CHECK_TEXT(error.message, "IO_PRESSURE: an exit beyond the entrance");
  rules = quick_rules();
  rules.struct_size = 16;
  CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_STRUCT_SIZE);
  rules = quick_rules();
  options.orientation_page = "/dev/null";
  CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_OPTION_RANGE);
}

/* The caller's side, through the boundary. */
static void the_callers_side(void) {
  ltp_throttle throttle;
  ltp_throttle_options options;
  memset(&throttle, 0, sizeof throttle);
  CHECK_EQUAL(ltp_throttle_request(&throttle, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_throttle_accepted(&throttle, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_throttle_retry(&throttle, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_throttle_request(NULL, 0), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_throttle_accepted(NULL, 0), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_throttle_retry(NULL, 0), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_throttle_init(NULL, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_throttle_options_init(NULL, sizeof options), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_throttle_options_init(&options, 8), LTP_ERROR_STRUCT_SIZE);
  REQUIRE_EQUAL(ltp_throttle_options_init(&options, sizeof options), LTP_OK);
  options.window_ns = 0;
  CHECK_EQUAL(ltp_throttle_init(&throttle, &options), LTP_ERROR_OPTION_RANGE);
  options.struct_size = 4;
  CHECK_EQUAL(ltp_throttle_init(&throttle, &options), LTP_ERROR_STRUCT_SIZE);
  REQUIRE_EQUAL(ltp_throttle_init(&throttle, NULL), LTP_OK);
  /* Nothing is accepted: soon nearly nothing is sent. */
  int sent = 0, retried = 0;
  for (int index = 0; index < 1000; index++) {
    int32_t status = ltp_throttle_request(&throttle, 0);
    CHECK(status == LTP_OK || status == LTP_ERROR_THROTTLED);
    sent += status == LTP_OK;
    status = ltp_throttle_retry(&throttle, 0);
    CHECK(status == LTP_OK || status == LTP_ERROR_RETRY_BUDGET);
    retried += status == LTP_OK;
  }
  CHECK(sent > 0 && sent < 100);
  CHECK(retried == 1000); /* ten a second over two minutes are 1,200 */
  CHECK_EQUAL(ltp_throttle_accepted(&throttle, 0), LTP_OK);
}

static const struct test tests[] = {
  {"the core orients itself, with evidence", the_core_orients_itself},
  {"operators hold and release a state", operators_hold_and_release},
  {"policies bring rules, and other ones while the core runs", policies_bring_rules},
  {"rules for a core that does not orient itself are refused", rules_for_who_does_not_orient_itself},
  {"many push at once", many_push_at_once},
  {"the system's pressure", pressure_of_the_system},
  {"the control group's memory", memory_of_the_group},
  {"a storm of hellos", a_storm_of_hellos},
  {"the caller's side", the_callers_side},
  {"mistakes", mistakes},
  {NULL, NULL},
};
const struct suite suite_signals = {"signals", tests};
