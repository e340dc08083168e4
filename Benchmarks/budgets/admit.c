/* SPDX-License-Identifier: Apache-2.0
 *
 * What scripts/budget counts the instructions of: decisions through the C library, single and in batches of 64, and
 * single ones under rates, shedding and tenants' shares, ones that ask for nothing, ones that ask for a token, while the ring has room. callgrind collects inside
 * the functions budget_*() only, so opening, the writer's thread and closing do not count.
 *
 *   admit single|batch|limited|plain|continuity|planted DIR
 *
 * Prints how many decisions were made. "planted" allocates once a decision: the check must find it.
 */
#define _POSIX_C_SOURCE 200809L
#include "workload.h"

#define DECISIONS 65536u
#define FRAMES 1024u
#define BATCH 64u

static ltp_route_request frames[FRAMES];
static ltp_verdict verdicts[BATCH];
/* Reads, writes, changes that ask for continuity, critical actions: mostly reads. */
static const uint8_t classes[16] = {8, 8, 9, 9, 10, 11, 14, 14, 24, 25, 27, 40, 44, 48, 56, 1};

__attribute__((noipa)) static uint64_t budget_single(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index++)
    executed += ltp_admit(lane, &frames[index % FRAMES], sizeof frames[0]).verdict == LTP_VERDICT_EXECUTE;
  return executed;
}

__attribute__((noipa)) static uint64_t budget_batch(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index += BATCH)
    executed += ltp_admit_batch(lane, &frames[index % FRAMES], sizeof frames[0], BATCH, verdicts);
  return executed;
}

__attribute__((noipa)) static uint64_t budget_limited(ltp_lane *lane) { return budget_single(lane); }

/* Reads only, and orders that are changed by sessions of a hundred domains only. */
__attribute__((noipa)) static uint64_t budget_plain(ltp_lane *lane) { return budget_single(lane); }
__attribute__((noipa)) static uint64_t budget_continuity(ltp_lane *lane) { return budget_single(lane); }

static void *volatile kept;

__attribute__((noipa)) static uint64_t budget_planted(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index++) {
    kept = malloc(16);
    executed += ltp_admit(lane, &frames[index % FRAMES], sizeof frames[0]).verdict == LTP_VERDICT_EXECUTE;
    free(kept);
  }
  return executed;
}

/* Shakes hands for every session and fills the frames in; only: one class, or 0. */
static void make_frames(ltp_lane *lane, uint8_t only) {
  for (uint32_t index = 0; index < FRAMES; index++) {
    ltp_hello hello, answer;
    workload_check(ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0), "hello");
    hello.frame_id = hello.session_id = hello.client_nonce = index + 1;
    hello.domain = (uint8_t)(only ? index % 100 : 0);
    hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
    workload_check(ltp_hello_answer(lane, &hello, sizeof hello, &answer), "handshake");
    ltp_route_request *request = &frames[index];
    workload_check(ltp_frame_init(request, sizeof *request, LTP_FRAME_ROUTE_REQUEST, 0), "request");
    request->frame_id = request->session_id = index + 1;
    request->continuity_token = answer.continuity_token;
    request->intent_epoch = answer.continuity_epoch;
    request->incarnation = answer.incarnation;
    request->domain = answer.domain;
    request->action_class = only ? only : classes[index * 7 % 16];
    request->priority = (uint8_t)(index * 37);
  }
}

/* Limits that concern nearly every class, and refuse nothing. */
static void load_limits(ltp_core *core) {
  static ltp_policy policy;
  workload_check(ltp_policy_default(&policy), "policy");
  policy.limits.total.per_second = policy.limits.total.burst = 4000000000u;
  policy.limits.tenant.per_second = policy.limits.tenant.burst = 1000000000u;
  policy.limits.classes[8].per_second = policy.limits.classes[8].burst = 4000000000u;
  policy.limits.flags = LTP_LIMITS_SHED | LTP_LIMITS_TENANT_WHEN_CONTENDED;
  policy.limits.shed_decrease_permille = 50;
  policy.limits.shed_increase_permille = 10;
  policy.limits.retry_horizon_max_ms = 30000;
  workload_check(ltp_policy_load(core, &policy, NULL, NULL), "limits");
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: admit single|batch|limited|plain|continuity|planted DIR\n");
    return 2;
  }
  ltp_core *core = workload_open(arguments[2], 1);
  ltp_lane *lane = NULL;
  workload_check(ltp_lane_open(core, &lane, NULL), "lane");
  const char *mode = arguments[1];
  make_frames(lane, strcmp(mode, "plain") == 0 ? 8 : strcmp(mode, "continuity") == 0 ? 40 : 0);
  uint64_t executed;
  if (strcmp(mode, "single") == 0)
    executed = budget_single(lane);
  else if (strcmp(mode, "plain") == 0)
    executed = budget_plain(lane);
  else if (strcmp(mode, "continuity") == 0)
    executed = budget_continuity(lane);
  else if (strcmp(mode, "batch") == 0)
    executed = budget_batch(lane);
  else if (strcmp(mode, "limited") == 0) {
    load_limits(core);
    executed = budget_limited(lane);
  } else
    executed = budget_planted(lane);
  workload_close(core, lane, executed);
  printf("%u\n", DECISIONS);
  return 0;
}
