// SPDX-License-Identifier: Apache-2.0
// Checks each decision by itself and against the never list, and counts it. The inner loop of `verify`: per
// record one 8-byte load, two table look-ups and one increment; anything unusual leaves the loop.

import CLTP
import LTPAdmission
import LTPRecords

/// Which of a decision's first 8 bytes can be what a lane writes.
enum DecisionShape {
  /// Verdict and reason go together: index verdict << 5 | reason.
  static func isOutcome(_ verdict: UInt8, _ reason: UInt8) -> Bool {
    guard verdict < LTP_VERDICT_COUNT, reason > LTP_REASON_NONE, reason < LTP_REASON_COUNT else {
      return false
    }
    return (verdict == LTP_VERDICT_EXECUTE) == (reason == LTP_REASON_ADMITTED)
  }

  /// Facts go together: a token that is valid has been checked.
  static func isInputs(_ inputs: UInt8) -> Bool {
    let valid = inputs & LTP_INPUT_CONTINUITY_VALID != 0
    let checked = inputs & LTP_INPUT_CONTINUITY_CHECKED != 0
    let gate = inputs >> LTP_INPUT_GATE_SHIFT
    let malformed = inputs & LTP_INPUT_MALFORMED != 0
    return gate < LTP_GATE_COUNT && (gate == LTP_GATE_NONE || !malformed) && (checked || !valid)
  }

  /// What is wrong with a decision that is not plain, as words; nil when nothing is.
  static func fault(_ record: DecisionWord) -> String? {
    let verdict = record.verdict
    let reason = record.reason
    let inputs = record.inputs
    if !isOutcome(verdict, reason) { return "verdict \(verdict) with reason \(reason) is no outcome" }
    if !isInputs(inputs) { return "inputs \(inputs) contradict each other" }
    if verdict == LTP_VERDICT_EXECUTE, record.gate != LTP_GATE_NONE {
      return "an EXECUTE that a limit refused"
    }
    let shadow = record.shadow
    if shadow.rawValue != 0, !isOutcome(shadow.verdict, shadow.reason) {
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
  /// By verdict << 5 | reason, and inputs: 0 what a lane may write.
  private let oddOutcome: UnsafeMutablePointer<UInt8>
  private let oddInputs: UnsafeMutablePointer<UInt8>
  private let tables: Tables

  /// Frees the tables with the last copy of the sink.
  private final class Tables {
    let outcome = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    let inputs = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)

    init() {
      for value in 0..<256 {
        let byte = UInt8(value)
        (outcome + value).initialize(to: DecisionShape.isOutcome(byte >> 5, byte & 0x1F) ? 0 : 1)
        (inputs + value).initialize(to: DecisionShape.isInputs(byte) ? 0 : 1)
      }
    }

    deinit {
      outcome.deallocate()
      inputs.deallocate()
    }
  }

  init() {
    tables = Tables()
    oddOutcome = tables.outcome
    oddInputs = tables.inputs
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
        if stopped == .replay { break }
      }
    } else {
      // Without the policy only what holds for every class can be checked.
      let need = state == LTP_STATE_RECOVERING ? LTP_INPUT_CONTINUITY_VALID : 0
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: RecordedPolicy.columns) { required in
        required.initialize(repeating: need)
        while slot < to {
          let stopped = count(body, &slot, to, row, required.baseAddress!)
          if stopped == .end { break }
          judge(body, slot - 1, required.baseAddress!, context, log)
          if stopped == .replay { break }
        }
      }
      log.totals.withoutPolicy += UInt64(slot - from)
    }
    return slot - from
  }

  private enum Stop { case end, odd, replay }

  /// Counts decisions until something else comes, or one that is odd or replayed, which is the last one counted.
  @inline(__always)
  private func count(
    _ body: UnsafeRawPointer, _ slot: inout Int, _ to: Int, _ row: UnsafeMutablePointer<UInt64>,
    _ required: UnsafePointer<UInt8>
  ) -> Stop {
    var next = body + slot * Int(LTP_SLOT_BYTES)
    let end = body + to * Int(LTP_SLOT_BYTES)
    var stop = Stop.end
    while next < end {
      guard let word = DecisionWord(RecordView(next)) else { break }
      next += Int(LTP_SLOT_BYTES)
      let verdict = word.verdict
      let reason = word.reason
      let inputs = word.inputs
      let column = word.column
      let outcome = Int(verdict & 3) << 5 | Int(reason & 0x1F)
      row[column &* CountTable.outcomeCount &+ outcome] &+= 1
      let executes: UInt8 = verdict == LTP_VERDICT_EXECUTE ? 0xFF : 0
      let odd =
        (verdict & ~3) | (reason & ~0x1F) | oddOutcome[outcome] | oddInputs[Int(inputs)]
        | word.shadow.rawValue | (required[column] & ~inputs & executes)
        | (inputs & (LTP_INPUT_REPLAY | LTP_INPUT_MALFORMED))
        | (word.gate & executes)
      if odd != 0 {
        stop = word.isReplay ? .replay : .odd
        break
      }
    }
    slot = (next - body) / Int(LTP_SLOT_BYTES)
    return stop
  }

  /// A decision that left the loop: names what is wrong with it, if anything is.
  @inline(never)
  private func judge(
    _ body: UnsafeRawPointer, _ slot: Int, _ required: UnsafePointer<UInt8>,
    _ context: borrowing RecordContext, _ log: LogState
  ) {
    guard let record = DecisionWord(RecordView(body, slot: slot)) else { return }
    if let fault = DecisionShape.fault(record) {
      log.findings.add(.record, at: context.place(slot: slot), fault)
    }
    guard record.verdict == LTP_VERDICT_EXECUTE else { return }
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
