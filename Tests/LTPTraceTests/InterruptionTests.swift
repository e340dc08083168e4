// SPDX-License-Identifier: Apache-2.0
// Crashes at every call: of recovery, of the making of a log, and of the change from one segment to the next.

import CLTP
import CLTPSystem
import LTPTestSupport
import Testing

@testable import LTPStorage
@testable import LTPTrace

@Suite("Interruptions", .guarded)
struct InterruptionTests {
  /// Dies before call 1, 2, 3, ... of an opening until one comes through. Returns how many were interrupted.
  private func interruptOpenings(_ scene: Scene, powerLoss: Bool) throws -> Int {
    var call = 1
    while true {
      scene.plan { $0.diesAtCall = call }
      do throws(OpenFault) {
        let core = try scene.open()
        let walk = try? TraceWalk(scene.disk, ledger: scene.ledger)
        #expect(walk?.blockCount == core.log.chain.position.blockIndex)
        scene.disk.kill()
        scene.calm()
        return call - 1
      } catch {
        #expect(scene.disk.isDead, "call \(call): \(error.text)")
        if powerLoss { scene.disk.losePower() } else { scene.disk.kill() }
      }
      call += 1
      if call > 200 { throw Violation("recovery never ends") }
    }
  }

  @Test(
    "fault 3: a crash at every call of recovery, again and again, changes nothing", arguments: [true, false])
  func recovery(_ powerLoss: Bool) throws {
    for seed in TestSeed.each(1...40) {
      let scene = Scene(seed: TestSeed.value(seed))
      try scene.writeLog(segments: 1)
      // A torn end, so that recovery has something to cut.
      let (core, lane) = try scene.openWithLane()
      scene.plan { $0.stalledUntil = .max }
      try scene.admit(core, lane, count: 300)
      for _ in 0..<3 { try core.step(after: 2_000_000) }
      scene.disk.losePower()
      let interrupted = try interruptOpenings(scene, powerLoss: powerLoss)
      #expect(interrupted > 10)
      let walk = try TraceWalk(scene.disk, ledger: scene.ledger)
      try walk.checkAcknowledged(scene.ledger)
      #expect(try interruptOpenings(scene, powerLoss: powerLoss) > 8)
      let again = try TraceWalk(scene.disk, ledger: scene.ledger)
      #expect(again.blockCount == walk.blockCount && again.lastHash == walk.lastHash)
      try scene.loseAndReopen()
    }
  }

  @Test("fault 21: a crash at every call between create, rename and directory sync of a new log")
  func creation() throws {
    for seed in TestSeed.each(1...60) {
      let scene = Scene(seed: TestSeed.value(seed))
      #expect(try interruptOpenings(scene, powerLoss: true) > 4)
      try scene.loseAndReopen()
    }
  }

  @Test("fault 21: a crash at every call while segments change: the old or the new state, nothing in between")
  func rotation() throws {
    var call = 1
    var reached = 0
    while reached == call - 1, call < 400 {
      let scene = Scene(seed: TestSeed.value(UInt64(call)))
      scene.configuration.chain.retainSegments = call % 2 == 0 ? 2 : 0
      scene.ledger.retainsEverything = call % 2 != 0
      let (core, lane) = try scene.openWithLane()
      scene.plan {
        $0.diesAtCall = call
        $0.delayNanosecondsMax = 1_000_000
      }
      for _ in 0..<120 where !scene.disk.isDead {
        try scene.admit(core, lane, count: 120)
        try core.step(after: 1_000_000)
      }
      if scene.disk.isDead { reached = call }
      try scene.loseAndReopen()
      call += 1
    }
    #expect(reached > 60, "died \(reached) times")
  }
}
