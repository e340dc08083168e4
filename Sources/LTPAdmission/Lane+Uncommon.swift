// SPDX-License-Identifier: Apache-2.0
// Off the fast path: everything that `admit` has no short answer to. Changes, odd frames, replays, and denials
// without a record.

public import CLTP
import CLTPSystem
import LTPFrames
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

extension Lane {
  /// Nothing has changed since the lane last looked, and there is room for a record.
  var isSettled: Bool { LaneStanding(state).isSettled(state.pointee.cursor) }

  @inline(never)
  @usableFromInline
  func admitUncommon(_ frame: UnsafeRawPointer?, available: Int) -> Verdict {
    guard isSettled || settle() else { return denyUnrecorded() }
    guard let frame, available > 0 else { return denyMalformed(frame, available: available) }
    // From a copy: what the check knows of the frame's length must still hold where its second line is read, though the
    // caller's memory may change. No request is longer.
    var copy = ltp_long_request()
    let count = min(available, MemoryLayout<ltp_long_request>.size)
    return withUnsafeMutableBytes(of: &copy) { bytes in
      ltp_system_copy(bytes.baseAddress!, frame, count)
      return admitSettled(bytes.baseAddress!, available: count)
    }
  }

  /// The same with the lane up to date, for a frame that does not change.
  private func admitSettled(_ frame: UnsafeRawPointer, available: Int) -> Verdict {
    guard RouteRequestView.isWellFormed(frame, available: available) else {
      return denyMalformed(frame, available: available)
    }
    let request = RouteRequestView(checked: frame)
    guard makeRoom(for: request) else { return denyUnrecorded() }
    // A decision's slots are published together.
    writeReplay(of: request)
    return decide(request, known: request.isReplay ? UInt64(LTP_INPUT_REPLAY) : 0)
  }

  /// Goes over to the next block when the slots that are left cannot hold all that belongs to the decision: it may not be
  /// torn apart. The lane is settled. False: the trace can take no record now.
  private func makeRoom(for request: RouteRequestView) -> Bool {
    makeRoom {
      let rule = CompiledRule(
        rawValue: state.pointee.rules[min(Int(request.actionClass), Int(LTP_CLASS_COUNT))])
      return 1 + (request.isReplay ? 1 : 0) + (rule.isLimited ? 1 : 0)
    }
  }

  /// The same for so many slots.
  func makeRoom(slots: Int) -> Bool { makeRoom { slots } }

  private func makeRoom(_ slotCount: () -> Int) -> Bool {
    while true {
      let slots = slotCount()
      if state.pointee.end - state.pointee.cursor >= slots * Int(LTP_SLOT_BYTES) { return true }
      // The word is said again in the slots that are left.
      while state.pointee.cursor != state.pointee.end {
        let word = OrientationWord(rawValue: state.pointee.word)
        guard append(observed(word, limitsWord: state.pointee.limitsWord)) else { return false }
      }
      guard settle() else { return false }
    }
  }

  /// Decides and records a well-formed request. There is room. `known`: inputs that are known already.
  private func decide(_ request: RouteRequestView, known: UInt64) -> Verdict {
    let view = LaneView(state, LaneStanding(state))
    let column = view.column(request)
    let isLate = request.hasDeadline && view.clock >= request.deadlineNanoseconds
    let cursor = state.pointee.cursor
    let verdict = decideGuarded(
      request, view, column: column,
      inputs: known | (isLate ? UInt64(LTP_INPUT_DEADLINE_EXCEEDED) : 0), at: cursor)
    publishDecision(at: cursor)
    return verdict
  }

  /// A decision that the trace cannot take is a denial, and is counted: the next record tells how many.
  func denyUnrecorded(_ reason: UInt8 = LTP_REASON_TRACE_BACKPRESSURE) -> Verdict {
    state.pointee.unrecorded.count(reason)
    let total = state.pointee.unrecordedTotal.load(ordering: .relaxed)
    state.pointee.unrecordedTotal.store(total &+ 1, ordering: .releasing)
    let outcome = Outcome(verdict: LTP_VERDICT_DENY, reason: reason)
    let counter =
      state.pointee.stateCounters + (Int(LTP_CLASS_COUNT) * Outcome.count + Int(outcome.rawValue))
    counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    let current = state.pointee.orientation.current
    let closing = current.state == OrientationWord.closed
    return Verdict(
      Decision(outcome: outcome, retryAfterMilliseconds: 1),
      word: closing ? OrientationWord(rawValue: current.rawValue & ~0xF) : current,
      policyGeneration: state.pointee.policyGeneration)
  }

  /// Decides a request that came over a connection which is bound to a life.
  public func admit(
    _ frame: UnsafeRawPointer?, available: Int, from connection: ltp_connection
  ) -> Verdict {
    guard let frame, available >= MemoryLayout<ltp_route_request>.size else {
      return admit(frame, available: available)
    }
    // From a copy: what was compared must be what is decided, though the caller's memory may change.
    var copy = ltp_long_request()
    let count = min(available, MemoryLayout<ltp_long_request>.size)
    return withUnsafeMutableBytes(of: &copy) { bytes in
      ltp_system_copy(bytes.baseAddress!, frame, count)
      let frame = UnsafeRawPointer(bytes.baseAddress!)
      let request = RouteRequestView(checked: frame)
      let isItsLife =
        connection.session_id == request.sessionID && connection.incarnation == request.incarnation
        && connection.incarnation != 0 && connection.domain == request.domain
      return isItsLife ? admit(frame, available: count) : denyOther(frame, available: count)
    }
  }

  @inline(never)
  private func denyOther(_ frame: UnsafeRawPointer, available: Int) -> Verdict {
    guard isSettled || settle() else { return denyUnrecorded() }
    guard RouteRequestView.isWellFormed(frame, available: available) else {
      return denyMalformed(frame, available: available)
    }
    let request = RouteRequestView(checked: frame)
    let view = LaneView(state, LaneStanding(state))
    let cursor = state.pointee.cursor
    let verdict = view.record(
      .otherIncarnation, of: request, inputs: UInt64(LTP_INPUT_OTHER_INCARNATION),
      column: view.column(request),
      at: cursor)
    publish(to: cursor + Int(LTP_SLOT_BYTES), slots: 1)
    return verdict
  }

  func denyMalformed(_ frame: UnsafeRawPointer?, available: Int) -> Verdict {
    // What can be read of it without trusting it, so that the sender can be found.
    let readable = frame != nil && available >= MemoryLayout<ltp_route_request>.size
    let request = readable ? frame!.loadUnaligned(as: ltp_route_request.self) : ltp_route_request()
    let cursor = state.pointee.cursor
    let verdict = LaneView(state, LaneStanding(state)).record(
      .malformed, inputs: UInt64(LTP_INPUT_MALFORMED), attributes: UInt64(LTP_CLASS_NONE),
      frameID: request.frame_id, sessionID: request.session_id, column: Int(LTP_CLASS_COUNT), at: cursor)
    publish(to: cursor + Int(LTP_SLOT_BYTES), slots: 1)
    return verdict
  }

  /// What a request that replays another says of itself in the slot after the next one. There is room.
  func writeReplay(of request: RouteRequestView) {
    guard request.isReplay else { return }
    writeReplay(of: request.originalFrameID, as: request.frameID, originalSession: 0)
  }

  /// Writes the slot after the next one: which request, and whose, the one now decided repeats. There is room.
  func writeReplay(of originalFrameID: UInt64, as frameID: UInt64, originalSession: UInt64) {
    var record = ltp_replay_record()
    record.kind = LTP_RECORD_REPLAY
    record.original_frame_id = originalFrameID
    record.frame_id = frameID
    record.original_session_id = originalSession
    (state.pointee.cursor + Int(LTP_SLOT_BYTES)).storeBytes(of: record, as: ltp_replay_record.self)
  }
}
