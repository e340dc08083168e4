/* SPDX-License-Identifier: Apache-2.0
 * Limits through the C contract: permits that threads give back, rates over lanes, shadow policies. */
#include "check.h"
#include "support.h"

#include <pthread.h>
#include <string.h>

/* The built-in policy, in which reading takes a permit. */
static ltp_policy permit_policy(uint32_t limit) {
  ltp_policy policy;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.classes[CLASS_READ].attributes |= LTP_CLASS_PERMIT;
  policy.limits.concurrency = LTP_CONCURRENCY_FIXED;
  policy.limits.concurrency_min = policy.limits.concurrency_initial = policy.limits.concurrency_max = limit;
  policy.limits.permit_ttl_ms = 100;
  policy.limits.window_ms = 10;
  return policy;
}

static ltp_core *open_with(const ltp_policy *policy) {
  ltp_core_options options = small_options(new_directory());
  options.policy = policy;
  ltp_core *core = open_core(&options);
  publish(core, LTP_STATE_HEALTHY);
  return core;
}

static ltp_verdict ask(ltp_lane *lane, uint8_t action_class) {
  ltp_route_request asked = request(1, 1, action_class);
  return admit(lane, &asked);
}

static void the_limit_is_hard(void) {
  ltp_policy policy = permit_policy(3);
  ltp_core *core = open_with(&policy);
  ltp_lane *lanes[2] = {open_lane(core), open_lane(core)};
  uint32_t permits[3];
  for (int index = 0; index < 3; index++) {
    ltp_verdict verdict = ask(lanes[index % 2], CLASS_READ);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_EXECUTE);
    permits[index] = LTP_VERDICT_PERMIT(verdict);
    CHECK(permits[index] != 0);
  }
  for (int index = 0; index < 2; index++) {
    ltp_verdict verdict = ask(lanes[index], CLASS_READ);
    CHECK_EQUAL(verdict.reason, LTP_REASON_CONCURRENCY_LIMITED);
    CHECK(verdict.retry_after_ms > 0);
    CHECK_EQUAL(LTP_VERDICT_PERMIT(verdict), 0);
    CHECK_EQUAL(LTP_VERDICT_PERMIT(ask(lanes[index], CLASS_PING)), 0);
  }
  /* The response that goes over the wire holds no permit. */
  ltp_route_request asked = request(1, 1, CLASS_READ);
  ltp_verdict executed = {.verdict = LTP_VERDICT_EXECUTE, .reason = LTP_REASON_ADMITTED, .retry_after_ms = permits[0],
                          .state = LTP_STATE_HEALTHY, .epoch = 1, .policy_generation = 1};
  ltp_route_response response;
  CHECK_EQUAL(ltp_response_write(&asked, sizeof asked, &executed, &response), LTP_OK);
  CHECK_EQUAL(response.retry_after_ms, 0);
  CHECK_EQUAL(ltp_permit_release(lanes[0], permits[0], 3, 0), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_permit_release(lanes[1], permits[0], LTP_OUTCOME_SUCCESS, 0), LTP_ERROR_PERMIT);
  CHECK_EQUAL(ltp_permit_release(lanes[0], permits[0], LTP_OUTCOME_SUCCESS, 1000), LTP_OK);
  CHECK_EQUAL(ltp_permit_release(lanes[0], permits[0], LTP_OUTCOME_SUCCESS, 1000), LTP_ERROR_PERMIT);
  CHECK_EQUAL(ltp_permit_release(NULL, permits[1], LTP_OUTCOME_SUCCESS, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ask(lanes[0], CLASS_READ).verdict, LTP_VERDICT_EXECUTE);
  /* Nobody releases the rest: after their time they come back. */
  uint64_t end = monotonic_ns() + 20 * SECOND;
  while (ask(lanes[1], CLASS_READ).verdict != LTP_VERDICT_EXECUTE && monotonic_ns() < end) sleep_ns(MILLISECOND);
  ltp_status status = status_of(core);
  CHECK(status.permits_expired >= 1);
  CHECK_EQUAL(status.concurrency_limit, 3);
  CHECK_EQUAL(ltp_permit_release(lanes[1], permits[1], LTP_OUTCOME_DROPPED, 0), LTP_ERROR_PERMIT);
  /* A lane that ends takes no permit with it. */
  ltp_lane_close(lanes[1]);
  int had = 0;
  for (end = monotonic_ns() + 20 * SECOND; had < 3 && monotonic_ns() < end; sleep_ns(MILLISECOND)) {
    ltp_verdict verdict = ask(lanes[0], CLASS_READ);
    had += verdict.verdict == LTP_VERDICT_EXECUTE;
  }
  CHECK_EQUAL(had, 3);
  ltp_lane_close(lanes[0]);
  close_core(core);
}

/* One thread decides, another gives the permits back. */
struct handover {
  ltp_lane *lane;
  uint32_t permits[1024];
  int written, read, done, failed;
};

static void *give_back(void *argument) {
  struct handover *handover = argument;
  while (1) {
    int done = __atomic_load_n(&handover->done, __ATOMIC_ACQUIRE);
    int written = __atomic_load_n(&handover->written, __ATOMIC_ACQUIRE);
    int read = handover->read;
    if (read == written && done) return NULL;
    if (read == written) continue;
    uint32_t permit = handover->permits[read % 1024];
    handover->failed += ltp_permit_release(handover->lane, permit, LTP_OUTCOME_SUCCESS, 50000) != LTP_OK;
    __atomic_store_n(&handover->read, read + 1, __ATOMIC_RELEASE);
  }
}

static void another_thread_gives_back(void) {
  ltp_policy policy = permit_policy(8);
  policy.limits.permit_ttl_ms = 60000;
  ltp_core *core = open_with(&policy);
  struct handover handover = {.lane = open_lane(core)};
  pthread_t thread;
  REQUIRE_EQUAL(pthread_create(&thread, NULL, give_back, &handover), 0);
  int refused = 0;
  for (int index = 0; index < 200000; index++) {
    ltp_verdict verdict = ask(handover.lane, CLASS_READ);
    if (verdict.verdict != LTP_VERDICT_EXECUTE) {
      refused += verdict.reason == LTP_REASON_CONCURRENCY_LIMITED;
      continue;
    }
    int written = handover.written;
    CHECK(written - __atomic_load_n(&handover.read, __ATOMIC_ACQUIRE) < 8 + 1);
    handover.permits[written % 1024] = LTP_VERDICT_PERMIT(verdict);
    __atomic_store_n(&handover.written, written + 1, __ATOMIC_RELEASE);
  }
  __atomic_store_n(&handover.done, 1, __ATOMIC_RELEASE);
  pthread_join(thread, NULL);
  CHECK(handover.written > 0 && refused > 0);
  CHECK_EQUAL(handover.failed, 0);
  CHECK_EQUAL(status_of(core).permits_expired, 0);
  CHECK_EQUAL(status_of(core).permits_out, 0);
  ltp_lane_close(handover.lane);
  close_core(core);
}

static void rates_hold_over_lanes(void) {
  ltp_policy policy;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  policy.limits.total.per_second = 1000;
  policy.limits.total.burst = 100;
  ltp_core *core = open_with(&policy);
  ltp_lane *lanes[3] = {open_lane(core), open_lane(core), open_lane(core)};
  int executed = 0;
  uint64_t began = monotonic_ns(), elapsed;
  do {
    for (int index = 0; index < 3; index++) executed += ask(lanes[index], CLASS_READ).verdict == LTP_VERDICT_EXECUTE;
    elapsed = monotonic_ns() - began;
  } while (elapsed < 500 * MILLISECOND);
  /* What the rate allows in the time that has passed, and the burst; a slow machine lets in less. */
  CHECK(executed <= 100 + (int)(elapsed / MILLISECOND) + 2);
  CHECK(executed >= 100);
  CHECK_EQUAL(ask(lanes[0], CLASS_EMERGENCY_STOP).verdict, LTP_VERDICT_EXECUTE);
  /* Without the limit, at once. */
  policy.limits.total.per_second = policy.limits.total.burst = 0;
  REQUIRE_EQUAL(ltp_policy_load(core, &policy, NULL, NULL), LTP_OK);
  for (int index = 0; index < 300; index++) CHECK_EQUAL(ask(lanes[index % 3], CLASS_READ).verdict, LTP_VERDICT_EXECUTE);
  for (int index = 0; index < 3; index++) ltp_lane_close(lanes[index]);
  close_core(core);
}

static void shadows(void) {
  ltp_policy policy, strict;
  REQUIRE_EQUAL(ltp_policy_default(&policy), LTP_OK);
  strict = policy;
  strict.priority_threshold[LTP_STATE_HEALTHY] = 255;
  ltp_core *core = open_with(&policy);
  ltp_lane *lane = open_lane(core);
  uint32_t first = 0, second = 0;
  CHECK_EQUAL(ltp_policy_shadow(core, &strict, &first, NULL), LTP_OK);
  ltp_verdict verdict = ask(lane, CLASS_READ);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(verdict.policy_generation, first);
  /* It stays when the first one is loaded anew, until it is taken away. */
  CHECK_EQUAL(ltp_policy_load(core, &policy, &second, NULL), LTP_OK);
  CHECK(second > first);
  CHECK_EQUAL(ltp_policy_shadow(core, NULL, &second, NULL), LTP_OK);
  CHECK_EQUAL(ask(lane, CLASS_READ).policy_generation, second);
  ltp_policy_error error;
  strict.rules[LTP_STATE_UNKNOWN][CLASS_READ].verdict = LTP_VERDICT_EXECUTE;
  strict.rules[LTP_STATE_UNKNOWN][CLASS_READ].reason = LTP_REASON_ADMITTED;
  CHECK_EQUAL(ltp_policy_shadow(core, &strict, NULL, &error), LTP_ERROR_POLICY_NEVER_3);
  CHECK(strstr(error.message, "never list") != NULL);
  CHECK_EQUAL(ltp_policy_shadow(NULL, &policy, NULL, &error), LTP_ERROR_BAD_HANDLE);
  for (int index = 0; index < 200; index++) {
    int32_t status;
    /* On a slow machine the trace may take longer for policies than a load waits. */
    while ((status = ltp_policy_shadow(core, &policy, NULL, NULL)) == LTP_ERROR_BACKPRESSURE) sleep_ns(MILLISECOND);
    CHECK_EQUAL(status, LTP_OK);
  }
  ltp_lane_close(lane);
  close_core(core);
}

static const struct test tests[] = {
  {"the limit is hard, and what leaks comes back", the_limit_is_hard},
  {"another thread gives back", another_thread_gives_back},
  {"rates hold over lanes, and are reloaded", rates_hold_over_lanes},
  {"shadow policies", shadows},
  {NULL, NULL},
};
const struct suite suite_permits = {"permits", tests};
