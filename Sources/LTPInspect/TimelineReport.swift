// SPDX-License-Identifier: Apache-2.0
// The timeline as phases that an engineer knows: stability, degradation, the deferral window, recovery, resolution.

import CLTP
import LTPRecords

public struct TimelineReport: Sendable {
  public struct Count: Sendable, Equatable, Encodable {
    public var verdict: String
    public var reason: String
    public var count: UInt64
    /// They are the core's own replays of kept intents.
    public var isReplay: Bool
  }

  /// The first decision of its kind in a phase.
  public struct Example: Sendable, Encodable {
    public var time: String
    public var frame: String
    /// LTP_SESSION_REPLAY: the core replayed a kept intent.
    public var session: String
    public var actionClass: String
    public var verdict: String
    public var reason: String
    public var originalFrame: String?
    public var ticket: String?
    public var commitment: String?
  }

  public struct Frames: Sendable, Encodable {
    public var first: String
    public var last: String
  }

  public struct Phase: Sendable, Encodable {
    public var title: String
    public var state: String
    public var from: String
    /// nil: it lasts.
    public var to: String?
    public var seconds: Double
    /// What brought the state; nil: this phase is a part of the state before it, or it left the trace with older segments.
    public var transition: TransitionView?
    /// Those that left the state as it is, the first few.
    public var others: [TransitionView]
    public var otherCount: UInt64
    /// The lowest and the highest id, of clients' requests, of those that were answered with DEFER, and of replays.
    public var frames: Frames?
    public var deferredFrames: Frames?
    public var replayFrames: Frames?
    public var counts: [Count]
    public var examples: [Example]
  }

  public var inspection: InspectReport
  public var phases: [Phase]
  /// Changes of state that are not listed.
  public var unlistedStates: UInt64
  public var stories: [FrameStory]
  public var deferral: DeferralTotals
  public var picture: TracePicture
}

extension Inspector {
  /// The states with what was decided in each; with what became of the first deferred requests, or of a frame, or a session.
  public func timeline(frame: UInt64? = nil, session: UInt64? = nil) throws(InspectFailure) -> TimelineReport
  {
    let choice: FrameStories.Choice =
      if let frame { .frame(frame, session: session) } else if let session { .session(session) } else {
        .deferred(4)
      }
    let (report, sink, log) = try runKeepingLog(TimelineSink(choice), salvages: true)
    return TimelineReport(
      inspection: report, phases: TimelinePhases.phases(sink.picture.states, sink.tallies),
      unlistedStates: sink.picture.states.unlisted, stories: sink.stories.found,
      deferral: log.deferral.totals,
      picture: sink.picture.picture)
  }
}

enum TimelinePhases {
  static func phases(_ history: StateHistory, _ tallies: [IntervalTally]) -> [TimelineReport.Phase] {
    var phases: [TimelineReport.Phase] = []
    var hasBeenOut = false
    for (interval, tally) in zip(history.intervals, tallies) {
      let title = title(of: interval.state, hasBeenOut: hasBeenOut)
      if interval.isOutage { hasBeenOut = true }
      if interval.state == LTP_STATE_HEALTHY { hasBeenOut = false }
      let end = interval.toUnixNanoseconds ?? max(history.lastUnixNanoseconds, interval.fromUnixNanoseconds)
      var phase = TimelineReport.Phase(
        title: title, state: "\(stateName(interval.state))",
        from: Timestamp.text(interval.fromUnixNanoseconds),
        to: interval.toUnixNanoseconds.map { Timestamp.text($0) },
        seconds: Double(end - interval.fromUnixNanoseconds) / 1e9, transition: interval.entered,
        others: interval.others, otherCount: interval.otherCount, counts: [], examples: [])
      let window = interval.isOutage && tally.lastDefer > 0 ? phase : nil
      if window == nil { fill(&phase, from: tally) }
      phases.append(phase)
      guard var window else { continue }
      // What was decided in the outage belongs to its window, which begins with the first DEFER.
      window.title = "Deferral window"
      window.from = Timestamp.text(tally.firstDefer)
      window.to = Timestamp.text(tally.lastDefer)
      window.seconds = Double(tally.lastDefer - min(tally.lastDefer, tally.firstDefer)) / 1e9
      (window.transition, window.others, window.otherCount) = (nil, [], 0)
      fill(&window, from: tally)
      phases.append(window)
    }
    return phases
  }

  private static func title(of state: UInt8, hasBeenOut: Bool) -> String {
    switch state {
    case LTP_STATE_UNKNOWN: "Nothing known yet"
    case LTP_STATE_HEALTHY: hasBeenOut ? "Resolution" : "Stability"
    case LTP_STATE_DEGRADED, LTP_STATE_SATURATED, LTP_STATE_UNSTABLE: "Degradation"
    case LTP_STATE_FAILED: "Failure"
    case LTP_STATE_RECOVERING: "Recovery"
    default: "State \(state)"
    }
  }

  private static func fill(_ phase: inout TimelineReport.Phase, from tally: IntervalTally) {
    func range(_ frames: ClosedRange<UInt64>?) -> TimelineReport.Frames? {
      frames.map { TimelineReport.Frames(first: "\($0.lowerBound)", last: "\($0.upperBound)") }
    }
    phase.frames = range(tally.frames)
    phase.deferredFrames = range(tally.deferredFrames)
    phase.replayFrames = range(tally.replayFrames)
    phase.examples = tally.examples
    for (isReplay, counts) in [(false, tally.counts), (true, tally.replayCounts)] {
      for (outcome, count) in counts.enumerated() where count > 0 {
        let words = Outcome(rawValue: UInt8(outcome))
        phase.counts.append(
          TimelineReport.Count(
            verdict: "\(verdictName(words.verdict))", reason: "\(reasonName(words.reason))", count: count,
            isReplay: isReplay))
      }
    }
  }
}
