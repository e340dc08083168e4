// SPDX-License-Identifier: Apache-2.0
// `ltp inspect outcome`: what came and what became of it, for the business.

import ArgumentParser
import LTPInspect

struct InspectOutcome: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "outcome",
    abstract:
      "What came, and what became of all of it: executed, denied, deferred, replayed, lost; and how long it waited.",
    discussion: """
      Replays are the core's own and not among what was received. Lost is what was deferred and has no end that the trace could \
      name: it must be 0. Errors are denials whatever the state: a request that was wrong (MALFORMED_FRAME, UNKNOWN_ACTION_CLASS, \
      KEY_REUSED) or could not be taken (DEFER_QUEUE_FULL, TRACE_BACKPRESSURE); and what was lost. Exit status 1 when something was \
      lost, or the trace is not good.
      """)

  @OptionGroup var arguments: InspectArguments
  @OptionGroup var page: HTMLArguments

  private struct Output: Encodable {
    var outcome: OutcomeReport.Figures
    var inspection: InspectionJSON
  }

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.outcome() }
    let text = text(report)
    if arguments.json {
      try printJSON(Output(outcome: report.figures, inspection: InspectionJSON(report.inspection)))
    } else {
      print(text)
    }
    try page.write(
      ReportPage(
        title: "Outcome", subject: arguments.directory, passes: nil, picture: report.picture, report: text))
    if !report.inspection.isGood || report.figures.lost > 0 { throw ExitCode(1) }
  }

  private func text(_ report: OutcomeReport) -> String {
    let figures = report.figures
    func line(_ name: String, _ count: UInt64, _ remark: String = "") -> String {
      let number = count.grouped
      let line = padded(name, 22) + String(repeating: " ", count: max(0, 14 - number.count)) + number
      return remark.isEmpty ? line : line + "  " + remark
    }
    var lines = [
      "span  \(spanText(report.inspection.totals))", "",
      line("received", figures.received), line("  executed", figures.executed, "at once"),
      line("  denied", figures.denied),
    ]
    for denied in figures.deniedByReason { lines.append(line("", denied.count, denied.reason)) }
    lines += [
      line("  deferred", figures.deferred, "answered with DEFER"),
      line("", figures.kept, "kept durably, each once"),
      line("", figures.sentAgain, "sent again, before or after their end"),
    ]
    if figures.advised > 0 {
      lines.append(line("", figures.advised, "only told to come again: no intent was kept"))
    }
    lines += [
      "", line("of those kept", figures.kept),
      line("  replayed", figures.replayed, "let in by a second decision"),
      line("  carried out", figures.committed), line("  pending", figures.pending),
      line("  expired", figures.expired), line("  attempts used up", figures.attemptsUsedUp),
      line("  abandoned", figures.abandoned), line("  cancelled", figures.cancelled),
      line("  lost", figures.lost, figures.lost == 0 ? "" : "MUST BE 0: ltp inspect audit names the first"),
    ]
    if figures.unacknowledged > 0 {
      lines.append(
        line(
          "never acknowledged", figures.unacknowledged,
          "a process ended first; their senders were never told DEFER"))
    }
    lines += ["", line("errors", figures.errors), ""]
    if let waits = figures.waits {
      lines.append(
        "waited  median \(secondsText(waits.medianSeconds)), p99 \(secondsText(waits.p99Seconds)), longest "
          + "\(secondsText(waits.longestSeconds)), of \(waits.count.grouped) that were carried out")
    }
    lines.append("longest wait of all that ended  \(secondsText(figures.longestWaitSeconds))")
    return (lines + findingLines(report.inspection)).joined(separator: "\n")
  }
}
