// SPDX-License-Identifier: Apache-2.0
// (c): ltp_admit called from Swift in the same process, the library built as ordinary Swift.

import Glibc
import Workload

@inline(never)
func measured(_ lane: OpaquePointer, _ frames: UnsafePointer<ltp_route_request>) -> UInt64 {
  var executed: UInt64 = 0
  for index in 0..<Int(WORKLOAD_DECISIONS) {
    let verdict = ltp_admit(
      lane, frames + index & (Int(WORKLOAD_FRAMES) - 1), MemoryLayout<ltp_route_request>.size)
    executed &+= verdict.verdict == LTP_VERDICT_EXECUTE ? 1 : 0
  }
  return executed
}

// A name that callgrind can be told.
@c(interop_measured)
@inline(never)
func interopMeasured(_ lane: OpaquePointer, _ frames: UnsafePointer<ltp_route_request>) -> UInt64 {
  measured(lane, frames)
}

guard CommandLine.arguments.count == 3 else {
  print("usage: calls time|count DIR")
  exit(2)
}
let counts: Int32 = CommandLine.arguments[1] == "count" ? 1 : 0
let core = workload_open(CommandLine.arguments[2], counts)
var opened: OpaquePointer?
workload_check(ltp_lane_open(core, &opened, nil), "lane")
let lane = opened!
let frames = workload_frames(lane)!
var executed: UInt64 = 0
for _ in 0..<(counts == 1 ? 1 : WORKLOAD_BURSTS) {
  workload_settle(lane)
  let began = workload_now()
  executed += interopMeasured(lane, frames)
  workload_report(workload_now() - began)
}
workload_close(core, lane, executed)
free(frames)
