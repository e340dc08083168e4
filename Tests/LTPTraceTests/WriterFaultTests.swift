// SPDX-License-Identifier: Apache-2.0
// What the writer does when the device fails, one fault at a time.

import CLTP
import CLTPSystem
import LTPOrientation
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPStorage
@testable import LTPTrace

@Suite("Faults while writing", .guarded)
struct WriterFaultTests {
  /// After a fault that is final: nobody is told of more, lanes deny, and what was acknowledged survives.
  private func expectFinal(_ scene: Scene, _ core: Scene.Core, _ lane: SimulatedLane, status: Int32) throws {
    #expect(core.failure == status)
    let acknowledged = lane.durable
    #expect(acknowledged < lane.published)
    for _ in 0..<50 {
      try core.step(after: 1_000_000)
      let verdict = try core.admit(lane, Scene.request(1, actionClass: 0))
      #expect(verdict.verdict == LTP_VERDICT_DENY && verdict.reason == LTP_REASON_TRACE_BACKPRESSURE)
    }
    #expect(lane.durable == acknowledged)
    #expect(core.progress.pointee.durableSignal.pointee.load(ordering: .acquiring) > 0)
    try scene.loseAndReopen()
  }

  @Test(
    "fault 6: EIO of a block's write and sync is final; no success afterwards is believed",
    arguments: [1, 2, 3])
  func writeError(_ nth: Int) throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    try scene.admit(core, lane, count: 100)
    scene.plan { $0.planned = [PlannedFault(call: .blockWrite, nth: nth, code: LTP_SYSTEM_EIO)] }
    for _ in 0..<nth {
      try scene.admit(core, lane, count: 20)
      try core.step(after: 2_000_000)
      try core.step(after: 2_000_000)
    }
    try expectFinal(scene, core, lane, status: LTP_ERROR_TRACE_IO)
  }

  @Test("fault 6: EIO on the sync of a segment being prepared: made anew, nothing was in it")
  func preparedSyncError() throws {
    let scene = Scene()
    scene.plan { $0.planned = [PlannedFault(call: .segmentSync, nth: 1, code: LTP_SYSTEM_EIO)] }
    let core = try scene.open()
    var hindered = false
    #expect(
      try core.run(until: {
        hindered = hindered || core.hindrance == LTP_ERROR_TRACE_IO
        return core.isDrained
      }))
    #expect(hindered && core.failure == LTP_OK && core.hindrance == LTP_OK)
    try scene.loseAndReopen()
  }

  @Test("fault 6: EIO when a full segment is cut is final")
  func cutError() throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan { $0.planned = [PlannedFault(call: .sync, nth: 1, code: LTP_SYSTEM_EIO)] }
    for _ in 0..<60 where core.failure == LTP_OK {
      try scene.admit(core, lane, count: 100)
      try core.step(after: 1_000_000)
    }
    try scene.admit(core, lane, count: 1)
    #expect(core.failure == LTP_ERROR_TRACE_IO)
    try scene.loseAndReopen()
  }

  @Test("fault 7: ENOSPC at the sync, then success: as 6", arguments: [LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT])
  func noSpaceThenSuccess(_ code: Int32) throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan { $0.planned = [PlannedFault(call: .blockWrite, nth: 1, code: code)] }
    try scene.admit(core, lane, count: 20)
    try core.step(after: 2_000_000)
    try core.step(after: 2_000_000)
    try expectFinal(scene, core, lane, status: LTP_ERROR_TRACE_NO_SPACE)
  }

  @Test("fault 8: ENOSPC in a batch acknowledges nothing past the written prefix")
  func noSpaceInBatch() throws {
    let scene = Scene()
    scene.configuration.chain.segmentBytes = 256 << 10
    let (core, lane) = try scene.openWithLane()
    let before = core.progress.pointee.durableBlocks.load(ordering: .acquiring)
    // Three full blocks at once; the second one fails and is completed first.
    scene.plan {
      $0.planned = [PlannedFault(call: .blockWrite, nth: 2, code: LTP_SYSTEM_ENOSPC)]
      $0.stalledUntil = scene.disk.now + 10_000_000
    }
    try scene.admit(core, lane, count: 1400)
    while core.failure == LTP_OK { try core.step(after: 1_000_000) }
    let after = core.progress.pointee.durableBlocks.load(ordering: .acquiring)
    #expect(after <= before + 1)
    try expectFinal(scene, core, lane, status: LTP_ERROR_TRACE_NO_SPACE)
  }

  @Test(
    "fault 9: ENOSPC while a segment is prepared: the old one is whole, and it goes on once there is room",
    arguments: [SimulatedCall.create, .zeroWrite])
  func noSpaceForSegment(_ call: SimulatedCall) throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    // Until the current segment's own zeros are there.
    for _ in 0..<20 { try core.step(after: 1_000_000) }
    scene.plan { $0.planned = [PlannedFault(call: call, nth: 1, code: LTP_SYSTEM_ENOSPC, times: 8)] }
    var denied = false
    for _ in 0..<40 {
      try scene.admit(core, lane, count: 100)
      try core.step(after: 1_000_000)
      denied = denied || scene.ledger.lanes[lane.id]!.unrecorded > 0
    }
    #expect(core.hindrance == LTP_ERROR_TRACE_NO_SPACE && core.failure == LTP_OK)
    #expect(denied, "the rings are full: lanes must deny")
    // At most the one that was ready before there was no room.
    let stuck = core.progress.pointee.segmentIndex.load(ordering: .relaxed)
    #expect(stuck <= 1)
    for _ in 0..<40 {
      try core.step(after: 100_000_000)
      try scene.admit(core, lane, count: 10)
    }
    #expect(core.hindrance == LTP_OK && core.failure == LTP_OK)
    #expect(core.progress.pointee.segmentIndex.load(ordering: .relaxed) > stuck)
    #expect(try core.run(until: { core.isDrained }))
    try scene.loseAndReopen()
  }

  @Test("fault 10: a short write goes on at the exact offset", arguments: [false, true])
  func shortWrites(_ odd: Bool) throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan {
      $0.shortWriteOneIn = 1
      $0.shortWritesAreOdd = odd
    }
    try scene.admit(core, lane, count: 600)
    #expect(try core.run(limit: 100_000, until: { core.isDrained }))
    #expect(core.failure == LTP_OK && lane.durable == lane.published)
    try scene.loseAndReopen()
  }

  @Test("fault 12: passing errors are started again by their token", arguments: [2, 3, 5])
  func passingErrors(_ oneIn: Int) throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan { $0.passingErrorOneIn = oneIn }
    for _ in 0..<20 {
      try scene.admit(core, lane, count: 100)
      try core.step(after: 1_000_000)
    }
    #expect(try core.run(until: { core.isDrained }))
    #expect(core.failure == LTP_OK)
    try scene.loseAndReopen()
  }

  @Test("fault 12: but not for ever")
  func passingErrorsForEver() throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan { $0.passingErrorOneIn = 1 }
    try scene.admit(core, lane, count: 10)
    for _ in 0..<1000 where core.failure == LTP_OK { try core.step(after: 2_000_000) }
    try scene.admit(core, lane, count: 1)
    #expect(core.failure == LTP_ERROR_TRACE_IO)
    try scene.loseAndReopen()
  }

  @Test("faults 13 and 14: a queue of one or two takes everything, in turn", arguments: [1, 2])
  func shallowQueue(_ depth: Int) throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan {
      $0.queueDepth = depth
      $0.delayNanosecondsMax = 2_000_000
    }
    for _ in 0..<100 {
      try scene.admit(core, lane, count: 40)
      try core.step(after: 1_000_000)
    }
    #expect(try core.run(until: { core.isDrained }))
    #expect(core.progress.pointee.segmentIndex.load(ordering: .relaxed) > 0)
    try scene.loseAndReopen()
  }

  @Test("fault 16: memory that cannot be registered is written without it, byte for byte the same")
  func noRegisteredMemory() throws {
    func log(registers: Bool) throws -> [[UInt8]] {
      let scene = Scene()
      let (core, lane) = try scene.openWithLane()
      scene.plan { $0.registersMemory = registers }
      for _ in 0..<30 {
        try scene.admit(core, lane, count: 60)
        try core.step(after: 1_000_000)
      }
      #expect(try core.shutDown())
      let found = scene.disk.segmentIndices().map { scene.bytes(.segment($0)) }
      scene.disk.losePower()
      return found
    }
    let with = try log(registers: true)
    #expect(try log(registers: false) == with && with.count > 1)
  }

  @Test("fault 31: ring full, writer stalled: denied, counted, and said by a record later")
  func stalledWriter() throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    scene.plan { $0.stalledUntil = scene.disk.now + 500_000_000 }
    for _ in 0..<20 {
      try scene.admit(core, lane, count: 200)
      try core.step(after: 1_000_000)
    }
    let denied = scene.ledger.lanes[lane.id]!.unrecorded
    #expect(denied > 0 && core.failure == LTP_OK)
    #expect(lane.lane.state.pointee.unrecordedTotal.load(ordering: .acquiring) == denied)
    try core.step(after: 600_000_000)
    #expect(try core.run(until: { core.isDrained }))
    try scene.admit(core, lane, count: 1)
    #expect(scene.ledger.lanes[lane.id]!.unrecorded == denied)
    #expect(try core.shutDown())
    scene.disk.losePower()
    #expect(try TraceWalk(scene.disk, ledger: scene.ledger).unrecorded[lane.id] == denied)
  }

  @Test("fault 25: the clock goes back and jumps; order is by sequence, time stamps never go back")
  func clocks() throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    let line = core.orientation.line
    let offsets: [Int64] = [0, -3_600, 86_400 * 400, -86_400 * 900, 5]
    for (round, seconds) in offsets.enumerated() {
      scene.clock.unixOffset = UInt64(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
      core.publish(LTP_STATE_HEALTHY)
      try core.step(after: 2_000_000)
      let before = line.pointee.monotonic.load(ordering: .acquiring)
      // A source that goes back by a second, and stands still.
      line.pointee.tick(monotonic: before - 1_000_000_000, unix: 1)
      line.pointee.tick(monotonic: before, unix: 2)
      #expect(line.pointee.monotonic.load(ordering: .acquiring) == before)
      // The deadline is a time on the monotonic clock, whatever the other one says.
      var request = Scene.request(UInt64(round), actionClass: 0)
      request.request.header.flags = LTP_REQUEST_HAS_DEADLINE
      request.request.deadline_ns = before + 1
      #expect(try core.admit(lane, request).verdict == LTP_VERDICT_EXECUTE)
      request.request.deadline_ns = before
      #expect(try core.admit(lane, request).reason == LTP_REASON_DEADLINE_EXCEEDED)
    }
    // A jump of two hours forward is more than a block's offsets should span: the lane says a new base.
    try core.step(after: 7_200_000_000_000)
    try scene.admit(core, lane, count: 1)
    #expect(scene.ledger.lanes[lane.id]!.slots.contains { $0.kind == LTP_RECORD_TIME })
    #expect(try core.shutDown())
    scene.disk.losePower()
    let walk = try TraceWalk(scene.disk, ledger: scene.ledger)
    #expect(walk.laneEnd[lane.id] == UInt64(scene.ledger.lanes[lane.id]!.slots.count))
    #expect(walk.unixTimes != walk.unixTimes.sorted(), "the realtime clock did not go back in this test")
  }

  @Test("a failed writer can be taken down: settleInFlight ends, and the log opens again")
  func settles() throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    try scene.admit(core, lane, count: 10)
    scene.plan { $0.planned = [PlannedFault(call: .write, nth: 1, code: LTP_SYSTEM_EIO)] }
    for _ in 0..<5 { try core.step(after: 2_000_000) }
    #expect(core.failure == LTP_ERROR_TRACE_IO)
    core.writer.pointee.settleInFlight()
    #expect(scene.disk.queue.isEmpty)
    core.writer.pointee.closeFiles()
    #expect(scene.disk.openHandleCount == 0)
    scene.disk.kill()
    try scene.loseAndReopen()
  }

  @Test(
    "the smallest segment has room beside the largest preamble", arguments: [16 << 10, 64 << 10, 128 << 10])
  func largestPreamble(_ blockBytes: Int) throws {
    let scene = Scene()
    scene.configuration.chain.blockBytes = blockBytes
    scene.configuration.chain.segmentBytes = 512 << 10
    let (core, lane) = try scene.openWithLane()
    for _ in 0..<PolicySlot.count {
      core.loadPolicy(hasShadow: true)
      #expect(try core.run(until: { core.isDrained }))
    }
    for number in 0..<Int(LTP_TEXT_COUNT_MAX) { core.intern("\(number)") }
    // Whole blocks, which need room in one piece, and parts of some.
    let slots = (blockBytes - Int(LTP_BLOCK_HEADER_BYTES)) / Int(LTP_SLOT_BYTES)
    for round in 0..<(120_000 / slots) {
      try scene.admit(core, lane, count: round % 2 == 0 ? slots : 500)
      for _ in 0..<4 { try core.step(after: 1_000_000) }
    }
    #expect(try core.run(until: { core.isDrained }))
    let segments = core.progress.pointee.segmentIndex.load(ordering: .relaxed)
    #expect(segments > 3 && segments < 60, "\(segments) segments")
    try scene.loseAndReopen()
  }
}
