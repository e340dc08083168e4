// SPDX-License-Identifier: Apache-2.0
// Real cores under load, through the C ABI: lanes, publishers, policy loads and a close at the same time. Also
// what the thread sanitizer's run is for.

import CLTP
import Foundation
import LTPInspect
import LTPLibrary
import LTPTestSupport
import Testing

/// A core's handle for threads. The C library does its own locking.
struct CoreHandle: @unchecked Sendable { let pointer: OpaquePointer }

func openCore(_ path: String, storage: UInt32, wait: UInt64 = 0) throws -> CoreHandle {
  try openCore(path) { options in
    options.storage = storage
    options.segment_bytes = 1 << 20
    options.block_bytes = 64 << 10
    options.lane_blocks = 4
    options.backpressure_wait_ns = wait
  }
}

/// Opens a core with the default options, but for what `change` sets.
func openCore(_ path: String, changing change: (inout ltp_core_options) -> Void) throws -> CoreHandle {
  var options = ltp_core_options()
  try #require(ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size) == LTP_OK)
  change(&options)
  var core: OpaquePointer?
  var error = ltp_error()
  let status = path.withCString { directory in
    options.trace_directory = directory
    return ltp_core_open(&options, &core, &error)
  }
  try #require(status == LTP_OK, "\(String(cString: ltp_status_text(status)))")
  return CoreHandle(pointer: core!)
}

func publish(_ core: CoreHandle, _ state: UInt8) -> Int32 {
  var transition = ltp_transition()
  transition.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
  transition.to = state
  transition.reason = LTP_SIGNAL_CPU_PRESSURE
  transition.evidence_count = 1
  transition.evidence.0.signal = LTP_SIGNAL_CPU_PRESSURE
  transition.evidence.0.value = 95
  transition.evidence.0.threshold = 80
  return ltp_orientation_publish(core.pointer, &transition, nil)
}

/// Decides until told to stop; returns how many decisions have a record and how many were denied without one.
func decide(_ core: CoreHandle, until stop: Flag) -> (recorded: Int, unrecorded: Int) {
  var lane: OpaquePointer?
  guard ltp_lane_open(core.pointer, &lane, nil) == LTP_OK else { return (0, 0) }
  var request = ltp_route_request()
  _ = ltp_frame_init(&request, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0)
  var recorded = 0
  var unrecorded = 0
  while !stop.isSet {
    request.frame_id += 1
    request.session_id = request.frame_id % 100
    request.action_class = UInt8(request.frame_id % 60)
    request.priority = UInt8(truncatingIfNeeded: request.frame_id &* 7)
    let verdict = ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size)
    if verdict.reason == LTP_REASON_TRACE_BACKPRESSURE { unrecorded += 1 } else { recorded += 1 }
  }
  _ = ltp_lane_close(lane)
  return (recorded, unrecorded)
}

private func openLanes(_ core: CoreHandle) -> UInt32 {
  var status = ltp_status()
  _ = ltp_core_status(core.pointer, &status, MemoryLayout<ltp_status>.size)
  return status.lanes_open
}

@Suite(.guarded, .serialized) struct LoadTests {
  @Test(
    "fault 32: closed under load, the core drains, and the trace proves every decision that was recorded",
    arguments: [LTP_STORAGE_AUTO, LTP_STORAGE_PWRITEV])
  func closeUnderLoad(storage: UInt32) throws {
    let scratch = TemporaryDirectory()
    var expected = 0
    var denied = 0
    for round in 0..<4 {
      let core = try openCore(scratch.path, storage: storage)
      let stop = Flag()
      let (recorded, unrecorded) = (Tally(), Tally())
      let threads = TestThreads()
      for _ in 0..<2 {
        threads.start {
          let counts = decide(core, until: stop)
          recorded.add(counts.recorded)
          unrecorded.add(counts.unrecorded)
        }
      }
      threads.start {
        var policy = ltp_policy()
        _ = ltp_policy_default(&policy)
        var next: UInt8 = 0
        while !stop.isSet {
          next = next % 6 + 1
          _ = publish(core, next)
          if next == 3 { _ = ltp_policy_load(core.pointer, &policy, nil, nil) }
          usleep(300)
        }
      }
      #expect(eventually { recorded.count + unrecorded.count > 0 || openLanes(core) == 2 })
      usleep(60_000)
      if round % 2 == 0 {
        // Denies at once; the lanes notice with their next decision and are closed by their threads.
        #expect(ltp_core_close(core.pointer, 0, nil) == LTP_ERROR_LANES_OPEN)
        usleep(5_000)
      }
      stop.set()
      threads.join()
      var error = ltp_error()
      #expect(ltp_core_close(core.pointer, 5_000_000_000, &error) == LTP_OK)
      #expect(ltp_core_close(core.pointer, 0, nil) == LTP_ERROR_BAD_HANDLE)
      expected += recorded.count
      denied += unrecorded.count
    }
    let report = try Inspector(scratch.path).redecide()
    #expect(report.inspection.violations.isEmpty)
    #expect(report.withoutPolicy == 0)
    #expect(report.redecided == UInt64(expected))
    #expect(report.mismatches == 0)
    #expect(expected > 0)
  }

  @Test func waitingMakesEverythingDurable() throws {
    let scratch = TemporaryDirectory()
    let core = try openCore(scratch.path, storage: LTP_STORAGE_AUTO)
    var lane: OpaquePointer?
    try #require(ltp_lane_open(core.pointer, &lane, nil) == LTP_OK)
    var request = ltp_route_request()
    _ = ltp_frame_init(&request, 64, LTP_FRAME_ROUTE_REQUEST, 0)
    for _ in 0..<50 {
      _ = ltp_admit(lane, &request, 64)
      let sequence = ltp_lane_sequence(lane)
      #expect(ltp_lane_wait_durable(lane, sequence, 5_000_000_000) == LTP_OK)
      #expect(ltp_lane_durable(lane) >= sequence)
    }
    #expect(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane) + 1, 0) == LTP_ERROR_SEQUENCE_AHEAD)
    #expect(ltp_lane_close(lane) == LTP_OK)
    #expect(ltp_core_close(core.pointer, 1_000_000_000, nil) == LTP_OK)
  }
}
