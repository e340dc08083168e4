// SPDX-License-Identifier: Apache-2.0
// A trace as a core with a deferral log leaves it: a database flickers, orders are kept, and replayed when it is back. Driven by the C functions.

import CLTP
import Foundation
import LTPTestSupport
import Testing

struct FlickerTrace {
  static let orderCreate: UInt8 = 25
  static let read: UInt8 = 8
  static let capacity = 64

  var orders = 24
  /// Ticket of the first kept order, which was replayed, of a cancelled, an expired and an abandoned one.
  private(set) var replayed: UInt64 = 0
  private(set) var cancelled: UInt64 = 0
  private(set) var expired: UInt64 = 0
  private(set) var abandoned: UInt64 = 0

  /// The frame of the first order that is deferred; sessions are `frame + sessionOffset`.
  static let firstFrame: UInt64 = 1055
  static let sessionOffset: UInt64 = 5000

  static func open(_ directory: String) throws -> OpaquePointer {
    var options = ltp_core_options()
    try #require(ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size) == LTP_OK)
    options.segment_bytes = 4 << 20
    options.block_bytes = 16 << 10
    var deferral = ltp_deferral_options()
    deferral.struct_size = UInt32(MemoryLayout<ltp_deferral_options>.size)
    deferral.segment_bytes = 1 << 20
    deferral.block_bytes = 64 << 10
    var core: OpaquePointer?
    var error = ltp_error()
    let status = directory.withCString { path in
      options.trace_directory = path
      return withUnsafePointer(to: deferral) {
        options.deferral = $0
        return ltp_core_open(&options, &core, &error)
      }
    }
    try #require(status == LTP_OK)
    return try #require(core)
  }

  /// `endsAll`: nothing is left pending.
  @discardableResult
  mutating func run(in directory: String, endsAll: Bool = true, pause: useconds_t = 0) throws -> FlickerTrace
  {
    let core = try Self.open(directory)
    var lane: OpaquePointer?
    try #require(ltp_lane_open(core, &lane, nil) == LTP_OK)
    Self.publish(core, LTP_STATE_HEALTHY, LTP_SIGNAL_METRICS_STABILIZED, 0, "")
    for frame in Self.firstFrame - 32..<Self.firstFrame - 1 {
      try Self.ask(lane, Self.orderCreate, frame: frame)
    }
    usleep(pause)
    Self.publish(
      core, LTP_STATE_UNSTABLE, LTP_SIGNAL_DB_WRITE_LATENCY, 6_200_000, "DB Write Latency > 5000ms")
    var tickets: [UInt64] = []
    for index in 0..<UInt64(orders) {
      if pause > 0 { usleep(pause / useconds_t(orders)) }
      let (verdict, kept) = try Self.ask(lane, Self.orderCreate, frame: Self.firstFrame + index)
      try #require(verdict.verdict == LTP_VERDICT_DEFER && kept.result == LTP_KEPT_NEW)
      tickets.append(kept.ticket)
      if index % 3 == 0 { try Self.ask(lane, Self.read, frame: 9000 + index) }
    }
    // The first sender refreshes.
    try Self.ask(lane, Self.orderCreate, frame: Self.firstFrame)
    (replayed, cancelled, expired, abandoned) = (tickets[0], tickets[1], tickets[2], tickets[3])
    try #require(ltp_intent_end(core, cancelled, LTP_END_CANCELLED) == LTP_OK)
    try #require(ltp_intent_end(core, expired, LTP_END_EXPIRED) == LTP_OK)
    Self.publish(core, LTP_STATE_RECOVERING, LTP_SIGNAL_RECOVERY_COMPLETE, 0, "")
    usleep(pause / 4)
    if endsAll { try replayAll(core, lane, pause: pause) }
    Self.publish(core, LTP_STATE_HEALTHY, LTP_SIGNAL_METRICS_STABILIZED, 0, "")
    for frame in 2562..<UInt64(2580) { try Self.ask(lane, Self.orderCreate, frame: frame) }
    usleep(pause / 4)
    try #require(ltp_lane_close(lane) == LTP_OK)
    try #require(ltp_core_close(core, 10_000_000_000, nil) == LTP_OK)
    return self
  }

  private func replayAll(_ core: OpaquePointer, _ lane: OpaquePointer?, pause: useconds_t) throws {
    var payload = [UInt8](repeating: 0, count: 64)
    var handout = ltp_handout()
    var left = orders - 2
    while left > 0 {
      let status = ltp_intent_begin(lane, &handout, &payload, payload.count)
      if status == LTP_ERROR_NOTHING_DUE || status == LTP_ERROR_BACKPRESSURE {
        usleep(500)
        continue
      }
      try #require(status == LTP_OK)
      if pause > 0 { usleep(pause / useconds_t(4 * orders)) }
      if handout.ticket == abandoned {
        try #require(ltp_intent_abandon(core, handout.ticket, handout.attempt) == LTP_OK)
      } else {
        try #require(ltp_intent_commit(core, handout.ticket, handout.attempt) == LTP_OK)
      }
      left -= 1
    }
  }

  @discardableResult
  private static func ask(
    _ lane: OpaquePointer?, _ actionClass: UInt8, frame: UInt64
  ) throws -> (ltp_verdict, ltp_kept) {
    var asked = request(actionClass, frameID: frame, sessionID: frame + sessionOffset)
    var (verdict, kept) = (ltp_verdict(), ltp_kept())
    let payload = Array("order \(frame)".utf8)
    let status = payload.withUnsafeBytes { bytes in
      var keep = ltp_keep()
      keep.struct_size = UInt32(MemoryLayout<ltp_keep>.size)
      keep.payload = bytes.baseAddress
      keep.payload_bytes = UInt64(bytes.count)
      return ltp_admit_keeping(lane, &asked, MemoryLayout<ltp_route_request>.size, &keep, &verdict, &kept)
    }
    try #require(status == LTP_OK)
    return (verdict, kept)
  }

  private static func publish(
    _ core: OpaquePointer, _ state: UInt8, _ reason: UInt8, _ value: Int64, _ text: String
  ) {
    var transition = ltp_transition()
    transition.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    transition.to = state
    transition.reason = reason
    if value > 0 {
      transition.evidence_count = 1
      transition.evidence.0.signal = reason
      transition.evidence.0.value = value
      transition.evidence.0.threshold = 5_000_000
    }
    withUnsafeMutableBytes(of: &transition.text) { $0.copyBytes(from: text.utf8.prefix($0.count - 1)) }
    #expect(ltp_orientation_publish(core, &transition, nil) == LTP_OK)
  }
}
