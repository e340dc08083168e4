// SPDX-License-Identifier: Apache-2.0
// `ltp inspect explain`: why one frame was decided so, and what became of it.

import ArgumentParser
import LTPInspect

struct InspectExplain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract:
      "Say why a frame was decided as it was: state, evidence, rule, token, limits; and what became of it.",
    discussion: """
      Tells every decision about the frame id: a client may have asked more than once, several sessions may use one id \
      (--session tells them apart), and a replay names the first frame. Exit status 1 also when the frame is not there.
      """)

  @OptionGroup var arguments: InspectArguments

  @Option(help: "The frame's id (decimal, or 0x and hexadecimal).")
  var frame: String

  @Option(help: "Only of this session (decimal, or 0x and hexadecimal).")
  var session: String?

  private struct Output: Encodable {
    var frame: String
    var decisions: UInt64
    var explanations: [Explanation]
    var inspection: InspectionJSON
  }

  func validate() throws {
    _ = try number(frame, option: "--frame")
    if let session { _ = try number(session, option: "--session") }
  }

  func run() throws {
    let frame = try number(frame, option: "--frame")
    let session = try session.map { try number($0, option: "--session") }
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.explain(frame: frame, session: session)
    }
    if arguments.json {
      try printJSON(
        Output(
          frame: "\(frame)", decisions: report.decisions, explanations: report.explanations,
          inspection: InspectionJSON(report.inspection)))
    } else {
      for explanation in report.explanations { print(text(explanation) + "\n") }
      let more = report.decisions - UInt64(report.explanations.count)
      if more > 0 { print("... and \(more.grouped) more") }
      if report.decisions == 0 { print("no decision about frame \(frame) is in the trace") }
      printFindings(report.inspection)
    }
    if !report.inspection.isGood || report.decisions == 0 { throw ExitCode(1) }
  }

  private func text(_ why: Explanation) -> String {
    var lines = [
      "frame \(why.frame), session \(why.session), domain \(why.domain), \(Timestamp.text(why.unixNanoseconds))",
      "  \(why.verdict) \(why.reason)"
        + (why.retryAfterMilliseconds > 0 ? ", retry after \(why.retryAfterMilliseconds) ms" : ""),
      "  at       \(why.place.text)",
      "  state    \(why.state) at epoch \(why.epoch)"
        + (why.isDomainInOutage
          ? ", and domain \(why.domain) is in an outage of its own: decided as in UNSTABLE" : ""),
      "  because  "
        + (why.transition.map { "\($0.line), \(Timestamp.text($0.unixNanoseconds))" }
          ?? "of a transition that has left the trace with older segments"),
    ]
    if let replayed = why.replayOf { lines.append("  replays  frame \(replayed)") }
    if let rule = why.rule, let policy = why.policyGeneration {
      lines.append(
        "  rule     class \(why.actionClass), priority \(why.priority): policy \(policy) says \(rule)")
    } else {
      lines.append("  rule     class \(why.actionClass), priority \(why.priority)")
    }
    lines.append("  token    " + token(why))
    if why.isLate { lines.append("  deadline it had passed") }
    if let limit = why.limit { lines.append("  limit    \(limit) refused what the rule would have let in") }
    return lines.joined(separator: "\n")
  }

  private func token(_ why: Explanation) -> String {
    switch why.continuity {
    case "valid": "valid: its session shook hands in this epoch, and the intent was made in it"
    case "stale-intent": "valid, but the intent was made before an outage"
    case "none": "none, or one of an epoch before"
    case "forged": "one that no epoch of this run granted to it, or an intent of an epoch that had not come"
    default: why.needsContinuity == true ? "was not looked at" : "not asked for"
    }
  }
}

/// A number of 64 bits, as an option of this name says it.
func number(_ text: String, option: String) throws -> UInt64 {
  let isHexadecimal = text.lowercased().hasPrefix("0x")
  guard let number = isHexadecimal ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text) else {
    throw ValidationError("\(option) is a number of 64 bits, decimal or 0x and hexadecimal")
  }
  return number
}
