// SPDX-License-Identifier: Apache-2.0
// `ltp inspect timeline`: what the engineer sees. The service's states one after the other, why each began, and what was decided in it.

import ArgumentParser
import LTPInspect

struct InspectTimeline: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "timeline",
    abstract: "The story of a trace: each state of the service, why it began, and what was decided in it.")

  @OptionGroup var arguments: InspectArguments

  private struct Output: Encodable {
    var phases: [Phase]
    var deferral: DeferralTotals
    var inspection: InspectionJSON
  }

  func run() throws {
    let story = try arguments.run { inspector throws(InspectFailure) in try inspector.story() }
    if arguments.json {
      try printJSON(
        Output(
          phases: story.phases, deferral: story.deferral, inspection: InspectionJSON(story.inspection)))
    } else {
      for phase in story.phases { show(phase) }
      if story.deferral.kept > 0 { print(story.deferral.lines.joined(separator: "\n")) }
      printFindings(story.inspection)
    }
    if !story.inspection.isGood { throw ExitCode(1) }
  }

  private func show(_ phase: Phase) {
    print("\(Timestamp.text(phase.beganUnixNanoseconds))  \(phase.state)  (epoch \(phase.epoch))")
    if let transition = phase.transition { print("    orientation: \(transition.line)") }
    guard phase.decisions > 0 else { return }
    var line = "    \(phase.decisions.grouped) decisions"
    if let first = phase.firstFrame, let last = phase.lastFrame { line += ", frames #\(first) to #\(last)" }
    if phase.replays > 0 { line += ", \(phase.replays.grouped) of them replays" }
    print(line)
    for outcome in phase.outcomes {
      print("    \(outcome.count.grouped.padded(to: 12)) \(outcome.verdict) \(outcome.reason)")
    }
    for outcome in phase.replayOutcomes {
      print("    \(outcome.count.grouped.padded(to: 12)) replays \(outcome.verdict) \(outcome.reason)")
    }
    if let frame = phase.firstDeferredFrame {
      print("    #\(frame) route_request -> DEFER: \"Will retry when state == STABLE\"")
    }
    if let frame = phase.firstReplayFrame, let first = phase.firstReplayOf {
      print("    #\(frame) route_request, original_frame_id \(first) -> EXECUTE")
    }
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    String(repeating: " ", count: max(0, width - count)) + self
  }
}

extension DeferralTotals {
  /// For people: what became of deferred intents.
  var lines: [String] {
    let rows: [(String, UInt64)] = [
      ("kept", kept), ("carried out", committed), ("expired", expired), ("attempts used up", attemptsUsedUp),
      ("abandoned", abandoned), ("cancelled", cancelled), ("without an end", pending),
      ("sent again", sentAgain), ("handed out again", handedOutAgain),
      ("not acknowledged, in a crash", unacknowledged), ("refused, no room", refused),
    ]
    return ["deferred intents"]
      + rows.filter { $0.1 > 0 || $0.0 == "kept" }.map { "    \($0.1.grouped.padded(to: 12)) \($0.0)" }
      + ["    longest wait \(longestWaitNanoseconds / 1_000_000) ms"]
  }
}
