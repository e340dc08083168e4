// SPDX-License-Identifier: Apache-2.0
// `ltp deferred`: the intents that a service keeps. What is read comes from the trace alone, so it works while the service runs, and never writes; what is
// changed needs the log for itself, because nobody writes behind its owner's back.

import ArgumentParser
import CLTP
import Foundation
import LTP
import LTPInspect

struct DeferredCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "deferred",
    abstract: "List intents that were deferred and are kept; show one; end one.",
    discussion: """
      list and show read the trace, also of a service that runs. cancel and expire need the log for themselves: while a service has it, only the \
      service can end an intent (ltp_intent_end). Exit status: 0 done, 1 the trace breaks a rule, 2 it cannot be done.
      """,
    subcommands: [DeferredList.self, DeferredShow.self, DeferredCancel.self, DeferredExpire.self])
}

private func fail(_ text: String) -> ExitCode {
  FileHandle.standardError.write(Data("ltp deferred: \(text)\n".utf8))
  return ExitCode(2)
}

struct DeferredList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Pending intents: how many, since when, of which sessions.")

  @OptionGroup var arguments: InspectArguments

  @Option(help: "At most so many intents.")
  var limit = 20

  private struct Session: Encodable {
    var session: String
    var pending: Int
  }

  private struct Output: Encodable {
    var pending: Int
    var oldestKept: String?
    var oldestAgeSeconds: UInt64?
    var sessions: [Session]
    var intents: [KeptIntentView]
    var totals: DeferralTotals
  }

  func run() throws {
    let (intents, story) = try arguments.run { inspector throws(InspectFailure) in try inspector.keptIntents()
    }
    let oldest = intents.map(\.keptUnixNanoseconds).min()
    let now = UInt64(max(0, Date().timeIntervalSince1970 * 1e9))
    let age = oldest.map { now > $0 ? (now - $0) / 1_000_000_000 : 0 }
    let sessions = Dictionary(grouping: intents, by: \.session).map {
      Session(session: $0, pending: $1.count)
    }
    .sorted { ($1.pending, $0.session) < ($0.pending, $1.session) }
    if arguments.json {
      try printJSON(
        Output(
          pending: intents.count, oldestKept: oldest.map { Timestamp.text($0) }, oldestAgeSeconds: age,
          sessions: Array(sessions.prefix(limit)), intents: Array(intents.prefix(limit)),
          totals: story.deferral))
    } else {
      print("pending      \(UInt64(intents.count).grouped)")
      if let oldest, let age { print("oldest       \(Timestamp.text(oldest)), \(age.grouped) s ago") }
      for session in sessions.prefix(limit) { print("session      \(session.session): \(session.pending)") }
      for intent in intents.prefix(limit) { print(intent.line) }
      if intents.count > limit { print("... and \(intents.count - limit) more (--limit)") }
      print(story.deferral.lines.joined(separator: "\n"))
    }
    if !story.inspection.isGood { throw ExitCode(1) }
  }
}

struct DeferredShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "One pending intent, as the trace tells it.")

  @OptionGroup var arguments: InspectArguments

  @Argument(help: "The intent's ticket.")
  var ticket: UInt64

  func run() throws {
    let (intents, _) = try arguments.run { inspector throws(InspectFailure) in try inspector.keptIntents() }
    guard let intent = intents.first(where: { $0.ticket == String(ticket) }) else {
      throw fail("no pending intent has ticket \(ticket); `ltp inspect show` tells of those that have ended")
    }
    if arguments.json { try printJSON(intent) } else { print(intent.line) }
  }
}

/// Ends an intent in a log that nobody else has.
private func end(_ ticket: UInt64, as end: IntentEnd, in directory: String) throws {
  // Looked up first: opening a log writes to it.
  let pending: [KeptIntentView]
  do throws(InspectFailure) { pending = try Inspector(directory).keptIntents().intents } catch {
    throw fail(error.message)
  }
  guard pending.contains(where: { $0.ticket == String(ticket) }) else {
    throw fail("no pending intent has ticket \(ticket); `ltp deferred list` tells which there are")
  }
  var options = Core.Options(traceDirectory: directory)
  options.deferral = ltp_deferral_options()
  options.fields.lock_wait_ns = 0
  do throws(LTPError) {
    let core = try Core(options)
    do throws(LTPError) { try core.endIntent(ticket, as: end) } catch {
      try core.close()
      throw error
    }
    try core.close()
    print("intent \(ticket): \(end)")
  } catch {
    guard error.status == LTP_ERROR_TRACE_LOCKED else { throw fail(error.message) }
    throw fail("a service has this log; it must end the intent itself (ltp_intent_end), or be stopped first")
  }
}

struct DeferredCancel: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "End an intent as cancelled, in a log that no service has open.")

  @Argument(help: "The directory of the trace.")
  var directory: String

  @Argument(help: "The intent's ticket.")
  var ticket: UInt64

  func run() throws { try end(ticket, as: .cancelled, in: directory) }
}

struct DeferredExpire: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "expire", abstract: "End an intent as expired, in a log that no service has open.")

  @Argument(help: "The directory of the trace.")
  var directory: String

  @Argument(help: "The intent's ticket.")
  var ticket: UInt64

  func run() throws { try end(ticket, as: .expired, in: directory) }
}
