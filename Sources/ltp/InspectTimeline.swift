// SPDX-License-Identifier: Apache-2.0
// `ltp inspect timeline`: what happened, phase by phase, for the engineer.

import ArgumentParser
import LTPInspect

struct InspectTimeline: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "timeline",
    abstract:
      "What happened, phase by phase: transitions with evidence, what was decided, what became of deferred frames.",
    discussion: """
      A phase is a state of the service from when it was entered until it was left; an outage in which requests were deferred has a \
      deferral window as well, from the first DEFER to the last. At the end, the first few deferred frames are followed to their end; \
      with --frame or --session those of that frame or session (64 at most).
      """)

  @OptionGroup var arguments: InspectArguments
  @OptionGroup var page: HTMLArguments

  @Option(help: "Follow this frame (decimal, or 0x and hexadecimal).")
  var frame: String?

  @Option(help: "Follow this session's frames (decimal, or 0x and hexadecimal).")
  var session: String?

  private struct Output: Encodable {
    var phases: [TimelineReport.Phase]
    var unlistedStates: UInt64
    var stories: [FrameStory]
    var deferral: DeferralTotals
    var inspection: InspectionJSON
  }

  func validate() throws {
    _ = try frame.map { try number($0, option: "--frame") }
    _ = try session.map { try number($0, option: "--session") }
  }

  func run() throws {
    let frame = try frame.map { try number($0, option: "--frame") }
    let session = try session.map { try number($0, option: "--session") }
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.timeline(frame: frame, session: session)
    }
    let text = text(report)
    if arguments.json {
      try printJSON(
        Output(
          phases: report.phases, unlistedStates: report.unlistedStates, stories: report.stories,
          deferral: report.deferral, inspection: InspectionJSON(report.inspection)))
    } else {
      print(text)
    }
    try page.write(
      ReportPage(
        title: "Timeline", subject: arguments.directory, passes: nil, picture: report.picture, report: text))
    if !report.inspection.isGood { throw ExitCode(1) }
  }

  private func text(_ report: TimelineReport) -> String {
    var lines = ["span       \(spanText(report.inspection.totals))"]
    for (index, phase) in report.phases.enumerated() { lines += self.lines(of: phase, number: index + 1) }
    if report.unlistedStates > 0 {
      lines += ["", "... and \(report.unlistedStates.grouped) more changes of state"]
    }
    if !report.stories.isEmpty { lines += ["", "What became of them"] }
    for story in report.stories { lines += storyLines(story) }
    let totals = report.deferral
    if totals.kept > 0 {
      lines += [
        "",
        "intents    \(totals.kept.grouped) kept, \(totals.committed.grouped) carried out, \(totals.pending.grouped) pending, "
          + "\((totals.ended - totals.committed).grouped) ended otherwise",
      ]
    }
    return (lines + findingLines(report.inspection)).joined(separator: "\n")
  }

  private func lines(of phase: TimelineReport.Phase, number: Int) -> [String] {
    let span = "\(phase.from) to \(phase.to ?? "the trace's end") (\(secondsText(phase.seconds)))"
    var lines = ["", "Phase \(number): \(phase.title), \(phase.state)", "  \(span)"]
    if let transition = phase.transition { lines.append("  transition  \(transition.line)") }
    for other in phase.others {
      lines.append("  also        \(Timestamp.text(other.unixNanoseconds))  \(other.line)")
    }
    let more = phase.otherCount - UInt64(phase.others.count)
    if more > 0 { lines.append("  ... and \(more.grouped) more that left the state as it is") }
    if let frames = phase.frames { lines.append("  frames      #\(frames.first) to #\(frames.last)") }
    if let frames = phase.deferredFrames { lines.append("  deferred    #\(frames.first) to #\(frames.last)") }
    if let frames = phase.replayFrames {
      lines.append("  replays     #\(frames.first) to #\(frames.last) of LTP_SESSION_REPLAY")
    }
    for count in phase.counts {
      let name = "\(count.isReplay ? "replayed -> " : "")\(count.verdict) \(count.reason)"
      lines.append("  \(padded(name, 44)) \(count.count.grouped)")
    }
    for example in phase.examples {
      var text =
        "  e.g. \(example.time)  frame #\(example.frame): route_request (\(example.actionClass), \(who(example.session)))"
      if let original = example.originalFrame { text += ", original_frame_id \(original)" }
      text += " -> \(example.verdict) \(example.reason)"
      if let commitment = example.commitment { text += ", commitment \"\(commitment)\"" }
      lines.append(text)
    }
    return lines
  }

  private func who(_ session: String) -> String {
    session == "LTP_SESSION_REPLAY" ? session : "session \(session)"
  }
}

/// What became of a frame, line by line.
func storyLines(_ story: FrameStory) -> [String] {
  var lines = [
    "  frame #\(story.frame) of session \(story.session)" + (story.ticket.map { ", ticket \($0)" } ?? "")
      + (story.ticket == nil ? "" : ": \(story.end ?? "no end yet")")
  ]
  for event in story.events { lines.append("    \(event.time)  \(event.text)") }
  if story.more > 0 { lines.append("    ... and \(story.more.grouped) more") }
  return lines
}

/// Notes and violations, as `printFindings` prints them.
func findingLines(_ report: InspectReport, atMost count: Int = .max) -> [String] {
  let listed = report.violations.prefix(count)
  var lines = report.notes.map { "note: \($0)" }
  lines += listed.map { "VIOLATION [\($0.kind.rawValue)] \($0.text)" }
  let unlisted = report.violationCount - UInt64(listed.count)
  if unlisted > 0 { lines.append("... and \(unlisted) more") }
  return lines.isEmpty ? [] : [""] + lines
}

/// "45.013 s"
func secondsText(_ seconds: Double) -> String {
  let milliseconds = Int64((seconds * 1000).rounded())
  let part = "\(milliseconds % 1000)"
  return "\((milliseconds / 1000).grouped).\(String(repeating: "0", count: 3 - part.count))\(part) s"
}
