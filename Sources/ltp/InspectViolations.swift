// SPDX-License-Identifier: Apache-2.0
// `ltp inspect violations`: whether anything ran that must not have.

import ArgumentParser
import LTPInspect

struct InspectViolations: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "violations",
    abstract: "Name every EXECUTE that must not have been, and every gap; none is what a core leaves.",
    discussion: """
      Checks all that verify and redecide do, and beside it that each EXECUTE of a session which had to show its continuity has \
      a hello of that session, in its domain and epoch, in the trace: a changed verdict whose facts were changed with it, and the \
      whole chain sealed again, is found by that. What happened before the oldest segment that is retained cannot be said.
      """)

  @OptionGroup var arguments: InspectArguments

  private struct Output: Encodable {
    var redecided: UInt64
    var executedWithContinuity: UInt64
    var withoutHelloAtHand: UInt64
    var inspection: InspectionJSON
  }

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.violations() }
    let inspection = report.inspection
    if arguments.json {
      try printJSON(
        Output(
          redecided: report.redecided, executedWithContinuity: report.acts,
          withoutHelloAtHand: report.unknownActs,
          inspection: InspectionJSON(inspection)))
    } else {
      print("decisions  \(inspection.totals.decisions.grouped), \(report.redecided.grouped) decided again")
      print("transitions \(inspection.totals.transitions.grouped)")
      print("with continuity \(report.acts.grouped) EXECUTEs, each with a hello of its session in its epoch")
      if report.unknownActs > 0 {
        print(
          "  but for \(report.unknownActs.grouped), whose hello would have left the trace with older segments"
        )
      }
      printFindings(inspection)
      print(
        inspection.isGood
          ? "no violation: nothing ran that a rule forbade, none without continuity, none of a stale intent, no gap"
          : "\(inspection.violationCount.grouped) violation(s)")
    }
    if !inspection.isGood { throw ExitCode(1) }
  }
}
