// SPDX-License-Identifier: Apache-2.0
// `ltp deferred cancel`, `expire` and `release`: an operator ends an intent, or makes it due, in a log that no service has open.

import ArgumentParser
import CLTP
import LTP
import LTPInspect

struct DeferredCancel: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "End an intent as CANCELLED. No service may have the log open.",
    discussion: DeferredStep.discussion)

  @OptionGroup var intent: IntentArguments

  func run() throws { try DeferredStep.end(.cancelled).run(intent) }
}

struct DeferredExpire: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "expire", abstract: "End an intent as EXPIRED. No service may have the log open.",
    discussion: DeferredStep.discussion)

  @OptionGroup var intent: IntentArguments

  func run() throws { try DeferredStep.end(.expired).run(intent) }
}

struct DeferredRelease: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "release",
    abstract: "Make an intent due that waits for a delay. No service may have the log open.",
    discussion: DeferredStep.discussion)

  @OptionGroup var intent: IntentArguments

  func run() throws { try DeferredStep.hasten.run(intent) }
}

/// What an operator does with one intent.
enum DeferredStep {
  case end(IntentEnd)
  case hasten

  static let discussion = """
    Opens the log as a run of its own, which the trace tells, with the policy that was last in force; takes the step, and waits until \
    that is durable. It refuses while another process has the log: then that process must do it (ltp_intent_end, ltp_intent_hasten).
    """

  /// Reads first: a log that keeps no such intent is not opened, so that nothing is written to it.
  func run(_ intent: IntentArguments) throws {
    let (ticket, arguments) = (try intent.number, intent.log)
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.intents() }
    if report.inspection.scan.isLive {
      complain(owned(ticket, arguments.directory))
      throw ExitCode(2)
    }
    guard report.waiting.contains(where: { $0.ticket == "\(ticket)" }) else {
      complain(
        "intent \(ticket) is not pending in \(arguments.directory); ltp deferred show tells what became of it"
      )
      throw ExitCode(1)
    }
    do throws(LTPError) {
      let core = try Core(try Self.options(arguments.directory, report))
      let taken = Result { () throws(LTPError) in try core.retryingBriefly { take($0, ticket) } }
      // Makes all durable, and says if it cannot.
      try core.close()
      try taken.get()
    } catch {
      complain(error.status == LTP_ERROR_TRACE_LOCKED ? owned(ticket, arguments.directory) : error.message)
      throw ExitCode(2)
    }
    print("intent \(ticket): \(outcome)")
  }

  private func take(_ core: OpaquePointer, _ ticket: UInt64) -> Int32 {
    switch self {
    case .end(let end): ltp_intent_end(core, ticket, end.rawValue)
    case .hasten: ltp_intent_hasten(core, ticket)
    }
  }

  private var outcome: String {
    switch self {
    case .end(let end): "\(end)"
    case .hasten: "due"
    }
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

  private func owned(_ ticket: UInt64, _ directory: String) -> String {
    let (what, call) =
      switch self {
      case .end(.expired): ("end", "ltp_intent_end(core, \(ticket), LTP_END_EXPIRED)")
      case .end: ("end", "ltp_intent_end(core, \(ticket), LTP_END_CANCELLED)")
      case .hasten: ("release", "ltp_intent_hasten(core, \(ticket))")
      }
    return
      "another process has \(directory) open, and only it can \(what) intent \(ticket): have it call \(call), or stop it and run "
      + "this again"
  }
}
