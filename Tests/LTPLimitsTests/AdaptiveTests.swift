// SPDX-License-Identifier: Apache-2.0
// What moves by itself: concurrency limits against a queue whose capacity is known, shedding against a load whose excess
// is known, the retry floor against clients who come back.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPLimits

/// A service with so many workers: what is over them waits.
private func latency(inflight: Int, workers: Int, serviceNanoseconds: Double = 10_000_000) -> UInt64 {
  UInt64(serviceNanoseconds * max(1, Double(inflight) / Double(workers)))
}

private func settings(_ algorithm: UInt8, timeoutMicroseconds: UInt32 = 0) -> ltp_policy_limits {
  var limits = ltp_policy_limits()
  limits.concurrency = algorithm
  limits.concurrency_initial = 4
  limits.concurrency_min = 2
  limits.concurrency_max = 1000
  limits.concurrency_timeout_us = timeoutMicroseconds
  return limits
}

/// What a test offers.
private final class Load {
  private let memory: UnsafeMutableRawPointer
  let histogram: OfferedHistogram

  init() {
    memory = .allocate(byteCount: OfferedHistogram.memoryBytes, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: OfferedHistogram.memoryBytes)
    histogram = OfferedHistogram(memory: memory)
  }

  deinit { memory.deallocate() }

  /// A window: requests by priority.
  func offer(_ counts: [Int: UInt64]) {
    histogram.beginWindow()
    for (priority, count) in counts { histogram.window[priority] = count }
    histogram.endWindow()
  }
}

@Suite("Limits that move", .guarded)
struct AdaptiveTests {
  @Test(
    "each algorithm finds a service's capacity, and keeps to it",
    arguments: [LTP_CONCURRENCY_AIMD, LTP_CONCURRENCY_VEGAS, LTP_CONCURRENCY_GRADIENT2], [8, 100])
  func findsCapacity(algorithm: UInt8, workers: Int) {
    var limit = ConcurrencyLimit(settings(algorithm, timeoutMicroseconds: 20_000))
    var seen: [Int] = []
    for window in 0..<2000 {
      // More asked for than let in; for Gradient2 half of the time: under an overload that never ends its long average
      // takes the queue for normal, and the limit creeps up to its maximum (docs/ARCHITECTURE.md).
      let isCalm = algorithm == LTP_CONCURRENCY_GRADIENT2 && window / 50 % 2 == 1
      let inflight = isCalm ? min(limit.value, workers / 2) : limit.value
      limit.update(
        ConcurrencySample(
          latency: latency(inflight: inflight, workers: workers), hasDropped: false, inflight: inflight))
      if window >= 1000, !isCalm { seen.append(limit.value) }
    }
    let mean = Double(seen.reduce(0, +)) / Double(seen.count)
    // No less than keeps the workers busy, no more than doubles the wait.
    #expect(mean >= 0.9 * Double(workers), "\(mean)")
    #expect(mean <= 2.6 * Double(workers) + 20, "\(mean)")
  }

  @Test("dropped requests lower the limit, idle ones leave it alone, and it keeps to its bounds")
  func keepsToItsBounds() {
    for algorithm in [LTP_CONCURRENCY_AIMD, LTP_CONCURRENCY_VEGAS, LTP_CONCURRENCY_GRADIENT2] {
      var limit = ConcurrencyLimit(settings(algorithm))
      for _ in 0..<500 { limit.update(ConcurrencySample(latency: nil, hasDropped: true, inflight: 20)) }
      #expect(limit.value == 2)
      for _ in 0..<100 { limit.update(ConcurrencySample(latency: nil, hasDropped: false, inflight: 0)) }
      #expect(limit.value == 2)
      for _ in 0..<100_000 {
        limit.update(ConcurrencySample(latency: 1000, hasDropped: false, inflight: limit.value))
      }
      #expect(limit.value <= 1000)
      let before = limit.value
      for _ in 0..<100 { limit.update(ConcurrencySample(latency: 1000, hasDropped: false, inflight: 0)) }
      #expect(limit.value == before)
    }
    var fixed = ConcurrencyLimit(settings(LTP_CONCURRENCY_FIXED))
    fixed.update(ConcurrencySample(latency: 1, hasDropped: true, inflight: 20))
    #expect(fixed.value == 4)
  }

  @Test("shedding finds the level at which what is let in fits, low priorities first, cohorts in part")
  func shedsByPriority() {
    var shed = ShedLevel(decreasePermille: 50, increasePermille: 10)
    let load = Load()
    // 1000 a window, of which 600 fit; half of them of priority 100, half of 200.
    var admitted: UInt64 = 1000
    var history: [UInt64] = []
    for _ in 0..<400 {
      load.offer([100: 500, 200: 500])
      shed.update(offered: load.histogram, passingCount: admitted, isOverloaded: admitted > 600)
      let (priority, cohort) = (Int(shed.level >> 8), Double(shed.level & 0xFF))
      admitted = 0
      for each in [100, 200] where each >= priority {
        admitted += UInt64(500 * (each == priority ? 1 - cohort / 256 : 1))
      }
      history.append(admitted)
    }
    let settled = history.suffix(200)
    #expect(settled.allSatisfy { (540...612).contains($0) }, "\(settled)")
    #expect(shed.level >> 8 == 100, "the upper half is never touched")
    // The load ends: everyone is let in again.
    for _ in 0..<400 {
      load.offer([100: 50, 200: 50])
      shed.update(offered: load.histogram, passingCount: 100, isOverloaded: false)
    }
    #expect(shed.level == 0)
  }

  @Test("what is offered is as much as is offered, however thinly it is spread over priorities")
  func averagesThinLoads() {
    let load = Load()
    var random = TestSeed.random(1)
    for _ in 0..<300 {
      var counts: [Int: UInt64] = [:]
      for _ in 0..<20 { counts[Int.random(in: 0..<256, using: &random), default: 0] += 1 }
      load.offer(counts)
    }
    let total = (0..<256).reduce(0) { $0 + load.histogram.average($1) }
    #expect(abs(total - 20) < 0.01, "\(total)")
    for _ in 0..<300 { load.offer([:]) }
    #expect((0..<256).allSatisfy { load.histogram.average($0) < 0.001 })
  }

  @Test("an overload that nothing helps leaves a hundredth, and ends when nobody asks")
  func neverClosesForGood() {
    var shed = ShedLevel(decreasePermille: 500, increasePermille: 10)
    let load = Load()
    for _ in 0..<100 {
      load.offer([0: 1000])
      shed.update(offered: load.histogram, passingCount: 0, isOverloaded: true)
    }
    #expect(shed.level >> 8 == 0 && shed.level & 0xFF >= 250)
    for _ in 0..<100 {
      load.offer([:])
      shed.update(offered: load.histogram, passingCount: 0, isOverloaded: false)
    }
    #expect(shed.level == 0)
  }

  @Test("callers that wait as long as they are told come back about as fast as they are let in")
  func sizesTheRetry() {
    var floor = RetryFloor(mostMilliseconds: 60_000)
    // 20,000 clients; a window of 100 ms lets 100 in. Waiting ones come back evenly over their wait.
    var waiting = 20_000.0
    var returning = 0.0
    for _ in 0..<600 {
      let wait = max(Double(floor.milliseconds), 100) * 1.5
      returning = min(waiting, waiting * 100 / wait)
      let admitted = min(returning, 100)
      floor.update(admitted: UInt64(admitted), refused: UInt64(returning - admitted))
      // Who was served comes back with another wish.
      waiting = 20_000
    }
    #expect((90...220).contains(returning), "\(returning) a window, at \(floor.milliseconds) ms")
    // The herd is gone: the floor falls away.
    for _ in 0..<50 { floor.update(admitted: 100, refused: 0) }
    #expect(floor.milliseconds == 0)
    // Nothing is let in at all: callers wait longer and longer, up to what the policy allows.
    for _ in 0..<50 { floor.update(admitted: 0, refused: 100) }
    #expect(floor.milliseconds == 60_000)
  }
}
