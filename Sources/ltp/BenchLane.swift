// SPDX-License-Identifier: Apache-2.0
// One lane as a service would drive it: its frames, its calls through the C ABI, and its own tally of what
// came back, which the trace is held against afterwards. One thread at a time.

import CLTP
import CLTPSystem
import Synchronization

/// What a lane was asked and what it answered.
struct BenchTally {
  var submitted: UInt64 = 0
  var executed: UInt64 = 0
  /// Denied with TRACE_BACKPRESSURE: not recorded one by one.
  var unrecorded: UInt64 = 0
  var hellos: UInt64 = 0
  var hellosRefused: UInt64 = 0

  /// Decisions that must be in the trace.
  var decided: UInt64 { submitted - unrecorded }

  static func + (left: BenchTally, right: BenchTally) -> BenchTally {
    BenchTally(
      submitted: left.submitted + right.submitted, executed: left.executed + right.executed,
      unrecorded: left.unrecorded + right.unrecorded, hellos: left.hellos + right.hellos,
      hellosRefused: left.hellosRefused + right.hellosRefused)
  }

  static func - (left: BenchTally, right: BenchTally) -> BenchTally {
    BenchTally(
      submitted: left.submitted - right.submitted, executed: left.executed - right.executed,
      unrecorded: left.unrecorded - right.unrecorded, hellos: left.hellos - right.hellos,
      hellosRefused: left.hellosRefused - right.hellosRefused)
  }
}

final class BenchLane {
  static let batchMax = 64

  let lane: OpaquePointer
  let frames: UnsafeMutableRawPointer
  private let verdicts: UnsafeMutablePointer<ltp_verdict>
  private let signals: BenchSignals
  private var next = 0
  private var outagesSeen = UInt64.max
  private var sessionsToGreet = 0
  private(set) var tally = BenchTally()

  init(core: OpaquePointer, number: Int, workload: BenchWorkload, signals: BenchSignals) throws {
    var opened: OpaquePointer?
    var error = ltp_error()
    guard ltp_lane_open(core, &opened, &error) == LTP_OK, let opened else {
      throw BenchFailure("cannot open a lane: \(error.text)")
    }
    lane = opened
    self.signals = signals
    frames = .allocate(byteCount: BenchWorkload.frameCount * BenchWorkload.frameBytes, alignment: 4096)
    verdicts = .allocate(capacity: Self.batchMax)
    verdicts.initialize(repeating: ltp_verdict(), count: Self.batchMax)
    workload.write(lane: number, to: frames, now: ltp_system_monotonic_ns())
  }

  deinit {
    frames.deallocate()
    verdicts.deallocate()
  }

  func close() throws {
    let status = ltp_lane_close(lane)
    guard status == LTP_OK else { throw BenchFailure("cannot close a lane: \(statusText(status))") }
  }

  /// Waits until everything that the lane recorded is on disk.
  func waitDurable() throws {
    let status = ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 30_000_000_000)
    guard status == LTP_OK else {
      throw BenchFailure("the trace did not become durable: \(statusText(status))")
    }
  }

  // MARK: Sessions

  /// Lets up to `count` sessions shake hands again if continuity has moved on since they did.
  func greetSessions(atMost count: Int) {
    let outages = signals.outages.load(ordering: .acquiring)
    if outages != outagesSeen {
      outagesSeen = outages
      sessionsToGreet = BenchWorkload.frameCount
    }
    guard sessionsToGreet > 0 else { return }
    for _ in 0..<min(count, sessionsToGreet) {
      guard greet(sessionsToGreet - 1) else { return }
      sessionsToGreet -= 1
    }
  }

  private func greet(_ index: Int) -> Bool {
    let frame = frames + index * BenchWorkload.frameBytes
    var hello = ltp_hello()
    _ = ltp_frame_init(&hello, MemoryLayout<ltp_hello>.size, LTP_FRAME_HELLO, 0)
    let request = frame.assumingMemoryBound(to: ltp_route_request.self)
    hello.frame_id = request.pointee.frame_id
    hello.session_id = request.pointee.session_id
    hello.client_nonce = UInt64(index) + 1
    hello.version_min = UInt8(LTP_PROTOCOL_VERSION)
    hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
    var answer = ltp_hello()
    guard ltp_hello_answer(lane, &hello, MemoryLayout<ltp_hello>.size, &answer) == LTP_OK else {
      tally.hellosRefused += 1
      return false
    }
    tally.hellos += 1
    request.pointee.continuity_token = answer.continuity_token
    request.pointee.intent_epoch = answer.continuity_epoch
    request.pointee.incarnation = answer.incarnation
    return true
  }

  // MARK: Deciding

  /// One call a request; returns the nanoseconds that `count` of them took.
  @inline(never)
  func admitSingly(_ count: Int) -> UInt64 {
    let lane = lane
    let frames = UnsafeRawPointer(frames)
    var index = next
    var executed: UInt64 = 0
    var unrecorded: UInt64 = 0
    let began = ltp_system_monotonic_ns()
    for _ in 0..<count {
      let verdict = ltp_admit(lane, frames + index &* BenchWorkload.frameBytes, BenchWorkload.frameBytes)
      executed &+= verdict.verdict == LTP_VERDICT_EXECUTE ? 1 : 0
      unrecorded &+= verdict.reason == LTP_REASON_TRACE_BACKPRESSURE ? 1 : 0
      index = (index &+ 1) & (BenchWorkload.frameCount - 1)
    }
    let took = ltp_system_monotonic_ns() - began
    next = index
    tally.submitted += UInt64(count)
    tally.executed += executed
    tally.unrecorded += unrecorded
    return took
  }

  /// Calls of up to 64 requests each, `count` in all.
  @inline(never)
  func admitInBatches(_ count: Int) {
    var left = count
    var executed = 0
    var unrecorded = 0
    while left > 0 {
      let batch = min(left, Self.batchMax, BenchWorkload.frameCount - next)
      executed &+= ltp_admit_batch(
        lane, frames + next &* BenchWorkload.frameBytes, BenchWorkload.frameBytes, batch, verdicts)
      for index in 0..<batch {
        unrecorded &+= verdicts[index].reason == LTP_REASON_TRACE_BACKPRESSURE ? 1 : 0
      }
      next = (next &+ batch) & (BenchWorkload.frameCount - 1)
      left &-= batch
    }
    tally.submitted += UInt64(count)
    tally.executed += UInt64(executed)
    tally.unrecorded += UInt64(unrecorded)
  }
}

func statusText(_ status: Int32) -> String { String(cString: ltp_status_text(status)) }

extension ltp_error {
  /// The message, or the status in words when there is none.
  var text: String {
    withUnsafeBytes(of: message) { bytes in
      let end = bytes.firstIndex(of: 0) ?? bytes.count
      return end == 0 ? statusText(status) : String(decoding: bytes[..<end], as: UTF8.self)
    }
  }
}
