// SPDX-License-Identifier: Apache-2.0
// Traces that a wrong or lying writer hashed: the chain holds, and a record, a count or an order does not.

import CLTP
import LTPRecords
import LTPStorage
import LTPTestSupport
import Testing

@testable import LTPInspect

/// A way to write a wrong trace, and what must be said about it.
struct WrongTrace: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let kind: Violation.Kind
  let words: String
  let build: @Sendable (TraceBuilder) -> Void

  init(
    _ name: String, _ kind: Violation.Kind, _ words: String,
    _ build: @escaping @Sendable (TraceBuilder) -> Void
  ) {
    testDescription = name
    self.kind = kind
    self.words = words
    self.build = build
  }

  /// Builds it on an open log in HEALTHY.
  func report() throws -> InspectReport {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    build(trace)
    trace.write(to: directory)
    return try Inspector(directory.path).verify()
  }
}

private let admitted = (LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED)
private let tokenInputs = LTP_CONTINUITY_VALID
private let refusedTenantInputs =
  LTP_INPUT_TENANT | UInt16(LTP_GATE_TENANT_RATE) << UInt16(LTP_INPUT_GATE_SHIFT)

private func execute(_ actionClass: UInt8, inputs: UInt16 = 0) -> [UInt8] {
  Records.decision(LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, actionClass: actionClass, inputs: inputs)
}

private func changed(_ bytes: [UInt8], at offset: Int, to value: UInt8) -> [UInt8] {
  var bytes = bytes
  bytes[offset] = value
  return bytes
}

@Suite("wrong records in a right chain", .guarded)
struct RecordViolationTests {
  static let never: [WrongTrace] = [
    .init("critical in FAILED", .never, "never list, 1") { trace in
      trace.publish(LTP_STATE_FAILED)
      trace.lane(1, execute(56, inputs: tokenInputs))
    },
    .init("no continuity in RECOVERING", .never, "never list, 2") { trace in
      trace.publish(LTP_STATE_RECOVERING)
      trace.lane(1, execute(8, inputs: LTP_CONTINUITY_NONE))
    },
    .init("an action in UNKNOWN", .never, "never list, 3") { trace in
      trace.publish(LTP_STATE_UNKNOWN)
      trace.lane(1, execute(8))
    },
    .init("critical in FAILED, seen inside a block", .never, "never list, 1") { trace in
      let healthy = trace.word
      trace.publish(LTP_STATE_FAILED)
      trace.block(
        lane: 1,
        execute(56, inputs: tokenInputs) + Records.observed(trace.word, generation: 1)
          + execute(56, inputs: tokenInputs), word: healthy.rawValue)
    },
  ]

  static let records: [WrongTrace] = [
    .init("unknown kind", .record, "kind 15 is not known") { $0.lane(1, changed(execute(8), at: 0, to: 15)) },
    .init("a control record on a lane", .record, "belongs to the control lane") {
      $0.lane(1, Records.closed(decisions: 0, unrecorded: 0))
    },
    .init("a decision on the control lane", .record, "does not belong to the control lane") {
      $0.control(execute(8))
    },
    .init("verdict out of range", .record, "no outcome") {
      $0.lane(1, Records.decision(3, 1, actionClass: 8))
    },
    .init("reason out of range", .record, "no outcome") {
      $0.lane(1, Records.decision(0, UInt8(LTP_REASON_COUNT), actionClass: 8))
    },
    .init("EXECUTE without ADMITTED", .record, "no outcome") {
      $0.lane(1, Records.decision(LTP_VERDICT_EXECUTE, LTP_REASON_RATE_LIMITED, actionClass: 8))
    },
    .init("a limit that there is not", .record, "inputs 28672") {
      $0.lane(1, Records.decision(0, 10, actionClass: 8, inputs: 7 << UInt16(LTP_INPUT_GATE_SHIFT)))
    },
    .init("continuity that is two things at once", .record, "inputs 5") {
      $0.lane(1, Records.decision(0, 4, actionClass: 8, inputs: LTP_CONTINUITY_VALID | LTP_CONTINUITY_NONE))
    },
    .init("an input that there is not", .record, "inputs 2048") {
      $0.lane(1, Records.decision(0, 4, actionClass: 8, inputs: 1 << 11))
    },
    .init("a bit between retry_after and the shadow", .record, "between retry_after") {
      $0.lane(1, Records.decision(0, 4, actionClass: 8, retry: 1 << 23))
    },
    .init("a tenant of what no limit refused", .record, "inputs 64") {
      $0.lane(
        1, Records.decision(0, 4, actionClass: 8, inputs: LTP_INPUT_TENANT), Records.tenant(5, frame: 1))
    },
    .init("a tenant that is announced and not there", .record, "no TENANT record") {
      $0.lane(1, Records.decision(0, 10, actionClass: 8, inputs: refusedTenantInputs), execute(8))
    },
    .init("a tenant of another frame", .record, "another frame") {
      $0.lane(
        1, Records.decision(0, 10, actionClass: 8, inputs: refusedTenantInputs), Records.tenant(5, frame: 9))
    },
    .init("tenant 0", .record, "tenant 0") {
      $0.lane(
        1, Records.decision(0, 10, actionClass: 8, inputs: refusedTenantInputs), Records.tenant(0, frame: 1))
    },
    .init("a tenant that no decision announces", .record, "no decision announces") {
      $0.lane(1, execute(8), Records.tenant(5, frame: 1))
    },
    .init("unrecorded denials for a reason that is recorded", .record, "always recorded") {
      $0.lane(1, changed(Records.unrecorded(3), at: 1, to: LTP_REASON_POLICY_FORBIDS))
    },
    .init("a hello of another continuity epoch", .record, "another continuity epoch") {
      $0.lane(1, Records.hello(session: 5, epoch: $0.word.continuityEpoch + 1))
    },
    .init("a replay of frame 0", .record, "of frame 0") {
      $0.lane(
        1, Records.decision(0, 4, actionClass: 8, inputs: LTP_INPUT_REPLAY),
        Records.replay(original: 0, frame: 1))
    },
    .init("a shadow verdict that cannot be", .record, "shadow") {
      $0.lane(1, Records.decision(0, 4, actionClass: 8, shadow: 255))
    },
    .init("reserved byte of OBSERVED", .record, "reserved byte \(LTP_AT_observed_record_reserved + 2)") {
      $0.lane(
        1, changed(Records.observed($0.word, generation: 1), at: LTP_AT_observed_record_reserved + 2, to: 1))
    },
    .init("reserved byte of OPENED", .record, "reserved byte 100") {
      $0.control(changed(Records.opened(run: 2, nextLane: 5), at: LTP_END_opened_record_reserved - 28, to: 1))
    },
    .init("a replay without its record", .record, "no REPLAY record") {
      $0.lane(1, Records.decision(0, 4, actionClass: 8, inputs: LTP_INPUT_REPLAY), execute(8))
    },
    .init("a replay record of another frame", .record, "another frame") {
      $0.lane(
        1, Records.decision(0, 4, actionClass: 8, inputs: LTP_INPUT_REPLAY),
        Records.replay(original: 1, frame: 5))
    },
    .init("a replay record alone", .record, "without a replayed decision") {
      $0.lane(1, execute(8), Records.replay(original: 1, frame: 1))
    },
    .init("a record of several slots that runs past its block", .record, "are left") {
      $0.control(Array(Records.closed(decisions: 0, unrecorded: 0)[..<32]))
    },
    .init("a slot count that is not the kind's", .record, "has 2 slots") {
      $0.control(
        changed(Records.closed(decisions: 0, unrecorded: 0), at: LTP_AT_control_header_slot_count, to: 3))
    },
    .init("a lane's block before OPENED's lanes", .record, "earlier run") { trace in
      trace.lane(3, trace.decide(8))
      trace.close()
      trace.open()
      trace.lane(3, trace.decide(0))
    },
    .init("a lane's block after CLOSED", .record, "after the run's CLOSED") { trace in
      trace.close()
      trace.lane(1, trace.decide(8))
    },
    .init("a run skipped", .record, "run 3 is opened") { $0.control(Records.opened(run: 3, nextLane: 5)) },
    .init("a segment that begins without SEGMENT", .record, "does not begin with a SEGMENT") { trace in
      trace.rotate()
      trace.seal()
      trace.beginSegmentWithoutPreamble()
      trace.lane(1, trace.decide(8))
    },
    .init("a text without an end", .record, "not ended by zeros") {
      $0.control(
        changed(
          Records.text(id: 1, String(repeating: "x", count: 115)), at: LTP_END_text_record_text - 1, to: 65))
    },
  ]

  static let orders: [WrongTrace] = [
    .init("an epoch skipped", .transition, "not up by one") { trace in
      let skipped = OrientationWord(rawValue: trace.word.rawValue + (2 << 32))
      trace.control(Records.transition(from: trace.word, to: skipped, reason: 14, generation: 1))
    },
    .init("a transition left out", .transition, "starts from") { trace in
      trace.publish(LTP_STATE_DEGRADED, record: false)
      trace.publish(LTP_STATE_HEALTHY)
    },
    .init("a decision before its transition", .transition, "no transition before it") { trace in
      trace.publish(LTP_STATE_DEGRADED, record: false)
      trace.lane(1, trace.decide(8))
    },
    .init("a decision under a word that was never published", .transition, "brought HEALTHY") { trace in
      let forged = OrientationWord(
        state: LTP_STATE_DEGRADED, policySlot: 0, threshold: 0, continuityEpoch: 1, epoch: trace.word.epoch)
      trace.block(lane: 1, execute(8), word: forged.rawValue)
    },
    .init("a lane that goes back", .transition, "goes back") { trace in
      let healthy = trace.word
      trace.publish(LTP_STATE_DEGRADED)
      trace.lane(1, trace.decide(8))
      trace.block(lane: 1, execute(8), word: healthy.rawValue)
    },
    .init("an outage that kept continuity", .transition, "did not advance") { trace in
      let failed = OrientationWord(
        state: LTP_STATE_FAILED, policySlot: 0, threshold: 0, continuityEpoch: trace.word.continuityEpoch,
        epoch: trace.word.epoch + 1)
      trace.control(Records.transition(from: trace.word, to: failed, reason: 14, generation: 1))
    },
    .init("a state out of range", .transition, "does not have") { trace in
      let odd = OrientationWord(rawValue: trace.word.rawValue + (1 << 32) | 0xF)
      trace.control(Records.transition(from: trace.word, to: odd, reason: 14, generation: 1))
    },
    .init("a decision under the closing word", .transition, "state 15") { trace in
      trace.block(lane: 1, execute(8), word: trace.word.rawValue | 0xF)
    },
    .init("malformed evidence", .transition, "evidence 1 is malformed") { trace in
      trace.publish(LTP_STATE_DEGRADED, evidence: [Records.evidence(0, 1, 1)])
    },
    .init("a policy never recorded", .policy, "does not hold") { trace in
      let next = OrientationWord(rawValue: trace.word.rawValue + (1 << 32))
      trace.control(Records.transition(from: trace.word, to: next, reason: 16, generation: 2))
    },
    .init("a policy whose digest differs", .policy, "not the SHA-256") { trace in
      trace.control(
        changed(
          Records.policy(trace.policy, generation: 2, slot: 1), at: LTP_AT_policy_record_digest + 4, to: 0xEE)
      )
    },
    .init("a policy that breaks the never list", .policy, "cannot have been loaded") { trace in
      trace.load(
        Records.defaultPolicy { policy in
          let rules = UnsafeMutableRawPointer(policy) + LTP_AT_policy_rules
          let entry = (Int(LTP_STATE_FAILED) * 128 + 56) * 8
          (rules + entry).storeBytes(of: LTP_VERDICT_EXECUTE, as: UInt8.self)
          (rules + entry + 1).storeBytes(of: LTP_REASON_ADMITTED, as: UInt8.self)
        })
    },
    .init("a generation given to two policies", .policy, "said again") { trace in
      let other = Records.defaultPolicy { $0.pointee.priority_threshold.3 = 3 }
      trace.control(Records.policy(other, generation: 1, slot: 0))
    },
    .init("an observed generation that is not the transition's", .policy, "whose transition brought") {
      trace in
      trace.lane(1, trace.decide(8), Records.observed(trace.word, generation: 9))
    },
    .init("a gap in a lane's sequence", .sequence, "is 5, and after") { trace in
      trace.lane(1, trace.decide(8))
      trace.block(lane: 1, trace.decide(8), word: trace.word.rawValue, firstSequence: 5)
    },
    .init("a lane that does not start at 0", .sequence, "not 0") { trace in
      trace.block(lane: 1, trace.decide(8), word: trace.word.rawValue, firstSequence: 5)
    },
    .init("SEALED counts too much", .count, "blocks in this segment") { trace in
      trace.countError = 1
      trace.seal()
    },
    .init("CLOSED counts too much", .count, "decisions in this run") { trace in
      trace.countError = 1
      trace.close()
    },
    .init("a block after SEALED", .segment, "follows the segment's SEALED") { trace in
      trace.seal()
      trace.lane(1, trace.decide(8))
    },
    .init("a block past the segment's limit", .segment, "past the segment's limit") { trace in
      trace.segmentBytes = 4096 * 8
      trace.rotate()
      for _ in 0..<8 { trace.lane(1, trace.decide(8)) }
    },
  ]

  @Test("the never list is checked on every record", arguments: never)
  func keepsNeverList(_ wrong: WrongTrace) throws { try check(wrong) }

  @Test("records that no lane writes", arguments: records)
  func checksRecords(_ wrong: WrongTrace) throws { try check(wrong) }

  @Test("orders, policies and counts that no writer leaves", arguments: orders)
  func checksOrders(_ wrong: WrongTrace) throws { try check(wrong) }

  private func check(_ wrong: WrongTrace) throws {
    let report = try wrong.report()
    let match = report.violations.first { $0.kind == wrong.kind && $0.message.contains(wrong.words) }
    #expect(match != nil, "\(report.violations.map(\.text))")
  }

  @Test("redecide finds a changed verdict, reason, wait and fact, and names the record")
  func redecide() throws {
    let wrongs: [(String, (TraceBuilder) -> [UInt8])] = [
      ("verdict", { _ in Records.decision(LTP_VERDICT_DENY, LTP_REASON_POLICY_FORBIDS, actionClass: 8) }),
      ("a class admitted below its threshold", { _ in execute(200) }),
      (
        "wait",
        { changed($0.decide(40, token: false), at: LTP_AT_decision_record_retry_and_shadow + 1, to: 0xFF) }
      ),
      ("continuity not looked at", { _ in execute(40) }),
      ("continuity looked at for nothing", { _ in execute(8, inputs: tokenInputs) }),
      (
        "priority",
        {
          changed(
            $0.decide(8), at: LTP_AT_decision_record_outcome,
            to: LTP_VERDICT_DEFER << 6 | LTP_REASON_SYSTEM_UNSTABLE)
        }
      ),
    ]
    for (name, record) in wrongs {
      let directory = TemporaryDirectory()
      let trace = TraceBuilder()
      trace.open()
      trace.publish(LTP_STATE_HEALTHY)
      trace.lane(2, trace.decide(8), trace.decide(8), record(trace), trace.decide(8))
      trace.write(to: directory)
      let report = try Inspector(directory.path).redecide()
      #expect(report.mismatches == 1, "\(name)")
      #expect(report.redecided == 4)
      let violation = try #require(report.inspection.violations.first { $0.kind == .redecide })
      #expect(violation.place.lane == 2 && violation.place.sequence == 2)
      #expect(violation.place.offset == UInt64(trace.blockPlaces.last!.offset + 256 + 64))
    }
  }
}
