/* SPDX-License-Identifier: Apache-2.0
 *
 * (a) and (b): ltp_admit called from C, and (d) from C++ when compiled as that. With INTEROP_LOOP_ELSEWHERE another
 * language brings the loop.
 *
 *   calls time|count DIR    time: one line a burst; count: one burst, for callgrind
 */
#ifndef __cplusplus
#define _POSIX_C_SOURCE 200809L
#endif
#include "workload.h"

#ifdef INTEROP_LOOP_ELSEWHERE
uint64_t interop_measured(ltp_lane *lane, const ltp_route_request *frames);
#else
#ifdef __cplusplus
extern "C"
#endif
__attribute__((noinline)) uint64_t interop_measured(ltp_lane *lane, const ltp_route_request *frames) {
  uint64_t executed = 0;
  for (uint32_t index = 0; index < WORKLOAD_DECISIONS; index++) {
    ltp_verdict verdict = ltp_admit(lane, &frames[index % WORKLOAD_FRAMES], sizeof frames[0]);
    executed += verdict.verdict == LTP_VERDICT_EXECUTE;
  }
  return executed;
}
#endif

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: calls time|count DIR\n");
    return 2;
  }
  int counts = strcmp(arguments[1], "count") == 0;
  ltp_core *core = workload_open(arguments[2], counts);
  ltp_lane *lane = NULL;
  workload_check(ltp_lane_open(core, &lane, NULL), "lane");
  ltp_route_request *frames = workload_frames(lane);
  uint64_t executed = 0;
  for (uint32_t burst = 0; burst < (counts ? 1 : WORKLOAD_BURSTS); burst++) {
    workload_settle(lane);
    uint64_t began = workload_now();
    executed += interop_measured(lane, frames);
    workload_report(workload_now() - began);
  }
  workload_close(core, lane, executed);
  free(frames);
  return 0;
}
