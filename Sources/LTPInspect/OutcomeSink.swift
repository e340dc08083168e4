// SPDX-License-Identifier: Apache-2.0
// The business's view: what came, and what became of all of it.

import CLTP
import LTPRecords

public struct OutcomeReport: Sendable {
  public struct Reason: Sendable, Equatable, Encodable {
    public var reason: String
    public var count: UInt64
  }

  public struct Waits: Sendable, Encodable {
    /// Those that were carried out.
    public var count: UInt64
    /// Right to about 6 percent.
    public var medianSeconds: Double
    public var p99Seconds: Double
    public var longestSeconds: Double
  }

  public struct Figures: Sendable, Encodable {
    /// Clients' requests, those that the trace holds by number only included.
    public var received: UInt64 = 0
    /// At once.
    public var executed: UInt64 = 0
    public var denied: UInt64 = 0
    public var deniedByReason: [Reason] = []
    /// Answered with DEFER.
    public var deferred: UInt64 = 0
    /// Of those, with an intent that was kept durably.
    public var kept: UInt64 = 0
    /// DEFERs of runs that kept no intents: their senders were told to come again.
    public var advised: UInt64 = 0
    /// The same intent once more, before or after its end.
    public var sentAgain: UInt64 = 0
    /// Kept ones that were let in by a second decision.
    public var replayed: UInt64 = 0
    /// Kept ones that were carried out.
    public var committed: UInt64 = 0
    public var pending: UInt64 = 0
    public var expired: UInt64 = 0
    public var attemptsUsedUp: UInt64 = 0
    public var abandoned: UInt64 = 0
    public var cancelled: UInt64 = 0
    /// Deferred, and without an end that anybody could name.
    public var lost: UInt64 = 0
    /// Denied for what is no matter of state or policy, and what was lost.
    public var errors: UInt64 = 0
    /// A process ended before they were on disk; their senders were never told that they were kept.
    public var unacknowledged: UInt64 = 0
    /// Of all that ended, however they did.
    public var longestWaitSeconds: Double = 0
    /// nil: none was carried out.
    public var waits: Waits?
  }

  public var inspection: InspectReport
  public var figures: Figures
  public var picture: TracePicture

  /// Denials that a sender takes for an error: its request was wrong, or the service could not take it whatever its state.
  public static let errorReasons = [
    LTP_REASON_MALFORMED_FRAME, LTP_REASON_UNKNOWN_ACTION_CLASS, LTP_REASON_KEY_REUSED,
    LTP_REASON_DEFER_QUEUE_FULL, LTP_REASON_TRACE_BACKPRESSURE,
  ]
}

struct OutcomeSink: RecordSink {
  private var counting = CountSink()
  private(set) var picture = PictureSink()
  /// By outcome.
  private(set) var counts = [UInt64](repeating: 0, count: Outcome.count)
  private(set) var replayed: UInt64 = 0
  private(set) var advised: UInt64 = 0

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = counting.decisions(body, from: from, to: to, context: context, log: log)
    for slot in from..<from + count {
      let record = RecordView(body, slot: slot).decision
      picture.decision(record, at: context.unixNanoseconds(record.pointee.time_us))
      let outcome = Outcome(rawValue: record.pointee.outcome)
      guard Int(outcome.rawValue) < counts.count else { continue }
      if record.pointee.isCoreReplay {
        replayed += outcome.executeCount
        continue
      }
      counts[Int(outcome.rawValue)] += 1
      guard outcome.verdict == LTP_VERDICT_DEFER, record.pointee.inputs & LTP_INPUT_KEPT == 0 else {
        continue
      }
      if log.deferral.isKeeping { log.deferral.applyUnkept() } else { advised += 1 }
    }
    return count
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    picture.record(kind, record, context: context, log: log)
  }

  func figures(_ log: LogState) -> OutcomeReport.Figures {
    var figures = OutcomeReport.Figures()
    for (place, count) in counts.enumerated() where count > 0 {
      let outcome = Outcome(rawValue: UInt8(place))
      figures.received += count
      switch outcome.verdict {
      case LTP_VERDICT_EXECUTE: figures.executed += count
      case LTP_VERDICT_DEFER: figures.deferred += count
      default: deny(outcome.reason, count, &figures)
      }
    }
    figures.received += log.totals.unrecorded
    if log.totals.unrecorded > 0 { deny(LTP_REASON_TRACE_BACKPRESSURE, log.totals.unrecorded, &figures) }
    figures.deniedByReason.sort { ($0.count, $1.reason) > ($1.count, $0.reason) }
    let totals = log.deferral.totals
    (figures.kept, figures.committed, figures.sentAgain) = (totals.kept, totals.committed, totals.sentAgain)
    (figures.expired, figures.attemptsUsedUp) = (totals.expired, totals.attemptsUsedUp)
    (figures.abandoned, figures.cancelled) = (totals.abandoned, totals.cancelled)
    (figures.replayed, figures.advised) = (replayed, advised)
    figures.pending = log.deferral.pendingTold
    figures.unacknowledged = totals.unacknowledged
    figures.lost = log.deferral.lostCount
    figures.errors += figures.lost
    figures.longestWaitSeconds = Double(totals.longestWaitNanoseconds) / 1e9
    let waits = log.deferral.waits
    if let median = waits.quantile(0.5), let p99 = waits.quantile(0.99) {
      figures.waits = OutcomeReport.Waits(
        count: waits.count, medianSeconds: Double(median) / 1e9, p99Seconds: Double(p99) / 1e9,
        longestSeconds: Double(waits.longestNanoseconds) / 1e9)
    }
    return figures
  }

  private func deny(_ reason: UInt8, _ count: UInt64, _ figures: inout OutcomeReport.Figures) {
    figures.denied &+= count
    if OutcomeReport.errorReasons.contains(reason) { figures.errors &+= count }
    let name = "\(reasonName(reason))"
    if let known = figures.deniedByReason.firstIndex(where: { $0.reason == name }) {
      figures.deniedByReason[known].count &+= count
    } else {
      figures.deniedByReason.append(OutcomeReport.Reason(reason: name, count: count))
    }
  }
}

extension Inspector {
  /// What came, and what became of it, with as much of a damaged trace as can be made out.
  public func outcome() throws(InspectFailure) -> OutcomeReport {
    let (report, sink, log) = try runKeepingLog(OutcomeSink(), salvages: true)
    return OutcomeReport(inspection: report, figures: sink.figures(log), picture: sink.picture.picture)
  }
}
