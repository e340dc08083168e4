// SPDX-License-Identifier: Apache-2.0
// Requests whose intents are kept when they are deferred, and the replay of kept intents. Off the fast path: whoever keeps intents is asked
// under its lock, between `prepare` and the record.

public import CLTP
import CLTPSystem
public import LTPFrames
import LTPOrientation
import LTPRecords
public import LTPRules
import Synchronization

/// What whoever keeps intents says of one.
public struct KeepAnswer {
  public var fact: KeptFact
  /// 0: there is none.
  public var ticket: UInt64

  public init(_ result: UInt8, end: UInt8 = LTP_END_NONE, isBehind: Bool = false, ticket: UInt64 = 0) {
    fact = KeptFact(result: result, end: end, isBehind: isBehind)
    self.ticket = ticket
  }
}

/// What is told of a kept intent beside its ticket.
public struct KeptContent {
  public var payloadBytes: UInt32
  /// The first 8 bytes of the payload's hash.
  public var word: UInt64

  public init(payloadBytes: UInt32, word: UInt64) {
    self.payloadBytes = payloadBytes
    self.word = word
  }
}

/// The life under which a lane replays intents of a domain.
struct ReplayLife {
  var domain: UInt8 = 0
  /// The domain's epoch that it was begun in; 0: none was.
  var number: UInt64 = 0
  var voids: UInt32 = 0
  var token: UInt64 = 0
  var incarnation: UInt32 = 0
}

extension Lane {
  /// A decision's slots, with REPLAY, TENANT and KEPT.
  private static var slotsMax: Int { 4 }

  /// Brings the lane up to date, with room for a decision and all that belongs to it. `frame` does not change. A verdict: it was denied, for what
  /// is no fault of the intent.
  public func prepareKeeping(_ frame: UnsafeRawPointer, available: Int) -> Verdict? {
    guard isSettled || settle() else { return denyUnrecorded() }
    guard RouteRequestView.isWellFormed(frame, available: available) else {
      return denyMalformed(frame, available: available)
    }
    return makeRoom(slots: Self.slotsMax) ? nil : denyUnrecorded()
  }

  /// Decides a request that `prepareKeeping` has passed, with what its keeper says, and records it.
  /// `look`: what is known of the intent, NONE if nothing is; `keep`: keeps it.
  public func decideKeeping(
    _ request: RouteRequestView, _ content: KeptContent, look: () -> KeepAnswer,
    keep: (_ needsHello: Bool) -> KeepAnswer
  ) -> Verdict {
    let view = LaneView(state, LaneStanding(state))
    let column = view.column(request)
    let found = look()
    if found.fact.result != LTP_KEPT_NONE {
      return recordKept(request, view, column, inputs: 0, .malformed, content, found)
    }
    let isLate = request.hasDeadline && view.clock >= request.deadlineNanoseconds
    let late = isLate ? UInt64(LTP_INPUT_DEADLINE_EXCEEDED) : 0
    let rule = rule(of: request, column: column)
    let needsHello = state.pointee.confirmed.contains(column)
    if found.fact.isBehind, state.pointee.deferrable.contains(column) {
      let inputs = rule.needsContinuity ? late | continuityInputs(of: request) : late
      let decision = rule.decideGuarded(
        priority: request.priority, inputs: inputs, sessionID: request.sessionID)
      if decision.outcome.verdict != LTP_VERDICT_DENY {
        var answer = keep(needsHello)
        answer.fact.isBehind = true
        return recordKept(request, view, column, inputs: inputs, decision, content, answer)
      }
    }
    let cursor = state.pointee.cursor
    let verdict = decideGuarded(
      request, view, column: column, inputs: late | replayInput(of: request), at: cursor)
    writeReplay(of: request)
    guard verdict.cValue.verdict == LTP_VERDICT_DEFER, state.pointee.deferrable.contains(column) else {
      publishDecision(at: cursor)
      return verdict
    }
    let answer = keep(needsHello)
    let recorded = Decision(
      outcome: Outcome(verdict: verdict.cValue.verdict, reason: verdict.cValue.reason),
      retryAfterMilliseconds: verdict.cValue.retry_after_ms)
    guard answer.fact.result != LTP_KEPT_NEW,
      let changed = rule.decide(recorded, kept: answer.fact, sessionID: request.sessionID)
    else {
      publishKept(answer, content, at: cursor)
      return verdict
    }
    let told = amend(changed, column: column, at: cursor, isInOutage: isInOutage(request))
    publishKept(answer, content, at: cursor)
    return told
  }

  private func rule(of request: RouteRequestView, column: Int) -> CompiledRule {
    CompiledRule(
      rawValue: isInOutage(request) ? state.pointee.outageRules[column] : state.pointee.rules[column])
  }

  private func replayInput(of request: RouteRequestView) -> UInt64 {
    request.isReplay ? UInt64(LTP_INPUT_REPLAY) : 0
  }

  /// Records what the keeper has decided. A request that says that it replays another says so in its record, too.
  private func recordKept(
    _ request: RouteRequestView, _ view: LaneView, _ column: Int, inputs: UInt64, _ decision: Decision,
    _ content: KeptContent, _ answer: KeepAnswer
  ) -> Verdict {
    let cursor = state.pointee.cursor
    let rule = rule(of: request, column: column)
    // What the rule says counts for nothing where the keeper knows the intent.
    let decided = rule.decide(decision, kept: answer.fact, sessionID: request.sessionID) ?? .malformed
    let verdict = view.record(
      decided, of: request, inputs: inputs | replayInput(of: request), column: column, at: cursor)
    writeReplay(of: request)
    publishKept(answer, content, at: cursor)
    return isInOutage(request) ? verdict.inState(LTP_STATE_UNSTABLE) : verdict
  }

  /// Puts another decision into the record at `cursor`, which is not published yet, and into the counters.
  private func amend(
    _ decision: Decision, column: Int, at cursor: UnsafeMutableRawPointer, isInOutage: Bool
  ) -> Verdict {
    let record = cursor.assumingMemoryBound(to: ltp_decision_record.self)
    count(column, Int(record.pointee.outcome), -1)
    count(column, Int(decision.outcome.rawValue), 1)
    record.pointee.outcome = decision.outcome.rawValue
    record.pointee.retry_and_shadow =
      record.pointee.retry_and_shadow & ~UInt32(LTP_DECISION_RETRY_MASK) | decision.retryAfterMilliseconds
    let verdict = Verdict(
      low: state.pointee.epoch | UInt64(decision.retryAfterMilliseconds) << Verdict.retryAfterShift,
      high: state.pointee.verdicts[Int(decision.outcome.rawValue)])
    return isInOutage ? verdict.inState(LTP_STATE_UNSTABLE) : verdict
  }

  private func count(_ column: Int, _ place: Int, _ change: Int) {
    let counter = state.pointee.stateCounters + (column * Outcome.count + place)
    let count = counter.pointee.load(ordering: .relaxed)
    counter.pointee.store(count &+ UInt64(bitPattern: Int64(change)), ordering: .relaxed)
  }

  /// Adds what became of the intent to the decision at `cursor`, after all that belongs to it, and publishes it.
  private func publishKept(
    _ answer: KeepAnswer, _ content: KeptContent, at cursor: UnsafeMutableRawPointer
  ) {
    let decision = cursor.assumingMemoryBound(to: ltp_decision_record.self)
    let slots = Self.slotCount(at: cursor)
    decision.pointee.inputs |= LTP_INPUT_KEPT
    var record = ltp_kept_record()
    record.kind = LTP_RECORD_KEPT
    record.result = answer.fact.result
    record.end = answer.fact.end
    record.behind = answer.fact.isBehind ? 1 : 0
    record.payload_bytes = content.payloadBytes
    record.ticket = answer.ticket
    record.frame_id = decision.pointee.frame_id
    record.content = content.word
    (cursor + slots * Int(LTP_SLOT_BYTES)).assumingMemoryBound(to: ltp_kept_record.self).pointee = record
    publish(to: cursor + (slots + 1) * Int(LTP_SLOT_BYTES), slots: UInt64(slots + 1))
  }

  // MARK: Replay

  /// Brings the lane up to date for a replay. False: the trace can take no record now.
  public func prepareReplay() -> Bool { (isSettled || settle()) && makeRoom(slots: 2 * Self.slotsMax) }

  /// Whether a kept intent would be let in now, as far as the table says. The lane is up to date.
  public func wouldReplay(actionClass: UInt8, priority: UInt8, domain: UInt8) -> Bool {
    let column = min(Int(actionClass), Int(LTP_CLASS_COUNT))
    let isOut = state.pointee.hasOutages && state.pointee.outages[Int(domain)] != 0
    let rule = CompiledRule(
      rawValue: isOut ? state.pointee.outageRules[column] : state.pointee.rules[column])
    return rule.guardedOutcome(priority: priority, inputs: UInt64(LTP_CONTINUITY_VALID)).isExecute
  }

  /// The number of the domain's continuity epoch, for who waits until a session has shaken hands in it.
  public func continuityNumber(of domain: UInt8) -> UInt64 { self.domain(domain).number }

  /// Decides a kept intent again, as a request of the replaying session, and records that. The lane is prepared. Nil: the trace can take no
  /// record now.
  public func replay(
    _ first: ltp_route_request, as frameID: UInt64, ticket: UInt64, _ content: KeptContent
  ) -> Verdict? {
    guard beginReplayLife(in: first.domain) else { return nil }
    var long = ltp_long_request()
    long.request = first
    long.request.header.flags = LTP_REQUEST_REPLAY
    long.request.header.size_bytes = UInt16(MemoryLayout<ltp_long_request>.size)
    long.request.frame_id = frameID
    long.request.session_id = LTP_SESSION_REPLAY
    long.request.deadline_ns = 0
    let life = state.pointee.replayLife
    long.request.continuity_token = life.token
    long.request.incarnation = life.incarnation
    long.request.intent_epoch = UInt32(truncatingIfNeeded: life.number)
    long.goal.original_frame_id = first.frame_id
    return withUnsafeBytes(of: &long) { bytes in
      let request = RouteRequestView(checked: bytes.baseAddress!)
      let view = LaneView(state, LaneStanding(state))
      let cursor = state.pointee.cursor
      let verdict = decideGuarded(
        request, view, column: view.column(request), inputs: UInt64(LTP_INPUT_REPLAY), at: cursor)
      writeReplay(of: first.frame_id, as: frameID, originalSession: first.session_id)
      publishKept(KeepAnswer(LTP_KEPT_REPLAY, ticket: ticket), content, at: cursor)
      return verdict
    }
  }

  /// The replaying session shakes hands as any other does: the trace has its hello.
  private func beginReplayLife(in domain: UInt8) -> Bool {
    let epoch = self.domain(domain)
    let voids = state.pointee.voided.count(LTP_SESSION_REPLAY)
    let life = state.pointee.replayLife
    if life.number == epoch.number, life.domain == domain, life.voids == voids { return true }
    var hello = ltp_hello()
    hello.session_id = LTP_SESSION_REPLAY
    hello.client_nonce = UInt64(state.pointee.id)
    hello.domain = domain
    var answer = hello
    begin(hello, in: epoch, &answer)
    guard record(hello, answer) else { return false }
    state.pointee.replayLife = ReplayLife(
      domain: domain, number: epoch.number, voids: voids, token: answer.continuity_token,
      incarnation: answer.incarnation)
    // The record may have filled the block.
    return makeRoom(slots: Self.slotsMax)
  }
}
