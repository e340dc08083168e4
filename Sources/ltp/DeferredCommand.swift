// SPDX-License-Identifier: Apache-2.0
// `ltp deferred`: the intents that a service keeps, for its operator.

import ArgumentParser
import Foundation
import LTPInspect

struct DeferredCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "deferred",
    abstract: "List kept intents, tell what became of one, cancel, expire or release one.",
    discussion: """
      list and show read the trace alone and never write, so they may run while a service has the log open: they tell what is \
      in the trace by then. cancel, expire and release open the log, which one process can at a time: while a service has it, the service \
      itself must end the intent (ltp_intent_end) or release it (ltp_intent_hasten).

      Exit status: 0 done, 1 there is no such intent, it has ended, or the trace is not good, 2 the log cannot be read or opened, or \
      bad usage.
      """,
    subcommands: [
      DeferredList.self, DeferredShow.self, DeferredCancel.self, DeferredExpire.self, DeferredRelease.self,
    ])
}

struct DeferredArguments: ParsableArguments {
  @Argument(help: "The directory that the core writes its trace to.")
  var directory: String

  /// A failure becomes exit status 2.
  func run<Result>(_ body: (Inspector) throws(InspectFailure) -> Result) throws -> Result {
    do { return try body(Inspector(directory)) } catch {
      complain(error.message)
      throw ExitCode(2)
    }
  }
}

/// One intent of a log.
struct IntentArguments: ParsableArguments {
  @OptionGroup var log: DeferredArguments

  @Argument(help: "The intent's ticket (decimal, or 0x and hexadecimal).")
  var ticket: String

  var number: UInt64 { get throws { try ltp.number(ticket, option: "the ticket") } }

  func validate() throws { _ = try number }
}

func complain(_ message: String) {
  FileHandle.standardError.write(Data("ltp deferred: \(message)\n".utf8))
}

struct DeferredShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "What the trace tells of an intent: how it was kept, each step, its end.")

  @OptionGroup var intent: IntentArguments

  @Flag(help: "Print JSON.")
  var json = false

  private struct Output: Encodable {
    var ticket: String
    var story: FrameStory?
    var inspection: InspectionJSON
  }

  func run() throws {
    let ticket = try intent.number
    let report = try intent.log.run { inspector throws(InspectFailure) in try inspector.intent(ticket) }
    if json {
      try printJSON(
        Output(ticket: "\(ticket)", story: report.story, inspection: InspectionJSON(report.inspection)))
    } else {
      if let story = report.story {
        printStory(story)
      } else {
        print("the trace tells of no intent \(ticket)")
      }
      printFindings(report.inspection)
    }
    if report.story == nil || !report.inspection.isGood { throw ExitCode(1) }
  }

  private func printStory(_ story: FrameStory) {
    if let intent = story.intent {
      print(
        """
        ticket      \(intent.ticket)
        class       \(intent.actionClass)
        kept        \(intent.kept), expires \(intent.expires)
        key         \(intent.key ?? "session and frame id")
        payload     \(intent.payloadBytes.grouped) bytes, SHA-256 \(intent.contentHash)
        attempts    at most \(intent.attemptsMax)
        commitment  \(intent.commitment)
        end         \(story.end ?? "none yet")

        """)
    }
    print(storyLines(story).joined(separator: "\n"))
  }
}
