/* SPDX-License-Identifier: Apache-2.0
 *
 * (e): the reference, measured like the library, and held against it.
 *
 *   calls_reference time|count DIR   as calls does
 *   calls_reference compare DIR      decides every frame by both: 0 when verdict, reason and retry_after agree
 */
#define _POSIX_C_SOURCE 200809L
#include "reference.h"
#include "workload.h"

__attribute__((noinline)) uint64_t interop_measured(reference_lane *lane, const ltp_route_request *frames) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < WORKLOAD_DECISIONS; index++) {
    ltp_verdict verdict = reference_admit(lane, &frames[index % WORKLOAD_FRAMES], sizeof frames[0]);
    executed += verdict.verdict == LTP_VERDICT_EXECUTE;
  }
  return executed;
}

static int compare(reference_lane *lane, const ltp_route_request *frames, const char *directory) {
  ltp_core *core = workload_open(directory, 1);
  ltp_lane *library = NULL;
  workload_check(ltp_lane_open(core, &library, NULL), "lane");
  ltp_route_request *own = workload_frames(library);
  uint32_t differ = 0;
  uint64_t executed = 0;
  for (uint32_t index = 0; index < WORKLOAD_FRAMES; index++) {
    ltp_route_request theirs = own[index], ours = frames[index];
    /* Every fourth token is wrong, every eighth deadline long over. */
    if (index % 4 == 0) theirs.continuity_token ^= 1ull << 63, ours.continuity_token ^= 1ull << 63;
    if (index % 8 == 0) {
      theirs.header.flags = ours.header.flags = LTP_REQUEST_HAS_DEADLINE;
      theirs.deadline_ns = ours.deadline_ns = index % 16 == 0 ? 1 : UINT64_MAX;
    }
    ltp_verdict left = ltp_admit(library, &theirs, sizeof theirs);
    ltp_verdict right = reference_admit(lane, &ours, sizeof ours);
    /* The reference's clock stands at 0, where no deadline is over. */
    if (index % 16 == 0) continue;
    executed += left.verdict == LTP_VERDICT_EXECUTE;
    if (left.verdict == right.verdict && left.reason == right.reason && left.state == right.state &&
        left.retry_after_ms == right.retry_after_ms && left.commitment == right.commitment)
      continue;
    if (differ++ < 5)
      fprintf(stderr, "interop: frame %u, class %u: library %s %s %u ms, reference %s %s %u ms\n", index,
        theirs.action_class, ltp_verdict_name(left.verdict), ltp_reason_name(left.reason), left.retry_after_ms,
        ltp_verdict_name(right.verdict), ltp_reason_name(right.reason), right.retry_after_ms);
  }
  workload_close(core, library, executed);
  free(own);
  printf("%u of %u frames differ\n", differ, WORKLOAD_FRAMES);
  return differ != 0;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: calls_reference time|count|compare DIR\n");
    return 2;
  }
  reference_lane *lane = reference_open(LTP_STATE_HEALTHY);
  ltp_route_request *frames = workload_frames(NULL);
  for (uint32_t index = 0; index < WORKLOAD_FRAMES; index++)
    frames[index].incarnation = index + 1, frames[index].intent_epoch = reference_epoch(lane),
    frames[index].continuity_token = reference_token(lane, frames[index].session_id, index + 1);
  int status = 0;
  if (strcmp(arguments[1], "compare") == 0) {
    status = compare(lane, frames, arguments[2]);
  } else {
    uint64_t executed = 0;
    for (uint32_t burst = 0; burst < (strcmp(arguments[1], "count") == 0 ? 1 : WORKLOAD_BURSTS); burst++) {
      reference_settle(lane);
      uint64_t began = workload_now();
      executed += interop_measured(lane, frames);
      workload_report(workload_now() - began);
    }
    if (executed == 0) status = 2;
  }
  reference_close(lane);
  free(frames);
  return status;
}
