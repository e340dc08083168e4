// SPDX-License-Identifier: Apache-2.0
// A policy that another thread loads while the writer gathers a segment's preamble: at each place where the writer
// calls the storage, which is where it is out of its own hands. Each resulting log is read by both checkers.

import CLTP
import CLTPSystem
import LTPInspect
import LTPOrientation
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPStorage
@testable import LTPTrace

@Suite("A policy loaded while a segment begins", .guarded)
struct LoadBetweenTests {
  /// What is loaded, and what was beside the policy before.
  enum Load: CaseIterable, Sendable {
    case policy, policyBesideShadow, shadow, shadowRemoved

    var hadShadow: Bool { self == .policyBesideShadow || self == .shadowRemoved }
    var hasShadow: Bool { self == .policyBesideShadow || self == .shadow }
  }

  /// The smallest blocks, in which a policy's record fills all but a few slots, and the sizes whose last preamble block
  /// begins with a policy or with a shadow.
  static let blockSizes = [16 << 10, 32 << 10, 64 << 10]
  static let segments = 5
  /// Calls of the storage from a segment's name to the end of its preamble, and some.
  static let window = 36

  /// Writes a log with a load at the `step`th call after each segment got its name. Returns how many loads there were.
  private func write(_ scene: Scene, _ load: Load, step: Int) throws -> Int {
    // Half of the smallest that the options allow, so that segments change often; above the largest preamble.
    scene.configuration.chain.segmentBytes = 256 << 10
    let core = try scene.open()
    core.publish(LTP_STATE_HEALTHY)
    let lane = try core.openLane()!
    for _ in 0..<PolicySlot.count {
      core.loadPolicy(hasShadow: load.hadShadow)
      guard try core.run(until: { core.isDrained }) else { throw Violation("a policy does not come through") }
    }
    var calls: Int?
    var loads = 0
    scene.disk.meanwhile = { [unowned core] call in
      if call == .rename { calls = 0 }
      guard let count = calls else { return }
      calls = count + 1
      guard count == step else { return }
      let before = core.orientation.current.epoch
      core.loadPolicy(hasShadow: load.hasShadow)
      if core.orientation.current.epoch != before { loads += 1 }
    }
    defer { scene.disk.meanwhile = nil }
    for _ in 0..<2000 where core.progress.pointee.segmentIndex.load(ordering: .relaxed) < Self.segments {
      try scene.admit(core, lane, count: 30)
      try core.step(after: 2_000_000)
      // What was loaded in the segment's beginning is followed by what the next beginning finds.
      if load.hadShadow, !load.hasShadow, calls ?? 0 > 60 {
        calls = nil
        core.loadPolicy(hasShadow: true)
      }
    }
    scene.disk.meanwhile = nil
    guard core.failure == LTP_OK else { throw Violation("failed with \(core.failure)") }
    guard core.progress.pointee.segmentIndex.load(ordering: .relaxed) == Self.segments else {
      throw Violation(
        "stands still in segment \(core.progress.pointee.segmentIndex.load(ordering: .relaxed))")
    }
    guard try core.shutDown() else { throw Violation("does not close") }
    return loads
  }

  @Test("at each step of the beginning", arguments: blockSizes, Load.allCases)
  func eachStep(_ blockBytes: Int, _ load: Load) throws {
    for step in 0..<Self.window {
      let scene = Scene()
      scene.configuration.chain.blockBytes = blockBytes
      do throws(Violation) {
        let loads: Int
        do { loads = try write(scene, load, step: step) } catch { throw Violation("\(error)") }
        guard loads >= Self.segments - 1 else { throw Violation("\(loads) loads only") }
        _ = try TraceWalk(scene.disk, ledger: scene.ledger)
      } catch {
        Issue.record("step \(step): \(error)")
        return
      }
      let report = try scene.inspect()
      #expect(report.violations.isEmpty, "step \(step)")
      #expect(scene.openStatus().status == LTP_OK, "step \(step)")
    }
  }

  @Test("a policy and its shadow come through where one block is in flight at a time")
  func pairsOneByOne() throws {
    let scene = Scene()
    scene.configuration.chain.segmentBytes = 256 << 10
    scene.configuration.chain.inflightMax = 1
    let (core, lane) = try scene.openWithLane()
    scene.plan { $0.delayNanosecondsMax = 300_000 }
    for round in 0..<24 {
      // So many that they and the policy's record do not fit one block.
      for _ in 0..<12 { core.publish(LTP_STATE_HEALTHY) }
      core.loadPolicy(hasShadow: true)
      try scene.admit(core, lane, count: 30)
      guard try core.run(limit: 400, until: { core.isDrained }) else {
        throw Violation("round \(round): the pair does not come through")
      }
    }
    guard try core.shutDown() else { throw Violation("does not close") }
    let walk = try TraceWalk(scene.disk, ledger: scene.ledger)
    #expect(walk.segmentIndex > 1)
    let report = try scene.inspect()
    #expect(report.violations.isEmpty)
    // Each load says its pair once; each segment's beginning repeats four policies and a shadow at most.
    #expect(report.totals.policies <= 2 + 24 * 2 + walk.segmentIndex * 5)
  }

  @Test("a block without a slot is not sealed, whoever asks")
  func emptySeal() {
    let size = BlockHeader.sizeBytes(slotCount: 1)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 7, count: size)
    for slotCount in [0, -1, BlockHeader.slotCountMax(blockBytes: BlockHeader.bytesMax) + 1] {
      let seal = BlockSeal(
        logID: LogID(low: 1, high: 2), laneID: 0, blockIndex: 0, segmentIndex: 0, firstSequence: 0,
        slotCount: slotCount, baseMonotonicNanoseconds: 1, baseUnixNanoseconds: 1, orientationWord: 0,
        durableBlocks: 0, previousHash: Digest())
      #expect(seal.seal(memory) == nil)
      #expect((0..<size).allSatisfy { memory.load(fromByteOffset: $0, as: UInt8.self) == 7 })
    }
  }
}

extension Scene {
  /// Puts the log's files into a directory and has them verified.
  func inspect() throws -> InspectReport {
    let directory = TemporaryDirectory()
    for entry in disk.entries {
      let content = UnsafeRawBufferPointer(start: entry.file.visible, count: entry.file.size)
      directory.write([UInt8](content), to: entry.name.withCString { String(cString: $0) })
    }
    return try Inspector(directory.path).verify()
  }
}
