/* SPDX-License-Identifier: Apache-2.0
 * Many threads: publishers lose no transition, lanes see each at once, policies swap, counters are read. */
#include "check.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PUBLISHERS 4
#define PUBLICATIONS 3000

struct publisher {
  ltp_core *core;
  uint8_t state;
  uint32_t epochs[PUBLICATIONS];
};

static void *publish_many(void *pointer) {
  struct publisher *publisher = pointer;
  ltp_transition change = {.struct_size = sizeof change, .to = publisher->state,
                           .reason = LTP_SIGNAL_CPU_PRESSURE};
  for (int index = 0; index < PUBLICATIONS;) {
    int32_t status = ltp_orientation_publish(publisher->core, &change, &publisher->epochs[index]);
    if (status == LTP_OK) index++;
    else if (status == LTP_ERROR_BACKPRESSURE) sleep_ns(MILLISECOND);
    else check_equal(__FILE__, __LINE__, "publish", status, LTP_OK);
  }
  return NULL;
}

static int compare(const void *one, const void *other) {
  uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
  return a < b ? -1 : a > b;
}

static void publishers_lose_nothing(void) {
  ltp_core *core = open_small(new_directory());
  uint32_t start = publish(core, LTP_STATE_HEALTHY);
  static struct publisher publishers[PUBLISHERS];
  static uint32_t all[PUBLISHERS * PUBLICATIONS];
  pthread_t threads[PUBLISHERS];
  for (int index = 0; index < PUBLISHERS; index++) {
    publishers[index].core = core;
    publishers[index].state = (uint8_t)(LTP_STATE_HEALTHY + index % 3);
    REQUIRE_EQUAL(pthread_create(&threads[index], NULL, publish_many, &publishers[index]), 0);
  }
  for (int index = 0; index < PUBLISHERS; index++) {
    pthread_join(threads[index], NULL);
    for (int place = 1; place < PUBLICATIONS; place++)
      CHECK(publishers[index].epochs[place] > publishers[index].epochs[place - 1]);
    memcpy(all + index * PUBLICATIONS, publishers[index].epochs, sizeof publishers[index].epochs);
  }
  qsort(all, PUBLISHERS * PUBLICATIONS, sizeof *all, compare);
  /* An overrun of the transition queue publishes UNKNOWN in between and takes an epoch of its own. */
  uint32_t overruns = 0;
  for (size_t index = 0; index < PUBLISHERS * PUBLICATIONS; index++) {
    uint32_t before = index == 0 ? start : all[index - 1];
    CHECK(all[index] > before);
    overruns += all[index] - before - 1;
  }
  uint32_t last = publish(core, LTP_STATE_HEALTHY);
  CHECK(last >= start + PUBLISHERS * PUBLICATIONS + 1);
  CHECK(last - (start + PUBLISHERS * PUBLICATIONS + 1) >= overruns);
  CHECK(overruns < 1000);
  close_core(core);
}

static void seen_with_the_next_decision(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  for (int round = 0; round < 2000; round++) {
    uint8_t state = (uint8_t)(round % LTP_STATE_COUNT);
    uint32_t epoch = publish(core, state);
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_STATUS);
    ltp_verdict verdict = admit(lane, &asked);
    CHECK_EQUAL(verdict.epoch, epoch);
    CHECK_EQUAL(verdict.state, state);
  }
  ltp_lane_close(lane);
  close_core(core);
}

struct decider {
  ltp_core *core;
  const int *stop;
  uint64_t decided;
  uint64_t epochs_back;
  uint64_t wrong;
};

/* Every policy of the test says its generation's parity through retry_after, so a torn row would show. */
static void *decide_many(void *pointer) {
  struct decider *decider = pointer;
  ltp_lane *lane = open_lane(decider->core);
  uint32_t epoch = 0;
  while (!__atomic_load_n(decider->stop, __ATOMIC_ACQUIRE)) {
    ltp_route_request asked = request(decider->decided, 1, CLASS_READ);
    ltp_verdict verdict = admit(lane, &asked);
    decider->decided++;
    decider->epochs_back += verdict.epoch < epoch;
    epoch = verdict.epoch;
    if (verdict.reason == LTP_REASON_TRACE_BACKPRESSURE || verdict.policy_generation < 2) continue;
    uint32_t least = verdict.policy_generation % 2 ? 30000 : 100;
    decider->wrong += verdict.verdict != LTP_VERDICT_DENY || verdict.retry_after_ms < least ||
                      verdict.retry_after_ms > 2 * least;
  }
  ltp_lane_close(lane);
  return NULL;
}

static void policies_swap_while_lanes_decide(void) {
  ltp_core_options options = small_options(new_directory());
  options.retain_segments = 2;
  ltp_core *core = open_core(&options);
  publish(core, LTP_STATE_HEALTHY);
  int stop = 0;
  struct decider deciders[2] = {{.core = core, .stop = &stop}, {.core = core, .stop = &stop}};
  pthread_t threads[2];
  for (int index = 0; index < 2; index++)
    REQUIRE_EQUAL(pthread_create(&threads[index], NULL, decide_many, &deciders[index]), 0);
  static ltp_policy policy;
  ltp_policy_default(&policy);
  ltp_policy_rule *rule = &policy.rules[LTP_STATE_HEALTHY][CLASS_READ];
  *rule = (ltp_policy_rule){LTP_VERDICT_DENY, LTP_REASON_POLICY_FORBIDS, 0, 0, 0};
  uint32_t generation = 1;
  for (int round = 0; round < 200; round++) {
    rule->retry_after_ms = (generation + 1) % 2 ? 30000 : 100;
    uint32_t loaded = 0;
    int32_t status = ltp_policy_load(core, &policy, &loaded, NULL);
    if (status == LTP_ERROR_BACKPRESSURE) continue;
    REQUIRE_EQUAL(status, LTP_OK);
    CHECK_EQUAL(loaded, ++generation);
    publish(core, LTP_STATE_HEALTHY);
  }
  CHECK(generation > 10);
  static ltp_counter counters[4096];
  size_t count = 0;
  for (int round = 0; round < 20; round++)
    CHECK_EQUAL(ltp_counters_read(core, counters, 4096, &count), LTP_OK);
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  uint64_t decided = 0, total = 0;
  for (int index = 0; index < 2; index++) {
    pthread_join(threads[index], NULL);
    CHECK_EQUAL(deciders[index].wrong, 0);
    CHECK_EQUAL(deciders[index].epochs_back, 0);
    CHECK(deciders[index].decided > 0);
    decided += deciders[index].decided;
  }
  CHECK_EQUAL(ltp_counters_read(core, counters, 4096, &count), LTP_OK);
  for (size_t index = 0; index < count; index++) total += counters[index].count;
  CHECK_EQUAL(total, decided);
  close_core(core);
}

static void *wait_durable(void *pointer) {
  return (void *)(intptr_t)ltp_lane_wait_durable(pointer, ltp_lane_sequence(pointer), 20 * SECOND);
}

static void several_wait_for_one_lane(void) {
  ltp_core_options options = small_options(new_directory());
  options.commit_interval_ns = SECOND;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  for (int round = 0; round < 20; round++) {
    ltp_route_request asked = request(1, 1, CLASS_PING);
    admit(lane, &asked);
    pthread_t threads[3];
    for (int index = 0; index < 3; index++)
      REQUIRE_EQUAL(pthread_create(&threads[index], NULL, wait_durable, lane), 0);
    for (int index = 0; index < 3; index++) {
      void *status = NULL;
      pthread_join(threads[index], &status);
      CHECK_EQUAL((intptr_t)status, LTP_OK);
    }
  }
  ltp_lane_close(lane);
  close_core(core);
}

static void *read_the_orientation(void *pointer) {
  struct publisher *publisher = pointer;
  for (int index = 0; index < 20000; index++) {
    ltp_orientation frame;
    CHECK_EQUAL(ltp_orientation_get(publisher->core, &frame), LTP_OK);
    /* Told while its publisher is still writing it down, it is whole all the same. */
    uint8_t reason = frame.to == LTP_STATE_UNKNOWN ? LTP_SIGNAL_ORIENTATION_OVERRUN : LTP_SIGNAL_CPU_PRESSURE;
    CHECK_EQUAL(frame.reason, reason);
    if (frame.reason != reason) break;
  }
  return NULL;
}

/* Who reads the orientation while it moves gets each transition as it was published. */
static void read_while_it_moves(void) {
  static struct publisher publishers[2];
  ltp_core *core = open_small(new_directory());
  ltp_transition change = {.struct_size = sizeof change, .to = LTP_STATE_HEALTHY, .reason = LTP_SIGNAL_CPU_PRESSURE};
  REQUIRE_EQUAL(ltp_orientation_publish(core, &change, NULL), LTP_OK);
  pthread_t threads[3];
  for (int index = 0; index < 2; index++) {
    publishers[index].core = core;
    publishers[index].state = (uint8_t)(LTP_STATE_HEALTHY + index);
    REQUIRE_EQUAL(pthread_create(&threads[index], NULL, publish_many, &publishers[index]), 0);
  }
  REQUIRE_EQUAL(pthread_create(&threads[2], NULL, read_the_orientation, &publishers[0]), 0);
  for (int index = 0; index < 3; index++) pthread_join(threads[index], NULL);
  close_core(core);
}

static const struct test tests[] = {
  {"publishers lose no transition and get epochs of their own", publishers_lose_nothing},
  {"a transition is seen with the next decision", seen_with_the_next_decision},
  {"policies swap while lanes decide; none sees half of one", policies_swap_while_lanes_decide},
  {"who reads the orientation while it moves gets whole transitions", read_while_it_moves},
  {"several threads wait for one lane", several_wait_for_one_lane},
  {NULL, NULL},
};
const struct suite suite_threads = {"threads", tests};
