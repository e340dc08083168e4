// SPDX-License-Identifier: Apache-2.0
// The engineer's view: the states one after the other, with what brought them, and what was decided in each.

import CLTP
import LTPRecords

/// What was decided in one interval of a state.
struct IntervalTally {
  static let examplesMax = 4

  /// By outcome, of clients and of the core's own replays.
  var counts = [UInt64](repeating: 0, count: Outcome.count)
  var replayCounts = [UInt64](repeating: 0, count: Outcome.count)
  var frames: ClosedRange<UInt64>?
  var deferredFrames: ClosedRange<UInt64>?
  var replayFrames: ClosedRange<UInt64>?
  var firstDefer: UInt64 = .max
  var lastDefer: UInt64 = 0
  var examples: [TimelineReport.Example] = []

  mutating func add(_ decision: ltp_decision_record, at time: UInt64) -> Bool {
    let outcome = Int(decision.outcome)
    // `verify` names what is no outcome.
    guard outcome < Outcome.count else { return false }
    if decision.isCoreReplay {
      replayCounts[outcome] += 1
      replayFrames = Self.widen(replayFrames, decision.frame_id)
      return replayCounts[outcome] == 1
    }
    counts[outcome] += 1
    frames = Self.widen(frames, decision.frame_id)
    if decision.verdict == LTP_VERDICT_DEFER {
      deferredFrames = Self.widen(deferredFrames, decision.frame_id)
      firstDefer = min(firstDefer, time)
      lastDefer = max(lastDefer, time)
    }
    return counts[outcome] == 1
  }

  private static func widen(_ range: ClosedRange<UInt64>?, _ frame: UInt64) -> ClosedRange<UInt64> {
    guard let range else { return frame...frame }
    return min(range.lowerBound, frame)...max(range.upperBound, frame)
  }
}

struct TimelineSink: RecordSink {
  private var counting = CountSink()
  private(set) var picture = PictureSink()
  private(set) var stories: FrameStories
  private(set) var tallies: [IntervalTally] = []
  private let choice: FrameStories.Choice

  init(_ choice: FrameStories.Choice) {
    self.choice = choice
    stories = FrameStories(choice)
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = counting.decisions(body, from: from, to: to, context: context, log: log)
    let index = index(under: context, log)
    for slot in from..<from + count {
      let record = RecordView(body, slot: slot).decision
      let time = context.unixNanoseconds(record.pointee.time_us)
      picture.decision(record, at: time)
      let followers = DecisionFollowers(of: record.pointee.inputs, body, slot + 1, to)
      stories.decision(record, followers, slot: slot, context)
      guard let index, tallies[index].add(record.pointee, at: time) else { continue }
      addExample(record.pointee, followers, at: time, to: index, context)
    }
    return count
  }

  private mutating func index(under context: borrowing RecordContext, _ log: LogState) -> Int? {
    guard let epoch = log.epoch(of: context.word) else { return nil }
    return picture.states.index(ofEpoch: epoch)
  }

  private mutating func addExample(
    _ decision: ltp_decision_record, _ followers: DecisionFollowers, at time: UInt64, to index: Int,
    _ context: borrowing RecordContext
  ) {
    guard tallies[index].examples.count < IntervalTally.examplesMax else { return }
    let isByCore = decision.isCoreReplay
    let isKept = followers.kept?.result == LTP_KEPT_NEW
    tallies[index].examples.append(
      TimelineReport.Example(
        time: Timestamp.text(time), frame: "\(decision.frame_id)",
        session: isByCore ? "LTP_SESSION_REPLAY" : "\(decision.session_id)",
        actionClass: context.policy?.name(decision.action_class) ?? className(decision.action_class),
        verdict: "\(verdictName(decision.verdict))", reason: "\(reasonName(decision.reason))",
        originalFrame: followers.replay.map { "\($0.original_frame_id)" },
        ticket: isKept ? "\(followers.kept!.ticket)" : nil,
        commitment: isKept ? "\(commitmentText(LTP_COMMITMENT_WHEN_STABLE))" : nil))
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    picture.record(kind, record, context: context, log: log)
    while tallies.count < picture.states.intervals.count { tallies.append(IntervalTally()) }
    switch kind {
    case .intent: stories.intent(record.intent, slot: slot, context, log)
    case .step: stories.step(record.step, slot: slot, context)
    default: break
    }
  }
}
