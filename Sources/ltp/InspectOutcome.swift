// SPDX-License-Identifier: Apache-2.0
// `ltp inspect outcome`: what the business sees. How many requests came, what they were answered, and what became of those that had to wait.

import ArgumentParser
import LTPInspect

struct InspectOutcome: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "outcome",
    abstract: "What became of the requests: executed, denied, deferred and carried out later, lost.")

  @OptionGroup var arguments: InspectArguments

  private struct Output: Encodable {
    var received: UInt64
    var executed: UInt64
    var deferred: UInt64
    var denied: [OutcomeCount]
    var replays: UInt64
    /// Kept intents that neither have an end nor are pending: none, unless the trace contradicts itself.
    var lost: UInt64
    var longestWaitMs: UInt64
    var intents: DeferralTotals
    var good: Bool
  }

  func run() throws {
    let story = try arguments.run { inspector throws(InspectFailure) in try inspector.story() }
    let output = summary(story)
    if arguments.json {
      try printJSON(output)
    } else {
      print("received     \(output.received.grouped) requests")
      print("executed     \(output.executed.grouped) at once")
      print(
        "deferred     \(output.deferred.grouped), of which \(story.deferral.sentAgain.grouped) were sent again"
      )
      for denied in output.denied { print("denied       \(denied.count.grouped) \(denied.reason)") }
      print(story.deferral.lines.joined(separator: "\n"))
      print("lost         \(output.lost.grouped)")
      printFindings(story.inspection)
    }
    if !output.good { throw ExitCode(1) }
  }

  private func summary(_ story: Story) -> Output {
    var output = Output(
      received: 0, executed: 0, deferred: 0, denied: [], replays: 0, lost: 0,
      longestWaitMs: story.deferral.longestWaitNanoseconds / 1_000_000, intents: story.deferral,
      good: story.inspection.isGood)
    var denied: [String: UInt64] = [:]
    for phase in story.phases {
      output.replays += phase.replays
      output.received += phase.decisions
      for outcome in phase.outcomes {
        switch outcome.verdict {
        case "EXECUTE": output.executed += outcome.count
        case "DEFER": output.deferred += outcome.count
        default: denied[outcome.reason, default: 0] += outcome.count
        }
      }
    }
    output.received -= output.replays
    let known = story.deferral.ended + story.deferral.pending
    output.lost = story.deferral.kept > known ? story.deferral.kept - known : 0
    output.denied = denied.sorted { $0.value > $1.value }
      .map { OutcomeCount(verdict: "DENY", reason: $0.key, count: $0.value) }
    return output
  }
}
