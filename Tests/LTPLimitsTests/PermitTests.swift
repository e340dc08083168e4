// SPDX-License-Identifier: Apache-2.0
// Permits: never more out than the limit, none lost, none released twice.

import CLTP
import Foundation
import LTPTestSupport
import Synchronization
import Testing

@testable import LTPLimits

/// Lanes over one pool of permits, in memory of the test's.
private final class PermitScene: @unchecked Sendable {
  private let memory: UnsafeMutableRawPointer
  let pool: PermitPool
  private(set) var lanes: [LanePermits] = []
  let out = Atomic<Int>(0)
  let most = Atomic<Int>(0)
  let taken = Atomic<Int>(0)

  init(lanes count: Int, permits: Int64, chunk: Int64 = 1) {
    let bytes = PermitPool.memoryBytes + count * LanePermits.memoryBytes
    memory = .allocate(byteCount: bytes, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    pool = PermitPool(memory: memory)
    pool.release(permits)
    pool.setChunk(chunk)
    for lane in 0..<count {
      lanes.append(
        LanePermits(
          memory: memory + PermitPool.memoryBytes + lane * LanePermits.memoryBytes, pool: pool,
          laneID: UInt32(lane + 1)))
    }
  }

  deinit { memory.deallocate() }
}

@Suite("Permits", .guarded)
struct PermitTests {
  @Test("the limit is hard: four threads, releases from others, and never more out than there are")
  func isHard() async {
    let scene = PermitScene(lanes: 4, permits: 16, chunk: 2)
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<4 {
        group.addTask {
          let lane = scene.lanes[index]
          var held: [UInt32] = []
          for round in 0..<20_000 {
            let permit = lane.acquire(now: UInt64(round) * 1000)
            if permit != 0 {
              let now = scene.out.add(1, ordering: .sequentiallyConsistent).newValue
              scene.most.max(now, ordering: .sequentiallyConsistent)
              scene.taken.add(1, ordering: .relaxed)
              held.append(permit)
            }
            if held.count > 3 || permit == 0 && !held.isEmpty {
              // Said first: what is out is then never counted too low.
              scene.out.subtract(1, ordering: .sequentiallyConsistent)
              #expect(lane.release(held.removeFirst(), outcome: LTP_OUTCOME_SUCCESS, latency: 10, now: 0))
            }
          }
          for permit in held {
            scene.out.subtract(1, ordering: .sequentiallyConsistent)
            #expect(lane.release(permit, outcome: LTP_OUTCOME_SUCCESS, latency: 10, now: 0))
          }
        }
      }
    }
    #expect(scene.most.load(ordering: .relaxed) <= 16)
    #expect(scene.taken.load(ordering: .relaxed) > 16)
    // None is lost: all of them can be had again by one lane.
    for lane in scene.lanes {
      lane.sweep()
      lane.collectStock()
    }
    var again = 0
    while scene.lanes[0].acquire(now: 0) != 0 { again += 1 }
    #expect(again == 16)
  }

  @Test("a permit is released once, by its number")
  func isReleasedOnce() {
    let scene = PermitScene(lanes: 2, permits: 2)
    let first = scene.lanes[0].acquire(now: 1000)
    #expect(first != 0)
    #expect(!scene.lanes[1].release(first, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
    #expect(scene.lanes[0].release(first, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
    #expect(!scene.lanes[0].release(first, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
    #expect(!scene.lanes[0].release(0, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
    #expect(!scene.lanes[0].release(.max, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
    // The same place, another generation.
    for _ in 0..<10_000 {
      let next = scene.lanes[0].acquire(now: 1000)
      #expect(next != 0 && next != first)
      #expect(!scene.lanes[0].release(first, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
      #expect(scene.lanes[0].release(next, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 1000))
    }
  }

  @Test("what leaks comes back after its time, and its release comes too late")
  func expires() {
    let scene = PermitScene(lanes: 1, permits: 1)
    let lane = scene.lanes[0]
    let leaked = lane.acquire(now: second)
    #expect(lane.acquire(now: second) == 0)
    #expect(lane.expire(ttl: second, now: 2 * second) == 0)
    #expect(lane.expire(ttl: second, now: 2 * second + 2000) == 1)
    #expect(lane.acquire(now: 3 * second) != 0)
    #expect(!lane.release(leaked, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 3 * second))
    var samples = PermitSamples()
    lane.collectSamples(into: &samples)
    #expect(samples.droppedCount == 1 && samples.count == 0)
  }

  @Test("a lower limit takes hold as permits come back; a lane that ends gives up all it had")
  func shrinksAndDissolves() {
    let scene = PermitScene(lanes: 2, permits: 4)
    let held = (0..<4).map { _ in scene.lanes[0].acquire(now: 0) }
    #expect(!held.contains(0))
    scene.pool.release(-3)
    for permit in held.prefix(3) {
      #expect(scene.lanes[0].release(permit, outcome: LTP_OUTCOME_IGNORED, latency: nil, now: 0))
    }
    scene.lanes[0].sweep()
    #expect(scene.lanes[1].acquire(now: 0) == 0, "one is out, and one is the limit")
    scene.lanes[0].dissolve()
    #expect(scene.lanes[1].acquire(now: 0) != 0)
    #expect(scene.lanes[1].acquire(now: 0) == 0)
  }

  @Test("latency is what the caller says, or what the core's clock saw")
  func samples() {
    let scene = PermitScene(lanes: 1, permits: 4)
    let lane = scene.lanes[0]
    let (one, two, three) = (
      lane.acquire(now: 5_000_000), lane.acquire(now: 5_000_000), lane.acquire(now: 5_000_000)
    )
    #expect(lane.release(one, outcome: LTP_OUTCOME_SUCCESS, latency: 700, now: 9_000_000))
    #expect(lane.release(two, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 9_000_000))
    #expect(lane.release(three, outcome: LTP_OUTCOME_IGNORED, latency: 1 << 60, now: 9_000_000))
    var samples = PermitSamples()
    lane.collectSamples(into: &samples)
    #expect(samples.count == 2 && samples.latencySumNanoseconds == 4_000_700 && samples.droppedCount == 0)
  }

  @Test("a latency of ages counts as a minute, and no sum of them ends the process")
  func agesOfLatency() {
    let scene = PermitScene(lanes: 1, permits: 1)
    let lane = scene.lanes[0]
    for _ in 0..<1000 {
      #expect(lane.release(lane.acquire(now: 0), outcome: LTP_OUTCOME_SUCCESS, latency: .max, now: 0))
    }
    var samples = PermitSamples()
    samples.latencySumNanoseconds = .max
    lane.collectSamples(into: &samples)
    #expect(samples.count == 1000 && samples.latencySumNanoseconds == 60_000_000_000 &* 1000 &- 1)
  }

  @Test("a lower limit takes hold while every permit that comes back is asked for again")
  func shrinksUnderLoad() {
    let scene = PermitScene(lanes: 1, permits: 100, chunk: 12)
    let lane = scene.lanes[0]
    var out: [UInt32] = []
    while case let permit = lane.acquire(now: 0), permit != 0 { out.append(permit) }
    #expect(out.count == 100)
    scene.pool.release(-90)
    for _ in 0..<200 {
      #expect(lane.release(out.removeFirst(), outcome: LTP_OUTCOME_SUCCESS, latency: 1, now: 0))
      let permit = lane.acquire(now: 0)
      if permit != 0 { out.append(permit) }
      if out.count == 10 { break }
    }
    #expect(out.count == 10)
  }

  @Test("what a silent lane holds can be collected")
  func collects() {
    let scene = PermitScene(lanes: 2, permits: 100, chunk: 100)
    #expect(scene.lanes[0].acquire(now: 0) != 0)
    #expect(scene.lanes[1].acquire(now: 0) == 0, "the other lane has all of them")
    scene.lanes[0].collectStock()
    #expect(scene.lanes[1].acquire(now: 0) != 0)
  }
}
