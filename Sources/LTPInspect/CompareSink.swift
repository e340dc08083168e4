// SPDX-License-Identifier: Apache-2.0
// Every recorded request under another policy: one that is given, by which it is decided once more, or the shadow policy
// that decided beside the recorded one. What it would have changed, before anyone enforces it.

public import CLTP
import LTPRecords

/// A decision that would have come out differently, by what both say.
private struct Change: Hashable {
  var state: UInt8
  var column: UInt8
  /// Of `Outcome`.
  var recorded: UInt8
  var compared: UInt8

  /// Among as frequent ones.
  var order: UInt32 {
    UInt32(state) << 24 | UInt32(column) << 16 | UInt32(recorded) << 8 | UInt32(compared)
  }
}

struct CompareSink: RecordSink {
  /// nil: the recorded shadow's verdicts count.
  let candidate: RecordedPolicy?
  /// Decisions beside which no shadow policy decided.
  private(set) var withoutShadow: UInt64 = 0
  private(set) var same: UInt64 = 0
  private(set) var different: UInt64 = 0
  /// It hangs on a token that the recorded policy did not ask for, so nobody looked at it.
  private(set) var undecided: UInt64 = 0
  private(set) var executedRecorded: UInt64 = 0
  private(set) var executedCompared: UInt64 = 0
  private var changes: [Change: UInt64] = [:]
  private var names: [UInt8: String] = [:]

  init(_ candidate: RecordedPolicy?) { self.candidate = candidate }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    guard let candidate else { return shadowed(body, from: from, to: to, context: context) }
    let threshold = context.threshold(of: candidate)
    var slot = from
    while slot < to {
      let record = RecordView(body, slot: slot)
      guard let word = DecisionWord(record) else { break }
      let sessionID = record.decision.pointee.session_id
      slot += 1
      let recorded = word.outcome
      let rule = context.rule(of: word, in: candidate)
      let threshold = context.threshold(of: word, in: candidate, threshold)
      func decide(_ inputs: UInt16) -> Outcome {
        rule.decide(threshold: threshold, priority: word.priority, inputs: inputs, sessionID: sessionID)
          .outcome
      }
      let compared = decide(word.inputs)
      if rule.needsContinuity, !word.isContinuityAsked, decide(word.inputs | LTP_CONTINUITY_VALID) != compared
      {
        undecided += 1
      } else {
        apply(recorded, compared, column: word.column, context)
      }
      if word.hasFollowers { break }
    }
    return slot - from
  }

  private mutating func shadowed(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext
  ) -> Int {
    var slot = from
    while slot < to, let word = DecisionWord(RecordView(body, slot: slot)) {
      slot += 1
      let recorded = word.outcome
      if word.shadow.rawValue == 0 {
        withoutShadow += 1
      } else {
        // The shadow's limits were not run: what a limit refused, it is taken to refuse as well.
        let isByLimit = word.gate != LTP_GATE_NONE && word.shadow.isExecute
        apply(recorded, isByLimit ? recorded : word.shadow, column: word.column, context)
      }
      if word.hasFollowers { break }
    }
    return slot - from
  }

  private mutating func apply(
    _ recorded: Outcome, _ compared: Outcome, column: Int, _ context: borrowing RecordContext
  ) {
    executedRecorded += recorded.isExecute ? 1 : 0
    executedCompared += compared.isExecute ? 1 : 0
    guard compared != recorded else {
      same += 1
      return
    }
    note(
      Change(
        state: context.word.state, column: UInt8(column), recorded: recorded.rawValue,
        compared: compared.rawValue),
      context)
  }

  private mutating func note(_ change: Change, _ context: borrowing RecordContext) {
    different += 1
    changes[change, default: 0] += 1
    if names[change.column] == nil, let policy = context.policy {
      names[change.column] = policy.name(UInt8(change.column))
    }
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {}

  /// The most frequent first.
  var rows: [CompareReport.Row] {
    changes.sorted { ($0.value, $1.key.order) > ($1.value, $0.key.order) }.map { change, count in
      CompareReport.Row(
        state: "\(stateName(change.state))",
        actionClass: names[change.column] ?? candidate?.name(UInt8(change.column))
          ?? className(UInt8(change.column)),
        recorded: describe(change.recorded), compared: describe(change.compared), count: count)
    }
  }

  private func describe(_ outcome: UInt8) -> String { ShowLine.describe(Outcome(rawValue: outcome)) }
}

public struct CompareReport: Sendable {
  public struct Row: Sendable, Equatable, Encodable {
    public var state: String
    public var actionClass: String
    /// Verdict and reason.
    public var recorded: String
    public var compared: String
    public var count: UInt64
  }

  public var inspection: InspectReport
  public var same: UInt64
  public var different: UInt64
  /// Decisions that hang on a token which the recorded policy did not ask for.
  public var undecided: UInt64
  /// Decisions beside which no shadow policy decided, when the recorded shadow is what is compared.
  public var withoutShadow: UInt64
  /// Of those that could be decided, as the next.
  public var executedRecorded: UInt64
  public var executedCompared: UInt64
  public var rows: [Row]
}

extension Inspector {
  /// What another policy would have decided. `policy` passes its check; nil: what the recorded shadow policy did decide.
  public func compare(_ policy: UnsafePointer<ltp_policy>?) throws(InspectFailure) -> CompareReport {
    // In no trace: it has no number, and its digest is nobody's.
    let candidate = policy.map {
      RecordedPolicy(UnsafeRawPointer($0), generation: 0, slot: 0, digest: Digest(), run: 0)
    }
    let (report, sink) = try run(CompareSink(candidate), salvages: false)
    return CompareReport(
      inspection: report, same: sink.same, different: sink.different, undecided: sink.undecided,
      withoutShadow: sink.withoutShadow, executedRecorded: sink.executedRecorded,
      executedCompared: sink.executedCompared, rows: sink.rows)
  }
}
