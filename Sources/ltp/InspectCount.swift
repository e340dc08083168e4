// SPDX-License-Identifier: Apache-2.0
// `ltp inspect count`: how many decisions there were, exactly.

import ArgumentParser
import LTPInspect

struct InspectCount: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "count",
    abstract: "Count decisions, exactly: in a window, of a state, class, verdict, reason, session or domain.",
    discussion: """
      Prints the number, then what it is made of. Full segments wholly inside the window are counted by the summary that they \
      end with, and those wholly outside not at all: of either only the first and the last block are read, and checked by their \
      own hashes and against their neighbours. So the number is exact if the trace is good, which is for verify to say. With \
      --session each decision in the window is looked at. Denials that have no record of their own are not among them: summary \
      tells their number.
      """)

  @OptionGroup var arguments: InspectArguments

  @Option(help: "Count from this time on (RFC 3339 or Unix nanoseconds).")
  var from: String?

  @Option(help: "Count before this time.")
  var to: String?

  @Option(name: .customLong("class"), help: "Only this class, by its name.")
  var actionClass: String?

  @Option(help: "Only in this state of the service, by its name.")
  var state: String?

  @Option(help: "Only this verdict: execute, deny or defer.")
  var verdict: String?

  @Option(help: "Only this reason, by its name.")
  var reason: String?

  @Option(help: "Only this continuity domain, 0 to 255.")
  var domain: UInt8?

  @Option(help: "Only this session (decimal, or 0x and hexadecimal).")
  var session: String?

  private struct Output: Encodable {
    var count: UInt64
    var counters: [SummaryReport.Counter]
    var segments: WindowSegments
    var inspection: InspectionJSON
  }

  func validate() throws {
    _ = try window()
    _ = try filter()
  }

  private func window() throws -> SummaryWindow { try ltp.window(from: from, to: to) }

  private func filter() throws -> CountFilter {
    var filter = CountFilter()
    filter.actionClass = actionClass
    filter.domain = domain
    filter.session = try session.map { try number($0, option: "--session") }
    filter.state = try state.map { try value($0, InspectNames.states, option: "--state") }
    filter.verdict = try verdict.map { try value($0, InspectNames.verdicts, option: "--verdict") }
    filter.reason = try reason.map { try value($0, InspectNames.reasons, option: "--reason") }
    return filter
  }

  private func value(_ text: String, _ names: [String], option: String) throws -> UInt8 {
    guard let index = names.firstIndex(of: text.uppercased()) else {
      throw ValidationError("\(option) is one of \(names.map { $0.lowercased() }.joined(separator: ", "))")
    }
    return UInt8(index)
  }

  func run() throws {
    let (window, filter) = (try window(), try filter())
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.count(in: window, of: filter)
    }
    let count = report.inspection.totals.decisions
    if arguments.json {
      try printJSON(
        Output(
          count: count, counters: report.counters, segments: report.segments,
          inspection: InspectionJSON(report.inspection)))
    } else {
      print(count)
      InspectSummary.printCounters(report.counters)
      let byEnds = report.inspection.scan.segmentsByEnds
      if byEnds > 0 {
        let all = report.inspection.scan.segmentCount.grouped
        print("\(byEnds.grouped) of \(all) segments were read at their ends only; verify reads them whole")
      }
      printFindings(report.inspection)
    }
    if !report.inspection.isGood { throw ExitCode(1) }
  }
}
