// SPDX-License-Identifier: Apache-2.0
// Kept intents through the Swift API, and what the three readers make of their trace: also of one that somebody has changed and sealed again.

import CLTP
import Foundation
import LTP
import LTPTestSupport
import Testing

@testable import LTPInspect
@testable import LTPRecords

@Suite("Kept intents", .guarded)
struct DeferralTests {
  private let directory = TemporaryDirectory()
  private let orderCreate: UInt8 = 25

  private func core() throws -> Core {
    var options = Core.Options(traceDirectory: directory.path)
    options.deferral = ltp_deferral_options()
    return try Core(options)
  }

  /// Twelve orders in an outage, of which two are sent again; all carried out after it, but for one that is given up.
  private func flicker() throws {
    let core = try core()
    do {
      var lane = try core.openLane()
      try core.publish(Transition(to: .healthy, because: .metricsStabilized))
      let early = try lane.admit(order(1, session: 1), keeping: Keep(payload: [1]))
      #expect(early.0.isExecute && early.1.ticket == nil && !early.1.isPending)
      try core.publish(
        Transition(
          to: .unstable, because: .dbWriteLatency,
          evidence: [Evidence(.dbWriteLatency, value: 5200, threshold: 5000)],
          text: "DB Write Latency > 5000ms"))
      var last: Kept?
      for number in 2...13 as ClosedRange<UInt64> {
        let (verdict, kept) = try lane.admit(
          order(number, session: 1 + number % 3), keeping: Keep(payload: [UInt8(number)]))
        #expect(verdict.decision == .defer && kept.isPending && kept.ticket != nil)
        #expect(kept.commitment == "Will retry when state == STABLE")
        last = kept
      }
      for number in [4, 7] as [UInt64] {
        let (verdict, _) = try lane.admit(
          order(number, session: 1 + number % 3), keeping: Keep(payload: [UInt8(number)]))
        #expect(verdict.decision == .defer && verdict.reason == .intentPending)
      }
      let kept = try #require(last)
      try core.waitDurable(kept)
      let isDurable = try core.isDurable(kept)
      #expect(isDurable)
      let none = try lane.beginIntent()
      #expect(none == nil)
      try core.publish(Transition(to: .healthy, because: .recoveryComplete))
      var seen: [UInt64: UInt64] = [:]
      var count = 0
      while try core.deferralStatus().pending > 0 {
        count += try lane.carryOut { handout in
          let request = handout.request
          #expect(
            handout.payload == [UInt8(request.frame_id)] && !handout.mayHaveHappened && handout.attempt == 1)
          // In the order in which each session sent them.
          #expect(seen[request.session_id, default: 0] < request.frame_id)
          seen[request.session_id] = request.frame_id
          return request.frame_id == 13 ? .givenUp : .done
        }
      }
      #expect(count == 12)
      let (again, known) = try lane.admit(order(5, session: 3), keeping: Keep(payload: [5]))
      #expect(again.reason == .alreadyReplayed && known.end == .carriedOut)
      let (ended, gone) = try lane.admit(order(13, session: 2), keeping: Keep(payload: [13]))
      #expect(ended.reason == .intentEnded && gone.end == .abandoned)
      let all = try core.intents()
      #expect(all.count == 12)
    }
    try core.close()
  }

  private func order(_ id: UInt64, session: UInt64) -> RouteRequest {
    RouteRequest(id: id, session: session, actionClass: orderCreate)
  }

  @Test("deferred, replayed in order, ended; and the trace says so to three readers")
  func threeReaders() throws {
    try flicker()
    let audit = try Inspector(directory.path).audit()
    #expect(audit.passes, "\(audit.failures.map(\.text))")
    #expect(audit.deferral.kept == 12 && audit.deferral.committed == 11 && audit.deferral.abandoned == 1)
    #expect(audit.deferral.pending == 0 && audit.deferral.sentAgain == 4 && audit.unended == 0)
    #expect(audit.safeMode.riskyByRule == 0 && audit.safeMode.deferred == 14)
    let phases = try Inspector(directory.path).timeline().phases
    #expect(phases.map(\.state) == ["UNKNOWN", "HEALTHY", "UNSTABLE", "UNSTABLE", "HEALTHY"])
    #expect(phases[2].transition?.text == "DB Write Latency > 5000ms")
    #expect(phases[3].frames?.first == "2" && phases[3].frames?.last == "13")
    #expect(phases[4].examples.contains { $0.originalFrame == "2" })
    #expect(phases[4].counts.contains { $0.isReplay && $0.count == 12 })
    let figures = try Inspector(directory.path).outcome().figures
    #expect(figures.kept == 12 && figures.committed == 11 && figures.abandoned == 1 && figures.lost == 0)
  }

  @Test("a DEFER that is made an EXECUTE, and sealed again, is found by its frame")
  func flippedVerdict() throws {
    try flicker()
    let forged = try forge { record, kind in
      guard kind == LTP_RECORD_DECISION else { return true }
      record.withMemoryRebound(to: ltp_decision_record.self, capacity: 1) { decision in
        guard decision.pointee.frame_id == 6 else { return }
        decision.pointee.outcome = Outcome(verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED).rawValue
        decision.pointee.retry_and_shadow = 0
      }
      return true
    }
    let audit = try Inspector(forged.path).audit()
    #expect(!audit.passes)
    #expect(audit.first?.frame == "6", "\(audit.failures.map(\.text))")
  }

  @Test("an end that is taken out, and sealed again, is found by its frame")
  func missingEnd() throws {
    try flicker()
    var isTaken = false
    let forged = try forge { record, kind in
      guard kind == LTP_RECORD_STEP, !isTaken else { return true }
      let isEnd = record.withMemoryRebound(to: ltp_step_record.self, capacity: 1) {
        $0.pointee.step == LTP_STEP_COMMITTED
      }
      isTaken = isEnd
      return !isEnd
    }
    #expect(isTaken)
    let audit = try Inspector(forged.path).audit()
    #expect(!audit.passes && audit.unended == 1)
    #expect(audit.first?.frame == "2" && audit.first?.session == "3")
    let isNoticed = audit.inspection.violations.contains { $0.kind == .deferral }
    #expect(isNoticed, "the counts and the deferral log's sequence say so, too")
  }

  @Test("a token of another run, a wrong key, and a core that keeps nothing are errors")
  func errors() throws {
    let core = try core()
    do {
      var lane = try core.openLane()
      #expect(throws: LTPError.self) {
        _ = try lane.admit(order(1, session: 1), keeping: Keep(payload: [1], key: [1, 2]))
      }
      #expect(throws: LTPError.self) { _ = try lane.admit(order(1, session: 1), keeping: Keep(payload: [])) }
    }
    let unknown = try core.intent(1 << 30)
    #expect(unknown == nil)
    #expect(throws: LTPError.self) { try core.endIntent(1 << 30) }
    try core.close()
  }

  /// The trace with each record as `keep` leaves it, or without it, every block sealed again.
  private func forge(_ keep: (UnsafeMutableRawPointer, UInt8) -> Bool) throws -> TemporaryDirectory {
    let forged = TemporaryDirectory()
    var previous = Digest()
    var controlSequence: UInt64 = 0
    var goneBlocks: UInt64 = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    where name.hasSuffix(".ltp") && !name.hasPrefix("deferred") {
      var bytes = [UInt8](try #require(FileManager.default.contents(atPath: "\(directory.path)/\(name)")))
      var out: [UInt8] = []
      bytes.withUnsafeMutableBytes { segment in
        var offset = 0
        while offset + Int(LTP_BLOCK_HEADER_BYTES) <= segment.count {
          let block = segment.baseAddress! + offset
          guard block.load(as: UInt64.self) == LTP_BLOCK_MAGIC else { break }
          let header = BlockHeader(block)
          let size = Int(header.sizeBytes)
          let slots = filter(block + Int(LTP_BLOCK_HEADER_BYTES), header.slotCount, header.laneID == 0, keep)
          offset += size
          // It held nothing else.
          guard slots > 0 else {
            goneBlocks += 1
            continue
          }
          let isControl = header.laneID == LTP_CONTROL_LANE
          let blockIndex = header.blockIndex - goneBlocks
          let seal = BlockSeal(
            logID: header.logID, laneID: header.laneID, blockIndex: blockIndex,
            segmentIndex: header.segmentIndex,
            firstSequence: isControl ? controlSequence : header.firstSequence, slotCount: slots,
            baseMonotonicNanoseconds: header.baseMonotonicNanoseconds,
            baseUnixNanoseconds: header.baseUnixNanoseconds, orientationWord: header.orientationWord,
            limitsWord: header.limitsWord, durableBlocks: min(header.durableBlocks, blockIndex),
            previousHash: previous)
          if isControl { controlSequence += UInt64(slots) }
          previous = seal.seal(block)!
          out += UnsafeRawBufferPointer(start: block, count: BlockHeader.sizeBytes(slotCount: slots))
        }
      }
      try Data(out).write(to: URL(fileURLWithPath: "\(forged.path)/\(name)"))
    }
    // It says how many blocks there are.
    if goneBlocks == 0 {
      try FileManager.default.copyItem(
        atPath: "\(directory.path)/durable", toPath: "\(forged.path)/durable")
    }
    return forged
  }

  /// How many slots are left.
  private func filter(
    _ body: UnsafeMutableRawPointer, _ count: Int, _ isControl: Bool,
    _ keep: (UnsafeMutableRawPointer, UInt8) -> Bool
  ) -> Int {
    var (from, to) = (0, 0)
    while from < count {
      let place = body + from * 32
      let kind = place.load(as: UInt8.self)
      let slots = isControl ? RecordKind(rawValue: kind)!.slotCount : 1
      if keep(place, kind) {
        if to != from { memmove(body + to * 32, place, slots * 32) }
        to += slots
      }
      from += slots
    }
    memset(body + to * 32, 0, (count - to) * 32)
    return to
  }
}
