// SPDX-License-Identifier: Apache-2.0
// `ltp inspect show`: the records themselves, one line each.

import ArgumentParser
import Foundation
import LTPInspect

struct InspectShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print records in log order, one line each, with transitions and their evidence between them.",
    discussion: """
      Lanes write in parallel, so a lane's lines are in its own order and blocks are in the log's. Times are \
      RFC 3339 (2026-03-01T09:05:07Z; the Z says UTC) or Unix nanoseconds. Transitions are shown whatever is asked for.

      FACTS are what a decision knew: token, the session's continuity token was valid; no-token, one was asked for and \
      there was none, or an old one; stale-intent, made before an outage; forged-token, one that was never granted; \
      other-incarnation, not of the life that its connection is bound to; domain:N, its continuity domain, if not 0; domain-out, \
      which was in an outage of its own: decided as in UNSTABLE; late, past its deadline; malformed, no valid frame; replay, of an earlier frame; \
      by-shedding, by-class-rate, by-tenant-rate, by-total-rate, by-ramp, by-concurrency: the limit that refused; \
      shadow:, what the policy beside said.
      """)

  @OptionGroup var arguments: InspectArguments

  @Option(help: "From this time on.")
  var from: String?

  @Option(help: "Before this time.")
  var to: String?

  @Option(help: "Only decisions and hellos of this session (decimal, or 0x and hexadecimal).")
  var session: String?

  @Option(help: "Only decisions with this verdict: execute, deny or defer.")
  var verdict: String?

  @Option(help: "Stop after so many decisions and hellos.")
  var limit: UInt64?

  func validate() throws { _ = try filter() }

  private func filter() throws -> ShowFilter {
    var filter = ShowFilter()
    filter.json = arguments.json
    if let from { filter.from = try time(from, option: "--from") }
    if let to { filter.to = try time(to, option: "--to") }
    if let limit { filter.limit = limit }
    if let session { filter.session = try number(session, option: "--session") }
    if let verdict {
      guard let index = InspectNames.verdicts.firstIndex(of: verdict.uppercased()) else {
        throw ValidationError("--verdict is execute, deny or defer")
      }
      filter.verdict = UInt8(index)
    }
    return filter
  }

  func run() throws {
    let filter = try filter()
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.show(filter) { bytes in writeAll(bytes) }
    }
    // What is wrong goes beside the records, not among them.
    for violation in report.violations {
      FileHandle.standardError.write(Data("VIOLATION [\(violation.kind.rawValue)] \(violation.text)\n".utf8))
    }
    if !report.isGood { throw ExitCode(1) }
  }
}

/// Writes to standard output; ends quietly when the reader has gone.
private func writeAll(_ bytes: UnsafeRawBufferPointer) {
  var offset = 0
  while offset < bytes.count {
    let written = write(STDOUT_FILENO, bytes.baseAddress! + offset, bytes.count - offset)
    if written < 0, errno == EINTR { continue }
    guard written > 0 else { exit(0) }
    offset += written
  }
}
