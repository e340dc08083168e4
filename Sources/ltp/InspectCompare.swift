// SPDX-License-Identifier: Apache-2.0
// `ltp inspect compare`: a recorded trace under another policy, given or recorded as the shadow of the one in force.

import ArgumentParser
import Foundation
import LTPInspect
import LTPPolicy

struct InspectCompare: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "The recorded requests under another policy: what would have changed.",
    discussion: """
      With --policy, every recorded request is decided again under that file's table and thresholds. Without it, the \
      verdicts of the shadow policy (ltp_policy_shadow) are shown beside those that were enforced. The states stay as \
      recorded: signal rules are not run again, nor limits. What a limit refused is taken as refused.

      Verdicts and reasons are compared. Nothing that differs is a violation: the exit status is 0 when the trace is \
      good. What hangs on a token that the recorded policy did not ask for is undecided: nobody looked at it.
      """)

  @OptionGroup var arguments: InspectArguments

  @Option(
    help: ArgumentHelp("The other policy's file. Default: the recorded shadow policy.", valueName: "file"))
  var policy: String?

  private struct Output: Encodable {
    var same: UInt64
    var different: UInt64
    var undecided: UInt64
    var withoutShadow: UInt64
    var executedRecorded: UInt64
    var executedCompared: UInt64
    var rows: [CompareReport.Row]
    var inspection: InspectionJSON
  }

  func run() throws {
    let other = try policy.map { try readPolicy($0, mistake: 2) }
    let report = try arguments.run { inspector throws(InspectFailure) in
      guard let other else { return try inspector.compare(nil) }
      return try withUnsafePointer(to: other.fields) { pointer throws(InspectFailure) in
        try inspector.compare(pointer)
      }
    }
    if other == nil, report.withoutShadow > 0, report.same + report.different == 0 {
      let text =
        "ltp inspect: no shadow policy decided in this trace; name another policy with --policy FILE\n"
      FileHandle.standardError.write(Data(text.utf8))
      throw ExitCode(2)
    }
    if arguments.json {
      try printJSON(
        Output(
          same: report.same, different: report.different, undecided: report.undecided,
          withoutShadow: report.withoutShadow, executedRecorded: report.executedRecorded,
          executedCompared: report.executedCompared,
          rows: report.rows, inspection: InspectionJSON(report.inspection)))
    } else {
      show(report)
    }
    if !report.inspection.isGood { throw ExitCode(1) }
  }

  private func show(_ report: CompareReport) {
    print(
      """
      the same   \(report.same.grouped)
      different  \(report.different.grouped)
      undecided  \(report.undecided.grouped)
      EXECUTE    \(report.executedRecorded.grouped) recorded, \(report.executedCompared.grouped) under \(policy ?? "the shadow") (without the undecided)
      """)
    if report.withoutShadow > 0 {
      print("no shadow  \(report.withoutShadow.grouped) decisions were made without a shadow policy beside")
    }
    if !report.rows.isEmpty { print("") }
    for row in report.rows {
      print(
        "\(padded(row.count.grouped, 14)) \(padded(row.state, 11)) \(padded(row.actionClass, 20)) "
          + "\(padded(row.recorded, 36)) -> \(row.compared)")
    }
    printFindings(report.inspection)
  }
}
