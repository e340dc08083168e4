// SPDX-License-Identifier: Apache-2.0
// A trace told as a story: the service's states one after the other, what was decided in each, what became of deferred intents. What the
// engineer, the regulator and the business read is made of this one pass, which checks all that `violations` does as well.
//
// Its memory is bounded by `phasesMax`; what comes after so many is one phase more.

import CLTP
import LTPRecords

/// Decisions that were alike in verdict and reason.
public struct OutcomeCount: Sendable, Encodable {
  public var verdict: String
  public var reason: String
  public var count: UInt64

  public init(verdict: String, reason: String, count: UInt64) {
    self.verdict = verdict
    self.reason = reason
    self.count = count
  }
}

/// From one transition of the service's state to the next.
public struct Phase: Sendable, Encodable {
  public var epoch: UInt64
  public var state: String
  public var beganUnixNanoseconds: UInt64
  /// What began it; nil: it is from before what is retained.
  public var transition: TransitionView?
  public var decisions: UInt64 = 0
  public var outcomes: [OutcomeCount] = []
  /// The same of replays, which the others do not hold.
  public var replayOutcomes: [OutcomeCount] = []
  public var firstFrame: UInt64?
  public var lastFrame: UInt64?
  /// Of those, replays of kept intents.
  public var replays: UInt64 = 0
  /// EXECUTEs of classes that are critical, and of those that change something.
  public var criticalExecuted: UInt64 = 0
  public var mutatingExecuted: UInt64 = 0
  /// The first decision about a deferred intent, and the first replay, with the frame that it repeats.
  public var firstDeferredFrame: UInt64?
  public var firstReplayFrame: UInt64?
  public var firstReplayOf: UInt64?

  fileprivate var counts: [UInt8: UInt64] = [:]
  fileprivate var replayCounts: [UInt8: UInt64] = [:]

  enum CodingKeys: String, CodingKey {
    case epoch, state, beganUnixNanoseconds, transition, decisions, outcomes, replayOutcomes, firstFrame,
      lastFrame, replays
    case criticalExecuted, mutatingExecuted, firstDeferredFrame, firstReplayFrame, firstReplayOf
  }

  /// UNSTABLE or FAILED: no risky writes.
  public var isUnsafe: Bool { state == "UNSTABLE" || state == "FAILED" }
}

struct StorySink: RecordSink {
  static let phasesMax = 4096

  private(set) var violating = ViolationsSink()
  private(set) var phases: [Phase] = []
  private var places: [UInt64: Int] = [:]
  /// A place in the trace for each thing that an auditor has to be shown.
  private(set) var faults: [Violation] = []
  private(set) var unkept: UInt64 = 0

  mutating func traceEnds(isClosed: Bool) {
    violating.traceEnds(isClosed: isClosed)
    for place in phases.indices {
      phases[place].outcomes = Self.named(phases[place].counts)
      phases[place].replayOutcomes = Self.named(phases[place].replayCounts)
    }
  }

  private static func named(_ counts: [UInt8: UInt64]) -> [OutcomeCount] {
    counts.sorted { $0.key > $1.key }
      .map {
        let outcome = Outcome(rawValue: $0.key)
        return OutcomeCount(
          verdict: "\(verdictName(outcome.verdict))", reason: "\(reasonName(outcome.reason))",
          count: $0.value)
      }
  }

  private mutating func fault(_ place: Place, _ message: String) {
    if faults.count < Findings.violationsMax { faults.append(Violation(.deferral, at: place, message)) }
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = violating.decisions(body, from: from, to: to, context: context, log: log)
    let place = place(of: context, log)
    for slot in from..<from + count {
      let record = RecordView(body, slot: slot)
      guard let decision = DecisionWord(record) else { continue }
      add(decision, record.decision, to: place)
      let isDeferred = decision.outcome.verdict == LTP_VERDICT_DEFER
      if isDeferred, decision.inputs & LTP_INPUT_KEPT == 0, log.deferral.isKeeping {
        unkept += 1
        fault(
          context.place(slot: slot),
          "frame \(record.decision.pointee.frame_id) of session \(record.decision.pointee.session_id) was deferred, and nothing was kept"
        )
      }
      guard decision.outcome.isExecute, let policy = context.policy else { continue }
      let attributes = policy.attributes(decision.actionClass)
      let isCritical = attributes & LTP_CLASS_CRITICAL != 0
      if isCritical { phases[place].criticalExecuted += 1 }
      if attributes & LTP_CLASS_MUTATING != 0 { phases[place].mutatingExecuted += 1 }
      // What may run in an outage is RECOVERY's: an emergency stop changes something, too.
      if phases[place].isUnsafe, isCritical, attributes & LTP_CLASS_RECOVERY == 0 {
        fault(
          context.place(slot: slot),
          "frame \(record.decision.pointee.frame_id) of session \(record.decision.pointee.session_id): a critical action ran while "
            + phases[place].state)
      }
    }
    return count
  }

  private mutating func add(
    _ decision: DecisionWord, _ record: UnsafePointer<ltp_decision_record>, to place: Int
  ) {
    // Both, because anybody may call himself what the core calls itself.
    let replayed = LTP_INPUT_REPLAY | LTP_INPUT_KEPT
    let isReplay =
      record.pointee.session_id == LTP_SESSION_REPLAY && decision.inputs & replayed == replayed
    phases[place].decisions += 1
    let frame = record.pointee.frame_id
    if isReplay {
      phases[place].replays += 1
      phases[place].replayCounts[decision.outcome.rawValue, default: 0] += 1
      if decision.outcome.isExecute, phases[place].firstReplayFrame == nil {
        phases[place].firstReplayFrame = frame
      }
      return
    }
    phases[place].counts[decision.outcome.rawValue, default: 0] += 1
    phases[place].firstFrame = min(phases[place].firstFrame ?? frame, frame)
    phases[place].lastFrame = max(phases[place].lastFrame ?? frame, frame)
    if decision.outcome.verdict == LTP_VERDICT_DEFER, phases[place].firstDeferredFrame == nil {
      phases[place].firstDeferredFrame = frame
    }
  }

  /// The phase that a lane decides in.
  private mutating func place(of context: borrowing RecordContext, _ log: LogState) -> Int {
    let epoch = log.epoch(of: context.word) ?? UInt64(context.word.epoch)
    if let known = places[epoch] { return known }
    // A transition of a domain alone, or from before what is retained.
    let state = "\(stateName(context.word.state))"
    if let last = phases.last, last.state == state {
      places[epoch] = phases.count - 1
      return phases.count - 1
    }
    return begin(
      Phase(epoch: epoch, state: state, beganUnixNanoseconds: context.baseUnixNanoseconds, transition: nil))
  }

  private mutating func begin(_ phase: Phase) -> Int {
    if phases.count < Self.phasesMax { phases.append(phase) }
    if places.count > 1 << 16 { places.removeAll() }
    places[phase.epoch] = phases.count - 1
    return phases.count - 1
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    violating.record(kind, record, slot: slot, context: context, log: log)
    switch kind {
    case .transition where !record.transition.isRepeated:
      let view = TransitionView(
        record.transition, unixNanoseconds: context.transitionTime(record.transition), texts: log.texts)
      if view.domain != nil || view.from == view.to && view.reason == "POLICY_CHANGED" {
        if !phases.isEmpty { places[view.epoch] = phases.count - 1 }
      } else {
        _ = begin(
          Phase(
            epoch: view.epoch, state: view.to, beganUnixNanoseconds: view.unixNanoseconds, transition: view))
      }
    case .replay:
      // It follows the decision that was taken last.
      guard
        let place = phases.indices.last(where: {
          phases[$0].firstReplayFrame == record.replay.pointee.frame_id
        })
      else { break }
      phases[place].firstReplayOf = record.replay.pointee.original_frame_id
    default: break
    }
  }
}

/// What a trace tells, for three readers.
public struct Story: Sendable {
  public var inspection: InspectReport
  public var phases: [Phase]
  public var deferral: DeferralTotals
  /// Nothing that an auditor would have to be shown.
  public var isClean: Bool { inspection.isGood && faults.isEmpty && unended.isEmpty }
  /// The first of what is wrong beside the trace's own violations.
  public var faults: [Violation]
  /// The first intents without an end.
  public var unended: [Violation]
  public var unendedCount: Int
  public var redecided: UInt64
  public var withoutPolicy: UInt64
  public var acts: UInt64
}

extension Inspector {
  /// All that `verify`, `redecide` and `violations` check, and the trace as a story.
  public func story() throws(InspectFailure) -> Story { try story { _ in } }

  func story(_ body: (DeferralHistory) -> Void) throws(InspectFailure) -> Story {
    var deferral = DeferralHistory()
    var (inspection, sink) = try run(StorySink(), salvages: false) { log in deferral = log.deferral }
    sink.traceEnds(isClosed: inspection.totals.isClosed)
    let unproven = sink.violating.lives.violations
    inspection.violationCount += UInt64(unproven.count)
    inspection.violations += unproven.prefix(max(0, Findings.violationsMax - inspection.violations.count))
    let unended = deferral.pending.sorted { $0.key < $1.key }
    body(deferral)
    var totals = deferral.totals
    totals.pending = UInt64(unended.count)
    totals.deferredUnkept = sink.unkept
    return Story(
      inspection: inspection, phases: sink.phases, deferral: totals, faults: sink.faults,
      unended: unended.prefix(20).map { ticket, intent in
        Violation(
          .deferral, at: intent.place,
          "frame \(intent.frame) of session \(intent.session) was deferred as intent \(ticket), and has no end"
        )
      },
      unendedCount: unended.count, redecided: sink.violating.redeciding.redecided,
      withoutPolicy: sink.violating.redeciding.withoutPolicy, acts: sink.violating.lives.acts)
  }
}
