// SPDX-License-Identifier: Apache-2.0
// Publishes 1,000 transitions a second, over all states and with evidence, for as long as lanes decide.
//
// Mostly the states of a busy service (HEALTHY, DEGRADED, SATURATED). Every quarter of a second an outage:
// UNSTABLE, FAILED, UNKNOWN, RECOVERING, and back. An outage moves continuity on, so sessions shake hands
// again.

import CLTP
import CLTPSystem
import Synchronization

final class BenchPublisher {
  static let perSecond: UInt64 = 1000
  private static let outageEvery: UInt64 = 250

  private let core: OpaquePointer
  private let signals: BenchSignals
  private var random: BenchRandom
  private var thread: BenchThread?
  private var transition = ltp_transition()
  private var began: UInt64 = 0

  /// By state. Read them after `stop`.
  private(set) var published = [UInt64](repeating: 0, count: Int(LTP_STATE_COUNT))
  private(set) var refused: UInt64 = 0
  private(set) var nanoseconds: UInt64 = 0

  init(core: OpaquePointer, seed: UInt64, signals: BenchSignals) {
    self.core = core
    self.signals = signals
    random = BenchRandom(seed: seed ^ 0x5055_424C_4953_4845)
    transition.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    transition.evidence_count = 2
    withUnsafeMutableBytes(of: &transition.text) { $0.copyBytes(from: "published by ltp bench".utf8) }
  }

  /// Publishes HEALTHY at once, then goes on in a thread of its own.
  func start() throws {
    publish(LTP_STATE_HEALTHY)
    began = ltp_system_monotonic_ns()
    thread = try BenchThread("bench-publish") { [unowned self] in run() }
  }

  func stop() {
    signals.stop.store(true, ordering: .releasing)
    thread?.join()
    thread = nil
    nanoseconds = ltp_system_monotonic_ns() - began
  }

  private func run() {
    let interval = 1_000_000_000 / Self.perSecond
    var number: UInt64 = 0
    while !signals.stop.load(ordering: .acquiring) {
      number += 1
      let due = began + number * interval
      let now = ltp_system_monotonic_ns()
      if now < due { ltp_system_sleep_ns(due - now) }
      publish(state(number))
    }
  }

  private func state(_ number: UInt64) -> UInt8 {
    switch number % Self.outageEvery {
    case 240, 241: return LTP_STATE_UNSTABLE
    case 242, 243: return LTP_STATE_FAILED
    case 244: return LTP_STATE_UNKNOWN
    case 245...249: return LTP_STATE_RECOVERING
    default:
      let draw = random.below(100)
      return draw < 50 ? LTP_STATE_HEALTHY : (draw < 75 ? LTP_STATE_DEGRADED : LTP_STATE_SATURATED)
    }
  }

  private func publish(_ state: UInt8) {
    let calm = state == LTP_STATE_HEALTHY
    transition.to = state
    transition.reason = calm ? LTP_SIGNAL_METRICS_STABILIZED : LTP_SIGNAL_CPU_PRESSURE
    transition.evidence.0.signal = LTP_SIGNAL_CPU_PRESSURE
    transition.evidence.0.value = Int64((calm ? 20 : 90) + random.below(10))
    transition.evidence.0.threshold = 85
    transition.evidence.1.signal = LTP_SIGNAL_QUEUE_LATENCY_SPIKE
    transition.evidence.1.value = Int64((calm ? 1 : 40) + random.below(20))
    transition.evidence.1.threshold = 30
    var epoch: UInt32 = 0
    guard ltp_orientation_publish(core, &transition, &epoch) == LTP_OK else {
      refused += 1
      return
    }
    published[Int(state)] += 1
    if state == LTP_STATE_UNSTABLE || state == LTP_STATE_FAILED {
      signals.outages.add(1, ordering: .releasing)
    }
    signals.floorWord.store(UInt64(epoch) << 32 | UInt64(state), ordering: .releasing)
  }
}
