// SPDX-License-Identifier: Apache-2.0
// What `summary` keeps while a trace goes by: counts, the first transitions, and the classes' names.

import CLTP
import LTPAdmission

struct SummarySink: RecordSink {
  var counting = CountSink()
  let transitionsMax: Int
  private(set) var transitions: [TransitionView] = []
  private(set) var classNames: [String]

  init(transitionsMax: Int) {
    self.transitionsMax = transitionsMax
    classNames = (0..<PolicyTable.classCount).map { className(UInt16($0)) } + ["(unknown)", "(malformed)"]
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    counting.decisions(body, from: from, to: to, context: context, log: log)
  }

  mutating func record(
    _ kind: UInt8, _ record: UnsafeRawPointer, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    if kind == LTP_RECORD_POLICY, let policy = log.shelf.policy(generation: record.u32(8)) {
      for column in 0..<PolicyTable.classCount {
        let name = policy.name(UInt16(column))
        // A class keeps its name in the counts when a later policy drops it.
        if name != className(UInt16(column)) { classNames[column] = name }
      }
    }
    guard kind == LTP_RECORD_TRANSITION, transitions.count < transitionsMax,
      record.u8(TransitionLayout.flags) & LTP_TRANSITION_REPEATED == 0
    else { return }
    let time = context.transitionTime(record)
    transitions.append(TransitionView(record, unixNanoseconds: time, texts: log.texts))
  }

  /// The counters that are not zero, by state, class, verdict, reason.
  var counters: [SummaryReport.Counter] {
    var counters: [SummaryReport.Counter] = []
    for state in 0..<PolicyTable.stateCount {
      for column in 0..<CountTable.columns {
        for outcome in 0..<CountTable.outcomeCount {
          let count = counting.counts.count(state: state, column: column, outcome: outcome)
          guard count > 0 else { continue }
          counters.append(
            SummaryReport.Counter(
              state: "\(stateName(UInt8(state)))", actionClass: classNames[column],
              verdict: "\(verdictName(UInt8(outcome >> 5)))", reason: "\(reasonName(UInt8(outcome & 0x1F)))",
              count: count))
        }
      }
    }
    return counters
  }
}

public struct SummaryReport: Sendable {
  public struct Counter: Sendable, Equatable, Encodable {
    public var state: String
    public var actionClass: String
    public var verdict: String
    public var reason: String
    public var count: UInt64
  }

  public var inspection: InspectReport
  /// The first ones; `inspection.totals.transitions` says how many there are.
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
