// SPDX-License-Identifier: Apache-2.0
// What an audit comes to: PASS or FAIL, check by check, with the first record that fails, and what a compliance report names.

import CLTP
import LTPRecords

public struct AuditReport: Sendable {
  public struct Check: Sendable, Encodable {
    public var name: String
    /// nil: the chain broke before the trace's end, and nothing that came before fails.
    public var passed: Bool?
    /// What was looked at, or how many fail.
    public var detail: String
  }

  /// Where the audit fails first, in the trace's order.
  public struct Failure: Sendable, Encodable {
    public var kind: Violation.Kind
    /// nil: what is there is of no frame.
    public var frame: String?
    public var session: String?
    public var segment: String
    public var offset: UInt64
    public var block: UInt64?
    public var message: String
  }

  /// From when the service was UNSTABLE or FAILED until it was neither.
  public struct Outage: Sendable, Encodable {
    public var began: String
    /// nil: it had not ended.
    public var ended: String?
    public var seconds: Double
    /// In order.
    public var states: [String]
    /// nil: it left the trace with older segments.
    public var cause: TransitionView?
    /// nil: it had not ended.
    public var end: TransitionView?
  }

  public var inspection: InspectReport
  public var checks: [Check]
  public var first: Failure?
  /// Those of `inspection`, and intents without an end.
  public var failures: [Violation]
  public var failureCount: UInt64
  public var outages: [Outage]
  /// Changes of state that are not listed.
  public var unlistedStates: UInt64
  public var safeMode: SafeModeTotals
  public var executed: UInt64
  public var denied: UInt64
  public var deferred: UInt64
  public var redecided: UInt64
  public var redecidedDifferently: UInt64
  public var withoutPolicy: UInt64
  public var executedWithContinuity: UInt64
  public var withoutHelloAtHand: UInt64
  public var deferral: DeferralTotals
  public var hasDeferralLog: Bool
  /// Intents without an end, by their records.
  public var unended: UInt64
  public var policies: [PolicyEntry]
  public var picture: TracePicture

  public var passes: Bool { failureCount == 0 }
}

extension Inspector {
  /// All that `verify`, `redecide` and `violations` check, with safe mode and the end of each DEFER. `allowsPending`: intents that wait at the
  /// trace's end are no failure, as long as the trace counts them as pending.
  public func audit(allowsPending: Bool = false) throws(InspectFailure) -> AuditReport {
    var (inspection, sink, log) = try runKeepingLog(AuditSink(), salvages: false)
    sink.violations.traceEnds(isClosed: inspection.totals.isClosed)
    let lives = sink.violations.lives.violations
    // What a break hides may have been their end.
    let (unended, unendedCount) =
      inspection.scan.isWhole ? unended(log, allowsPending: allowsPending) : ([], 0)
    inspection.violationCounts[.continuity, default: 0] += UInt64(lives.count)
    inspection.violationCounts[.deferral, default: 0] += unendedCount
    let failures = (inspection.violations + lives + unended).sorted {
      ($0.place.segment, $0.place.offset) < ($1.place.segment, $1.place.offset)
    }
    inspection.violationCount += UInt64(lives.count) + unendedCount
    inspection.violations = Array(failures.prefix(Findings.violationsMax))
    func count(_ verdict: UInt8) -> UInt64 {
      sink.counts.enumerated().reduce(0) {
        Outcome(rawValue: UInt8($1.offset)).verdict == verdict ? $0 + $1.element : $0
      }
    }
    var report = AuditReport(
      inspection: inspection, checks: [], failures: inspection.violations,
      failureCount: inspection.violationCount,
      outages: Self.outages(sink.picture.states), unlistedStates: sink.picture.states.unlisted,
      safeMode: sink.safeMode, executed: count(LTP_VERDICT_EXECUTE), denied: count(LTP_VERDICT_DENY),
      deferred: count(LTP_VERDICT_DEFER), redecided: sink.violations.redeciding.redecided,
      redecidedDifferently: sink.violations.redeciding.mismatches,
      withoutPolicy: sink.violations.redeciding.withoutPolicy,
      executedWithContinuity: sink.violations.lives.acts, withoutHelloAtHand: sink.violations.lives.unknown,
      deferral: log.deferral.totals, hasDeferralLog: log.deferral.isTold,
      unended: UInt64(log.deferral.pending.count), policies: sink.policies.policies,
      picture: sink.picture.picture)
    report.first = try failures.first.map { (violation) throws(InspectFailure) in try name(violation) }
    report.checks = AuditChecks.checks(report)
    return report
  }

  /// Intents that were kept and have no end: the first of them, and how many there are.
  private func unended(_ log: LogState, allowsPending: Bool) -> ([Violation], UInt64) {
    let pending = log.deferral.pending
    // As many as the trace counts may wait; which ones, nobody can say when there are more.
    if allowsPending, UInt64(pending.count) == log.deferral.pendingTold { return ([], 0) }
    let sorted = pending.sorted {
      ($0.value.place.segment, $0.value.place.offset) < ($1.value.place.segment, $1.value.place.offset)
    }
    let listed = sorted.prefix(Findings.violationsMax).map { ticket, intent in
      Violation(
        .deferral, at: intent.place,
        "frame \(intent.frame) of session \(intent.session) was deferred and kept as intent \(ticket), and has no end in the trace"
      )
    }
    return (listed, UInt64(pending.count))
  }

  private static func outages(_ history: StateHistory) -> [AuditReport.Outage] {
    var outages: [AuditReport.Outage] = []
    var open: (from: UInt64, states: [String], cause: TransitionView?)?
    func close(at time: UInt64?, _ end: TransitionView?) {
      guard let out = open else { return }
      let until = max(time ?? history.lastUnixNanoseconds, out.from)
      outages.append(
        AuditReport.Outage(
          began: Timestamp.text(out.from), ended: time.map { Timestamp.text($0) },
          seconds: Double(until - out.from) / 1e9, states: out.states, cause: out.cause, end: end))
      open = nil
    }
    var endedAt: UInt64?
    for interval in history.intervals {
      let name = "\(stateName(interval.state))"
      if interval.isOutage {
        if open == nil { open = (interval.fromUnixNanoseconds, [], interval.entered) }
        open!.states.append(name)
        endedAt = interval.toUnixNanoseconds
      } else {
        close(at: endedAt ?? interval.fromUnixNanoseconds, interval.entered)
      }
    }
    // The trace ends in it.
    close(at: nil, nil)
    return outages
  }

  // MARK: The first failing record

  private func name(_ violation: Violation) throws(InspectFailure) -> AuditReport.Failure {
    let place = violation.place
    var named = place.sequence == nil ? nil : RecordAt.read(path, place)
    if case .ticket(let ticket)? = named {
      let story = try intent(ticket).story
      named = story.flatMap { story in
        UInt64(story.frame).flatMap { frame in
          UInt64(story.session).map { RecordAt.Name.frame(frame, session: $0) }
        }
      }
    }
    var failure = AuditReport.Failure(
      kind: violation.kind, segment: SegmentName.text(place.segment), offset: place.offset,
      block: place.block,
      message: violation.message)
    if case .frame(let frame, let session)? = named {
      failure.frame = "\(frame)"
      failure.session = session.map { "\($0)" }
    }
    return failure
  }
}
