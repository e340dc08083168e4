// SPDX-License-Identifier: Apache-2.0
// Decides every recorded request again, by the same pure function, from the recorded orientation, policy and
// inputs. Any difference in verdict, reason or retry_after is a violation.

import CLTP
import LTPRecords
import LTPRules

struct RedecideSink: RecordSink {
  private(set) var redecided: UInt64 = 0
  private(set) var mismatches: UInt64 = 0
  /// Decisions whose policy has left the trace with older segments.
  private(set) var withoutPolicy: UInt64 = 0

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    guard let policy = context.policy, policy.refusal == nil else {
      let count = Self.run(body, from: from, to: to)
      withoutPolicy += UInt64(count)
      return count
    }
    let shadow = ShadowRow(policy, context, isWholeLog: log.run.isWhole)
    var slot = from
    while slot < to {
      let record = RecordView(body, slot: slot)
      guard let recorded = DecisionWord(record) else { break }
      let sessionID = record.decision.pointee.session_id
      slot += 1
      let kept = recorded.inputs & LTP_INPUT_KEPT == 0 ? nil : Self.kept(record.decision, body, slot, to)
      var (decision, same, facts) = Self.decide(recorded, sessionID, kept, isOut: nil, policy, context)
      if context.mayHaveOutages, !same || facts != nil {
        // Then it is as right when its domain was.
        let (_, isSame, others) = Self.decide(recorded, sessionID, kept, isOut: true, policy, context)
        if isSame, others == nil { (same, facts) = (true, nil) }
      }
      if !same || facts != nil || !shadow.fits(recorded, kept, sessionID: sessionID) {
        mismatches += 1
        report(record.decision, slot - 1, facts ?? (same ? .shadow : nil), decision, context, log)
      }
      if recorded.hasFollowers { break }
    }
    redecided += UInt64(slot - from)
    return slot - from
  }

  /// Decides again; whether that is what was recorded, and what the record's facts contradict. `isOut`: whether the request's domain is in
  /// an outage, if that is not for the context to say.
  @inline(__always)
  private static func decide(
    _ recorded: DecisionWord, _ sessionID: UInt64, _ kept: KeptFact?, isOut: Bool?, _ policy: RecordedPolicy,
    _ context: borrowing RecordContext
  ) -> (Decision, Bool, Fault?) {
    let gates = policy.gates[Int(context.word.state) * RecordedPolicy.columns + recorded.column]
    let rule = context.rule(of: recorded, in: policy, isOut: isOut)
    let decision = rule.decide(
      threshold: context.threshold(of: recorded, in: policy, context.word.threshold, isOut: isOut),
      retryFloorMilliseconds: context.limitsWord.retryFloor(under: gates),
      priority: recorded.priority, inputs: recorded.inputs, sessionID: sessionID)
    guard let kept else {
      let same =
        recorded.outcome == decision.outcome && retryFits(recorded, recorded.retryAfterMilliseconds, decision)
      return (decision, same, fault(rule, gates, recorded, decision, context))
    }
    return decide(recorded, sessionID, kept, decision, rule, gates, context)
  }

  /// The same with what the deferral log said.
  @inline(never)
  private static func decide(
    _ recorded: DecisionWord, _ sessionID: UInt64, _ kept: KeptFact, _ decision: Decision,
    _ rule: CompiledRule, _ gates: Gates, _ context: borrowing RecordContext
  ) -> (Decision, Bool, Fault?) {
    let under = rule.under(
      threshold: context.word.threshold,
      retryFloorMilliseconds: context.limitsWord.retryFloor(under: gates))
    guard let told = under.decide(decision, kept: kept, sessionID: sessionID) else {
      return (decision, false, .kept)
    }
    let same = recorded.outcome == told.outcome && retryFits(recorded, recorded.retryAfterMilliseconds, told)
    if kept.isDecidedByLog {
      let isAsked = kept.isBehind ? rule.needsContinuity : false
      return (
        told, same, recorded.isContinuityAsked == isAsked && recorded.gate == LTP_GATE_NONE ? nil : .kept
      )
    }
    return (told, same, fault(rule, gates, recorded, decision, context))
  }

  /// What the KEPT record says that follows the decision before `slot`.
  private static func kept(
    _ decision: UnsafePointer<ltp_decision_record>, _ body: UnsafeRawPointer, _ slot: Int, _ end: Int
  ) -> KeptFact? {
    DecisionFollowers(of: decision.pointee.inputs, body, slot, end).kept.map {
      KeptFact(result: $0.result, end: $0.end, isBehind: $0.behind != 0)
    }
  }

  /// A rate may tell callers to wait longer than the policy does, never shorter.
  @inline(__always)
  private static func retryFits(_ recorded: DecisionWord, _ retry: UInt32, _ decision: Decision) -> Bool {
    let isByRate =
      recorded.gate >= LTP_GATE_CLASS_RATE && recorded.gate <= LTP_GATE_RECOVERING_RATE
      && retry <= UInt32(LTP_RETRY_AFTER_MS_MAX)
    return retry == decision.retryAfterMilliseconds || isByRate && retry > decision.retryAfterMilliseconds
  }

  /// What a record's facts contradict.
  private enum Fault {
    case continuity
    /// A limit that does not concern the class, or that refused what the table does.
    case gate
    /// The level says otherwise.
    case level
    case shadow
    /// The deferral log can have said no such thing.
    case kept
  }

  /// Continuity was looked at exactly when the rule asks for it; a gate refused what passes it, and only that.
  @inline(__always)
  private static func fault(
    _ rule: CompiledRule, _ gates: Gates, _ recorded: DecisionWord, _ decision: Decision,
    _ context: borrowing RecordContext
  ) -> Fault? {
    let inputs = recorded.inputs
    // Nothing else of them was looked at.
    guard inputs & (LTP_INPUT_MALFORMED | LTP_INPUT_OTHER_INCARNATION) == 0 else {
      return recorded.gate == LTP_GATE_NONE ? nil : .gate
    }
    guard recorded.isContinuityAsked == rule.needsContinuity else { return .continuity }
    guard recorded.gate != LTP_GATE_NONE || gates.contains(.shed) else { return nil }
    guard gates.contains(gate: recorded.gate) else { return .gate }
    // The table refused by itself: then its reason is not the gate's.
    let isRefusal = recorded.gate != LTP_GATE_NONE
    guard !isRefusal || decision.outcome.reason == reason(ofGate: recorded.gate) else { return .gate }
    let isBelow = recorded.level < context.limitsWord.shedLevel
    if recorded.gate == LTP_GATE_SHED { return isBelow ? nil : .level }
    return decision.outcome.isExecute && gates.contains(.shed) && isBelow ? .level : nil
  }

  /// A shadow policy's rules for one state.
  private struct ShadowRow {
    private let rules: UnsafeMutablePointer<CompiledRule>?
    private let threshold: UInt8
    /// Nothing can be said of a shadow whose policy does not pass the check.
    private let isUnknown: Bool
    /// A shadow that is not known may have left the trace with older segments.
    private let isWholeLog: Bool

    init(_ policy: RecordedPolicy, _ context: borrowing RecordContext, isWholeLog: Bool) {
      self.isWholeLog = isWholeLog
      let shadow = policy.shadow
      rules = shadow.map { $0.rules + Int(context.word.state) * RecordedPolicy.columns }
      isUnknown = shadow?.refusal != nil
      threshold = shadow.map { context.threshold(of: $0) } ?? 0
    }

    @inline(__always)
    func fits(_ recorded: DecisionWord, _ kept: KeptFact?, sessionID: UInt64) -> Bool {
      // It was not asked.
      if let kept, kept.isDecidedByLog { return recorded.shadow.rawValue == 0 }
      guard let rules else { return recorded.shadow.rawValue == 0 || !isWholeLog }
      let isUndecided = recorded.inputs & (LTP_INPUT_MALFORMED | LTP_INPUT_OTHER_INCARNATION) != 0
      guard !isUnknown, !isUndecided else { return true }
      let rule = rules[recorded.column]
      // Whether the token was good is not in the record, when only the shadow asked.
      guard !rule.needsContinuity || recorded.isContinuityAsked else { return true }
      let inputs = recorded.inputs & (1 << UInt16(LTP_INPUT_GATE_SHIFT) - 1)
      return recorded.shadow
        == rule.decide(
          threshold: threshold, priority: recorded.priority, inputs: inputs, sessionID: sessionID
        )
        .outcome
    }
  }

  /// How many decisions follow one another here.
  private static func run(_ body: UnsafeRawPointer, from: Int, to: Int) -> Int {
    var slot = from
    while slot < to {
      guard let recorded = DecisionWord(RecordView(body, slot: slot)) else { break }
      slot += 1
      if recorded.hasFollowers { break }
    }
    return slot - from
  }

  @inline(never)
  private func report(
    _ record: UnsafePointer<ltp_decision_record>, _ slot: Int, _ fault: Fault?, _ decision: Decision,
    _ context: borrowing RecordContext, _ log: LogState
  ) {
    let place = context.place(slot: slot)
    if let fault {
      let what =
        switch fault {
        case .continuity: "continuity was looked at where the rule does not ask for it, or not where it does"
        case .gate: "a limit refused that does not concern the class, or what the table refuses by itself"
        case .level: "the limits' level \(context.limitsWord.shedLevel) says otherwise"
        case .kept:
          "with that decision the deferral log says no such thing of the intent as the KEPT record has"
        case .shadow: "the shadow policy's verdict \(record.pointee.shadow.rawValue) is not what it decides"
        }
      let name = context.policy?.name(record.pointee.action_class) ?? className(record.pointee.action_class)
      log.findings.add(
        .redecide, at: place,
        "inputs \(record.pointee.inputs), priority \(record.pointee.priority), class \(name) in "
          + "\(stateName(context.word.state)): \(what)")
      return
    }
    log.findings.add(
      .redecide, at: place,
      "recorded \(verdictName(record.pointee.verdict)) \(reasonName(record.pointee.reason)) retry "
        + "\(record.pointee.retryAfterMilliseconds) ms, decided again "
        + "\(verdictName(decision.outcome.verdict)) \(reasonName(decision.outcome.reason)) retry "
        + "\(decision.retryAfterMilliseconds) ms (frame \(record.pointee.frame_id) of session \(record.pointee.session_id), epoch "
        + "\(context.word.epoch), policy "
        + "\(context.policy?.generation ?? 0))")
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {}
}
