// SPDX-License-Identifier: Apache-2.0
// Checks each decision by itself and against the never list, and counts it. The inner loop of `verify`: per
// record one 8-byte load, two table look-ups and one increment; anything unusual leaves the loop.

import CLTP
import LTPRecords
import LTPRules

/// Which of a decision's first 8 bytes can be what a lane writes.
enum DecisionShape {
  /// Verdict and reason go together.
  static func isOutcome(_ outcome: Outcome) -> Bool {
    let (verdict, reason) = (outcome.verdict, outcome.reason)
    guard verdict < LTP_VERDICT_COUNT, reason > LTP_REASON_NONE, reason < LTP_REASON_COUNT else {
      return false
    }
    return (verdict == LTP_VERDICT_EXECUTE) == (reason == LTP_REASON_ADMITTED)
  }

  /// Facts go together: a frame that is malformed, or of another life than its connection's, is not asked for more, and a tenant is told
  /// only of what a limit refused.
  static func isInputs(_ inputs: UInt16) -> Bool {
    guard inputs & ~LTP_INPUTS_ALL == 0 else { return false }
    let gate = gateOf(inputs: inputs)
    let tellsTenant = inputs & LTP_INPUT_TENANT != 0
    let isContinuity =
      switch continuityOf(inputs: inputs) {
      case LTP_CONTINUITY_NOT_ASKED, LTP_CONTINUITY_VALID, LTP_CONTINUITY_STALE, LTP_CONTINUITY_NONE,
        LTP_CONTINUITY_FORGED:
        true
      default: false
      }
    if inputs & LTP_INPUT_OTHER_INCARNATION != 0 { return inputs == LTP_INPUT_OTHER_INCARNATION }
    return isContinuity && gate < LTP_GATE_COUNT
      && (gate == LTP_GATE_NONE ? !tellsTenant : inputs & LTP_INPUT_MALFORMED == 0)
  }

  /// What is wrong with a decision that is not plain, as words; nil when nothing is.
  static func fault(_ record: DecisionWord) -> String? {
    let outcome = record.outcome
    let inputs = record.inputs
    if !isOutcome(outcome) { return "verdict \(outcome.verdict) with reason \(outcome.reason) is no outcome" }
    if !isInputs(inputs) { return "inputs \(inputs) contradict each other" }
    if record.hasOddRetry { return "a bit between retry_after and the shadow's outcome is not zero" }
    if outcome.isExecute, record.gate != LTP_GATE_NONE {
      return "an EXECUTE that a limit refused"
    }
    let shadow = record.shadow
    if shadow.rawValue != 0, !isOutcome(shadow) {
      return "the shadow's verdict \(shadow.rawValue) is no outcome"
    }
    if inputs & LTP_INPUT_MALFORMED != 0, record.actionClass != LTP_CLASS_NONE {
      return "a malformed frame's decision names a class"
    }
    return nil
  }
}

struct CountSink: RecordSink {
  let counts = CountTable()
  /// By outcome, and by inputs: 0 what a lane may write.
  private let oddOutcome: UnsafePointer<UInt8>
  private let oddInputs: UnsafePointer<UInt8>

  /// Made once a process and never written again.
  private struct Tables: @unchecked Sendable {
    static let shared = Tables()

    private let outcome = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    private let inputs = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)

    var oddOutcome: UnsafePointer<UInt8> { UnsafePointer(outcome) }
    var oddInputs: UnsafePointer<UInt8> { UnsafePointer(inputs) }

    private init() {
      for value in UInt8.min...UInt8.max {
        let isOdd = !DecisionShape.isOutcome(Outcome(rawValue: value))
        (outcome + Int(value)).initialize(to: isOdd ? 1 : 0)
      }
      for value in UInt16.min...UInt16.max {
        (inputs + Int(value)).initialize(to: DecisionShape.isInputs(value) ? 0 : 1)
      }
    }
  }

  init() {
    oddOutcome = Tables.shared.oddOutcome
    oddInputs = Tables.shared.oddInputs
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let state = context.word.state
    let row = counts.row(state: state)
    var slot = from
    if let policy = context.policy {
      let required = policy.required + Int(state) * RecordedPolicy.columns
      while slot < to {
        let stopped = count(body, &slot, to, row, required)
        if stopped == .end { break }
        judge(body, slot - 1, required, context, log)
        if stopped == .followed { break }
      }
    } else {
      // Without the policy only what holds for every class can be checked.
      let mildest = NeverRule(state: state, attributes: LTP_CLASS_RECOVERY | LTP_CLASS_STATELESS)
      let need = mildest.demand == .continuity ? LTP_CONTINUITY_VALID : 0
      withUnsafeTemporaryAllocation(of: UInt16.self, capacity: RecordedPolicy.columns) { required in
        required.initialize(repeating: need)
        while slot < to {
          let stopped = count(body, &slot, to, row, required.baseAddress!)
          if stopped == .end { break }
          judge(body, slot - 1, required.baseAddress!, context, log)
          if stopped == .followed { break }
        }
      }
      log.totals.withoutPolicy += UInt64(slot - from)
    }
    return slot - from
  }

  private enum Stop { case end, odd, followed }

  /// Counts decisions until something else comes, or one that is odd or followed by records of its own, which is the last one counted.
  @inline(__always)
  private func count(
    _ body: UnsafeRawPointer, _ slot: inout Int, _ to: Int, _ row: UnsafeMutablePointer<UInt64>,
    _ required: UnsafePointer<UInt16>
  ) -> Stop {
    var next = body + slot * Int(LTP_SLOT_BYTES)
    let end = body + to * Int(LTP_SLOT_BYTES)
    var stop = Stop.end
    while next < end {
      guard let word = DecisionWord(RecordView(next)) else { break }
      next += Int(LTP_SLOT_BYTES)
      let outcome = Int(word.outcome.rawValue)
      let inputs = word.inputs
      let column = word.column
      row[column &* CountTable.outcomeCount &+ outcome] &+= 1
      let executes: UInt16 = word.outcome.isExecute ? 0xFFFF : 0
      let odd =
        UInt16(oddOutcome[outcome] | oddInputs[Int(inputs)] | word.shadow.rawValue)
        | (required[column] & ~inputs & executes)
        | (inputs & (LTP_INPUT_REPLAY | LTP_INPUT_TENANT | LTP_INPUT_MALFORMED))
        | (UInt16(word.gate) & executes) | (word.hasOddRetry ? 1 : 0)
      if odd != 0 {
        stop = word.hasFollowers ? .followed : .odd
        break
      }
    }
    slot = (next - body) / Int(LTP_SLOT_BYTES)
    return stop
  }

  /// A decision that left the loop: names what is wrong with it, if anything is.
  @inline(never)
  private func judge(
    _ body: UnsafeRawPointer, _ slot: Int, _ required: UnsafePointer<UInt16>,
    _ context: borrowing RecordContext, _ log: LogState
  ) {
    guard let record = DecisionWord(RecordView(body, slot: slot)) else { return }
    if let fault = DecisionShape.fault(record) {
      log.findings.add(.record, at: context.place(slot: slot), fault)
    }
    guard record.outcome.isExecute else { return }
    guard required[record.column] & ~record.inputs != 0 else { return }
    let name = context.policy?.name(record.actionClass) ?? className(record.actionClass)
    let rule =
      switch context.word.state {
      case LTP_STATE_FAILED: "never list, 1: a critical action was EXECUTEd while FAILED"
      case LTP_STATE_RECOVERING:
        "never list, 2: an action was EXECUTEd while RECOVERING without valid continuity"
      default: "never list, 3: an action that is not of recovery was EXECUTEd in UNKNOWN"
      }
    log.findings.add(
      .never, at: context.place(slot: slot), "\(rule) (class \(name), epoch \(context.word.epoch))")
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {}
}
