// SPDX-License-Identifier: Apache-2.0
// Retention beside an intent that waits for long: what readers make of a trace whose first segments have left, and of one that somebody has
// forged.

import CLTP
import CLTPSystem
import Foundation
import LTPLibrary
import LTPTestSupport
import Testing

@testable import LTPInspect
@testable import LTPRecords

/// A service that keeps one order, gives it back for an hour, and decides on.
private final class StuckService {
  static let frame: UInt64 = 77
  static let session: UInt64 = 8
  /// With its payload a record of 6 slots, as two copies of ended intents have: the sequence alone does not miss it.
  static let payload = Array("an order that is 32 bytes long..".utf8)

  let path: String
  let core: OpaquePointer
  private let lane: OpaquePointer
  private(set) var ticket: UInt64 = 0
  private var lastFrame: UInt64

  /// `run`: so that its frames are no other run's.
  init(_ path: String, retained: UInt32 = 3, run: UInt64 = 1) throws {
    lastFrame = run << 24
    var options = ltp_core_options()
    try #require(ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size) == LTP_OK)
    options.segment_bytes = 512 << 10
    options.block_bytes = 16 << 10
    options.retain_segments = retained
    options.backpressure_wait_ns = 20_000_000_000
    var deferral = ltp_deferral_options()
    deferral.struct_size = UInt32(MemoryLayout<ltp_deferral_options>.size)
    deferral.segment_bytes = 512 << 10
    deferral.block_bytes = 64 << 10
    var (opened, first): (OpaquePointer?, OpaquePointer?)
    let status = path.withCString { path in
      options.trace_directory = path
      return withUnsafePointer(to: deferral) {
        options.deferral = $0
        return ltp_core_open(&options, &opened, nil)
      }
    }
    try #require(status == LTP_OK)
    try #require(ltp_lane_open(opened, &first, nil) == LTP_OK)
    (self.path, core, lane) = (path, opened!, first!)
    publish(LTP_STATE_HEALTHY)
  }

  private func publish(_ state: UInt8) {
    var transition = ltp_transition()
    transition.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    transition.to = state
    transition.reason = LTP_SIGNAL_OPERATOR
    #expect(ltp_orientation_publish(core, &transition, nil) == LTP_OK)
  }

  func keep(_ frame: UInt64, session: UInt64, delay: UInt64?) throws {
    publish(LTP_STATE_UNSTABLE)
    var asked = request(FlickerTrace.orderCreate, frameID: frame, sessionID: session)
    var (verdict, kept) = (ltp_verdict(), ltp_kept())
    let status = Self.payload.withUnsafeBytes { bytes in
      var keep = ltp_keep()
      keep.struct_size = UInt32(MemoryLayout<ltp_keep>.size)
      keep.payload = bytes.baseAddress
      keep.payload_bytes = UInt64(bytes.count)
      return ltp_admit_keeping(lane, &asked, MemoryLayout<ltp_route_request>.size, &keep, &verdict, &kept)
    }
    try #require(status == LTP_OK && kept.result == LTP_KEPT_NEW)
    try #require(ltp_kept_wait(core, kept.sequence, 20_000_000_000) == LTP_OK)
    publish(LTP_STATE_HEALTHY)
    let handout = try begin()
    #expect(handout.ticket == kept.ticket)
    if let delay {
      ticket = kept.ticket
      try #require(ltp_intent_release(core, kept.ticket, handout.attempt, delay) == LTP_OK)
    } else {
      try #require(ltp_intent_commit(core, kept.ticket, handout.attempt) == LTP_OK)
    }
  }

  private func begin() throws -> ltp_handout {
    var (handout, status) = (ltp_handout(), LTP_ERROR_NOTHING_DUE)
    var payload = [UInt8](repeating: 0, count: 64)
    for _ in 0..<20_000 where status != LTP_OK {
      status = ltp_intent_begin(lane, &handout, &payload, payload.count)
      if status != LTP_OK { usleep(1000) }
    }
    try #require(status == LTP_OK)
    #expect(Array(payload.prefix(Self.payload.count)) == Self.payload)
    return handout
  }

  func carryOut(_ ticket: UInt64, attempt: UInt16) throws {
    try #require(ltp_intent_hasten(core, ticket) == LTP_OK)
    let handout = try begin()
    #expect(handout.ticket == ticket && handout.attempt == attempt)
    try #require(ltp_intent_commit(core, ticket, handout.attempt) == LTP_OK)
  }

  var segments: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [])
      .filter { $0.hasSuffix(".ltp") && !$0.hasPrefix(LTP_DEFERRAL_PREFIX) }.sorted()
  }

  /// Decides until so many segments have left; other orders come and go.
  func letGo(_ count: UInt64) throws {
    let begun = try #require(UInt64(segments[0].dropLast(4), radix: 16))
    var most = 0
    while try #require(UInt64(segments[0].dropLast(4), radix: 16)) < begun + count, most < 40 {
      for _ in 0..<8000 {
        lastFrame += 1
        var asked = request(FlickerTrace.read, frameID: lastFrame, sessionID: 9)
        _ = ltp_admit(lane, &asked, MemoryLayout<ltp_route_request>.size)
      }
      try keep(lastFrame << 8, session: 5, delay: nil)
      #expect(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 20_000_000_000) == LTP_OK)
      most = max(most, segments.count)
    }
    #expect(most <= 12, "the segments that were there at a time")
  }

  /// Nothing moves any more, so that a copy of the directory is what a kill would leave.
  func settle() throws {
    var status = ltp_deferral_status()
    for _ in 0..<200 {
      #expect(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 20_000_000_000) == LTP_OK)
      #expect(ltp_deferral_status_get(core, &status, MemoryLayout<ltp_deferral_status>.size) == LTP_OK)
      if status.durable == status.sequence { break }
      usleep(1000)
    }
    usleep(200_000)
  }

  func close() throws {
    try #require(ltp_lane_close(lane) == LTP_OK)
    try #require(ltp_core_close(core, 20_000_000_000, nil) == LTP_OK)
  }
}

@Suite("Proofs of pending intents under retention", .guarded)
struct ProofTests {
  /// What every reader says of a trace in which the stuck order waits.
  private func checkPending(_ path: String, _ ticket: UInt64) throws {
    let inspector = Inspector(path)
    let verified = try inspector.verify()
    #expect(verified.violations.map(\.text) == [] && verified.scan.firstSegment > 0)
    #expect(try inspector.redecide().inspection.isGood)
    #expect(try inspector.violations().inspection.isGood)
    let audit = try inspector.audit(allowsPending: true)
    #expect(audit.passes, "\(audit.failures.map(\.text))")
    #expect(try inspector.audit().failureCount == 1, "it has no end yet")
    let figures = try inspector.outcome().figures
    #expect(figures.pending == 1 && figures.lost == 0)
    let waiting = try inspector.intents().waiting
    let intent = try #require(waiting.first)
    #expect(waiting.count == 1 && intent.ticket == "\(ticket)" && intent.attempts == 1)
    #expect(intent.frame == "\(StuckService.frame)" && intent.session == "\(StuckService.session)")
    #expect(intent.keptUnixNanoseconds > 0)
    let story = try #require(try inspector.intent(ticket).story)
    let hash = Digest(of: StuckService.payload, count: StuckService.payload.count)!
    var bytes = [UInt8](repeating: 0, count: 32)
    bytes.withUnsafeMutableBytes { hash.store(to: $0.baseAddress!) }
    #expect(story.intent?.contentHash == bytes.map { String(format: "%02x", $0) }.joined())
    #expect(try inspector.timeline(frame: StuckService.frame).inspection.isGood)
    #expect(try inspector.explain(frame: StuckService.frame).inspection.isGood)
  }

  private func checkEnded(_ path: String) throws {
    let audit = try Inspector(path).audit()
    #expect(audit.passes, "\(audit.failures.map(\.text))")
    #expect(audit.unended == 0 && audit.deferral.pending == 0)
    #expect(audit.deferral.longestWaitNanoseconds > 0)
    let figures = try Inspector(path).outcome().figures
    #expect(figures.lost == 0 && figures.pending == 0)
  }

  @Test(
    "segments leave while an intent waits, every reader knows it, and its end is matched", arguments: [2, 5])
  func stuck(retained: UInt32) throws {
    let directory = TemporaryDirectory()
    let service = try StuckService(directory.path, retained: retained)
    try service.keep(StuckService.frame, session: StuckService.session, delay: 3_600_000)
    try service.letGo(8)
    try service.settle()
    try checkPending(directory.path, service.ticket)
    try service.letGo(2)
    try service.carryOut(service.ticket, attempt: 2)
    try service.close()
    try checkEnded(directory.path)
  }

  @Test("the same after a kill and a new run, of which each lets segments go")
  func killed() throws {
    let (directory, copy) = (TemporaryDirectory(), TemporaryDirectory())
    let service = try StuckService(directory.path)
    try service.keep(StuckService.frame, session: StuckService.session, delay: 3_600_000)
    try service.letGo(5)
    try service.settle()
    for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
      try FileManager.default.copyItem(atPath: "\(directory.path)/\(name)", toPath: "\(copy.path)/\(name)")
    }
    let ticket = service.ticket
    try service.close()
    let next = try StuckService(copy.path, run: 2)
    try next.letGo(6)
    try next.settle()
    try checkPending(copy.path, ticket)
    try next.close()
    let last = try StuckService(copy.path, run: 3)
    try last.letGo(4)
    try last.carryOut(ticket, attempt: 2)
    try last.close()
    try checkEnded(copy.path)
  }

  /// How a forger covers up that the records are gone that tell the order again.
  enum Cover: CaseIterable {
    case none
    /// He takes the claims away, too, that everything was told again.
    case withoutClaims
  }

  @Test(
    "an order that is not told again is missed, though the chain is sealed again", arguments: Cover.allCases)
  func forged(_ cover: Cover) throws {
    let directory = TemporaryDirectory()
    let service = try StuckService(directory.path)
    try service.keep(StuckService.frame, session: StuckService.session, delay: 3_600_000)
    try service.letGo(6)
    try service.carryOut(service.ticket, attempt: 2)
    try service.close()
    try checkEnded(directory.path)
    var removed = 0
    try Resealer.forge(directory) { lane, body in
      guard lane == LTP_CONTROL_LANE else { return }
      for (kind, bytes) in Resealer.controlRecords(body) {
        if kind == LTP_RECORD_INTENT {
          var isOurs = false
          Resealer.edit(&body, at: bytes.lowerBound, as: ltp_intent_record.self) {
            isOurs = $0.ticket == service.ticket
          }
          guard isOurs else { continue }
          // A text in its place, so that nothing else is missing.
          body.replaceSubrange(bytes, with: [UInt8](repeating: 0, count: bytes.count))
          Resealer.edit(&body, at: bytes.lowerBound, as: ltp_text_record.self) {
            $0.header = ltp_control_header(.text)
            $0.text_id = 1
            $0.text.0 = 120
          }
          removed += 1
        } else if kind == LTP_RECORD_DEFERRAL, cover == .withoutClaims {
          Resealer.edit(&body, at: bytes.lowerBound, as: ltp_deferral_record.self) { $0.proof_sequence = 0 }
        }
      }
    }
    #expect(removed > 0)
    let verified = try Inspector(directory.path).verify()
    #expect(
      !verified.isGood && verified.violations.allSatisfy { $0.kind == .deferral }, "\(verified.violations)")
    let message = cover == .none ? "are not" : "does not say that they were told again"
    #expect(
      verified.violations.contains { $0.message.contains(message) }, "\(verified.violations.map(\.text))")
    #expect(try !Inspector(directory.path).audit().passes)
  }
}
