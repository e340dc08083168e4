// SPDX-License-Identifier: Apache-2.0
// The fast path: one request in, one verdict out, one record in the lane's ring.
//
// Reads one shared line (orientation word and clock), its own rules, and the request; writes one 32-byte record,
// one counter and the published count. No allocation, lock, system call or reference count.

public import CLTP
public import LTPFrames
public import Synchronization

extension Lane {
  /// Whether the handle is good: false after close, and in a child after fork.
  @inlinable
  @inline(__always)
  public var isLive: Bool { state.pointee.magic == LaneState.live }

  /// Decides the request at `frame`, of which `available` bytes can be read.
  @inlinable
  @inline(__always)
  public func admit(_ frame: UnsafeRawPointer?, available: Int) -> ltp_verdict {
    let line = state.pointee.line
    let changed =
      line.pointee.word.load(ordering: .acquiring) ^ state.pointee.word
      | line.pointee.monotonic.load(ordering: .relaxed) ^ state.pointee.clock
    if changed != 0 || state.pointee.cursor == state.pointee.end {
      guard settle() else { return denyUnrecorded() }
    }
    guard let frame, RouteRequestView.isWellFormed(frame, available: available) else {
      return denyMalformed(frame, available: available)
    }
    let request = frame.loadUnaligned(as: ltp_route_request.self)
    var inputs: UInt8 = 0
    if request.header.flags & LTP_REQUEST_REPLAY != 0 {
      inputs = LTP_INPUT_REPLAY
      guard writeReplay(request) else { return denyUnrecorded() }
    }
    let actionClass = Int(request.action_class)
    let known = actionClass < Int(LTP_CLASS_COUNT)
    let rule = known ? CompiledRule(rawValue: state.pointee.rules[actionClass]) : .unknownClass
    if rule.needsContinuity {
      inputs |= LTP_INPUT_CONTINUITY_CHECKED
      let valid = state.pointee.continuity.isValid(
        token: request.continuity_token, sessionID: request.session_id)
      inputs |= valid ? LTP_INPUT_CONTINUITY_VALID : 0
    }
    let hasDeadline = request.header.flags & LTP_REQUEST_HAS_DEADLINE != 0
    let late = hasDeadline && state.pointee.clock >= request.deadline_ns
    inputs |= late ? LTP_INPUT_DEADLINE_EXCEEDED : 0
    let word = OrientationWord(rawValue: state.pointee.word)
    let decision = rule.decide(
      threshold: word.threshold, priority: request.priority, inputs: inputs,
      sessionID: request.session_id)
    record(
      decision, inputs: inputs, actionClass: request.action_class, priority: request.priority,
      frameID: request.frame_id, sessionID: request.session_id)
    count(decision.outcome, classIndex: known ? actionClass : Int(LTP_CLASS_COUNT))
    return verdict(decision, word: word)
  }

  /// Decides `count` requests, `stride` bytes apart; returns how many say EXECUTE.
  @inlinable
  @inline(__always)
  public func admitBatch(
    _ frames: UnsafeRawPointer, stride: Int, count: Int, into verdicts: UnsafeMutablePointer<ltp_verdict>
  ) -> Int {
    var executed = 0
    for index in 0..<count {
      let verdict = admit(frames + index &* stride, available: stride)
      verdicts[index] = verdict
      executed &+= verdict.verdict == LTP_VERDICT_EXECUTE ? 1 : 0
    }
    return executed
  }

  /// Writes and publishes the record. There is room for it.
  @inlinable
  @inline(__always)
  func record(
    _ decision: Decision, inputs: UInt8, actionClass: UInt16, priority: UInt8, frameID: UInt64,
    sessionID: UInt64
  ) {
    let record = ltp_decision_record(
      kind: LTP_RECORD_DECISION, verdict: decision.outcome.verdict, reason: decision.outcome.reason,
      inputs: inputs, action_class: actionClass, priority: priority, reserved: 0,
      time_us: state.pointee.timeMicroseconds, retry_after_ms: decision.retryAfterMilliseconds,
      frame_id: frameID, session_id: sessionID)
    let cursor = state.pointee.cursor
    cursor.storeBytes(of: record, as: ltp_decision_record.self)
    // A replay takes two slots, published together: its second one is there already.
    let slots = 1 &+ (inputs & LTP_INPUT_REPLAY) >> 4
    state.pointee.cursor = cursor + Int(slots) &* Int(LTP_SLOT_BYTES)
    let issued = state.pointee.published.load(ordering: .relaxed)
    // Releasing: the writer that reads this count sees the record.
    state.pointee.published.store(issued &+ UInt64(slots), ordering: .releasing)
  }

  @inlinable
  @inline(__always)
  func count(_ outcome: Outcome, classIndex: Int) {
    let counter = state.pointee.stateCounters + (classIndex * Outcome.count + Int(outcome.rawValue))
    // Only this thread writes it, so a load and a store do; readers see whole values.
    let count = counter.pointee.load(ordering: .relaxed)
    counter.pointee.store(count &+ 1, ordering: .relaxed)
  }

  @inlinable
  @inline(__always)
  func verdict(_ decision: Decision, word: OrientationWord) -> ltp_verdict {
    let outcome = decision.outcome
    return ltp_verdict(
      epoch: word.epoch, retry_after_ms: decision.retryAfterMilliseconds,
      policy_generation: state.pointee.policyGeneration, verdict: outcome.verdict, reason: outcome.reason,
      state: word.state,
      commitment: outcome.verdict == LTP_VERDICT_DEFER ? LTP_COMMITMENT_WHEN_STABLE : LTP_COMMITMENT_NONE)
  }

  // MARK: Off the fast path

  /// A decision that the trace cannot take is a denial, and is counted: the next record tells how many.
  @inline(never)
  @usableFromInline
  func denyUnrecorded() -> ltp_verdict {
    state.pointee.unrecorded &+= 1
    let total = state.pointee.unrecordedTotal.load(ordering: .relaxed)
    state.pointee.unrecordedTotal.store(total &+ 1, ordering: .releasing)
    let outcome = Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_TRACE_BACKPRESSURE)
    count(outcome, classIndex: Int(LTP_CLASS_COUNT))
    let current = state.pointee.orientation.current
    let closing = current.state == OrientationWord.closed
    return ltp_verdict(
      epoch: current.epoch, retry_after_ms: 1, policy_generation: state.pointee.policyGeneration,
      verdict: outcome.verdict, reason: outcome.reason,
      state: closing ? LTP_STATE_UNKNOWN : current.state, commitment: LTP_COMMITMENT_NONE)
  }

  @inline(never)
  @usableFromInline
  func denyMalformed(_ frame: UnsafeRawPointer?, available: Int) -> ltp_verdict {
    let decision = CompiledRule.unknownClass.decide(
      threshold: 0, priority: 0, inputs: LTP_INPUT_MALFORMED, sessionID: 0)
    // What can be read of it without trusting it, so that the sender can be found.
    let readable = frame != nil && available >= MemoryLayout<ltp_route_request>.size
    let request = readable ? frame!.loadUnaligned(as: ltp_route_request.self) : ltp_route_request()
    record(
      decision, inputs: LTP_INPUT_MALFORMED, actionClass: LTP_CLASS_NONE, priority: 0,
      frameID: request.frame_id, sessionID: request.session_id)
    count(decision.outcome, classIndex: Int(LTP_CLASS_COUNT))
    return verdict(decision, word: OrientationWord(rawValue: state.pointee.word))
  }

  /// Writes the slot after the next one: which request the one now decided repeats.
  @inline(never)
  @usableFromInline
  func writeReplay(_ request: ltp_route_request) -> Bool {
    if state.pointee.end - state.pointee.cursor == Int(LTP_SLOT_BYTES) {
      // One slot left: say the word again there, and start the next block.
      guard append(observed(OrientationWord(rawValue: state.pointee.word))) else { return false }
      guard settle() else { return false }
    }
    var record = ltp_replay_record()
    record.kind = LTP_RECORD_REPLAY
    record.original_frame_id = request.original_frame_id
    record.frame_id = request.frame_id
    countRareSlot()
    (state.pointee.cursor + Int(LTP_SLOT_BYTES)).storeBytes(of: record, as: ltp_replay_record.self)
    return true
  }

  /// Answers a hello with the session's token, and records it. False: the trace can take no record now.
  public func answer(hello: ltp_hello, into answer: inout ltp_hello) -> Bool {
    guard settle() else {
      _ = denyUnrecorded()
      return false
    }
    answer = hello
    answer.header.flags |= LTP_HELLO_ANSWER
    answer.continuity_token = state.pointee.continuity.token(sessionID: hello.session_id)
    answer.continuity_epoch = state.pointee.continuityEpoch
    var record = ltp_hello_record()
    record.kind = LTP_RECORD_HELLO
    record.continuity_epoch = state.pointee.continuityEpoch
    record.time_us = state.pointee.timeMicroseconds
    record.node_id = hello.node_id
    record.frame_id = hello.frame_id
    record.session_id = hello.session_id
    return append(record)
  }
}
