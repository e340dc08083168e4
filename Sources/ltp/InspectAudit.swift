// SPDX-License-Identifier: Apache-2.0
// `ltp inspect audit`: PASS or FAIL, for the regulator.

import ArgumentParser
import CLTP
import LTPInspect

struct InspectAudit: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract:
      "PASS or FAIL: outages, safe mode, the end of every DEFER, the same answers again, and the chain.",
    discussion: """
      Checks all that verify, redecide and violations do; beside it that nothing critical or mutating was EXECUTEd while UNSTABLE or \
      FAILED unless the policy in force says so, that each DEFER of a run that keeps intents kept one, and that each kept intent has \
      its end. With FAIL the first failing record is named: frame, session, segment, offset, block, and what is wrong.

      An intent that still waits at the trace's end has no end, so a log in use fails while something is pending; --allow-pending \
      takes it as pending, as long as the trace counts as many.

      Exit status: 0 PASS, 1 FAIL, 2 the trace cannot be read.
      """)

  @OptionGroup var arguments: InspectArguments
  @OptionGroup var page: HTMLArguments

  @Flag(help: "Intents that still wait at the trace's end are no failure.")
  var allowPending = false

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.audit(allowsPending: allowPending)
    }
    let text = AuditText(report).text
    if arguments.json { try printJSON(AuditJSON(report)) } else { print(text) }
    try page.write(
      ReportPage(
        title: "Audit", subject: arguments.directory, passes: report.passes, picture: report.picture,
        report: text))
    if !report.passes { throw ExitCode(1) }
  }
}

/// What made the report.
struct ToolJSON: Encodable {
  var name = "ltp"
  var version = LTPTool.configuration.version
  var library = String(cString: ltp_version_string())
  var abiVersion = ltp_abi_version()
  var traceVersion = LTP_TRACE_VERSION
}

/// The audit for programs: what a compliance report names.
struct AuditJSON: Encodable {
  struct Gaps: Encodable {
    /// 0: nothing has left the trace.
    var segmentsBefore: UInt64
    var tornTailsCut: UInt64
    var bytesCut: UInt64
    var unrecordedDenials: UInt64
    var decisionsWithoutPolicy: UInt64
    var actsWithoutHelloAtHand: UInt64
  }

  struct Counts: Encodable {
    var decisions: UInt64
    var executed: UInt64
    var denied: UInt64
    var deferred: UInt64
    var transitions: UInt64
    var hellos: UInt64
    var replays: UInt64
    var runs: UInt64
  }

  var result: String
  var tool = ToolJSON()
  var logId: String
  /// The last block's hash.
  var hashRoot: String
  var algorithm = "SHA-256"
  var segments: UInt64
  var blocks: UInt64
  var firstTime: String?
  var lastTime: String?
  var live: Bool
  var closedInOrder: Bool
  var checks: [AuditReport.Check]
  var firstFailure: AuditReport.Failure?
  var failureCount: UInt64
  var failures: [Violation]
  var outages: [AuditReport.Outage]
  var unlistedStates: UInt64
  var safeMode: SafeModeTotals
  var deferral: DeferralTotals
  var intentsWithoutEnd: UInt64
  var gaps: Gaps
  var counts: Counts
  var policies: [PolicyEntry]
  var notes: [String]

  init(_ report: AuditReport) {
    let (scan, totals) = (report.inspection.scan, report.inspection.totals)
    result = report.passes ? "PASS" : "FAIL"
    logId = scan.logID
    hashRoot = scan.hashRoot
    (segments, blocks, live) = (scan.segmentCount, scan.blockCount, scan.isLive)
    firstTime = totals.firstUnixNanoseconds.map { Timestamp.text($0) }
    lastTime = totals.lastUnixNanoseconds.map { Timestamp.text($0) }
    closedInOrder = totals.isClosed
    (checks, firstFailure) = (report.checks, report.first)
    (failureCount, failures) = (report.failureCount, report.failures)
    (outages, unlistedStates) = (report.outages, report.unlistedStates)
    (safeMode, deferral, intentsWithoutEnd) = (report.safeMode, report.deferral, report.unended)
    gaps = Gaps(
      segmentsBefore: scan.firstSegment, tornTailsCut: totals.tornTailsCut, bytesCut: totals.bytesCut,
      unrecordedDenials: totals.unrecorded, decisionsWithoutPolicy: report.withoutPolicy,
      actsWithoutHelloAtHand: report.withoutHelloAtHand)
    counts = Counts(
      decisions: totals.decisions, executed: report.executed, denied: report.denied,
      deferred: report.deferred,
      transitions: totals.transitions, hellos: totals.hellos, replays: totals.replays, runs: totals.runs)
    policies = report.policies
    notes = report.inspection.notes
  }
}
