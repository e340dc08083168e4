// SPDX-License-Identifier: Apache-2.0
// (c): decided from Swift in the same process, through the Swift API, the library built as ordinary Swift.

import Glibc
import LTP
import Workload

@inline(never)
func measured(_ lane: inout Lane, _ frames: RawSpan) -> UInt64 {
  let bytes = MemoryLayout<ltp_route_request>.size
  var executed: UInt64 = 0
  for index in 0..<Int(WORKLOAD_DECISIONS) {
    // Wrapping, as the callers in C do it.
    let start = (index & (Int(WORKLOAD_FRAMES) - 1)) &* bytes
    let verdict = lane.admit(frames.extracting(unchecked: Range(uncheckedBounds: (start, start &+ bytes))))
    // Counted without a branch, as C's compiler does it: EXECUTE is 2.
    executed &+= UInt64(truncatingIfNeeded: verdict.fields.verdict &>> 1)
  }
  return executed
}

/// What is measured, where a function of C, which callgrind can be told by its name, can call it.
nonisolated(unsafe) var measuredOnce: () -> UInt64 = { 0 }

@c(interop_measured)
@inline(never)
func interopMeasured() -> UInt64 { measuredOnce() }

func run(counts: Bool) throws(LTPError) -> UInt64 {
  let core = Core(adopting: workload_open(CommandLine.arguments[2], counts ? 1 : 0))
  var lane = try core.openLane()
  let handle = lane.unsafeHandle
  let frames = UnsafeRawBufferPointer(
    start: workload_frames(handle), count: Int(WORKLOAD_FRAMES) * MemoryLayout<ltp_route_request>.size)
  var executed: UInt64 = 0
  withUnsafeMutablePointer(to: &lane) { lane in
    nonisolated(unsafe) let lane = lane
    measuredOnce = { measured(&lane.pointee, frames.bytes) }
    for _ in 0..<(counts ? 1 : WORKLOAD_BURSTS) {
      workload_settle(handle)
      let began = workload_now()
      executed += interopMeasured()
      workload_report(workload_now() - began)
    }
  }
  workload_close(core.unsafeHandle, handle, executed)
  frames.deallocate()
  return executed
}

guard CommandLine.arguments.count == 3 else {
  print("usage: calls time|count DIR")
  exit(2)
}
do throws(LTPError) { _ = try run(counts: CommandLine.arguments[1] == "count") } catch {
  print(error)
  exit(1)
}
