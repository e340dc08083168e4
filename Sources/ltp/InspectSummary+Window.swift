// SPDX-License-Identifier: Apache-2.0
// `ltp inspect summary --from --to`: the same page for a span of time.

import ArgumentParser
import LTPInspect

/// What is known of the trace when a window is counted.
private struct WindowJSON: Encodable {
  var good: Bool
  var logId: String
  var fromUnixNanoseconds: UInt64
  var toUnixNanoseconds: UInt64
  var decisions: UInt64
  var transitionCount: UInt64
  var segments: WindowSegments
  var transitions: [TransitionView]
  var counters: [SummaryReport.Counter]
  var violationCount: UInt64
  var violations: [Violation]
  var notes: [String]
}

extension InspectSummary {
  func run(_ window: SummaryWindow) throws {
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.summary(in: window, transitionsMax: transitions)
    }
    let inspection = report.inspection
    if arguments.json {
      try printJSON(
        WindowJSON(
          good: inspection.isGood, logId: inspection.scan.logID, fromUnixNanoseconds: window.from,
          toUnixNanoseconds: window.to, decisions: inspection.totals.decisions,
          transitionCount: inspection.totals.transitions, segments: report.segments,
          transitions: report.transitions, counters: report.counters,
          violationCount: inspection.violationCount, violations: inspection.violations,
          notes: inspection.notes))
    } else {
      printOverview(report)
      printTransitions(report.transitions, of: inspection.totals.transitions)
      Self.printCounters(report.counters)
      print("")
      printFindings(inspection)
    }
    if !inspection.isGood { throw ExitCode(1) }
  }

  private func printOverview(_ report: WindowReport) {
    let segments = report.segments
    let counted =
      "\(segments.bySummary.grouped) by their summaries, \(segments.bySlots.grouped) by their slots"
    let to = report.window.to == .max ? "the end" : Timestamp.text(report.window.to)
    print(
      """
      log          \(report.inspection.scan.logID)
      window       \(Timestamp.text(report.window.from)) to \(to)
      segments     \(counted), \(segments.outside.grouped) outside
      decisions    \(report.inspection.totals.decisions.grouped)
      transitions  \(report.inspection.totals.transitions.grouped)
      """)
  }
}
