// SPDX-License-Identifier: Apache-2.0
// `ltp deferred list`: what waits, how long already, and for whom.

import ArgumentParser
import Foundation
import LTPInspect

struct DeferredList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Count the kept intents, and list those that have waited longest, and by session.")

  @OptionGroup var arguments: DeferredArguments

  @Option(help: "How many intents, and how many sessions, to list.")
  var limit = 20

  @Flag(help: "Print JSON.")
  var json = false

  private struct Output: Encodable {
    var hasDeferralLog: Bool
    var pending: UInt64
    var pendingBytes: UInt64
    var oldestAgeSeconds: Double?
    var sessionCount: Int
    var sessions: [IntentsReport.Session]
    var waiting: [WaitingIntent]
    var totals: DeferralTotals
    var inspection: InspectionJSON
  }

  func validate() throws {
    guard (0...1_000_000).contains(limit) else { throw ValidationError("--limit is 0 to 1000000") }
  }

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.intents() }
    let now = UInt64(Date().timeIntervalSince1970 * 1e9)
    let oldest = report.waiting.first.map { age(of: $0.keptUnixNanoseconds, at: now) }
    if json {
      try printJSON(
        Output(
          hasDeferralLog: report.hasDeferralLog, pending: report.pending, pendingBytes: report.bytes,
          oldestAgeSeconds: oldest, sessionCount: report.sessions.count,
          sessions: Array(report.sessions.prefix(limit)), waiting: Array(report.waiting.prefix(limit)),
          totals: report.totals, inspection: InspectionJSON(report.inspection)))
    } else {
      show(report, at: now, oldest)
    }
    if !report.inspection.isGood { throw ExitCode(1) }
  }

  /// In seconds.
  private func age(of time: UInt64, at now: UInt64) -> Double { Double(now - min(now, time)) / 1e9 }

  private func show(_ report: IntentsReport, at now: UInt64, _ oldest: Double?) {
    let totals = report.totals
    if !report.hasDeferralLog { print("no run of this log kept intents") }
    print(
      """
      pending   \(report.pending.grouped), \(report.bytes.grouped) bytes\(oldest.map { ", the oldest for \(secondsText($0))" } ?? "")
      sessions  \(report.sessions.count.grouped)
      ended     \(totals.committed.grouped) carried out, \(totals.expired.grouped) expired, \(totals.attemptsUsedUp.grouped) attempts used up, \(totals.abandoned.grouped) abandoned, \(totals.cancelled.grouped) cancelled
      """)
    if report.pending > UInt64(report.waiting.count) {
      let missing = report.pending - UInt64(report.waiting.count)
      print(
        "          \(missing.grouped) of the pending ones were kept before the oldest segment that is here")
    }
    if limit > 0, !report.waiting.isEmpty {
      print("\n" + row("TICKET", "SESSION", "FRAME", "CLASS", "AGE", "ATTEMPTS") + "EXPIRES")
    }
    for intent in report.waiting.prefix(limit) {
      let begun = intent.isBegun ? ", a worker has it" : ""
      print(
        row(
          intent.ticket, intent.session, "#\(intent.frame)", intent.actionClass,
          secondsText(age(of: intent.keptUnixNanoseconds, at: now)),
          "\(intent.attempts) of \(intent.attemptsMax)")
          + Timestamp.text(intent.expiresUnixNanoseconds) + begun)
    }
    printMore(report.waiting.count)
    if limit > 0, !report.sessions.isEmpty {
      print("\n" + padded("SESSION", 22) + padded("PENDING", 12) + "OLDEST")
    }
    for session in report.sessions.prefix(limit) {
      print(
        padded(session.session, 22) + padded(session.count.grouped, 12)
          + secondsText(age(of: session.oldestUnixNanoseconds, at: now)))
    }
    printMore(report.sessions.count)
    if !report.inspection.notes.isEmpty { print("") }
    printFindings(report.inspection)
  }

  private func printMore(_ count: Int) {
    let more = count - min(count, limit)
    if more > 0 { print("... and \(more.grouped) more (--limit N lists more)") }
  }

  private func row(
    _ ticket: String, _ session: String, _ frame: String, _ actionClass: String, _ age: String,
    _ attempts: String
  ) -> String {
    padded(ticket, 22) + padded(session, 22) + padded(frame, 12) + padded(actionClass, 18) + padded(age, 16)
      + padded(attempts, 10)
  }
}
