// SPDX-License-Identifier: Apache-2.0
// The summary that the writer ends a segment with: over several runs of the core, with more kinds of decisions than one record or one
// page holds, and with blocks of another size than before. TraceWalk counts for itself and compares.

import CLTP
import CLTPSystem
import LTPInspect
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPTrace

@Suite("Summaries of segments", .guarded)
struct SummaryTests {
  /// Requests of `kinds` classes and domains, some unknown, some late, some of low priority.
  private func admit(
    _ scene: Scene, _ core: Scene.Core, _ lane: SimulatedLane, kinds: Int, from first: UInt64
  )
    throws
  {
    for frame in first..<first + 200 {
      let late = frame % 5 == 0 ? scene.clock.monotonic : nil
      let kind = Int(frame) % kinds
      var request = LTPTestSupport.request(
        UInt8(kind % 160), frameID: frame, sessionID: 1 + frame % 7, priority: UInt8(frame % 3 * 100),
        deadline: late)
      request.domain = UInt8(kind / 160)
      try core.admit(lane, long(request))
    }
    try core.step(after: 2_000_000)
  }

  /// The SEALED record that ends a segment, and how long its block is.
  private func sealed(_ scene: Scene, _ index: UInt64) throws -> (record: ltp_sealed_record, bytes: Int) {
    let offset = try #require(scene.blockOffsets(index).last)
    let file = try #require(scene.disk.file(.segment(index)))
    let header = BlockHeader(UnsafeRawPointer(file.visible + offset))
    let view = RecordView(header.body, slot: header.slotCount - RecordKind.sealed.slotCount)
    #expect(view.kind == .sealed)
    return (view.sealed.pointee, header.sizeBytes)
  }

  @Test("a segment that several runs wrote, some of which lost power, is summed up whole")
  func runs() throws {
    let scene = Scene()
    scene.configuration.chain.segmentBytes = 256 << 10
    var frame: UInt64 = 1
    var openings = 0
    while scene.disk.segmentIndices().count < 2 {
      let core = try scene.open()
      openings += 1
      core.publish(openings % 2 == 0 ? LTP_STATE_HEALTHY : LTP_STATE_DEGRADED)
      let lane = try core.openLane()!
      try admit(scene, core, lane, kinds: 160, from: frame)
      frame += 200
      if openings % 3 == 0 {
        _ = try core.run(until: { core.isDrained })
      } else {
        guard try core.shutDown() else { throw Violation("does not close") }
      }
      scene.disk.losePower()
      scene.calm()
    }
    #expect(openings > 4)
    let walk = try TraceWalk(scene.disk, ledger: scene.ledger)
    try walk.checkAcknowledged(scene.ledger)
    let sealed = try sealed(scene, 0).record
    #expect(sealed.decision_count > 600 && sealed.counts_entries > 15)
    #expect(sealed.transition_count > 4 && sealed.first_unix_ns < sealed.last_unix_ns)
    #expect(try scene.inspect().violations.isEmpty)
  }

  @Test("a summary may be longer than the blocks of the run that writes it")
  func smallerBlocks() throws {
    let scene = Scene()
    scene.configuration.chain.segmentBytes = 1 << 20
    scene.configuration.chain.blockBytes = 256 << 10
    var frame: UInt64 = 1
    // Each state has its own verdicts and reasons.
    let before = try scene.open()
    let lane = try before.openLane()!
    for state in UInt8(1)..<7 {
      before.publish(state)
      for _ in 0..<4 {
        try admit(scene, before, lane, kinds: 131, from: frame)
        frame += 200
      }
    }
    guard try before.shutDown() else { throw Violation("does not close") }
    scene.disk.losePower()
    scene.calm()
    let kinds = try TraceWalk(scene.disk, ledger: scene.ledger).tally.kindCount
    #expect(SegmentCounts.summaryBytes(entries: kinds) > 16 << 10, "\(kinds) kinds")
    scene.configuration.chain.blockBytes = 16 << 10
    let after = try scene.open()
    after.publish(LTP_STATE_HEALTHY)
    let next = try after.openLane()!
    while after.progress.pointee.segmentIndex.load(ordering: .relaxed) == 0 {
      try admit(scene, after, next, kinds: 131, from: frame)
      frame += 200
    }
    guard try after.shutDown() else { throw Violation("does not close") }
    _ = try TraceWalk(scene.disk, ledger: scene.ledger)
    let (record, bytes) = try sealed(scene, 0)
    #expect(Int(record.counts_entries) >= kinds && bytes > scene.configuration.chain.blockBytes)
    #expect(try scene.inspect().violations.isEmpty)
  }

  @Test("a client that makes up classes makes no segment shorter")
  func madeUpClasses() throws {
    func decisions(classes: Int) throws -> UInt64 {
      let scene = Scene()
      scene.configuration.chain.segmentBytes = 128 << 10
      let (core, lane) = try scene.openWithLane()
      var frame: UInt64 = 1
      while core.progress.pointee.segmentIndex.load(ordering: .relaxed) == 0 {
        for _ in 0..<100 {
          try core.admit(
            lane, long(request(200 + UInt8(Int(frame) % classes), frameID: frame, sessionID: 1 + frame % 7)))
          frame += 1
        }
        try core.step(after: 100_000)
      }
      guard try core.shutDown() else { throw Violation("does not close") }
      _ = try TraceWalk(scene.disk, ledger: scene.ledger)
      return try sealed(scene, 0).record.decision_count
    }
    #expect(try decisions(classes: 55) == decisions(classes: 1))
  }
}
