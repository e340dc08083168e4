/* SPDX-License-Identifier: Apache-2.0
 *
 * What scripts/budget counts the instructions of: decisions through the C library, single and in batches of 64,
 * while the ring has room. callgrind collects inside budget_single() and budget_batch() only, so opening,
 * the writer's thread and closing do not count.
 *
 *   admit single|batch|planted DIR
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
static const uint16_t classes[16] = {8, 8, 9, 9, 10, 11, 14, 14, 24, 25, 27, 40, 44, 48, 56, 1};

__attribute__((noinline)) static uint64_t budget_single(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index++)
    executed += ltp_admit(lane, &frames[index % FRAMES], sizeof frames[0]).verdict == LTP_VERDICT_EXECUTE;
  return executed;
}

__attribute__((noinline)) static uint64_t budget_batch(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index += BATCH)
    executed += ltp_admit_batch(lane, &frames[index % FRAMES], sizeof frames[0], BATCH, verdicts);
  return executed;
}

static void *volatile kept;

__attribute__((noinline)) static uint64_t budget_planted(ltp_lane *lane) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < DECISIONS; index++) {
    kept = malloc(16);
    executed += ltp_admit(lane, &frames[index % FRAMES], sizeof frames[0]).verdict == LTP_VERDICT_EXECUTE;
    free(kept);
  }
  return executed;
}

/* Shakes hands for every session and fills the frames in. */
static void make_frames(ltp_lane *lane) {
  for (uint32_t index = 0; index < FRAMES; index++) {
    ltp_hello hello, answer;
    workload_check(ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0), "hello");
    hello.frame_id = hello.session_id = index + 1;
    hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
    workload_check(ltp_hello_answer(lane, &hello, sizeof hello, &answer), "handshake");
    ltp_route_request *request = &frames[index];
    workload_check(ltp_frame_init(request, sizeof *request, LTP_FRAME_ROUTE_REQUEST, 0), "request");
    request->frame_id = request->session_id = index + 1;
    request->continuity_token = answer.continuity_token;
    request->action_class = classes[index * 7 % 16];
    request->priority = (uint8_t)(index * 37);
  }
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: admit single|batch|planted DIR\n");
    return 2;
  }
  ltp_core *core = workload_open(arguments[2], 1);
  ltp_lane *lane = NULL;
  workload_check(ltp_lane_open(core, &lane, NULL), "lane");
  make_frames(lane);
  uint64_t executed;
  if (strcmp(arguments[1], "single") == 0)
    executed = budget_single(lane);
  else if (strcmp(arguments[1], "batch") == 0)
    executed = budget_batch(lane);
  else
    executed = budget_planted(lane);
  workload_close(core, lane, executed);
  printf("%u\n", DECISIONS);
  return 0;
}
