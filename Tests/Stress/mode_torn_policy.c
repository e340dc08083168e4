/* SPDX-License-Identifier: Apache-2.0
 * Policies that change while they are loaded: a thread, or another process, keeps flipping bytes in them. Whatever is
 * accepted must be a policy that passes the check: nothing that it decides may break the never list, or be no verdict. */
#define _GNU_SOURCE
#include "stress.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Loads before the flipper takes another place. */
#define LOADS 200

/* What flips: eight bytes of the policy, between what they are and what they must not become. Shared with a process. */
struct shared {
  ltp_policy policy;
  uint64_t place; /* from the policy's first byte, a multiple of 8 */
  uint64_t values[2];
  uint32_t turn; /* odd while place and values change */
  uint32_t seen; /* the flipper's last look at it */
  uint32_t stop;
};

static void flip(struct shared *shared) {
  while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
    uint32_t turn = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE);
    __atomic_store_n(&shared->seen, turn, __ATOMIC_RELEASE);
    if (turn & 1) continue;
    uint64_t *word = (uint64_t *)(void *)((uint8_t *)&shared->policy + shared->place);
    uint64_t values[2] = {shared->values[0], shared->values[1]};
    for (int round = 0; round < 128; round++) __atomic_store_n(word, values[round & 1], __ATOMIC_RELAXED);
  }
}

static void *flip_in_a_thread(void *pointer) {
  flip(pointer);
  return NULL;
}

/* A rule that the check refuses: by the never list, or out of range. */
static uint64_t bad_rule(uint64_t *random, ltp_policy *policy, uint8_t *state, uint16_t *action_class) {
  static const uint8_t states[] = {LTP_STATE_FAILED, LTP_STATE_UNKNOWN, LTP_STATE_RECOVERING};
  *state = states[pick(random, 3)];
  do *action_class = (uint16_t)pick(random, LTP_CLASS_COUNT);
  while (policy->classes[*action_class].name[0] == 0 ||
         (*state == LTP_STATE_FAILED && !(policy->classes[*action_class].attributes & LTP_CLASS_CRITICAL)) ||
         (*state == LTP_STATE_UNKNOWN && policy->classes[*action_class].attributes & LTP_CLASS_RECOVERY));
  ltp_policy_rule rule = {LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, 0, 0, 0};
  if (*state == LTP_STATE_RECOVERING) rule.flags = LTP_RULE_WAIVE_CONTINUITY;
  if (pick(random, 3) == 0) rule = (ltp_policy_rule){255, 255, 255, 255, UINT32_MAX};
  uint64_t word;
  memcpy(&word, &rule, sizeof word);
  return word;
}

/* Moves the flipper to another place; what was there before is as it was. `flips`: it has begun. */
static void move(struct shared *shared, int flips, uint64_t *random, uint8_t *state) {
  uint8_t *bytes = (uint8_t *)&shared->policy;
  uint32_t turn = __atomic_add_fetch(&shared->turn, 1, __ATOMIC_ACQ_REL);
  while (flips && __atomic_load_n(&shared->seen, __ATOMIC_ACQUIRE) != turn) stress_sleep_ns(10000);
  ltp_policy *policy = &shared->policy;
  uint16_t action_class;
  static ltp_policy whole;
  ltp_policy_default(&whole);
  uint64_t bad = bad_rule(random, &whole, state, &action_class), good;
  uint64_t place = (uint64_t)((uint8_t *)&policy->rules[*state][action_class] - bytes);
  if (pick(random, 4) == 0) {
    /* Anywhere. */
    place = pick(random, sizeof *policy / 8) * 8;
    memcpy(&good, (uint8_t *)&whole + place, sizeof good);
    bad = good ^ (uint64_t)(1 + pick(random, 255)) << 8 * pick(random, 8);
  }
  memcpy(&good, (uint8_t *)&whole + place, sizeof good);
  *policy = whole;
  shared->place = place;
  shared->values[0] = good;
  shared->values[1] = bad;
  __atomic_add_fetch(&shared->turn, 1, __ATOMIC_ACQ_REL);
}

/* Asks for every class under the policy in force. */
static void ask_all(ltp_lane *lane, const ltp_policy *whole, uint64_t number) {
  ltp_route_request request;
  ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0);
  request.frame_id = number;
  request.session_id = 1 + number;
  request.priority = 255;
  for (uint16_t action_class = 0; action_class < LTP_CLASS_COUNT; action_class++) {
    request.action_class = action_class;
    ltp_verdict verdict = ltp_admit(lane, &request, sizeof request);
    uint32_t attributes = whole->classes[action_class].attributes;
    int executes = verdict.verdict == LTP_VERDICT_EXECUTE;
    if (verdict.verdict >= LTP_VERDICT_COUNT || verdict.reason == LTP_REASON_NONE ||
        verdict.reason >= LTP_REASON_COUNT)
      stress_found("class %d: verdict %d, reason %d", action_class, verdict.verdict, verdict.reason);
    if (executes && verdict.state == LTP_STATE_FAILED && attributes & LTP_CLASS_CRITICAL)
      stress_found("class %d is critical, and EXECUTEd while FAILED", action_class);
    if (executes && verdict.state == LTP_STATE_UNKNOWN && !(attributes & LTP_CLASS_RECOVERY))
      stress_found("class %d is EXECUTEd while UNKNOWN", action_class);
    if (executes && verdict.state == LTP_STATE_RECOVERING)
      stress_found("class %d is EXECUTEd without continuity while RECOVERING", action_class);
  }
}

static void publish(ltp_core *core, uint8_t state) {
  ltp_transition change = {.struct_size = sizeof change, .to = state, .reason = LTP_SIGNAL_OPERATOR};
  while (ltp_orientation_publish(core, &change, NULL) == LTP_ERROR_BACKPRESSURE) stress_sleep_ns(MILLISECOND);
}

static int32_t open_core(const char *directory, const ltp_policy *policy, ltp_core **core) {
  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  options.trace_directory = directory;
  options.policy = policy;
  options.segment_bytes = 512 << 10;
  options.block_bytes = 16 << 10;
  options.lane_blocks = 32;
  options.commit_interval_ns = 50000;
  options.backpressure_wait_ns = 20 * SECOND;
  options.retain_segments = 2;
  return ltp_core_open(&options, core, NULL);
}

static int load_many(const char *directory, struct shared *shared, uint64_t *random, uint64_t until) {
  static ltp_policy whole;
  ltp_policy_default(&whole);
  uint64_t loaded = 0, refused = 0, opened = 0;
  do {
    uint8_t state;
    move(shared, 1, random, &state);
    ltp_core *core = NULL;
    int32_t status = open_core(directory, &shared->policy, &core);
    if (status == LTP_OK) opened++;
    else status = open_core(directory, NULL, &core);
    ltp_lane *lane = NULL;
    if (status != LTP_OK || ltp_lane_open(core, &lane, NULL) != LTP_OK) {
      stress_found("a core or a lane does not open: %s", ltp_status_text(status));
      return 1;
    }
    publish(core, state);
    ask_all(lane, &whole, opened);
    for (int round = 0; round < LOADS && stress_now_ns() < until; round++) {
      status = round % 5 == 4 ? ltp_policy_shadow(core, &shared->policy, NULL, NULL)
                              : ltp_policy_load(core, &shared->policy, NULL, NULL);
      if (status == LTP_OK) {
        loaded++;
        ask_all(lane, &whole, loaded);
      } else
        refused++;
    }
    ltp_lane_close(lane);
    status = ltp_core_close(core, 20 * SECOND, NULL);
    if (status != LTP_OK) stress_found("ltp_core_close: %s", ltp_status_text(status));
  } while (stress_now_ns() < until);
  printf("     %llu loaded, %llu refused, %llu opened with\n", (unsigned long long)loaded,
         (unsigned long long)refused, (unsigned long long)opened);
  return 0;
}

int stress_torn_policy(const char *directory, unsigned seconds) {
  uint64_t random = stress_seed, start = stress_now_ns();
  int result = 0;
  for (int other_process = 0; other_process < 2 && result == 0; other_process++) {
    struct shared *shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    uint8_t state;
    move(shared, 0, &random, &state);
    pthread_t thread;
    pid_t child = 0;
    if (other_process) {
      fflush(stdout);
      child = fork();
      if (child == 0) {
        flip(shared);
        _exit(0);
      }
    } else if (pthread_create(&thread, NULL, flip_in_a_thread, shared) != 0)
      return 1;
    result = load_many(
      stress_directory(directory, "trace", (unsigned)other_process), shared, &random,
      start + (uint64_t)seconds * SECOND * (unsigned)(other_process + 1) / 2);
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    if (other_process) waitpid(child, NULL, 0);
    else pthread_join(thread, NULL);
  }
  return result;
}
