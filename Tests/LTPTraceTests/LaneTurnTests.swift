// SPDX-License-Identifier: Apache-2.0
// In which order lanes are served: by turns, those that somebody waits for first.

import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPTrace

@Suite("Lanes are served by turns", .guarded)
struct LaneTurnTests {
  /// Room for few blocks at once, in long segments.
  private func scene() -> Scene {
    let scene = Scene()
    scene.configuration.chain.segmentBytes = 1 << 20
    scene.configuration.chain.inflightMax = 2
    return scene
  }

  private func slotsPerBlock(_ lane: SimulatedLane) -> Int { Int(lane.lane.state.pointee.slotsPerBlock) }

  @Test("who waits is served before a flooded lane, and a flush is its own lane's")
  func waitedFor() throws {
    let scene = scene()
    let (core, flooded) = try scene.openWithLane()
    let idle = try core.openLane()!
    let light = try core.openLane()!
    // As when the disk is slow: nothing that is written completes in this test's first step.
    scene.plan { $0.delayNanosecondsMax = 50_000_000 }
    try scene.admit(core, flooded, count: 3 * slotsPerBlock(flooded) - 10)
    try scene.admit(core, idle, count: 1)
    try scene.admit(core, light, count: 1)
    core.wantDurable(core.openLanes.firstIndex { $0 === light }!)
    try core.step(after: 1_000)
    let cursors = core.writer.pointee.cursors
    #expect(cursors[light.index].drained == light.published)
    #expect(cursors[idle.index].drained == 0)
    // Two at once: the second one is the flooded lane's.
    #expect(cursors[flooded.index].drained <= UInt64(slotsPerBlock(flooded)))
    #expect(try core.run(until: { core.isDrained }))
    #expect(idle.durable == idle.published && flooded.durable == flooded.published)
  }

  @Test(
    "more lanes are waited for than can be copied at once: each has its turn, and a flooded one beside them")
  func manyWaiting() throws {
    let scene = scene()
    scene.configuration.chain.inflightMax = 4
    scene.configuration.chain.stagingCount = 2
    let (core, flooded) = try scene.openWithLane()
    var waiting: [SimulatedLane] = []
    while waiting.count < 6 { waiting.append(try core.openLane(limit: 8)!) }
    scene.plan { $0.delayNanosecondsMax = 2_000_000 }
    var served: [UInt64] = waiting.map(\.durable)
    let before = flooded.durable
    for _ in 0..<600 {
      try scene.admit(core, flooded, count: 300)
      for lane in waiting where lane.durable == lane.published {
        try scene.admit(core, lane, count: 1)
        core.wantDurable(core.openLanes.firstIndex { $0 === lane }!)
      }
      try core.step(after: 100_000)
    }
    let counts = zip(waiting, served).map { $0.durable - $1 }
    served = counts
    #expect(counts.min()! > 0 && counts.max()! <= 3 * counts.min()!, "\(counts)")
    #expect(flooded.durable - before > UInt64(4 * slotsPerBlock(flooded)))
  }

  @Test("a lane that is closed beside a flooded one is let go")
  func closed() throws {
    let scene = scene()
    let (core, flooded) = try scene.openWithLane()
    let other = try core.openLane()!
    try scene.admit(core, other, count: 3)
    scene.plan { $0.delayNanosecondsMax = 20_000_000 }
    core.close(other)
    func isThere() -> Bool { core.openLanes.contains { $0 === other } }
    for _ in 0..<2000 where isThere() {
      try scene.admit(core, flooded, count: 600)
      try core.step(after: 200_000)
    }
    #expect(!isThere())
  }

  @Test("flooded lanes have a block each, whatever their places")
  func turns() throws {
    let scene = scene()
    let (core, first) = try scene.openWithLane()
    let others = [try core.openLane()!, try core.openLane()!]
    let lanes = [first] + others
    for lane in lanes { try scene.admit(core, lane, count: 3 * slotsPerBlock(lane)) }
    scene.plan { $0.delayNanosecondsMax = 3_000_000 }
    var spread: UInt64 = 0
    for _ in 0..<400 where lanes.contains(where: { $0.durable < $0.published }) {
      try core.step(after: 200_000)
      let drained = lanes.map { core.writer.pointee.cursors[$0.index].drained }
      if drained.allSatisfy({ $0 < UInt64(3 * slotsPerBlock(first)) }) {
        spread = max(spread, drained.max()! - drained.min()!)
      }
    }
    #expect(lanes.allSatisfy { $0.durable == $0.published })
    // The first one's ring had begun with what its first block held already.
    #expect(spread > 0 && spread <= UInt64(slotsPerBlock(first)))
  }
}
