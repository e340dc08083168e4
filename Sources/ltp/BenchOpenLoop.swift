// SPDX-License-Identifier: Apache-2.0
// Open loop: requests arrive on a schedule, whether or not the core keeps up, and latency counts from the
// moment a request was due, not from when the lane got round to it. So a stall shows in every request that
// it delays (no coordinated omission).
//
// Reading the clock costs several decisions, so the clock is read once a batch of whatever is due (at most
// 64), and the whole batch is recorded with the latency of its oldest request: the percentiles are upper
// bounds. Requests that are still waiting at the end count with their age.

import CLTP
import CLTPSystem
import Histogram

struct BenchLoad: Encodable {
  /// Of the sustained rate.
  var load = 0.0
  var offeredPerSecond = 0.0
  var answeredPerSecond = 0.0
  var offered: UInt64 = 0
  var executed: UInt64 = 0
  /// Denied or deferred by policy.
  var refused: UInt64 = 0
  var backpressureDenied: UInt64 = 0
  /// Still waiting for the lane when the time was up.
  var unanswered: UInt64 = 0
  var p50: UInt64 = 0
  var p99: UInt64 = 0
  var p999: UInt64 = 0
  var max: UInt64 = 0

  static func measure(
    _ core: BenchCore, load: Double, sustainedPerSecond: Double, seconds: Double
  ) throws -> BenchLoad {
    try core.waitDurable()
    let before = core.tally
    let offeredPerSecond = load * sustainedPerSecond
    let schedules = core.lanes.map { _ in
      BenchSchedule(
        perSecond: offeredPerSecond / Double(core.lanes.count), nanoseconds: UInt64(seconds * 1e9))
    }
    try core.onLanes { lane, number in schedules[number].run(lane) }
    var result = BenchLoad()
    let whole = schedules[0]
    for schedule in schedules.dropFirst() { whole.histogram.add(schedule.histogram) }
    let tally = core.tally - before
    result.load = load
    result.offeredPerSecond = offeredPerSecond
    result.offered = schedules.reduce(0) { $0 + $1.offered }
    result.unanswered = result.offered - tally.submitted
    result.answeredPerSecond = Double(tally.submitted) / seconds
    result.executed = tally.executed
    result.backpressureDenied = tally.unrecorded
    result.refused = tally.submitted - tally.executed - tally.unrecorded
    result.p50 = whole.histogram.valueAtPercentile(50)
    result.p99 = whole.histogram.valueAtPercentile(99)
    result.p999 = whole.histogram.valueAtPercentile(99.9)
    result.max = whole.histogram.maxRecorded
    return result
  }
}

/// One lane's arrivals: number i is due i / perSecond seconds after the start.
final class BenchSchedule {
  var histogram = Histogram<UInt64>(
    highestTrackableValue: 600_000_000_000, numberOfSignificantValueDigits: .three)
  let offered: UInt64
  private let perNanosecond: Double
  private let nanoseconds: UInt64

  init(perSecond: Double, nanoseconds: UInt64) {
    perNanosecond = perSecond / 1e9
    self.nanoseconds = nanoseconds
    offered = UInt64(perSecond * Double(nanoseconds) / 1e9)
  }

  func run(_ lane: BenchLane) {
    let nanosecondsEach = 1 / perNanosecond
    let began = ltp_system_monotonic_ns()
    var answered: UInt64 = 0
    var elapsed: UInt64 = 0
    while answered < offered, elapsed < nanoseconds {
      let due = min(UInt64(Double(elapsed) * perNanosecond) + 1, offered)
      if due > answered {
        let batch = min(due - answered, UInt64(BenchLane.batchMax))
        lane.greetSessions(atMost: 4)
        lane.admitInBatches(Int(batch))
        let oldest = UInt64(Double(answered) * nanosecondsEach)
        elapsed = ltp_system_monotonic_ns() - began
        histogram.record(elapsed > oldest ? elapsed - oldest : 1, count: batch)
        answered += batch
      } else {
        ltp_system_pause()
        elapsed = ltp_system_monotonic_ns() - began
      }
    }
    recordWaiting(from: answered, at: elapsed, nanosecondsEach: nanosecondsEach)
  }

  /// In at most a thousand steps, each with the age of its oldest request.
  private func recordWaiting(from answered: UInt64, at elapsed: UInt64, nanosecondsEach: Double) {
    var next = answered
    let step = max((offered - answered) / 1000, 1)
    while next < offered {
      let count = min(step, offered - next)
      let due = UInt64(Double(next) * nanosecondsEach)
      histogram.record(elapsed > due ? elapsed - due : 1, count: count)
      next += count
    }
  }
}
