// SPDX-License-Identifier: Apache-2.0
// Why one frame was decided as it was, and what became of it later: everything that the trace says of a frame id.

import CLTP
import LTPRecords
import LTPRules

/// One decision, with what it followed from.
public struct Explanation: Sendable, Encodable {
  public var unixNanoseconds: UInt64
  public var place: Place
  /// Decimal.
  public var frame: String
  public var session: String
  public var domain: UInt8
  public var verdict: String
  public var reason: String
  public var retryAfterMilliseconds: UInt32
  public var actionClass: String
  public var priority: UInt8
  /// Of the service, under whose epoch it was decided.
  public var state: String
  public var epoch: UInt64
  /// The request's domain was in an outage of its own.
  public var isDomainInOutage: Bool
  /// What brought the state; nil: it left the trace with older segments.
  public var transition: TransitionView?
  public var policyGeneration: UInt32?
  /// What the policy's table says of the class in that state: verdict and reason.
  public var rule: String?
  public var needsContinuity: Bool?
  /// valid, stale-intent, none, forged; nil: it was not looked at.
  public var continuity: String?
  public var isLate: Bool
  /// The limit that refused; nil: none did.
  public var limit: String?
  /// The first frame, if this one replays it.
  public var replayOf: String?
}

struct ExplainSink: RecordSink {
  static let explanationsMax = 1000
  private static let transitionsMax = 1 << 16

  private let frame: UInt64
  private let session: UInt64?
  private var counting = CountSink()
  private var transitions: [UInt64: TransitionView] = [:]
  private var oldest: [UInt64] = []
  private(set) var found: [Explanation] = []
  /// More than are kept.
  private(set) var count: UInt64 = 0

  init(frame: UInt64, session: UInt64?) {
    self.frame = frame
    self.session = session
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let counted = counting.decisions(body, from: from, to: to, context: context, log: log)
    for slot in from..<from + counted {
      let record = RecordView(body, slot: slot)
      guard let decision = DecisionWord(record) else { continue }
      var original: UInt64?
      if decision.inputs & LTP_INPUT_REPLAY != 0, slot + 1 < to,
        RecordView(body, slot: slot + 1).kind == .replay
      {
        original = RecordView(body, slot: slot + 1).replay.pointee.original_frame_id
      }
      guard record.decision.pointee.frame_id == frame || original == frame,
        session == nil || session == record.decision.pointee.session_id
      else { continue }
      count += 1
      if found.count < Self.explanationsMax {
        found.append(explain(decision, record.decision, slot, original, context, log))
      }
    }
    return counted
  }

  private func explain(
    _ decision: DecisionWord, _ record: UnsafePointer<ltp_decision_record>, _ slot: Int, _ original: UInt64?,
    _ context: borrowing RecordContext, _ log: LogState
  ) -> Explanation {
    let rule = context.policy.map { context.rule(of: decision, in: $0) }
    let epoch = log.epoch(of: context.word) ?? UInt64(context.word.epoch)
    let isMalformed = decision.inputs & LTP_INPUT_MALFORMED != 0
    return Explanation(
      unixNanoseconds: context.unixNanoseconds(record.pointee.time_us), place: context.place(slot: slot),
      frame: "\(record.pointee.frame_id)", session: "\(record.pointee.session_id)", domain: decision.domain,
      verdict: "\(verdictName(decision.outcome.verdict))", reason: "\(reasonName(decision.outcome.reason))",
      retryAfterMilliseconds: decision.retryAfterMilliseconds,
      actionClass: context.policy?.name(decision.actionClass) ?? className(decision.actionClass),
      priority: decision.priority, state: "\(stateName(context.word.state))", epoch: epoch,
      isDomainInOutage: context.isInOutage(decision), transition: transitions[epoch],
      policyGeneration: context.policy?.generation,
      rule: isMalformed ? nil : rule.map { ShowLine.describe($0.ruled) },
      needsContinuity: isMalformed ? nil : rule?.needsContinuity,
      continuity: Self.continuity(decision.inputs),
      isLate: decision.inputs & LTP_INPUT_DEADLINE_EXCEEDED != 0,
      limit: decision.gate == LTP_GATE_NONE ? nil : "\(ShowLine.limitName(decision.gate))",
      replayOf: original.map { "\($0)" })
  }

  private static func continuity(_ inputs: UInt16) -> String? {
    switch continuityOf(inputs: inputs) {
    case LTP_CONTINUITY_VALID: "valid"
    case LTP_CONTINUITY_STALE: "stale-intent"
    case LTP_CONTINUITY_NONE: "none"
    case LTP_CONTINUITY_FORGED: "forged"
    default: nil
    }
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    counting.record(kind, record, slot: slot, context: context, log: log)
    guard kind == .transition else { return }
    let epoch = record.transition.pointee.epoch
    if transitions.updateValue(
      TransitionView(
        record.transition, unixNanoseconds: context.transitionTime(record.transition), texts: log.texts),
      forKey: epoch) == nil
    {
      oldest.append(epoch)
    }
    if oldest.count > 2 * Self.transitionsMax {
      for gone in oldest.prefix(Self.transitionsMax) { transitions[gone] = nil }
      oldest.removeFirst(Self.transitionsMax)
    }
  }
}
