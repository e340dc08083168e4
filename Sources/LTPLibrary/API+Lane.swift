// SPDX-License-Identifier: Apache-2.0
// ltp.h: lanes and verdicts. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPFrames
import LTPLimits
import LTPStorage
import LTPTrace
import Synchronization

/// The lane of a handle, or nil when it is not a good one. Its owner's calls need no more than this: nobody else may close
/// it meanwhile.
@inline(__always)
private func live(_ handle: OpaquePointer?) -> Lane? {
  let bits = Int(bitPattern: handle)
  // Neither a small number nor one in the system's half of the address space: those are told without a look.
  guard bits > 0xFFFF else { return nil }
  let memory = UnsafeMutableRawPointer(bitPattern: bits & -Int(LTP_SYSTEM_HANDLE_ALIGNMENT))!
  let mark = memory.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
  guard mark == ltp_system_handle_mark(LTP_SYSTEM_HANDLE_LANE, UInt64(UInt(bitPattern: bits))) else {
    return nil
  }
  return Lane((memory + Lane.stateOffset).assumingMemoryBound(to: LaneState.self))
}

/// Calls `body` with the lane of a handle, for a call that any thread may make: the lane's memory, and the core, stay
/// meanwhile, though the lane may be closed.
private func withLane(_ handle: OpaquePointer?, _ body: (Lane, Latch) -> Int32) -> Int32 {
  // To a lane's caller, one that is being closed is closed.
  guard let latch = try? Latch.enter(.lane, handle) else { return LTP_ERROR_BAD_HANDLE }
  defer { latch.leave() }
  return body(Lane(latch), latch)
}

extension Lane {
  fileprivate init(_ latch: Latch) {
    self.init((latch.memory + Self.stateOffset).assumingMemoryBound(to: LaneState.self))
  }
}

/// The lane of a handle, for a call that one thread at a time may make. A debug build ends the process when two do;
/// nothing is spent on it otherwise.
@inline(__always)
func withOwned<R>(_ handle: OpaquePointer?, _ body: (Lane?) -> R) -> R {
  let lane = live(handle)
  #if DEBUG
    lane?.enterAlone()
    defer { lane?.state.pointee.user.store(0, ordering: .relaxed) }
  #endif
  return body(lane)
}

#if DEBUG
  extension Lane {
    fileprivate func enterAlone() {
      let caller = ltp_system_thread_id()
      let (isAlone, other) = state.pointee.user.compareExchange(
        expected: 0, desired: caller, ordering: .relaxed)
      if !isAlone { ltp_system_end_for_misuse(state.pointee.id, other, caller) }
    }
  }
#endif

/// What a caller without a lane gets: no record can be made, so nothing is admitted.
private let refused = Verdict(low: 0, high: UInt64(LTP_REASON_TRACE_BACKPRESSURE) << 40)

@c @implementation
public func ltp_admit(
  _ lane: OpaquePointer!, _ frame: UnsafeRawPointer!, _ available: Int
) -> ltp_verdict {
  withOwned(lane) { lane in
    let verdict = lane?.admit(frame, available: available) ?? refused
    return verdict.cValue
  }
}

@c @implementation
public func ltp_admit_from(
  _ lane: OpaquePointer!, _ connection: UnsafePointer<ltp_connection>!, _ frame: UnsafeRawPointer!,
  _ available: Int
) -> ltp_verdict {
  withOwned(lane) { lane in
    let verdict =
      lane?.admit(frame, available: available, from: connection?.pointee ?? ltp_connection()) ?? refused
    return verdict.cValue
  }
}

@c @implementation
public func ltp_connection_bind(
  _ connection: UnsafeMutablePointer<ltp_connection>!, _ answer: UnsafePointer<ltp_hello>!
) -> Int32 {
  guard let connection, answer != nil else { return LTP_ERROR_NULL_ARGUMENT }
  return withCopy(ofFrame: answer, available: MemoryLayout<ltp_hello>.size) { answer, available in
    do throws(FrameError) {
      let granted = try HelloView(checking: answer, available: available)
      guard granted.isAnswer, !granted.isLater else { return LTP_ERROR_FRAME_FLAGS }
      connection.pointee = ltp_connection(
        session_id: granted.sessionID, client_nonce: granted.clientNonce, incarnation: granted.incarnation,
        continuity_epoch: granted.continuityEpoch, domain: granted.domain, reserved: (0, 0, 0, 0, 0, 0, 0))
      return LTP_OK
    } catch {
      return error.status
    }
  }
}

@c @implementation
public func ltp_admit_batch(
  _ lane: OpaquePointer!, _ frames: UnsafeRawPointer!, _ stride: Int, _ count: Int,
  _ verdicts: UnsafeMutablePointer<ltp_verdict>!
) -> Int {
  guard let verdicts, count > 0 else { return 0 }
  return withOwned(lane) { lane in
    guard let lane, let frames, stride >= Int(LTP_FRAME_LINE_BYTES) else {
      for index in 0..<count { verdicts[index] = refused.cValue }
      return 0
    }
    return lane.admitBatch(frames, stride: stride, count: count, into: verdicts)
  }
}

@c @implementation
public func ltp_lane_open(
  _ core: OpaquePointer!, _ lane: UnsafeMutablePointer<OpaquePointer?>!,
  _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let lane else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  lane.pointee = nil
  return withCore(core, details) { core in
    switch core.openLane() {
    case .success(let latch):
      lane.pointee = latch.handle
      return report(details, LTP_OK)
    case .failure(let fault): return report(details, fault: fault)
    }
  }
}

@c @implementation
public func ltp_lane_close(_ lane: OpaquePointer!) -> Int32 {
  guard let latch = try? Latch.claim(.lane, lane) else { return LTP_ERROR_BAD_HANDLE }
  let lane = Lane(latch)
  #if DEBUG
    lane.enterAlone()
  #endif
  Core.closeLane(lane, latch)
  return LTP_OK
}

@c @implementation
public func ltp_permit_release(
  _ handle: OpaquePointer!, _ permit: UInt32, _ outcome: UInt8, _ latencyNanoseconds: UInt64
) -> Int32 {
  withLane(handle) { lane, _ in
    guard outcome <= LTP_OUTCOME_IGNORED else { return LTP_ERROR_OPTION_RANGE }
    let isOut = lane.state.pointee.limits.permits.release(
      permit, outcome: outcome, latency: latencyNanoseconds == 0 ? nil : latencyNanoseconds,
      now: ltp_system_monotonic_ns())
    return isOut ? LTP_OK : LTP_ERROR_PERMIT
  }
}

@c @implementation
public func ltp_hello_answer(
  _ handle: OpaquePointer!, _ hello: UnsafeRawPointer!, _ available: Int,
  _ answer: UnsafeMutablePointer<ltp_hello>!
) -> Int32 {
  guard live(handle) != nil else { return LTP_ERROR_BAD_HANDLE }
  guard let answer else { return LTP_ERROR_NULL_ARGUMENT }
  return withCopy(ofFrame: hello, available: available) { hello, available in
    let fields: ltp_hello
    do throws(FrameError) {
      let asked = try HelloView(checking: hello, available: available)
      guard asked.flags & LTP_HELLO_ANSWER == 0 else { return LTP_ERROR_FRAME_FLAGS }
      let version = UInt8(LTP_PROTOCOL_VERSION)
      guard asked.versionMin <= version, version <= asked.versionMax else { return LTP_ERROR_FRAME_VERSION }
      // The core's own, who replays kept intents.
      guard asked.sessionID != LTP_SESSION_REPLAY else { return LTP_ERROR_FRAME_RANGE }
      fields = asked.fields
    } catch {
      return error.status
    }
    return withOwned(handle) { lane in
      guard let lane else { return LTP_ERROR_BAD_HANDLE }
      let status = lane.answer(hello: fields, into: &answer.pointee)
      if status == LTP_OK {
        Core(lane.state.pointee.owner).confirm(session: fields.session_id, domain: fields.domain, lane)
      }
      return status
    }
  }
}

@c @implementation
public func ltp_lane_void_session(_ lane: OpaquePointer!, _ sessionID: UInt64) -> Int32 {
  guard live(lane) != nil else { return LTP_ERROR_BAD_HANDLE }
  guard sessionID != 0 else { return LTP_ERROR_OPTION_RANGE }
  return withOwned(lane) { $0?.void(sessionID: sessionID) ?? false } ? LTP_OK : LTP_ERROR_BACKPRESSURE
}

@c @implementation
public func ltp_lane_fence(_ lane: OpaquePointer!, _ domain: UInt8, _ epoch: UInt32) -> UInt64 {
  live(lane)?.fence(domain, epoch: epoch) ?? 0
}

@c @implementation
public func ltp_lane_sequence(_ lane: OpaquePointer!) -> UInt64 {
  count(of: lane) { $0.pointee.published.load(ordering: .acquiring) }
}

@c @implementation
public func ltp_lane_durable(_ lane: OpaquePointer!) -> UInt64 {
  count(of: lane) { $0.pointee.durable.load(ordering: .sequentiallyConsistent) }
}

/// What a lane has counted; 0 when the handle is not a good one, or was closed before the count was read.
private func count(
  of handle: OpaquePointer?, _ read: (UnsafeMutablePointer<LaneState>) -> UInt64
) -> UInt64 {
  guard let lane = live(handle) else { return 0 }
  let count = read(lane.state)
  return live(handle) == nil ? 0 : count
}

@c @implementation
public func ltp_lane_wait_durable(
  _ lane: OpaquePointer!, _ sequence: UInt64, _ timeoutNanoseconds: UInt64
) -> Int32 {
  withLane(lane) { waitDurable($0, $1, sequence: sequence, timeoutNanoseconds: timeoutNanoseconds) }
}

@c @implementation
public func ltp_lane_want_durable(_ lane: OpaquePointer!, _ sequence: UInt64) -> Int32 {
  withLane(lane) { lane, _ in
    guard sequence <= lane.state.pointee.published.load(ordering: .acquiring) else {
      return LTP_ERROR_SEQUENCE_AHEAD
    }
    let core = Core(lane.state.pointee.owner)
    lane.state.pointee.wanted.max(sequence, ordering: .sequentiallyConsistent)
    core.askForFlush()
    return core.state.pointee.progress.pointee.failure.load(ordering: .acquiring)
  }
}

private func waitDurable(
  _ lane: Lane, _ latch: Latch, sequence: UInt64, timeoutNanoseconds: UInt64
) -> Int32 {
  guard sequence <= lane.state.pointee.published.load(ordering: .acquiring) else {
    return LTP_ERROR_SEQUENCE_AHEAD
  }
  let core = Core(lane.state.pointee.owner)
  let progress = core.state.pointee.progress
  let started = ltp_system_monotonic_ns()
  lane.state.pointee.wanted.max(sequence, ordering: .sequentiallyConsistent)
  while true {
    let signal = progress.pointee.durableSignal.pointee.load(ordering: .sequentiallyConsistent)
    if lane.state.pointee.durable.load(ordering: .acquiring) >= sequence { return LTP_OK }
    // The core may be waiting for us.
    guard !latch.isShut else { return LTP_ERROR_BAD_HANDLE }
    let failure = progress.pointee.failure.load(ordering: .acquiring)
    guard failure == LTP_OK else { return failure }
    let waited = ltp_system_monotonic_ns() &- started
    guard waited < timeoutNanoseconds else { return LTP_ERROR_TIMED_OUT }
    // Again each time: somebody else may drive the writer, and have taken this for his.
    progress.pointee.flushWanted.store(1, ordering: .releasing)
    core.waitForWriter(signal: signal, timeoutNanoseconds: min(timeoutNanoseconds - waited, 1_000_000_000))
  }
}
