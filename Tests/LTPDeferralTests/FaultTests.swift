// SPDX-License-Identifier: Apache-2.0
// What the deferral log does when the device fails, one fault at a time; and crashes at every call.

import CLTP
import CLTPSystem
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPDeferral
@testable import LTPStorage

@Suite("Faults of a deferral log", .guarded)
struct FaultTests {
  /// After a fault that is final: nothing is kept or ended, nobody is told of more, and what was acknowledged survives.
  private func expectFinal(_ scene: DeferralScene, _ run: DeferralRun, code: Int32) throws {
    #expect(run.failure?.code == code)
    let (acknowledged, pending) = (run.acknowledgedCount, run.log.table.pendingCount)
    #expect(acknowledged < scene.sent.count, "all was acknowledged before the fault")
    for _ in 0..<50 {
      #expect(run.keep(1) == 0 && !run.commitOne())
      run.step(after: 1_000_000)
    }
    #expect(run.acknowledgedCount == acknowledged && run.log.table.pendingCount == pending)
    #expect(scene.disk.faults.planned.count > 0)
    try scene.loseAndReopen()
  }

  // MARK: Errors of the device

  @Test(
    "fault 6: EIO of a block's write and sync is final; no success afterwards is believed",
    arguments: [1, 2, 3])
  func writeError(_ nth: Int) throws {
    let scene = DeferralScene()
    let run = try scene.openReady()
    run.keep(5)
    run.step(after: 1_000_000)
    // From here on it hands out, so that what is written is records alone.
    #expect(run.commitOne())
    run.step(after: 1_000_000)
    scene.plan { $0.planned = [PlannedFault(call: .blockWrite, nth: nth, code: LTP_SYSTEM_EIO)] }
    for _ in 0..<nth where run.failure == nil {
      run.keep(4)
      run.commitOne()
      run.step(after: 1_000_000)
    }
    try expectFinal(scene, run, code: LTP_SYSTEM_EIO)
  }

  @Test("fault 6: EIO on the sync of a segment being prepared: made anew, nothing was in it")
  func preparedSyncError() throws {
    let scene = DeferralScene()
    scene.plan { $0.planned = [PlannedFault(call: .segmentSync, nth: 1, code: LTP_SYSTEM_EIO)] }
    let run = try DeferralRun(scene)
    var isHindered = false
    let isReady = run.runs {
      isHindered = isHindered || run.hindrance?.code == LTP_SYSTEM_EIO
      return run.log.isOpen
    }
    #expect(isReady && isHindered && run.failure == nil && run.hindrance == nil)
    run.keep(4)
    #expect(run.runs { run.isSettled })
    try scene.loseAndReopen()
  }

  @Test(
    "fault 6: EIO when a full segment is cut, or the watermark is written, is final",
    arguments: [SimulatedCall.sync, .write])
  func otherErrors(_ call: SimulatedCall) throws {
    let scene = DeferralScene()
    let run = try scene.openReady()
    scene.plan { $0.planned = [PlannedFault(call: call, nth: 1, code: LTP_SYSTEM_EIO)] }
    for _ in 0..<60 where run.failure == nil {
      run.keep(10)
      run.step(after: 1_000_000)
    }
    #expect(run.failure?.code == LTP_SYSTEM_EIO && run.keep(1) == 0 && !run.commitOne())
    try scene.loseAndReopen()
  }

  @Test("fault 7: ENOSPC at the sync, then success: as 6", arguments: [LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT])
  func noSpaceThenSuccess(_ code: Int32) throws {
    let scene = DeferralScene()
    let run = try scene.openReady()
    scene.plan { $0.planned = [PlannedFault(call: .blockWrite, nth: 1, code: code)] }
    run.keep(4)
    run.step(after: 1_000_000)
    try expectFinal(scene, run, code: code)
  }

  @Test("fault 8: ENOSPC in a batch acknowledges nothing past the written prefix")
  func noSpaceInBatch() throws {
    let scene = DeferralScene()
    scene.configuration.chain.segmentBytes = 256 << 10
    let run = try scene.openReady()
    #expect(run.runs { run.isSettled })
    // Three blocks at once; the second one fails and is completed first.
    scene.plan {
      $0.planned = [PlannedFault(call: .blockWrite, nth: 2, code: LTP_SYSTEM_ENOSPC)]
      $0.stalledUntil = scene.disk.now + 10_000_000
    }
    var ends: [UInt64] = []
    for _ in 0..<3 {
      run.keep(10)
      ends.append(run.log.sequence)
      run.step(after: 1_000_000)
    }
    #expect(run.log.sealedSequence == ends[2])
    #expect(run.runs { run.failure != nil })
    #expect(run.log.durableSequence <= ends[0])
    try expectFinal(scene, run, code: LTP_SYSTEM_ENOSPC)
  }

  @Test(
    "fault 9: ENOSPC while a segment is prepared: the old one is whole, and it goes on once there is room",
    arguments: [SimulatedCall.create, .zeroWrite])
  func noSpaceForSegment(_ call: SimulatedCall) throws {
    let scene = DeferralScene()
    let run = try scene.openReady()
    // Until the current segment's own zeros are there.
    for _ in 0..<20 { run.step(after: 1_000_000) }
    scene.plan { $0.planned = [PlannedFault(call: call, nth: 1, code: LTP_SYSTEM_ENOSPC, times: 8)] }
    var isRefused = false
    for _ in 0..<40 {
      isRefused = run.keep(20) < 20 || isRefused
      run.step(after: 1_000_000)
    }
    #expect(isRefused && run.hindrance?.code == LTP_SYSTEM_ENOSPC && run.failure == nil)
    // At most the one that was ready before there was no room.
    let stuck = run.log.chain.position.segmentIndex
    #expect(stuck <= 1)
    for _ in 0..<40 {
      run.step(after: 100_000_000)
      run.keep(4)
    }
    #expect(run.hindrance == nil && run.failure == nil && run.log.chain.position.segmentIndex > stuck)
    #expect(run.runs { run.isSettled })
    try scene.loseAndReopen()
  }

  @Test("fault 10: a short write goes on at the exact offset", arguments: [false, true])
  func shortWrites(_ odd: Bool) throws {
    let scene = DeferralScene()
    let run = try scene.openReady()
    scene.plan {
      $0.shortWriteOneIn = 2
      $0.shortWritesAreOdd = odd
    }
    for _ in 0..<10 {
      run.keep(20)
      run.commitOne()
      #expect(run.runs { run.isSettled })
    }
    #expect(run.failure == nil && run.acknowledgedCount == scene.sent.count)
    try scene.loseAndReopen()
  }

  // MARK: Crashes at every call

  /// Dies before call 1, 2, 3, ... of an opening until one comes through. Returns how many were interrupted.
  private func interruptOpenings(_ scene: DeferralScene, powerLoss: Bool) throws -> Int {
    for call in 1...200 {
      scene.plan { $0.diesAtCall = call }
      switch scene.open() {
      case .success(let run):
        scene.disk.faults.diesAtCall = 0
        try run.check()
        scene.disk.kill()
        scene.calm()
        return call - 1
      case .failure(let fault):
        #expect(scene.disk.isDead, "call \(call): \(fault.text)")
        if powerLoss { scene.disk.losePower() } else { scene.disk.kill() }
      }
    }
    throw DeferralViolation("recovery never ends")
  }

  @Test(
    "fault 3: a crash at every call of recovery, again and again, changes nothing", arguments: [true, false])
  func recovery(_ powerLoss: Bool) throws {
    for seed in TestSeed.each(1...25) {
      let scene = DeferralScene(seed: TestSeed.value(seed))
      try scene.write(segments: 1)
      // A torn end, so that recovery has something to cut.
      let run = try scene.openReady()
      scene.plan { $0.stalledUntil = .max }
      for _ in 0..<3 {
        run.keep(6)
        run.step(after: 1_000_000)
      }
      scene.disk.losePower()
      #expect(try interruptOpenings(scene, powerLoss: powerLoss) > 10)
      let (pending, content) = (
        scene.sent.count, scene.bytes(DeferralScene.name(.segment(scene.segments.last!)))
      )
      #expect(try interruptOpenings(scene, powerLoss: powerLoss) > 8)
      #expect(scene.sent.count == pending)
      #expect(scene.bytes(DeferralScene.name(.segment(scene.segments.last!))) == content)
      try scene.loseAndReopen(kills: !powerLoss)
    }
  }

  @Test("fault 21: a crash at every call between create, rename and directory sync of a new log")
  func creation() throws {
    for seed in TestSeed.each(1...40) {
      let scene = DeferralScene(seed: TestSeed.value(seed))
      #expect(try interruptOpenings(scene, powerLoss: true) > 4)
      try scene.loseAndReopen()
    }
  }

  @Test("fault 21: a crash at every call while segments change, are emptied and go: the old or the new state")
  func rotation() throws {
    var (call, reached, dropped) = (1, 0, 0)
    while reached == call - 1, call < 300 {
      let scene = DeferralScene(seed: TestSeed.value(UInt64(call)))
      scene.configuration.rememberNanoseconds = 3600 * second
      let run = try scene.openReady()
      scene.plan {
        $0.diesAtCall = call
        $0.delayNanosecondsMax = 1_000_000
      }
      for _ in 0..<60 where !scene.disk.isDead {
        run.keep(1)
        if scene.sent.count > 4 { run.commitOne() }
        run.step(after: 2_000_000)
      }
      if scene.disk.isDead { reached = call }
      if scene.segments.first ?? 0 > 0 { dropped += 1 }
      try scene.loseAndReopen()
      call += 1
    }
    #expect(reached > 60 && dropped > 0, "died \(reached) times, \(dropped) of them after a segment had gone")
  }

  // MARK: Bounds

  @Test("fault 29: full, too old, and given up: bounded, each with its own answer, and none of it lost")
  func bounds() throws {
    let scene = DeferralScene()
    scene.configuration.capacity = 20
    let run = try scene.openReady()
    while run.keep(1) == 1 { run.step(after: 1_000_000) }
    #expect(scene.sent.count == 20 && run.log.counts.refusedFull > 0)
    // One ends: its place is for the next one.
    #expect(run.commitOne())
    #expect(run.runs { run.isSettled })
    #expect(run.keep(2) == 1)
    scene.sent.removeAll { $0.isCommitted }
    let now = scene.clock.unix
    let payload = SomeBytes.piece(7, count: 50)
    let old = IntentDraft(request(25, frameID: 9999, sessionID: 9), expiresUnixNanoseconds: now)
    #expect(run.log.keep(old, payload: payload, hash: .init(), unixNanoseconds: now) == .refused)
    scene.clock.advance(3601 * second)
    #expect(run.runs { run.log.table.pendingCount == 0 })
    #expect(run.log.counts.ends[Int(LTP_END_EXPIRED)] == 20)
    for sent in scene.sent {
      let draft = IntentDraft(sent.request, expiresUnixNanoseconds: .max)
      let hash = Digest(of: sent.payload.baseAddress!, count: sent.payload.count)!
      #expect(run.log.look(draft, hash: hash) == .ended(sent.ticket, end: LTP_END_EXPIRED))
    }
  }
}
