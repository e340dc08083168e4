// SPDX-License-Identifier: Apache-2.0
// Bursts that the ring absorbs, and flat out: what a decision costs, and how many a second become durable.

import CLTP
import CLTPSystem
import Synchronization

/// Nanoseconds a decision, over many bursts.
struct BenchBursts: Encodable {
  var bursts = 0
  var median = 0.0
  var least = 0.0

  init(_ samples: [Double]) {
    let sorted = samples.sorted()
    guard let first = sorted.first else { return }
    bursts = sorted.count
    median = sorted[sorted.count / 2]
    least = first
  }
}

enum BenchBurst {
  /// 32,768 records are 1 MiB: a quarter of the ring.
  static let decisions = 32_768
  static let bytes = decisions * 34

  /// Single calls, floor and batches by turns, so that whatever disturbs one disturbs all. Every burst starts
  /// with an empty ring, and is over before the ring is full.
  static func measure(
    _ core: BenchCore, seed: UInt64, seconds: Double, burstsMax: Int
  ) throws -> (single: BenchBursts, batch: BenchBursts, floor: BenchBursts) {
    let lane = core.lanes[0]
    let floor = BenchFloor(signals: core.signals, ringBytes: BenchCore.ringBytes, seed: seed)
    var singles: [Double] = []
    var batches: [Double] = []
    var floors: [Double] = []
    let end = ltp_system_monotonic_ns() + UInt64(seconds * 1e9)
    let count = Double(decisions)
    while ltp_system_monotonic_ns() < end, singles.count + batches.count < burstsMax {
      lane.greetSessions(atMost: BenchWorkload.frameCount)
      try lane.waitDurable()
      floors.append(Double(floor.run(lane.frames, decisions)) / count)
      singles.append(Double(lane.admitSingly(decisions)) / count)
      lane.greetSessions(atMost: BenchWorkload.frameCount)
      try lane.waitDurable()
      let began = ltp_system_monotonic_ns()
      lane.admitInBatches(decisions)
      batches.append(Double(ltp_system_monotonic_ns() - began) / count)
    }
    // The first ones warm caches and pages up.
    let warm = min(singles.count / 10, 8)
    return (
      BenchBursts(Array(singles.dropFirst(warm))), BenchBursts(Array(batches.dropFirst(warm))),
      BenchBursts(Array(floors.dropFirst(warm)))
    )
  }
}

/// As many decisions as the trace takes: lanes wait for it, nothing is denied for backpressure.
struct BenchFlatOut: Encodable {
  var seconds = 0.0
  var decisions: UInt64 = 0
  var decisionsPerSecond = 0.0
  var durableDecisionsPerSecond = 0.0
  var bytesPerDecision = 0.0
  /// Of one core.
  var writerProcessorShare = 0.0
  var nsPerDecision = 0.0

  static func measure(_ core: BenchCore, seconds: Double, decisionsMax: UInt64) throws -> BenchFlatOut {
    try core.waitDurable()
    let before = try core.status()
    let tallyBefore = core.tally
    let perLane = decisionsMax / UInt64(core.lanes.count)
    let began = ltp_system_monotonic_ns()
    let end = began + UInt64(seconds * 1e9)
    try core.onLanes { lane, _ in
      var done: UInt64 = 0
      while done < perLane, ltp_system_monotonic_ns() < end {
        lane.greetSessions(atMost: BenchLane.batchMax)
        lane.admitInBatches(BenchWorkload.frameCount)
        done += UInt64(BenchWorkload.frameCount)
      }
    }
    let decided = ltp_system_monotonic_ns()
    try core.waitDurable()
    let durable = ltp_system_monotonic_ns()
    let after = try core.status()
    let count = Double((core.tally - tallyBefore).decided)
    var result = BenchFlatOut()
    result.seconds = Double(durable - began) / 1e9
    result.decisions = (core.tally - tallyBefore).decided
    result.decisionsPerSecond = count * 1e9 / Double(decided - began)
    result.durableDecisionsPerSecond = count * 1e9 / Double(durable - began)
    result.nsPerDecision = Double(decided - began) * Double(core.lanes.count) / max(count, 1)
    result.bytesPerDecision = Double(after.bytes_written - before.bytes_written) / max(count, 1)
    result.writerProcessorShare =
      Double(after.writer_cpu_ns - before.writer_cpu_ns) / Double(durable - began)
    return result
  }
}
