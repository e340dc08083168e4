// SPDX-License-Identifier: Apache-2.0
// Real threads: one loads policies and shadows as fast as it is let, one decides, blocks and segments are as small as
// can be. The trace must verify and open again. Bounded by counts, so that a slow machine only takes longer.

import CLTP
import Foundation
import LTPInspect
import LTPLibrary
import LTPTestSupport
import Testing

@Suite(.serialized, .guarded) struct PolicyLoadTests {
  static let loads = 1500

  private func open(_ path: String, blockBytes: UInt32) throws -> CoreHandle {
    try openCore(path) { options in
      options.segment_bytes = 512 << 10
      options.block_bytes = blockBytes
      options.backpressure_wait_ns = 1_000_000_000
    }
  }

  /// Loads policies, every third time with another shadow or none. Returns how many were loaded.
  private static func load(_ core: CoreHandle, shadows: Bool) -> Int {
    var policy = ltp_policy()
    _ = ltp_policy_default(&policy)
    var loaded = 0
    for number in 0..<loads {
      let status =
        switch shadows ? number % 3 : 0 {
        case 1: ltp_policy_shadow(core.pointer, &policy, nil, nil)
        case 2: ltp_policy_shadow(core.pointer, nil, nil, nil)
        default: ltp_policy_load(core.pointer, &policy, nil, nil)
        }
      if status == LTP_OK { loaded += 1 }
    }
    return loaded
  }

  /// Decides until told to stop, with pauses, so that most of the trace is what the loads make of it.
  private static func decideNow(_ core: CoreHandle, until stop: Flag) -> Int {
    var lane: OpaquePointer?
    guard ltp_lane_open(core.pointer, &lane, nil) == LTP_OK else { return 0 }
    var request = ltp_route_request()
    _ = ltp_frame_init(&request, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0)
    request.session_id = 1
    var recorded = 0
    while !stop.isSet {
      for _ in 0..<20 {
        request.frame_id += 1
        request.action_class = UInt8(request.frame_id % 60)
        let verdict = ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size)
        if verdict.reason != LTP_REASON_TRACE_BACKPRESSURE { recorded += 1 }
      }
      usleep(200)
    }
    _ = ltp_lane_close(lane)
    return recorded
  }

  @Test(
    "policies are loaded in a loop while segments change: the trace is whole",
    arguments: [(16 << 10, true), (32 << 10, false), (64 << 10, true)])
  func loadsInALoop(_ blockBytes: Int, _ shadows: Bool) throws {
    let scratch = TemporaryDirectory()
    let core = try open(scratch.path, blockBytes: UInt32(blockBytes))
    let stop = Flag()
    let recorded = Tally()
    let threads = TestThreads()
    threads.start { recorded.add(Self.decideNow(core, until: stop)) }
    let loaded = Self.load(core, shadows: shadows)
    stop.set()
    threads.join()
    #expect(ltp_core_close(core.pointer, 60_000_000_000, nil) == LTP_OK)
    #expect(loaded > 0 && recorded.count > 0)
    let report = try Inspector(scratch.path).verify()
    #expect(report.violations.map(\.text) == [])
    #expect(report.totals.decisions == UInt64(recorded.count))
    #expect(report.scan.segmentCount > 4)
    // What opens for writing reads all of it again.
    let again = try open(scratch.path, blockBytes: UInt32(blockBytes))
    #expect(ltp_core_close(again.pointer, 60_000_000_000, nil) == LTP_OK)
  }
}
