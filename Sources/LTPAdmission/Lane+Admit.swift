// SPDX-License-Identifier: Apache-2.0
// The fast path: one request in, one verdict out, one record in the lane's ring.
//
// Reads one shared line (orientation word and clock), its own rules, and the request; writes one 32-byte record,
// one counter and the published count. No allocation, lock, system call or reference count.

public import CLTP
public import CLTPSystem
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
  public func admit(_ frame: UnsafeRawPointer?, available: Int) -> Verdict {
    guard isSettled, let frame, RouteRequestView.isCommon(frame, available: available) else {
      return admitUncommon(frame, available: available)
    }
    return decide(RouteRequestView(checked: frame), known: 0)
  }

  /// Nothing has changed since the lane last looked, and there is room for a record.
  @inlinable
  @inline(__always)
  var isSettled: Bool {
    let line = state.pointee.line
    return line.pointee.word.load(ordering: .acquiring) == state.pointee.word
      && line.pointee.monotonic.load(ordering: .relaxed) == state.pointee.clock
      && state.pointee.cursor != state.pointee.end
  }

  /// Decides and records a well-formed request. There is room. `known`: inputs that are known already.
  @inlinable
  @inline(__always)
  func decide(_ request: RouteRequestView, known: UInt8) -> Verdict {
    let actionClass = Int(request.actionClass)
    let isClass = actionClass < Int(LTP_CLASS_COUNT)
    let rule = isClass ? CompiledRule(rawValue: state.pointee.rules[actionClass]) : .unknownClass
    var inputs = known
    if rule.needsContinuity {
      let valid = state.pointee.continuity.isValid(
        token: request.continuityToken, sessionID: request.sessionID)
      inputs |= LTP_INPUT_CONTINUITY_CHECKED | (valid ? LTP_INPUT_CONTINUITY_VALID : 0)
    }
    let late = request.hasDeadline && state.pointee.clock >= request.deadlineNanoseconds
    inputs |= late ? LTP_INPUT_DEADLINE_EXCEEDED : 0
    let word = OrientationWord(rawValue: state.pointee.word)
    let decision = rule.decideWellFormed(
      threshold: word.threshold, priority: request.priority, inputs: inputs,
      sessionID: request.sessionID)
    record(
      decision, inputs: inputs, actionClass: request.actionClass, priority: request.priority,
      frameID: request.frameID, sessionID: request.sessionID)
    count(decision.outcome, classIndex: isClass ? actionClass : Int(LTP_CLASS_COUNT))
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
      verdicts[index] = verdict.cValue
      executed &+= verdict.isExecute ? 1 : 0
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
    let cursor = state.pointee.cursor
    let outcome = decision.outcome
    // ltp_decision_record in four stores instead of eleven; LTPAdmissionTests compares the two.
    let first =
      UInt64(LTP_RECORD_DECISION) | UInt64(outcome.verdict) &<< 8 | UInt64(outcome.reason) &<< 16
      | UInt64(inputs) &<< 24 | UInt64(actionClass) &<< 32 | UInt64(priority) &<< 48
    let second =
      UInt64(state.pointee.timeMicroseconds) | UInt64(decision.retryAfterMilliseconds) &<< 32
    // The writer's core has read these lines when the ring comes round: have them here in time.
    ltp_system_prefetch_for_write(cursor + 1024)
    cursor.storeBytes(of: first, as: UInt64.self)
    cursor.storeBytes(of: second, toByteOffset: 8, as: UInt64.self)
    cursor.storeBytes(of: frameID, toByteOffset: 16, as: UInt64.self)
    cursor.storeBytes(of: sessionID, toByteOffset: 24, as: UInt64.self)
    // A replay takes two slots, published together: its second one is there already.
    let slots = 1 &+ UInt64(inputs) / UInt64(LTP_INPUT_REPLAY) & 1
    state.pointee.cursor = cursor + Int(truncatingIfNeeded: slots) &* Int(LTP_SLOT_BYTES)
    let issued = state.pointee.published.load(ordering: .relaxed)
    // Releasing: the writer that reads this count sees the record.
    state.pointee.published.store(issued &+ slots, ordering: .releasing)
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
  func verdict(_ decision: Decision, word: OrientationWord) -> Verdict {
    let outcome = decision.outcome
    // The commitment to DEFER is its only one, and has its verdict's value.
    let commitment = UInt64(outcome.verdict) & UInt64(LTP_COMMITMENT_WHEN_STABLE)
    return Verdict(
      low: UInt64(word.epoch) | UInt64(decision.retryAfterMilliseconds) &<< 32,
      high: UInt64(state.pointee.policyGeneration) | UInt64(outcome.verdict) &<< 32
        | UInt64(outcome.reason) &<< 40 | UInt64(word.state) &<< 48 | commitment &<< 56)
  }

  // MARK: Off the fast path

  /// Everything that `admit` has no short answer to: changes, odd frames, replays.
  @inline(never)
  @usableFromInline
  func admitUncommon(_ frame: UnsafeRawPointer?, available: Int) -> Verdict {
    guard isSettled || settle() else { return denyUnrecorded() }
    guard let frame, RouteRequestView.isWellFormed(frame, available: available) else {
      return denyMalformed(frame, available: available)
    }
    let request = RouteRequestView(checked: frame)
    guard request.isReplay else { return decide(request, known: 0) }
    guard writeReplay(of: request.originalFrameID, as: request.frameID) else { return denyUnrecorded() }
    return decide(request, known: LTP_INPUT_REPLAY)
  }

  /// A decision that the trace cannot take is a denial, and is counted: the next record tells how many.
  @inline(never)
  @usableFromInline
  func denyUnrecorded() -> Verdict {
    state.pointee.unrecorded &+= 1
    let total = state.pointee.unrecordedTotal.load(ordering: .relaxed)
    state.pointee.unrecordedTotal.store(total &+ 1, ordering: .releasing)
    let outcome = Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_TRACE_BACKPRESSURE)
    count(outcome, classIndex: Int(LTP_CLASS_COUNT))
    let current = state.pointee.orientation.current
    let closing = current.state == OrientationWord.closed
    return verdict(
      Decision(outcome: outcome, retryAfterMilliseconds: 1),
      word: closing ? OrientationWord(rawValue: current.rawValue & ~0xF) : current)
  }

  @inline(never)
  @usableFromInline
  func denyMalformed(_ frame: UnsafeRawPointer?, available: Int) -> Verdict {
    let decision = Decision.malformed
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
  func writeReplay(of originalFrameID: UInt64, as frameID: UInt64) -> Bool {
    if state.pointee.end - state.pointee.cursor == Int(LTP_SLOT_BYTES) {
      // One slot left: say the word again there, and start the next block.
      guard append(observed(OrientationWord(rawValue: state.pointee.word))) else { return false }
      guard settle() else { return false }
    }
    var record = ltp_replay_record()
    record.kind = LTP_RECORD_REPLAY
    record.original_frame_id = originalFrameID
    record.frame_id = frameID
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
