// SPDX-License-Identifier: Apache-2.0
// The four things one can ask of a trace. Each call reads the directory once, from the first segment to the last,
// with memory that does not depend on the trace's size, and never writes.

import CLTP
import CLTPSystem

public struct InspectOptions {
  /// Read past the page cache, where the file system can.
  public var readsDirect = true
  /// Called from time to time while a long trace is read.
  public var progress: ((ScanProgress) -> Void)?

  public init() {}
}

/// What `verify` and `redecide` come to.
public struct InspectReport: Sendable {
  public var scan: ScanResult
  public var totals: LogTotals
  public var violations: [Violation]
  /// All violations, those that are not listed included.
  public var violationCount: UInt64
  /// By kind.
  public var violationCounts: [Violation.Kind: UInt64] = [:]
  public var notes: [String]
  public var nanoseconds: UInt64

  public var isGood: Bool { violationCount == 0 }

  /// Of what was read.
  public var bytesPerSecond: Double { Double(scan.bytesRead) * 1e9 / Double(max(1, nanoseconds)) }
}

public struct RedecideReport: Sendable {
  public var inspection: InspectReport
  public var redecided: UInt64
  public var mismatches: UInt64
  /// Decisions whose policy has left the trace with older segments.
  public var withoutPolicy: UInt64
}

public struct ViolationsReport: Sendable {
  public var inspection: InspectReport
  public var redecided: UInt64
  /// EXECUTEs of sessions that had to show their continuity.
  public var acts: UInt64
  /// Those whose hello may have left the trace with older segments.
  public var unknownActs: UInt64
}

public struct ExplainReport: Sendable {
  public var inspection: InspectReport
  /// All, those that are not listed included.
  public var decisions: UInt64
  public var explanations: [Explanation]
}

public struct Inspector {
  public let path: String
  public var options: InspectOptions

  public init(_ path: String, options: InspectOptions = InspectOptions()) {
    self.path = path
    self.options = options
  }

  /// The chain, sequences, transitions, policies, counts and the never list. Stops where the chain breaks.
  public func verify() throws(InspectFailure) -> InspectReport {
    try run(CountSink(), salvages: false).report
  }

  /// Decides every recorded request again; also checks all that `verify` does but the never list.
  public func redecide() throws(InspectFailure) -> RedecideReport {
    let (report, sink) = try run(RedecideSink(), salvages: false)
    return RedecideReport(
      inspection: report, redecided: sink.redecided, mismatches: sink.mismatches,
      withoutPolicy: sink.withoutPolicy)
  }

  /// All that `verify` and `redecide` check, and that whoever had to show continuity had shaken hands.
  public func violations() throws(InspectFailure) -> ViolationsReport {
    var (inspection, sink) = try run(ViolationsSink(), salvages: false)
    sink.traceEnds(isClosed: inspection.totals.isClosed)
    let unproven = sink.lives.violations
    inspection.violationCount += UInt64(unproven.count)
    inspection.violations += unproven.prefix(max(0, Findings.violationsMax - inspection.violations.count))
    return ViolationsReport(
      inspection: inspection, redecided: sink.redeciding.redecided, acts: sink.lives.acts,
      unknownActs: sink.lives.unknown)
  }

  /// Every decision about a frame, and what it followed from.
  public func explain(frame: UInt64, session: UInt64? = nil) throws(InspectFailure) -> ExplainReport {
    let (report, sink) = try run(ExplainSink(frame: frame, session: session), salvages: false)
    return ExplainReport(inspection: report, decisions: sink.count, explanations: sink.found)
  }

  func run<Sink: RecordSink>(
    _ sink: Sink, salvages: Bool
  ) throws(InspectFailure) -> (report: InspectReport, sink: Sink) {
    let (report, sink, _) = try runKeepingLog(sink, salvages: salvages)
    return (report, sink)
  }

  /// The same, with what the log had said by its end.
  func runKeepingLog<Sink: RecordSink>(
    _ sink: Sink, salvages: Bool
  ) throws(InspectFailure) -> (report: InspectReport, sink: Sink, log: LogState) {
    let findings = Findings()
    let began = ltp_system_monotonic_ns()
    let directory = try TraceDirectory(path)
    directory.note(in: findings)
    let log = LogState(findings: findings)
    var audit = TraceAudit(log: log, sink: sink)
    let scanner = try TraceScanner(
      directory, findings: findings, salvages: salvages, direct: options.readsDirect,
      progress: options.progress)
    let scan = try scanner.scan(&audit)
    if scan.isWhole, !scan.isCutShort { log.deferral.traceEnds(findings) }
    noteEnd(log, scan, findings)
    let report = InspectReport(
      scan: scan, totals: log.totals, violations: findings.violations,
      violationCount: findings.violationCount, violationCounts: findings.counts, notes: findings.notes,
      nanoseconds: ltp_system_monotonic_ns() - began)
    return (report, audit.sink, log)
  }

  private func noteEnd(_ log: LogState, _ scan: ScanResult, _ findings: Findings) {
    if scan.isWhole, !scan.isCutShort, !log.totals.isClosed {
      findings.note(
        scan.isLive
          ? "the log is open in another process"
          : "the log was not closed in order: its last run ended without a CLOSED record")
    }
    if scan.firstSegment > 0 {
      findings.note("segments before \(SegmentName.text(scan.firstSegment)) are not here (retention)")
    }
    if log.totals.withoutPolicy > 0 {
      findings.note("\(log.totals.withoutPolicy) decisions were made under a policy that has left the trace")
    }
    if log.totals.clockStepsBack > 0 {
      findings.note("the monotonic clock went back \(log.totals.clockStepsBack) times; order is by sequence")
    }
    if log.lanes.forgottenCount > 0 {
      findings.note(
        "\(log.lanes.forgottenCount) lanes were too many to follow; their sequences may have gaps")
    }
  }
}
