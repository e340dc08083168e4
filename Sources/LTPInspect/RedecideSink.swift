// SPDX-License-Identifier: Apache-2.0
// Decides every recorded request again, by the same pure function, from the recorded orientation, policy and
// inputs. Any difference in verdict, reason or retry_after is a violation.

import CLTP
import LTPAdmission

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
    let rules = policy.rules + Int(context.word.state) * RecordedPolicy.columns
    let threshold = context.word.threshold
    var slot = from
    while slot < to {
      let record = body + slot * RecordLayout.slotBytes
      guard let recorded = DecisionWord(record) else { break }
      slot += 1
      let rule = rules[recorded.column]
      let decision = rule.decide(
        threshold: threshold, priority: recorded.priority, inputs: recorded.inputs, sessionID: record.u64(24))
      let same =
        recorded.verdict == decision.outcome.verdict && recorded.reason == decision.outcome.reason
        && record.u32(12) == decision.retryAfterMilliseconds
      if !same || !Self.factsFit(rule, recorded.inputs) {
        mismatches += 1
        report(record, slot - 1, rule, decision, context, log)
      }
      if recorded.isReplay { break }
    }
    redecided += UInt64(slot - from)
    return slot - from
  }

  /// Continuity was looked at exactly when the rule asks for it.
  @inline(__always)
  private static func factsFit(_ rule: CompiledRule, _ inputs: UInt8) -> Bool {
    let checked = inputs & LTP_INPUT_CONTINUITY_CHECKED != 0
    let valid = inputs & LTP_INPUT_CONTINUITY_VALID != 0
    let malformed = inputs & LTP_INPUT_MALFORMED != 0
    return malformed || (checked == rule.needsContinuity && (checked || !valid))
  }

  /// How many decisions follow one another here.
  private static func run(_ body: UnsafeRawPointer, from: Int, to: Int) -> Int {
    var slot = from
    while slot < to {
      let record = body + slot * RecordLayout.slotBytes
      guard record.u8(0) == LTP_RECORD_DECISION else { break }
      slot += 1
      if record.u8(3) & LTP_INPUT_REPLAY != 0 { break }
    }
    return slot - from
  }

  @inline(never)
  private func report(
    _ record: UnsafeRawPointer, _ slot: Int, _ rule: CompiledRule, _ decision: Decision,
    _ context: borrowing RecordContext, _ log: LogState
  ) {
    let place = context.place(slot: slot)
    guard Self.factsFit(rule, record.u8(3)) else {
      log.findings.add(
        .redecide, at: place,
        "inputs \(record.u8(3)): continuity \(rule.needsContinuity ? "must" : "must not") be checked for class "
          + "\(context.policy?.name(record.u16(4)) ?? className(record.u16(4))) in "
          + "\(stateName(context.word.state))")
      return
    }
    log.findings.add(
      .redecide, at: place,
      "recorded \(verdictName(record.u8(1))) \(reasonName(record.u8(2))) retry \(record.u32(12)) ms, decided "
        + "again \(verdictName(decision.outcome.verdict)) \(reasonName(decision.outcome.reason)) retry "
        + "\(decision.retryAfterMilliseconds) ms (frame \(record.u64(16)), epoch \(context.word.epoch), policy "
        + "\(context.policy?.generation ?? 0))")
  }

  mutating func record(
    _ kind: UInt8, _ record: UnsafeRawPointer, slot: Int, context: borrowing RecordContext, log: LogState
  ) {}
}
