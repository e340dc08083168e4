// SPDX-License-Identifier: Apache-2.0
// What `summary` keeps while a trace goes by: counts, the last transitions, and the classes' names.

import CLTP
import LTPRecords
import LTPRules

struct SummarySink: RecordSink {
  var counting = CountSink()
  let transitionsMax: Int
  /// The last ones are the last `transitionsMax` of these.
  private var kept: [TransitionView] = []
  private(set) var classNames: [String]
  private let refusals = RefusalTable()

  init(transitionsMax: Int) {
    self.transitionsMax = transitionsMax
    classNames = (0..<PolicyTable.classCount).map { className(UInt8($0)) } + ["(unknown)", "(malformed)"]
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = counting.decisions(body, from: from, to: to, context: context, log: log)
    for slot in from..<from + count {
      guard let word = DecisionWord(RecordView(body, slot: slot)), word.gate != LTP_GATE_NONE else {
        continue
      }
      refusals.add(word, state: context.word.state)
    }
    return count
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    if kind == .policy,
      let policy = log.shelf.policy(generation: record.policy.pointee.policy_generation)
    {
      for column in 0..<PolicyTable.classCount {
        let name = policy.name(UInt8(column))
        // A class keeps its name in the counts when a later policy drops it.
        if name != className(UInt8(column)) { classNames[column] = name }
      }
    }
    guard kind == .transition, transitionsMax > 0, !record.transition.isRepeated else { return }
    let time = context.transitionTime(record.transition)
    if kept.count == 2 * transitionsMax { kept.removeFirst(transitionsMax) }
    kept.append(TransitionView(record.transition, unixNanoseconds: time, texts: log.texts))
  }

  var transitions: [TransitionView] { kept.suffix(transitionsMax) }

  /// The counters that are not zero, by state, class, verdict, reason, and the limit that refused.
  var counters: [SummaryReport.Counter] {
    var counters: [SummaryReport.Counter] = []
    for state in 0..<PolicyTable.stateCount {
      for column in 0..<CountTable.columns {
        for outcome in 0..<CountTable.outcomeCount {
          var count = counting.counts.count(state: state, column: column, outcome: outcome)
          guard count > 0 else { continue }
          let words = Outcome(rawValue: UInt8(outcome))
          func add(_ count: UInt64, limit: String?) {
            counters.append(
              SummaryReport.Counter(
                state: "\(stateName(UInt8(state)))", actionClass: classNames[column],
                verdict: "\(verdictName(words.verdict))",
                reason: "\(reasonName(words.reason))",
                limit: limit, count: count))
          }
          for gate in 1..<UInt8(LTP_GATE_COUNT) {
            let refused = refusals.count(state: state, column: column, outcome: outcome, gate: gate)
            if refused > 0 { add(refused, limit: "\(ShowLine.limitName(gate))") }
            count -= min(refused, count)
          }
          if count > 0 { add(count, limit: nil) }
        }
      }
    }
    return counters
  }
}

/// Decisions that a limit refused, by state, class, outcome and limit.
private final class RefusalTable {
  private static let gates = Int(LTP_GATE_COUNT)
  private static let total = PolicyTable.stateCount * CountTable.columns * CountTable.outcomeCount * gates
  private let counts: UnsafeMutablePointer<UInt64>

  init() { counts = allocateZeroed(Self.total * 8).bindMemory(to: UInt64.self, capacity: Self.total) }

  deinit { releaseZeroed(counts) }

  private func place(_ state: Int, _ column: Int, _ outcome: Int, _ gate: UInt8) -> Int {
    ((state * CountTable.columns + column) * CountTable.outcomeCount + outcome) * Self.gates + Int(gate)
  }

  /// What a lane cannot have written is not counted.
  func add(_ word: DecisionWord, state: UInt8) {
    guard state < LTP_STATE_COUNT, word.gate < LTP_GATE_COUNT else { return }
    counts[place(Int(state), word.column, Int(word.outcome.rawValue), word.gate)] += 1
  }

  func count(state: Int, column: Int, outcome: Int, gate: UInt8) -> UInt64 {
    counts[place(state, column, outcome, gate)]
  }
}

public struct SummaryReport: Sendable {
  public struct Counter: Sendable, Equatable, Encodable {
    public var state: String
    public var actionClass: String
    public var verdict: String
    public var reason: String
    /// The limit that refused what the table would have let in; nil: none did.
    public var limit: String?
    public var count: UInt64
  }

  public var inspection: InspectReport
  /// The last ones; `inspection.totals.transitions` says how many there are.
  public var transitions: [TransitionView]
  public var counters: [Counter]
}

extension Inspector {
  public static let transitionsMax = 100_000

  /// What happened, with as much of a damaged trace as can be made out.
  public func summary(transitionsMax: Int = 50) throws(InspectFailure) -> SummaryReport {
    let kept = min(max(0, transitionsMax), Self.transitionsMax)
    let (report, sink) = try run(SummarySink(transitionsMax: kept), salvages: true)
    return SummaryReport(inspection: report, transitions: sink.transitions, counters: sink.counters)
  }
}
