/* SPDX-License-Identifier: Apache-2.0
 * Policies: the built-in one by state and class, the never list, malformed ones, swaps. */
#include "check.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

/* What the built-in policy answers, state by state, to one class of each kind at priority 200 with a valid
 * token: E execute, D deny, L defer (later). */
static const struct {
  uint8_t action_class;
  const char *answers; /* UNKNOWN HEALTHY DEGRADED SATURATED UNSTABLE FAILED RECOVERING */
  const char *answers_when_low; /* the same at priority 50 */
} expected[] = {
  {CLASS_PING, "EEEEEEE", "EEEEEEE"},         {CLASS_STATUS, "EEEEEEE", "EEEEEEE"},
  {CLASS_EMERGENCY_STOP, "EEEEEEE", "EEEEEEE"}, {CLASS_READ, "DEEEEDE", "DEEDEDD"},
  {CLASS_CACHE_FILL, "DEEEEDE", "DEDDDDD"},   {CLASS_ORDER_CREATE, "DEEELDE", "DEELLDL"},
  {CLASS_ORDER_CANCEL, "DEEEDDE", "DEEDDDD"}, {CLASS_BID, "DEEEDDE", "DEEDDDD"},
  {CLASS_PAYMENT, "DEEEDDE", "DEEDDDD"},      {CLASS_MISSING, "DDDDDDD", "DDDDDDD"},
};

static const uint8_t state_reasons[] = {
  LTP_REASON_ORIENTATION_UNKNOWN, LTP_REASON_NONE,          LTP_REASON_NONE, LTP_REASON_NONE,
  LTP_REASON_SYSTEM_UNSTABLE,     LTP_REASON_SYSTEM_FAILED, LTP_REASON_NONE};

static void check_answer(
  ltp_lane *lane, uint8_t state, uint8_t action_class, uint8_t priority, char answer, const ltp_hello *granted) {
  ltp_route_request asked = request(1, 42, action_class);
  asked.priority = priority;
  if (granted) carry(&asked, *granted);
  ltp_verdict verdict = admit(lane, &asked);
  uint8_t wanted = answer == 'E'   ? LTP_VERDICT_EXECUTE
                   : answer == 'L' ? LTP_VERDICT_DEFER
                                   : LTP_VERDICT_DENY;
  if (verdict.verdict != wanted)
    fprintf(stderr, "    class %d at %d in %s\n", action_class, priority, ltp_state_name(state));
  CHECK_EQUAL(verdict.verdict, wanted);
  CHECK_EQUAL(verdict.state, state);
  CHECK_EQUAL(
    verdict.commitment,
    wanted == LTP_VERDICT_DEFER ? LTP_COMMITMENT_WHEN_STABLE : LTP_COMMITMENT_NONE);
  uint8_t reason = state_reasons[state];
  if (action_class == CLASS_MISSING) reason = LTP_REASON_UNKNOWN_ACTION_CLASS;
  else if (wanted == LTP_VERDICT_EXECUTE) reason = LTP_REASON_ADMITTED;
  else if (reason == LTP_REASON_NONE) reason = LTP_REASON_PRIORITY_BELOW_THRESHOLD;
  /* Where a class has to give way early, its priority may be the reason in any state. */
  if (verdict.reason != LTP_REASON_PRIORITY_BELOW_THRESHOLD || priority >= 129)
    CHECK_EQUAL(verdict.reason, reason);
  if (wanted == LTP_VERDICT_EXECUTE) CHECK_EQUAL(verdict.retry_after_ms, 0);
}

static void built_in_table(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  for (uint8_t state = 0; state < LTP_STATE_COUNT; state++) {
    if (state != LTP_STATE_UNKNOWN) publish(core, state);
    ltp_hello granted = shake_hands(lane, 42);
    for (size_t index = 0; index < sizeof expected / sizeof *expected; index++) {
      uint8_t action_class = expected[index].action_class;
      check_answer(lane, state, action_class, 200, expected[index].answers[state], &granted);
      check_answer(lane, state, action_class, 50, expected[index].answers_when_low[state], &granted);
    }
  }
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static void built_in_passes_its_check(void) {
  static ltp_policy policy;
  ltp_policy_error error;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  CHECK_EQUAL(ltp_policy_check(&policy, &error), LTP_OK);
  CHECK_EQUAL(error.status, LTP_OK);
  CHECK_EQUAL(ltp_policy_check(&policy, NULL), LTP_OK);
  CHECK(strcmp(policy.classes[CLASS_PAYMENT].name, "payment") == 0);
  CHECK(policy.classes[CLASS_PAYMENT].attributes & LTP_CLASS_CRITICAL);
  CHECK_EQUAL(ltp_policy_default(NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_policy_check(NULL, &error), LTP_ERROR_NULL_ARGUMENT);
}

/* The policy is refused by all three ways in, which name status, class and state. */
static void check_refused(const ltp_policy *policy, int32_t status, int action_class, int state) {
  ltp_policy_error error;
  CHECK_EQUAL(ltp_policy_check(policy, &error), status);
  CHECK_EQUAL(error.status, status);
  CHECK_EQUAL(error.action_class, action_class);
  CHECK_EQUAL(error.state, state);
  CHECK(strlen(error.message) > 0);
  if (state < LTP_STATE_COUNT) {
    CHECK_TEXT(error.message, ltp_state_name((uint8_t)state));
    CHECK_TEXT(error.message, policy->classes[action_class].name);
  }
  CHECK_EQUAL(ltp_policy_check(policy, NULL), status);
}

static void never_list(void) {
  static ltp_policy policy;
  const ltp_policy_rule execute = {LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, 0, 0, 0};
  ltp_policy_default(&policy);
  policy.rules[LTP_STATE_FAILED][CLASS_PAYMENT] = execute;
  check_refused(&policy, LTP_ERROR_POLICY_NEVER_1, CLASS_PAYMENT, LTP_STATE_FAILED);
  ltp_policy_default(&policy);
  policy.rules[LTP_STATE_RECOVERING][CLASS_READ] = execute;
  policy.rules[LTP_STATE_RECOVERING][CLASS_READ].flags = LTP_RULE_WAIVE_CONTINUITY;
  check_refused(&policy, LTP_ERROR_POLICY_NEVER_2, CLASS_READ, LTP_STATE_RECOVERING);
  ltp_policy_default(&policy);
  policy.rules[LTP_STATE_UNKNOWN][CLASS_BID] = execute;
  check_refused(&policy, LTP_ERROR_POLICY_NEVER_3, CLASS_BID, LTP_STATE_UNKNOWN);
}

static void never_list_at_open_and_load(void) {
  static ltp_policy policy;
  ltp_policy_default(&policy);
  policy.rules[LTP_STATE_FAILED][CLASS_PAYMENT] =
    (ltp_policy_rule){LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, 0, 0, 0};
  ltp_core_options options = small_options(new_directory());
  options.policy = &policy;
  ltp_core *core = (ltp_core *)&policy;
  ltp_error error;
  CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_POLICY_NEVER_1);
  CHECK(core == NULL);
  CHECK_TEXT(error.message, "payment");
  CHECK_TEXT(error.message, "FAILED");
  CHECK_EQUAL(count_files(options.trace_directory, ".ltp"), 0);
  options.policy = NULL;
  core = open_core(&options);
  uint32_t generation = 99;
  ltp_policy_error refusal;
  CHECK_EQUAL(ltp_policy_load(core, &policy, &generation, &refusal), LTP_ERROR_POLICY_NEVER_1);
  CHECK_EQUAL(generation, 99);
  CHECK_EQUAL(refusal.action_class, CLASS_PAYMENT);
  /* The policy before it stays in force. */
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_FAILED);
  ltp_route_request asked = request(1, 1, CLASS_PAYMENT);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_DENY);
  ltp_lane_close(lane);
  close_core(core);
}

static void malformed_policies(void) {
  static ltp_policy policy;
  const int none = LTP_STATE_COUNT, no_class = LTP_CLASS_NONE;
  ltp_policy_default(&policy);
  policy.struct_size--;
  check_refused(&policy, LTP_ERROR_STRUCT_SIZE, no_class, none);
  ltp_policy_default(&policy);
  policy.version = LTP_POLICY_VERSION + 1;
  check_refused(&policy, LTP_ERROR_POLICY_VERSION, no_class, none);
  ltp_policy_default(&policy);
  policy.reserved[47] = 1;
  check_refused(&policy, LTP_ERROR_POLICY_RULE, no_class, none);
  ltp_policy_default(&policy);
  policy.priority_threshold[7] = 1;
  check_refused(&policy, LTP_ERROR_POLICY_RULE, no_class, none);
  ltp_policy_default(&policy);
  policy.classes[8].name[0] = 'R';
  check_refused(&policy, LTP_ERROR_POLICY_CLASS, 8, none);
  ltp_policy_default(&policy);
  policy.classes[8].attributes = 256;
  check_refused(&policy, LTP_ERROR_POLICY_CLASS, 8, none);
  ltp_policy_default(&policy);
  memcpy(policy.classes[9].name, policy.classes[8].name, LTP_CLASS_NAME_BYTES);
  check_refused(&policy, LTP_ERROR_POLICY_CLASS, 9, none);
  ltp_policy_default(&policy);
  policy.rules[LTP_STATE_HEALTHY][100].verdict = LTP_VERDICT_DEFER;
  check_refused(&policy, LTP_ERROR_POLICY_RULE, 100, LTP_STATE_HEALTHY);
  const ltp_policy_rule rules[] = {
    {3, LTP_REASON_SYSTEM_FAILED, 0, 0, 0},
    {LTP_VERDICT_DENY, LTP_REASON_NONE, 0, 0, 0},
    {LTP_VERDICT_DENY, LTP_REASON_COUNT, 0, 0, 0},
    {LTP_VERDICT_DENY, LTP_REASON_ADMITTED, 0, 0, 0},
    {LTP_VERDICT_EXECUTE, LTP_REASON_SYSTEM_FAILED, 0, 0, 0},
    {LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, 0, 4, 0},
    {LTP_VERDICT_DEFER, LTP_REASON_SYSTEM_UNSTABLE, 0, 0, 0}, /* read is not deferrable */
    {LTP_VERDICT_DENY, LTP_REASON_SYSTEM_UNSTABLE, 0, 0, LTP_RETRY_AFTER_MS_MAX + 1},
  };
  for (size_t index = 0; index < sizeof rules / sizeof *rules; index++) {
    ltp_policy_default(&policy);
    policy.rules[LTP_STATE_UNSTABLE][CLASS_READ] = rules[index];
    check_refused(&policy, LTP_ERROR_POLICY_RULE, CLASS_READ, LTP_STATE_UNSTABLE);
  }
}

static void swap_takes_effect(void) {
  static ltp_policy policy;
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  uint32_t epoch = publish(core, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  ltp_verdict before = admit(lane, &asked);
  CHECK_EQUAL(before.verdict, LTP_VERDICT_EXECUTE);
  ltp_policy_default(&policy);
  policy.rules[LTP_STATE_HEALTHY][CLASS_READ] =
    (ltp_policy_rule){LTP_VERDICT_DENY, LTP_REASON_POLICY_FORBIDS, 0, 0, 7};
  uint32_t generation = 0;
  REQUIRE_EQUAL(ltp_policy_load(core, &policy, &generation, NULL), LTP_OK);
  ltp_verdict after = admit(lane, &asked);
  CHECK_EQUAL(after.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(after.reason, LTP_REASON_POLICY_FORBIDS);
  CHECK_EQUAL(after.state, LTP_STATE_HEALTHY);
  CHECK_EQUAL(after.policy_generation, generation);
  CHECK(after.policy_generation > before.policy_generation);
  CHECK(after.epoch > epoch);
  CHECK(after.retry_after_ms >= 7 && after.retry_after_ms <= 14);
  /* More swaps than the core has slots. */
  for (int round = 0; round < 20; round++) {
    policy.rules[LTP_STATE_HEALTHY][CLASS_READ].retry_after_ms = (uint32_t)round * 1000;
    uint32_t next = 0;
    REQUIRE_EQUAL(ltp_policy_load(core, &policy, &next, NULL), LTP_OK);
    CHECK_EQUAL(next, ++generation);
    ltp_verdict verdict = admit(lane, &asked);
    CHECK_EQUAL(verdict.policy_generation, next);
    CHECK(verdict.retry_after_ms >= (uint32_t)round * 1000);
    CHECK(verdict.retry_after_ms <= (uint32_t)round * 2000);
  }
  ltp_lane_close(lane);
  close_core(core);
}

static const struct test tests[] = {
  {"the built-in one by state, class and priority", built_in_table},
  {"the built-in one passes its own check", built_in_passes_its_check},
  {"the never list names rule, class and state", never_list},
  {"the never list holds at open and at load", never_list_at_open_and_load},
  {"malformed ones are refused", malformed_policies},
  {"a swap takes effect with the next decision", swap_takes_effect},
  {NULL, NULL},
};
const struct suite suite_policy = {"policy", tests};
