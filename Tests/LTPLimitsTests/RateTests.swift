// SPDX-License-Identifier: Apache-2.0
// Rates over lanes: hard, fair to costs, and open again when they say so.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPLimits

/// Lanes over one rate table, in memory of the test's.
private final class RateScene {
  private let memory: UnsafeMutableRawPointer
  let table: RateTable
  private(set) var lanes: [LaneRates] = []

  init(lanes count: Int, tick: UInt64 = 1_000_000) {
    let bytes = RateTable.memoryBytes + count * LaneRates.memoryBytes
    memory = .allocate(byteCount: bytes, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    table = RateTable(memory: memory, tick: tick)
    for lane in 0..<count {
      lanes.append(
        LaneRates(memory: memory + RateTable.memoryBytes + lane * LaneRates.memoryBytes, table: table))
    }
  }

  deinit { memory.deallocate() }
}

@Suite("Rates", .guarded)
struct RateTests {

  @Test("what lanes let in together is the burst and the rate, whoever asks", arguments: [1, 3, 8])
  func isHardOverLanes(laneCount: Int) {
    let scene = RateScene(lanes: laneCount)
    scene.table.set(0, ltp_rate(per_second: 10_000, burst: 500))
    var (random, admitted) = (TestSeed.random(UInt64(laneCount)), 0)
    // Two seconds in ticks of a millisecond, with far more requests than there is room for.
    for tick in 1...2000 {
      for _ in 0..<40 {
        let lane = scene.lanes[Int.random(in: 0..<laneCount, using: &random)]
        if lane.consume(0, cost: 1, now: UInt64(tick) * 1_000_000 + second) == 0 { admitted += 1 }
      }
    }
    // What a lane has leased is charged already, so no lane adds anything to it.
    #expect(admitted <= 20_000 + 500)
    #expect(admitted >= 20_000 - laneCount * 64)
  }

  @Test("a low rate is exact: one at a time, and it says when the next one may come")
  func isExactWhenLow() {
    let scene = RateScene(lanes: 2)
    scene.table.set(7, ltp_rate(per_second: 10, burst: 1))
    #expect(scene.lanes[0].consume(7, cost: 1, now: second) == 0)
    let again = scene.lanes[1].consume(7, cost: 1, now: second)
    #expect(again == second + second / 10)
    #expect(scene.lanes[1].consume(7, cost: 1, now: again - 1) == again)
    #expect(scene.lanes[1].consume(7, cost: 1, now: again) == 0)
    #expect(scene.lanes[0].consume(7, cost: 1, now: again) > again)
  }

  @Test("costs weigh, and a costly request that must wait holds up no cheap one")
  func weighsCosts() {
    let scene = RateScene(lanes: 1)
    scene.table.set(3, ltp_rate(per_second: 1000, burst: 100))
    let lane = scene.lanes[0]
    #expect(lane.consume(3, cost: 90, now: second) == 0)
    #expect(lane.consume(3, cost: 90, now: second) > second)
    #expect(lane.consume(3, cost: 1, now: second) == 0)
    #expect(lane.consume(3, cost: 1000, now: second + second) > second + second, "more than the burst: never")
  }

  @Test("what was taken for nothing comes back, and an old lease is void")
  func givesBackAndEnds() {
    let scene = RateScene(lanes: 1)
    scene.table.set(3, ltp_rate(per_second: 1000, burst: 1))
    let lane = scene.lanes[0]
    #expect(lane.consume(3, cost: 1, now: second) == 0)
    lane.refund(3, cost: 1)
    #expect(lane.consume(3, cost: 1, now: second) == 0)
    lane.refund(3, cost: 1)
    // Long after, the unit that was given back adds nothing to what the rate allows.
    let later = second + 10 * second
    var admitted = 0
    for _ in 0..<50 where lane.consume(3, cost: 1, now: later) == 0 { admitted += 1 }
    // Two ticks' worth: the clock is no finer.
    #expect(admitted == 2)
  }

  @Test("a rate that is set anew starts with its burst; the same one again changes nothing")
  func startsAnew() {
    let scene = RateScene(lanes: 1)
    let rate = ltp_rate(per_second: 1, burst: 1)
    scene.table.set(3, rate)
    #expect(scene.lanes[0].consume(3, cost: 1, now: second) == 0)
    let again = scene.lanes[0].consume(3, cost: 1, now: second)
    scene.table.set(3, rate)
    #expect(scene.lanes[0].consume(3, cost: 1, now: second + 1000) == again)
    scene.table.set(3, ltp_rate(per_second: 0, burst: 0))
    #expect(scene.lanes[0].consume(3, cost: 1, now: again) == 0)
  }

  @Test(
    "the ramp rises from its start to its end, second by second, whatever its burst",
    arguments: [10, 100, 1000])
  func ramps(burst: UInt32) {
    let scene = RateScene(lanes: 1)
    let ramp = RateTable.rampIndex
    scene.table.set(ramp, ltp_rate(per_second: 1000, burst: burst))
    // Ten seconds from a hundredth to all of it.
    for elapsed in 0..<12 {
      var admitted = 0
      for tick in 0..<1000 {
        scene.table.setRamp(permille: 10 + UInt64(min(elapsed * 1000 + tick, 10_000)) * 99 / 1000)
        let now = second + UInt64(elapsed * 1000 + tick) * 1_000_000
        for _ in 0..<5 where scene.lanes[0].consume(ramp, cost: 1, now: now) == 0 { admitted += 1 }
      }
      let middle = min(1000, 10 + (Double(elapsed) + 0.5) * 99)
      // The burst is worth so many seconds of the rate at the time, and no more.
      let slack = Double(burst) / 1000 * 200 + 12
      #expect(abs(Double(admitted) - middle) <= slack, "second \(elapsed): \(admitted)")
    }
  }
}
