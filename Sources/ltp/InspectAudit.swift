// SPDX-License-Identifier: Apache-2.0
// `ltp inspect audit`: what the regulator sees. When the service was unsafe, that nothing risky ran then, that every deferred intent has its end,
// that every decision comes out the same again. PASS, or FAIL with the first record that says why.

import ArgumentParser
import CLTP
import LTPInspect

struct InspectAudit: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract:
      "PASS or FAIL, for a report: instability, safe mode, an end for every deferred intent, the same decisions again.",
    discussion: """
      Checks all that verify, redecide and violations check; that no critical action ran while the service was UNSTABLE or FAILED; that \
      every intent which was deferred has its end. Exit status: 0 PASS, 1 FAIL (the first failing record is named), 2 it cannot be judged.
      """)

  @OptionGroup var arguments: InspectArguments

  private struct Interval: Encodable {
    var state: String
    var began: String
    /// nil: it has not ended.
    var ended: String?
    var because: String?
    var criticalExecuted: UInt64
    var mutatingExecuted: UInt64
    var decisions: UInt64
  }

  private struct Output: Encodable {
    var pass: Bool
    var tool: String
    var abiVersion: UInt32
    var hashAlgorithm = "SHA-256"
    var hashRoot: String
    var gaps: [String]
    var instability: [Interval]
    var redecided: UInt64
    var withoutPolicy: UInt64
    var continuityShown: UInt64
    var deferral: DeferralTotals
    var firstFailure: Violation?
    var failures: [Violation]
    var inspection: InspectionJSON
  }

  func run() throws {
    let story = try arguments.run { inspector throws(InspectFailure) in try inspector.story() }
    let failures = (story.faults + story.unended + story.inspection.violations).sorted {
      ($0.place.segment, $0.place.offset) < ($1.place.segment, $1.place.offset)
    }
    if arguments.json {
      try printJSON(
        Output(
          pass: story.isClean, tool: tool, abiVersion: ltp_abi_version(),
          hashRoot: story.inspection.scan.hashRoot, gaps: gaps(story), instability: intervals(story),
          redecided: story.redecided, withoutPolicy: story.withoutPolicy, continuityShown: story.acts,
          deferral: story.deferral, firstFailure: failures.first, failures: failures,
          inspection: InspectionJSON(story.inspection)))
    } else {
      report(story, failures)
    }
    if !story.isClean { throw ExitCode(1) }
  }

  private var tool: String { "ltp \(String(cString: ltp_version_string()))" }

  private func report(_ story: Story, _ failures: [Violation]) {
    let scan = story.inspection.scan
    print("tool         \(tool), ABI \(ltp_abi_version())")
    print("log          \(scan.logID), SHA-256, root \(scan.hashRoot)")
    let first = scan.firstSegment
    print("read         segments \(first) to \(scan.lastSegment), \(scan.blockCount.grouped) blocks")
    if let from = story.inspection.totals.firstUnixNanoseconds,
      let to = story.inspection.totals.lastUnixNanoseconds
    {
      print("time         \(Timestamp.text(from)) to \(Timestamp.text(to))")
    }
    for gap in gaps(story) { print("gap          \(gap)") }
    let intervals = intervals(story)
    print("instability  \(intervals.isEmpty ? "none" : "\(intervals.count) intervals")")
    for interval in intervals {
      let what =
        "\(interval.criticalExecuted.grouped) critical and \(interval.mutatingExecuted.grouped) mutating actions executed of "
        + "\(interval.decisions.grouped) decisions"
      print("    \(interval.began) to \(interval.ended ?? "the end")  \(interval.state): \(what)")
      if let because = interval.because { print("        \(because)") }
    }
    let deferral = story.deferral
    print(
      "deferred     \(deferral.kept.grouped) kept, \(deferral.ended.grouped) ended, \(deferral.pending.grouped) without an end"
    )
    print("decisions    \(story.redecided.grouped) decided again from the trace alone")
    print("continuity   \(story.acts.grouped) acts, each with a hello of its session in its epoch")
    for note in story.inspection.notes { print("note: \(note)") }
    if story.isClean { return print("PASS") }
    if let first = failures.first { print("FAIL: \(first.text)") } else { print("FAIL") }
    let others = failures.dropFirst()
    for failure in others.prefix(20) { print("    also: \(failure.text)") }
    if others.count > 20 { print("    ... and \(others.count - 20) more") }
  }

  private func gaps(_ story: Story) -> [String] {
    let totals = story.inspection.totals
    var gaps: [String] = []
    if story.inspection.scan.firstSegment > 0 {
      gaps.append("segments before \(story.inspection.scan.firstSegment) have been deleted (retention)")
    }
    if totals.tornTailsCut > 0 {
      gaps.append(
        "\(totals.tornTailsCut) torn tails were cut, \(totals.bytesCut) bytes that nobody was told are durable"
      )
    }
    if totals.unrecorded > 0 { gaps.append("\(totals.unrecorded) denials are told by number alone") }
    if story.withoutPolicy > 0 {
      gaps.append("\(story.withoutPolicy) decisions whose policy has left the trace")
    }
    if story.deferral.unacknowledged > 0 {
      gaps.append(
        "\(story.deferral.unacknowledged) intents were not on disk when their process ended; nobody was told that they are kept"
      )
    }
    return gaps
  }

  private func intervals(_ story: Story) -> [Interval] {
    story.phases.enumerated().filter { $0.element.isUnsafe }.map { place, phase in
      let next = story.phases.dropFirst(place + 1).first
      return Interval(
        state: phase.state, began: Timestamp.text(phase.beganUnixNanoseconds),
        ended: next.map { Timestamp.text($0.beganUnixNanoseconds) }, because: phase.transition?.line,
        criticalExecuted: phase.criticalExecuted, mutatingExecuted: phase.mutatingExecuted,
        decisions: phase.decisions)
    }
  }
}
