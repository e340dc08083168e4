// SPDX-License-Identifier: Apache-2.0
// The floor: what one decision would cost if it only moved its data. The same loads (shared word and clock,
// the request's fields, a rule out of 1 KiB) and the same stores (a 32-byte record into a ring as large as
// a lane's, one counter, the published count), called once a request like ltp_admit, and deciding nothing.

import CLTP
import CLTPSystem
import Synchronization

struct BenchFloorState {
  var cursor: UnsafeMutableRawPointer
  var end: UnsafeMutableRawPointer
  let ring: UnsafeMutableRawPointer
  let rules: UnsafeMutablePointer<UInt64>
  let counters: UnsafeMutablePointer<UInt64>
  var published: UInt64
  var time: UInt64
  var word: UInt64
}

final class BenchFloor {
  fileprivate static let outcomes = 192
  private let signals: BenchSignals
  private let state: UnsafeMutablePointer<BenchFloorState>
  private let ringBytes: Int
  private var next = 0

  init(signals: BenchSignals, ringBytes: Int, seed: UInt64) {
    self.signals = signals
    self.ringBytes = ringBytes
    let ring = ltp_system_map(ringBytes, 0)!
    let classes = Int(LTP_CLASS_COUNT)
    let rules = UnsafeMutablePointer<UInt64>.allocate(capacity: classes)
    var random = BenchRandom(seed: seed)
    for index in 0..<classes { rules[index] = random.next() % UInt64(Self.outcomes) | 5 << 32 }
    let counters = UnsafeMutablePointer<UInt64>.allocate(capacity: (classes + 1) * Self.outcomes)
    counters.initialize(repeating: 0, count: (classes + 1) * Self.outcomes)
    state = .allocate(capacity: 1)
    state.initialize(
      to: BenchFloorState(
        cursor: ring, end: ring + ringBytes, ring: ring, rules: rules, counters: counters, published: 0,
        time: 0, word: 0))
  }

  deinit {
    ltp_system_unmap(state.pointee.ring, ringBytes)
    state.pointee.rules.deallocate()
    state.pointee.counters.deallocate()
    state.deallocate()
  }

  /// One call a frame; returns the nanoseconds that `count` of them took.
  @inline(never)
  func run(_ frames: UnsafeRawPointer, _ count: Int) -> UInt64 {
    var index = next
    var sum: UInt64 = 0
    let began = ltp_system_monotonic_ns()
    for _ in 0..<count {
      let verdict = benchFloorMove(
        state, frames + index &* BenchWorkload.frameBytes, BenchWorkload.frameBytes, signals)
      sum &+= UInt64(verdict.verdict)
      index = (index &+ 1) & (BenchWorkload.frameCount - 1)
    }
    let took = ltp_system_monotonic_ns() - began
    next = index
    // Used, so that the calls stay.
    state.pointee.time ^= sum & 1
    return took
  }
}

@inline(never)
private func benchFloorMove(
  _ state: UnsafeMutablePointer<BenchFloorState>, _ frame: UnsafeRawPointer, _ available: Int,
  _ signals: BenchSignals
) -> ltp_verdict {
  let word = signals.floorWord.load(ordering: .acquiring)
  let time = signals.outages.load(ordering: .relaxed)
  let request = frame.loadUnaligned(as: ltp_route_request.self)
  let actionClass = Int(request.action_class & 127)
  let rule = state.pointee.rules[actionClass]
  let cursor = state.pointee.cursor
  var record = ltp_decision_record()
  record.kind = LTP_RECORD_DECISION
  record.outcome = UInt8(truncatingIfNeeded: rule)
  record.inputs = request.header.flags
  record.action_class = request.action_class
  record.domain = request.domain
  record.priority = request.priority
  record.cohort = request.cohort
  record.time_us = UInt32(truncatingIfNeeded: time)
  record.retry_and_shadow = UInt32(truncatingIfNeeded: rule >> 32)
  record.frame_id = request.frame_id
  record.session_id = request.session_id
  cursor.storeBytes(of: record, as: ltp_decision_record.self)
  let after = cursor + Int(LTP_SLOT_BYTES)
  state.pointee.cursor = after == state.pointee.end ? state.pointee.ring : after
  state.pointee.counters[actionClass &* BenchFloor.outcomes &+ Int(rule & 0xBF)] &+= 1
  state.pointee.published &+= 1
  return ltp_verdict(
    epoch: UInt32(truncatingIfNeeded: word >> 32), retry_after_ms: UInt32(truncatingIfNeeded: rule >> 32),
    policy_generation: 1, verdict: UInt8(truncatingIfNeeded: rule >> 6 & 3),
    reason: UInt8(truncatingIfNeeded: rule), state: UInt8(truncatingIfNeeded: word), commitment: 0)
}
