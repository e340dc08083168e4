// SPDX-License-Identifier: Apache-2.0
// What the core itself writes is good, and is decided the same way again.

import CLTP
import LTPLibrary
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("traces of the core", .guarded)
struct CoreTraceTests {
  private static let states: [UInt8] = [
    LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED, LTP_STATE_UNSTABLE, LTP_STATE_FAILED,
    LTP_STATE_RECOVERING,
  ]

  /// One run of a core over `directory`: two lanes, every state, small segments so that they rotate.
  private func runCore(
    _ directory: TemporaryDirectory, requests: Int, keeping segments: UInt32 = 0, _ random: inout SplitMix64
  ) -> Bool {
    var options = ltp_core_options()
    guard ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size) == LTP_OK else { return false }
    options.segment_bytes = 512 << 10
    options.block_bytes = 16 << 10
    options.backpressure_wait_ns = 1_000_000_000
    options.retain_segments = segments
    var core: OpaquePointer?
    let opened = directory.path.withCString { path in
      options.trace_directory = path
      return ltp_core_open(&options, &core, nil)
    }
    guard opened == LTP_OK, let core else { return false }
    var lanes: [OpaquePointer?] = [nil, nil]
    for index in lanes.indices where ltp_lane_open(core, &lanes[index], nil) != LTP_OK { return false }
    load(core, threshold: 0)
    var lives: [UInt64: ltp_hello] = [:]
    for number in 0..<requests {
      if number % 61 == 5 {
        let events = [LTP_TRANSPORT_DISCONNECTED, LTP_TRANSPORT_CONNECTED, LTP_TRANSPORT_RESTARTED]
        // The trace may have no room for it; then nothing has changed.
        _ = ltp_transport_event(core, UInt8(random.below(6)), events.randomElement(using: &random)!)
      }
      if number % 7 == 3 { greet(lanes[number % 2], UInt64(1 + random.below(90)), &lives, &random) }
      if number % 97 == 0 { publish(core, Self.states[number / 97 % Self.states.count]) }
      if number % 1500 == 7 { load(core, threshold: UInt8(truncatingIfNeeded: number)) }
      request(lanes[number % 2], number, lives, &random)
    }
    for lane in lanes where ltp_lane_close(lane) != LTP_OK { return false }
    return ltp_core_close(core, 10_000_000_000, nil) == LTP_OK
  }

  private func publish(_ core: OpaquePointer, _ state: UInt8) {
    var transition = ltp_transition()
    transition.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    transition.to = state
    transition.reason = LTP_SIGNAL_CPU_PRESSURE
    transition.evidence_count = 1
    _ = "run_queue".withCString { ltp_text_intern(core, $0, &transition.evidence.0.name_id) }
    transition.evidence.0.signal = LTP_SIGNAL_CPU_PRESSURE
    transition.evidence.0.value = 95
    transition.evidence.0.threshold = 80
    _ = ltp_orientation_publish(core, &transition, nil)
  }

  private func load(_ core: OpaquePointer, threshold: UInt8) {
    var policy = ltp_policy()
    _ = ltp_policy_default(&policy)
    policy.priority_threshold.3 = threshold
    policy.domains.stay_ms = 1
    policy.domains.outage = threshold % 2 == 0 ? LTP_OUTAGE_OF_DOMAIN : LTP_OUTAGE_OF_SERVICE
    _ = ltp_policy_load(core, &policy, nil, nil)
  }

  private func greet(
    _ lane: OpaquePointer?, _ session: UInt64, _ lives: inout [UInt64: ltp_hello],
    _ random: inout SplitMix64
  ) {
    var hello = ltp_hello()
    _ = ltp_frame_init(&hello, MemoryLayout<ltp_hello>.size, LTP_FRAME_HELLO, 0)
    (hello.session_id, hello.client_nonce, hello.domain) = (session, random.next() | 1, UInt8(session % 6))
    hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
    var answer = ltp_hello()
    if ltp_hello_answer(lane, &hello, MemoryLayout<ltp_hello>.size, &answer) == LTP_OK {
      lives[session] = answer
    }
  }

  private func request(
    _ lane: OpaquePointer?, _ number: Int, _ lives: [UInt64: ltp_hello], _ random: inout SplitMix64
  ) {
    var long = ltp_long_request()
    let size = MemoryLayout<ltp_long_request>.size
    let isReplay = number % 53 == 0
    _ = ltp_frame_init(&long, size, LTP_FRAME_ROUTE_REQUEST, isReplay ? LTP_REQUEST_REPLAY : 0)
    long.goal.original_frame_id = isReplay ? 1 : 0
    var frame = long.request
    frame.frame_id = UInt64(number + 1)
    frame.session_id = UInt64.random(in: 1...90, using: &random)
    frame.domain = UInt8(frame.session_id % 6)
    if let life = lives[frame.session_id], random.oneIn(2) {
      frame.continuity_token = life.continuity_token
      (frame.incarnation, frame.intent_epoch) = (life.incarnation, life.continuity_epoch)
    } else {
      frame.continuity_token = UInt64.random(in: 0...3, using: &random)
    }
    frame.action_class = [0, 8, 15, 24, 28, 40, 48, 56, 127, 128, 255].randomElement(using: &random)!
    frame.priority = UInt8.random(in: 0...255, using: &random)
    if number % 101 == 0 { frame.reserved.0 = 1 }
    long.request = frame
    _ = ltp_admit(lane, &long, size)
  }

  @Test("three runs of the core verify, and every decision comes out the same")
  func runs() throws {
    let directory = TemporaryDirectory()
    var random = TestSeed.random(1)
    for _ in 0..<3 { #expect(runCore(directory, requests: 20_000, &random)) }
    let verified = try Inspector(directory.path).verify()
    #expect(verified.violations == [])
    #expect(verified.totals.decisions + verified.totals.unrecorded == 60_000)
    #expect(verified.totals.runs == 3)
    #expect(verified.totals.isClosed)
    let again = try Inspector(directory.path).redecide()
    #expect(again.mismatches == 0)
    #expect(again.redecided == verified.totals.decisions)
    #expect(again.withoutPolicy == 0)
    let summary = try Inspector(directory.path).summary()
    #expect(summary.inspection.isGood)
    #expect(summary.transitions.contains { $0.line.contains("run_queue 95 (threshold 80)") })
  }

  @Test("after retention a segment's start tells where each domain stands")
  func retention() throws {
    let directory = TemporaryDirectory()
    var random = TestSeed.random(2)
    for _ in 0..<2 { #expect(runCore(directory, requests: 60_000, keeping: 2, &random)) }
    let verified = try Inspector(directory.path).verify()
    #expect(verified.violations == [])
    #expect(verified.totals.decisions < 120_000)
    let again = try Inspector(directory.path).redecide()
    #expect(again.mismatches == 0)
    #expect(again.inspection.violations == [])
  }
}
