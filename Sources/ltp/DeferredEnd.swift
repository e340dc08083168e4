// SPDX-License-Identifier: Apache-2.0
// `ltp deferred cancel` and `expire`: an operator ends an intent of a log that no service has open.

import ArgumentParser
import CLTP
import LTP
import LTPInspect

struct DeferredCancel: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "End an intent as CANCELLED. No service may have the log open.",
    discussion: DeferredEnd.discussion)

  @OptionGroup var arguments: DeferredArguments

  @Argument(help: "The intent's ticket (decimal, or 0x and hexadecimal).")
  var ticket: String

  func validate() throws { _ = try number(ticket, option: "the ticket") }

  func run() throws {
    try DeferredEnd.end(try number(ticket, option: "the ticket"), in: arguments, as: .cancelled)
  }
}

struct DeferredExpire: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "expire", abstract: "End an intent as EXPIRED. No service may have the log open.",
    discussion: DeferredEnd.discussion)

  @OptionGroup var arguments: DeferredArguments

  @Argument(help: "The intent's ticket (decimal, or 0x and hexadecimal).")
  var ticket: String

  func validate() throws { _ = try number(ticket, option: "the ticket") }

  func run() throws {
    try DeferredEnd.end(try number(ticket, option: "the ticket"), in: arguments, as: .expired)
  }
}

enum DeferredEnd {
  static let discussion = """
    Opens the log as a run of its own, which the trace tells, with the policy that was last in force; ends the intent, and waits until \
    that is durable. It refuses while another process has the log: then that process must end it (ltp_intent_end).
    """

  /// Reads first: a log that keeps no such intent is not opened, so that nothing is written to it.
  static func end(_ ticket: UInt64, in arguments: DeferredArguments, as end: IntentEnd) throws {
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.intents() }
    if report.inspection.scan.isLive {
      complain(owned(ticket, arguments.directory, end))
      throw ExitCode(2)
    }
    guard report.waiting.contains(where: { $0.ticket == "\(ticket)" }) else {
      complain(
        "intent \(ticket) is not pending in \(arguments.directory); ltp deferred show tells what became of it"
      )
      throw ExitCode(1)
    }
    do throws(LTPError) {
      let core = try Core(try options(arguments.directory, report))
      let ended = Result { () throws(LTPError) in try self.end(ticket, in: core, as: end) }
      try core.close()
      try ended.get()
    } catch {
      complain(
        error.status == LTP_ERROR_TRACE_LOCKED ? owned(ticket, arguments.directory, end) : error.message)
      throw ExitCode(2)
    }
    print("intent \(ticket): \(end)")
  }

  private static func end(_ ticket: UInt64, in core: Core, as end: IntentEnd) throws(LTPError) {
    // The log may take nothing for a moment.
    for attempt in 0..<1000 {
      do {
        try core.endIntent(ticket, as: end)
        break
      } catch {
        guard error.status == LTP_ERROR_BACKPRESSURE, attempt < 999 else { throw error }
        _ = ltp_kept_wait(core.unsafeHandle, try core.deferralStatus().sequence, 10_000_000)
      }
    }
    // `close` makes all durable, and says if it cannot.
  }

  private static func options(_ directory: String, _ report: IntentsReport) throws(LTPError) -> Core.Options {
    var options = Core.Options(traceDirectory: directory)
    let capacity: UInt64 = 65536
    options.deferral = ltp_deferral_options()
    // What is pending must fit, with room for what is remembered.
    options.deferral!.capacity = UInt32(min(report.pending * 2 + capacity, 16_777_215))
    options.deferral!.bytes_max = max(1 << 30, report.bytes * 2)
    if let fields = try? lastPolicy(directory) { options.policy = Policy(fields: fields) }
    return options
  }

  /// The policy that was last in force, so that this run does not put another in its place.
  private static func lastPolicy(_ directory: String) throws -> ltp_policy? {
    let inspector = Inspector(directory)
    guard let last = try inspector.policies().policies.last(where: { !$0.isShadow }) else { return nil }
    return try inspector.policies(generation: last.generation).chosen
  }

  private static func owned(_ ticket: UInt64, _ directory: String, _ end: IntentEnd) -> String {
    "another process has \(directory) open, and only it can end intent \(ticket): have it call ltp_intent_end(core, \(ticket), "
      + "\(end == .expired ? "LTP_END_EXPIRED" : "LTP_END_CANCELLED")), or stop it and run this again"
  }
}
