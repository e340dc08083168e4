/* SPDX-License-Identifier: Apache-2.0
 * The orientation page: one process publishes, others follow with their next decision; leases. */
#define _GNU_SOURCE
#include "check.h"
#include "support_page.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LEASE (300 * MILLISECOND)

/* Another process that publishes each state it is sent, and answers when it has; it renews in between. */
struct publisher {
  int process, to, from;
};

static struct publisher start_publisher(const char *path) {
  int orders[2], answers[2];
  REQUIRE(pipe(orders) == 0 && pipe(answers) == 0);
  int process = fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    close(orders[1]);
    ltp_page *page = open_page(path, LEASE);
    fcntl(orders[0], F_SETFL, O_NONBLOCK);
    for (;;) {
      uint8_t state;
      ssize_t got = read(orders[0], &state, 1);
      if (got == 0) _exit(check_status());
      if (got == 1) {
        say(page, state);
        if (write(answers[1], &state, 1) != 1) _exit(2);
      }
      ltp_page_renew(page);
      sleep_ns(MILLISECOND);
    }
  }
  close(orders[0]);
  close(answers[1]);
  return (struct publisher){process, orders[1], answers[0]};
}

static void order(struct publisher *publisher, uint8_t state) {
  uint8_t answer = 99;
  REQUIRE(write(publisher->to, &state, 1) == 1 && read(publisher->from, &answer, 1) == 1);
  CHECK_EQUAL(answer, state);
}

static void the_next_decision_changes(void) {
  const char *path = page_path();
  struct publisher publisher = start_publisher(path);
  order(&publisher, LTP_STATE_HEALTHY);
  ltp_core *core = open_follower(path);
  ltp_lane *lane = open_lane(core);
  static const uint8_t states[] = {LTP_STATE_HEALTHY, LTP_STATE_FAILED, LTP_STATE_DEGRADED, LTP_STATE_UNSTABLE};
  for (int round = 0; round < 200; round++) {
    uint8_t state = states[round % 4];
    order(&publisher, state);
    ltp_verdict verdict = ask(lane, CLASS_STATUS);
    CHECK_EQUAL(verdict.state, state);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_EXECUTE);
  }
  order(&publisher, LTP_STATE_FAILED);
  CHECK_EQUAL(ask(lane, CLASS_ORDER_CREATE).reason, LTP_REASON_SYSTEM_FAILED);
  ltp_orientation frame;
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_CPU_PRESSURE);
  CHECK_EQUAL(frame.evidence_count, 1);
  CHECK_EQUAL(frame.evidence[0].value, 95);
  order(&publisher, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ask(lane, CLASS_ORDER_CREATE).verdict, LTP_VERDICT_EXECUTE);

  /* A lease's length after it last renewed, not much earlier and not much later. */
  uint64_t killed = monotonic_ns();
  kill(publisher.process, SIGKILL);
  CHECK_EQUAL(wait_for(publisher.process), 128 + SIGKILL);
  ltp_verdict verdict;
  do {
    verdict = ask(lane, CLASS_ORDER_CREATE);
    sleep_ns(MILLISECOND);
  } while (verdict.state != LTP_STATE_UNKNOWN && monotonic_ns() < killed + 20 * SECOND);
  CHECK_EQUAL(verdict.state, LTP_STATE_UNKNOWN);
  CHECK_EQUAL(verdict.reason, LTP_REASON_ORIENTATION_UNKNOWN);
  CHECK(monotonic_ns() > killed + LEASE / 2);
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_ORIENTATION_LOST);
  CHECK_EQUAL(frame.from, LTP_STATE_HEALTHY);
  CHECK_EQUAL(frame.evidence[0].signal, LTP_SIGNAL_HEARTBEAT_TIMEOUT);
  CHECK_EQUAL(frame.evidence[0].threshold, LEASE / MILLISECOND);
  CHECK(frame.evidence[0].value >= (int64_t)(LEASE / MILLISECOND));

  /* The next publisher goes on with the dead one's page. */
  publisher = start_publisher(path);
  order(&publisher, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ask(lane, CLASS_ORDER_CREATE).verdict, LTP_VERDICT_EXECUTE);
  close(publisher.to);
  CHECK_EQUAL(wait_for(publisher.process), 0);
  ltp_lane_close(lane);
  close_core(core);
}

static void a_stopped_publisher_is_a_dead_one(void) {
  const char *path = page_path();
  struct publisher publisher = start_publisher(path);
  order(&publisher, LTP_STATE_HEALTHY);
  ltp_page *page = NULL;
  REQUIRE_EQUAL(ltp_page_open_reader(path, 0, &page, NULL), LTP_OK);
  ltp_core *core = open_follower(path);
  ltp_lane *lane = open_lane(core);
  ltp_page_reading seen = reading_of(page);
  CHECK_EQUAL(seen.to, LTP_STATE_HEALTHY);
  CHECK_TEXT(seen.text, "said in state 1");
  CHECK_EQUAL(seen.evidence[0].threshold, 90);
  CHECK(seen.lease_left_ns > 0 && seen.lease_left_ns <= LEASE);
  CHECK_EQUAL(ltp_page_wait(page, &seen, 0), LTP_ERROR_TIMED_OUT);
  kill(publisher.process, SIGSTOP);
  CHECK_EQUAL(ltp_page_wait(page, &seen, 20 * SECOND), LTP_OK);
  seen = reading_of(page);
  CHECK_EQUAL(seen.to, LTP_STATE_UNKNOWN);
  CHECK_EQUAL(seen.from, LTP_STATE_HEALTHY);
  CHECK_EQUAL(seen.reason, LTP_SIGNAL_ORIENTATION_LOST);
  CHECK_EQUAL(seen.lease_left_ns, 0);
  for (int tries = 0; tries < 2000 && ask(lane, CLASS_PING).state != LTP_STATE_UNKNOWN; tries++) sleep_ns(MILLISECOND);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_UNKNOWN);
  /* It goes on: it renews what it said, and that holds again. */
  kill(publisher.process, SIGCONT);
  CHECK_EQUAL(ltp_page_wait(page, &seen, 20 * SECOND), LTP_OK);
  CHECK_EQUAL(reading_of(page).to, LTP_STATE_HEALTHY);
  for (int tries = 0; tries < 2000 && ask(lane, CLASS_PING).state != LTP_STATE_HEALTHY; tries++) sleep_ns(MILLISECOND);
  CHECK_EQUAL(ask(lane, CLASS_PING).state, LTP_STATE_HEALTHY);
  close(publisher.to);
  CHECK_EQUAL(wait_for(publisher.process), 0);
  CHECK_EQUAL(ltp_page_close(page), LTP_OK);
  ltp_lane_close(lane);
  close_core(core);
}

static void followers_keep_continuity(void) {
  const char *path = page_path();
  ltp_page *page = open_page(path, 60 * SECOND);
  say(page, LTP_STATE_HEALTHY);
  ltp_core *core = open_follower(path);
  ltp_lane *lane = open_lane(core);
  ltp_route_request cancel = request(1, 7, CLASS_ORDER_CANCEL);
  carry(&cancel, shake_hands(lane, 7));
  CHECK_EQUAL(admit(lane, &cancel).verdict, LTP_VERDICT_EXECUTE);
  /* Between two decisions: an outage that no decision saw. */
  say(page, LTP_STATE_UNSTABLE);
  say(page, LTP_STATE_HEALTHY);
  CHECK_EQUAL(admit(lane, &cancel).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  carry(&cancel, shake_hands(lane, 7));
  CHECK_EQUAL(admit(lane, &cancel).verdict, LTP_VERDICT_EXECUTE);
  say(page, LTP_STATE_DEGRADED);
  CHECK_EQUAL(admit(lane, &cancel).verdict, LTP_VERDICT_EXECUTE);
  /* Without an outage, because the publisher says so. */
  ltp_transition change = transition(LTP_STATE_HEALTHY);
  change.flags = LTP_TRANSITION_ADVANCE_CONTINUITY;
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_OK);
  CHECK_EQUAL(admit(lane, &cancel).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  /* A threshold of the publisher's, and the follower's own policy's. */
  ltp_route_request read = request(2, 7, CLASS_READ);
  read.priority = 100;
  CHECK_EQUAL(admit(lane, &read).verdict, LTP_VERDICT_EXECUTE);
  change.flags = LTP_TRANSITION_SET_THRESHOLD;
  change.priority_threshold = 101;
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_OK);
  CHECK_EQUAL(admit(lane, &read).reason, LTP_REASON_PRIORITY_BELOW_THRESHOLD);
  say(page, LTP_STATE_HEALTHY);
  CHECK_EQUAL(admit(lane, &read).verdict, LTP_VERDICT_EXECUTE);
  ltp_lane_close(lane);
  close_core(core);
  CHECK_EQUAL(ltp_page_close(page), LTP_OK);
}

/* What a follower changes itself reaches its lanes with the next decision too, though they load another word. */
static void a_follower_s_own_changes(void) {
  const char *path = page_path();
  ltp_page *page = open_page(path, 60 * SECOND);
  say(page, LTP_STATE_HEALTHY);
  ltp_core *core = open_follower(path);
  ltp_lane *lane = open_lane(core);
  ltp_transition change = transition(LTP_STATE_HEALTHY);
  CHECK_EQUAL(ltp_orientation_publish(core, &change, NULL), LTP_ERROR_PAGE_FOLLOWED);
  static ltp_policy policy;
  ltp_policy_default(&policy);
  /* One policy file serves the process that publishes and those that follow it: these leave its rules alone. */
  REQUIRE_EQUAL(ltp_signal_rules_default(&policy.signals, sizeof policy.signals), LTP_OK);
  for (uint32_t round = 1; round <= 100; round++) {
    policy.rules[LTP_STATE_HEALTHY][CLASS_READ] =
      (ltp_policy_rule){LTP_VERDICT_DENY, LTP_REASON_POLICY_FORBIDS, 0, 0, round};
    uint32_t generation = 0;
    int32_t status = ltp_policy_load(core, &policy, &generation, NULL);
    if (status == LTP_ERROR_BACKPRESSURE) {
      sleep_ns(MILLISECOND);
      continue;
    }
    CHECK_EQUAL(status, LTP_OK);
    ltp_verdict verdict = ask(lane, CLASS_READ);
    CHECK_EQUAL(verdict.policy_generation, generation);
    CHECK_EQUAL(verdict.reason, LTP_REASON_POLICY_FORBIDS);
    CHECK_EQUAL(verdict.state, LTP_STATE_HEALTHY);
  }
  CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_LANES_OPEN);
  CHECK_EQUAL(ask(lane, CLASS_STATUS).verdict, LTP_VERDICT_DENY);
  ltp_lane_close(lane);
  close_core(core);
  CHECK_EQUAL(ltp_page_close(page), LTP_OK);
}

struct asker {
  ltp_core *core;
  const int *stop;
  uint64_t wrong;
};

static void *ask_many(void *pointer) {
  struct asker *asker = pointer;
  ltp_lane *lane = open_lane(asker->core);
  ltp_route_request asked = request(1, 1, CLASS_STATUS);
  uint32_t epoch = 0;
  while (!__atomic_load_n(asker->stop, __ATOMIC_ACQUIRE)) {
    ltp_verdict verdict = admit(lane, &asked);
    asker->wrong += verdict.epoch < epoch || verdict.state >= LTP_STATE_COUNT;
    epoch = verdict.epoch;
  }
  ltp_lane_close(lane);
  return NULL;
}

/* However many lanes see a publication at once, it is one transition in the trace. */
static void one_publication_is_one_transition(void) {
  const char *path = page_path();
  ltp_page *page = open_page(path, 60 * SECOND);
  say(page, LTP_STATE_HEALTHY);
  ltp_core_options options = small_options(new_directory());
  options.orientation_page = path;
  options.retain_segments = 2;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  uint32_t before = ask(lane, CLASS_STATUS).epoch;
  int stop = 0;
  struct asker askers[3] = {{core, &stop, 0}, {core, &stop, 0}, {core, &stop, 0}};
  pthread_t threads[3];
  for (int index = 0; index < 3; index++)
    REQUIRE_EQUAL(pthread_create(&threads[index], NULL, ask_many, &askers[index]), 0);
  uint32_t rounds = 2000;
  for (uint32_t round = 0; round < rounds; round++) {
    uint8_t state = round % 2 ? LTP_STATE_HEALTHY : LTP_STATE_DEGRADED;
    say(page, state);
    CHECK_EQUAL(ask(lane, CLASS_STATUS).state, state);
  }
  CHECK_EQUAL(ask(lane, CLASS_STATUS).epoch, before + rounds);
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  for (int index = 0; index < 3; index++) {
    pthread_join(threads[index], NULL);
    CHECK_EQUAL(askers[index].wrong, 0);
  }
  ltp_lane_close(lane);
  close_core(core);
  ltp_page_close(page);
}

static const struct test tests[] = {
  {"two processes: the next decision changes, and a killed publisher is UNKNOWN", the_next_decision_changes},
  {"a stopped publisher is a dead one until it goes on", a_stopped_publisher_is_a_dead_one},
  {"followers keep continuity and thresholds", followers_keep_continuity},
  {"a follower's own policy and end are seen at once", a_follower_s_own_changes},
  {"one publication is one transition, however many lanes see it", one_publication_is_one_transition},
  {NULL, NULL},
};
const struct suite suite_page = {"page", tests};
