// SPDX-License-Identifier: Apache-2.0
// `ltp inspect summary`: what happened, on one page.

import ArgumentParser
import LTPInspect

struct InspectSummary: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "summary",
    abstract: "Span, transitions with their evidence, and decisions by state, class, verdict and reason.",
    discussion: """
      LIMIT is the limit that refused what the policy's table would have let in; empty: the table decided.

      With --from or --to, decisions are counted whose time lies in that window, and transitions listed that were published in it. \
      Every block is read and hashed, so the chain is checked as ever. A full segment that lies wholly inside is then counted by \
      the summary that it ends with, and one wholly outside not at all; only of segments partly inside, or still in use, each \
      decision is looked at. Whether a summary is what its records come to, and whether the records are right, is for verify \
      to say. Times are RFC 3339 (2026-03-01T09:05:07Z) or Unix nanoseconds.
      """)

  @OptionGroup var arguments: InspectArguments

  @Option(help: "How many of the last transitions to list.")
  var transitions = 50

  @Option(help: "Count from this time on.")
  var from: String?

  @Option(help: "Count before this time.")
  var to: String?

  private struct Output: Encodable {
    var inspection: InspectionJSON
    var transitions: [TransitionView]
    var counters: [SummaryReport.Counter]
  }

  func validate() throws {
    guard (0...Inspector.transitionsMax).contains(transitions) else {
      throw ValidationError("--transitions is 0 to \(Inspector.transitionsMax)")
    }
    _ = try window()
  }

  /// Nil: all of the trace.
  private func window() throws -> SummaryWindow? {
    from != nil || to != nil ? try ltp.window(from: from, to: to) : nil
  }

  func run() throws {
    if let window = try window() { return try run(window) }
    let summary = try arguments.run { inspector throws(InspectFailure) in
      try inspector.summary(transitionsMax: transitions)
    }
    if arguments.json {
      try printJSON(
        Output(
          inspection: InspectionJSON(summary.inspection), transitions: summary.transitions,
          counters: summary.counters))
    } else {
      printOverview(summary.inspection)
      printTransitions(summary.transitions, of: summary.inspection.totals.transitions)
      Self.printCounters(summary.counters)
      print("")
      printFindings(summary.inspection)
    }
    if !summary.inspection.isGood { throw ExitCode(1) }
  }

  private func printOverview(_ report: InspectReport) {
    let totals = report.totals
    print(
      """
      log          \(report.scan.logID)
      span         \(spanText(totals))
      runs         \(totals.runs.grouped)\(totals.isClosed ? ", the last one closed in order" : ", the last one not closed")
      segments     \(report.scan.segmentCount.grouped)
      blocks       \(report.scan.blockCount.grouped)
      decisions    \(totals.decisions.grouped)
      hellos       \(totals.hellos.grouped)
      replays      \(totals.replays.grouped)
      unrecorded   \(totals.unrecorded.grouped) (denied with TRACE_BACKPRESSURE)
      policies     \(totals.policies.grouped)
      torn tails   \(totals.tornTailsCut.grouped) cut, \(totals.bytesCut.grouped) bytes
      transitions  \(totals.transitions.grouped)
      """)
  }

  func printTransitions(_ transitions: [TransitionView], of count: UInt64) {
    guard !transitions.isEmpty else { return }
    print("")
    let more = count - UInt64(transitions.count)
    if more > 0 { print("  ... \(more.grouped) earlier ones (--transitions N lists more)") }
    for view in transitions {
      print("  \(Timestamp.text(view.unixNanoseconds))  epoch \(view.epoch)  \(view.line)")
    }
  }

  static func printCounters(_ counters: [SummaryReport.Counter]) {
    guard !counters.isEmpty else { return }
    print("")
    printRow("STATE", "CLASS", "VERDICT", "REASON", "LIMIT", "COUNT")
    for counter in counters {
      printRow(
        counter.state, counter.actionClass, counter.verdict, counter.reason, counter.limit ?? "",
        counter.count.grouped)
    }
  }

  private static func printRow(
    _ state: String, _ actionClass: String, _ verdict: String, _ reason: String, _ limit: String,
    _ count: String
  ) {
    let right = String(repeating: " ", count: max(0, 16 - count.count)) + count
    print(
      padded(state, 11), padded(actionClass, 28), padded(verdict, 7), padded(reason, 24), padded(limit, 14),
      right)
  }
}
