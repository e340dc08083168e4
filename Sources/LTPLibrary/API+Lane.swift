// SPDX-License-Identifier: Apache-2.0
// ltp.h: lanes and verdicts. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPFrames
import LTPLimits
import LTPTrace
import Synchronization

/// The lane of a handle, or nil when it is not a live one.
@inline(__always)
private func live(_ handle: OpaquePointer?) -> Lane? {
  guard let handle, UInt(bitPattern: handle) & 4095 == 0 else { return nil }
  let lane = Lane(UnsafeMutablePointer<LaneState>(handle))
  return lane.isLive ? lane : nil
}

/// The lane of a handle, for a call that one thread at a time may make. A debug build ends the process when two do;
/// nothing is spent on it otherwise.
@inline(__always)
private func withOwned<R>(_ handle: OpaquePointer?, _ body: (Lane?) -> R) -> R {
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
  guard let core = Core(core) else { return report(details, LTP_ERROR_BAD_HANDLE) }
  switch core.openLane() {
  case .success(let opened):
    lane.pointee = OpaquePointer(opened.state)
    return report(details, LTP_OK)
  case .failure(let fault): return report(details, fault: fault)
  }
}

@c @implementation
public func ltp_lane_close(_ lane: OpaquePointer!) -> Int32 {
  guard let lane = live(lane) else { return LTP_ERROR_BAD_HANDLE }
  #if DEBUG
    lane.enterAlone()
  #endif
  Core.closeLane(lane)
  return LTP_OK
}

@c @implementation
public func ltp_permit_release(
  _ handle: OpaquePointer!, _ permit: UInt32, _ outcome: UInt8, _ latencyNanoseconds: UInt64
) -> Int32 {
  guard let lane = live(handle) else { return LTP_ERROR_BAD_HANDLE }
  guard outcome <= LTP_OUTCOME_IGNORED else { return LTP_ERROR_OPTION_RANGE }
  let isOut = lane.state.pointee.limits.permits.release(
    permit, outcome: outcome, latency: latencyNanoseconds == 0 ? nil : latencyNanoseconds,
    now: ltp_system_monotonic_ns())
  return isOut ? LTP_OK : LTP_ERROR_PERMIT
}

@c @implementation
public func ltp_hello_answer(
  _ handle: OpaquePointer!, _ hello: UnsafeRawPointer!, _ available: Int,
  _ answer: UnsafeMutablePointer<ltp_hello>!
) -> Int32 {
  guard live(handle) != nil else { return LTP_ERROR_BAD_HANDLE }
  guard let answer else { return LTP_ERROR_NULL_ARGUMENT }
  let fields: ltp_hello
  do throws(FrameError) {
    let asked = try HelloView(checking: hello, available: available)
    guard asked.flags & LTP_HELLO_ANSWER == 0 else { return LTP_ERROR_FRAME_FLAGS }
    fields = asked.fields
  } catch {
    return error.status
  }
  return withOwned(handle) { $0?.answer(hello: fields, into: &answer.pointee) ?? false }
    ? LTP_OK : LTP_ERROR_BACKPRESSURE
}

@c @implementation
public func ltp_lane_sequence(_ lane: OpaquePointer!) -> UInt64 {
  live(lane)?.state.pointee.published.load(ordering: .acquiring) ?? 0
}

@c @implementation
public func ltp_lane_durable(_ lane: OpaquePointer!) -> UInt64 {
  live(lane)?.state.pointee.durable.load(ordering: .acquiring) ?? 0
}

@c @implementation
public func ltp_lane_wait_durable(
  _ lane: OpaquePointer!, _ sequence: UInt64, _ timeoutNanoseconds: UInt64
) -> Int32 {
  guard let lane = live(lane) else { return LTP_ERROR_BAD_HANDLE }
  guard sequence <= lane.state.pointee.published.load(ordering: .acquiring) else {
    return LTP_ERROR_SEQUENCE_AHEAD
  }
  if lane.state.pointee.durable.load(ordering: .acquiring) >= sequence { return LTP_OK }
  let core = Core(lane.state.pointee.owner)
  let progress = core.state.pointee.progress
  let started = ltp_system_monotonic_ns()
  while true {
    let signal = progress.pointee.durableSignal.pointee.load(ordering: .sequentiallyConsistent)
    guard lane.isLive else { return LTP_ERROR_BAD_HANDLE }
    if lane.state.pointee.durable.load(ordering: .acquiring) >= sequence { return LTP_OK }
    let failure = progress.pointee.failure.load(ordering: .acquiring)
    guard failure == LTP_OK else { return failure }
    let waited = ltp_system_monotonic_ns() &- started
    guard waited < timeoutNanoseconds else { return LTP_ERROR_TIMED_OUT }
    progress.pointee.flushWanted.store(1, ordering: .releasing)
    core.waitForWriter(signal: signal, timeoutNanoseconds: min(timeoutNanoseconds - waited, 1_000_000_000))
  }
}
