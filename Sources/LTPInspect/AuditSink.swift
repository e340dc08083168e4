// SPDX-License-Identifier: Apache-2.0
// The regulator's view while a trace goes by: all that `violations` checks, and beside it that nothing risky ran in an outage unless the policy in
// force says so, and that each DEFER of a run that keeps intents kept one.

import CLTP
import LTPRecords
import LTPRules

/// What was decided while the service was UNSTABLE or FAILED, or the request's domain in an outage of its own.
public struct SafeModeTotals: Sendable, Encodable {
  public var executed: UInt64 = 0
  public var deferred: UInt64 = 0
  public var denied: UInt64 = 0
  /// EXECUTEs of critical or mutating classes that the policy's own rule lets in.
  public var riskyByRule: UInt64 = 0
  /// The same, and no rule lets them in: must be 0.
  public var riskyAgainstRule: UInt64 = 0
  /// EXECUTEs whose policy has left the trace with older segments.
  public var withoutPolicy: UInt64 = 0
}

struct AuditSink: RecordSink {
  private static let riskyAttributes = LTP_CLASS_CRITICAL | LTP_CLASS_MUTATING

  var violations = ViolationsSink()
  private(set) var picture = PictureSink()
  private(set) var policies = PolicySink(generation: nil, isShadow: false)
  private(set) var safeMode = SafeModeTotals()
  /// By outcome.
  private(set) var counts = [UInt64](repeating: 0, count: Outcome.count)

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = violations.decisions(body, from: from, to: to, context: context, log: log)
    let isOutage = context.word.state == LTP_STATE_UNSTABLE || context.word.state == LTP_STATE_FAILED
    for slot in from..<from + count {
      let record = RecordView(body, slot: slot)
      guard let decision = DecisionWord(record) else { continue }
      picture.decision(record.decision, at: context.unixNanoseconds(record.decision.pointee.time_us))
      if Int(decision.outcome.rawValue) < counts.count { counts[Int(decision.outcome.rawValue)] += 1 }
      if isOutage || context.isInOutage(decision) { checkSafeMode(decision, slot, context, log) }
      if decision.outcome.verdict == LTP_VERDICT_DEFER, decision.inputs & LTP_INPUT_KEPT == 0,
        log.deferral.isKeeping
      {
        log.deferral.applyUnkept()
        log.findings.add(
          .deferral, at: context.place(slot: slot),
          "answered with DEFER, and no intent was kept, in a run that keeps intents")
      }
    }
    return count
  }

  private mutating func checkSafeMode(
    _ decision: DecisionWord, _ slot: Int, _ context: borrowing RecordContext, _ log: LogState
  ) {
    switch decision.outcome.verdict {
    case LTP_VERDICT_EXECUTE: safeMode.executed += 1
    case LTP_VERDICT_DEFER: safeMode.deferred += 1
    default: safeMode.denied += 1
    }
    guard decision.outcome.isExecute else { return }
    guard let policy = context.policy, policy.refusal == nil else {
      safeMode.withoutPolicy += 1
      return
    }
    let attributes = policy.attributes(decision.actionClass)
    guard attributes & Self.riskyAttributes != 0 else { return }
    let ruled = context.rule(of: decision, in: policy).ruled
    if ruled.isExecute {
      safeMode.riskyByRule += 1
      return
    }
    safeMode.riskyAgainstRule += 1
    let kind = attributes & LTP_CLASS_CRITICAL != 0 ? "critical" : "mutating"
    log.findings.add(
      .outage, at: context.place(slot: slot),
      "a \(kind) action (class \(policy.name(decision.actionClass))) was EXECUTEd while "
        + (context.isInOutage(decision) ? "its domain was in an outage" : "\(stateName(context.word.state))")
        + ", and policy "
        + "\(policy.generation) says \(ShowLine.describe(ruled))")
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    violations.record(kind, record, slot: slot, context: context, log: log)
    picture.record(kind, record, context: context, log: log)
    policies.record(kind, record, slot: slot, context: context, log: log)
  }
}
