// SPDX-License-Identifier: Apache-2.0
// Logs that somebody changed: bits, lengths, files. Recovery appends to none of what it cannot vouch for.

import CLTP
import CLTPSystem
import LTPTestSupport
import Testing

@testable import LTPStorage
@testable import LTPTrace

@Suite("Damage", .guarded)
struct DamageTests {
  @Test("fault 17: any bit flipped in a sealed segment, or below the watermark: refused")
  func flippedBits() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    var random = TestSeed.random(1)
    for segment in UInt64(0)...1 {
      let file = scene.disk.file(.segment(segment))!
      let offsets = scene.blockOffsets(segment)
      // Every bit of the first header, and of a page of the last block; of all the rest, one bit in each 8 bytes.
      var bits = Array(0..<256 * 8)
      bits += offsets.last! * 8..<(offsets.last! + 512) * 8
      bits += (0..<file.size / 64).map { ($0 * 64 + random.below(64)) * 8 + random.below(8) }
      for bit in bits {
        file.flip(byte: bit / 8, mask: 1 << UInt8(bit % 8))
        let refused = scene.openStatus()
        file.flip(byte: bit / 8, mask: 1 << UInt8(bit % 8))
        let isRefusal =
          refused.status == LTP_ERROR_TRACE_CORRUPT || refused.status == LTP_ERROR_TRACE_FOREIGN
          || refused.status == LTP_ERROR_TRACE_VERSION
        guard isRefusal, refused.segment == segment else {
          Issue.record("segment \(segment) bit \(bit): \(refused)")
          return
        }
      }
    }
    #expect(scene.openStatus().status == LTP_OK)
  }

  @Test("fault 18: the last segment cut at every 512 bytes, and at every byte of a block")
  func cutAnywhere() throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 1)
    let whole = scene.bytes(.segment(1))
    let mark = scene.bytes(.watermark)
    let blocks = scene.blockOffsets(1)
    let last = blocks.last!
    var lengths = Array(stride(from: 0, to: whole.count, by: 512))
    lengths += last..<min(last + 600, whole.count)
    for length in lengths {
      for hasWatermark in [true, false] {
        scene.put([UInt8](whole[..<length]), as: .segment(1))
        if hasWatermark { scene.put(mark, as: .watermark) } else { scene.drop(.watermark) }
        let opened = scene.openStatus()
        let isBetween = blocks.contains(length)
        if hasWatermark {
          // Everything was acknowledged, so whatever is gone is reported: as a loss, or as a damaged block.
          let expected = isBetween ? LTP_ERROR_TRACE_LOST : LTP_ERROR_TRACE_CORRUPT
          let reported = opened.status == expected || opened.status == LTP_ERROR_TRACE_LOST
          #expect(reported, "cut at \(length): \(opened)")
        } else {
          let end =
            blocks.last { $0 + 256 <= length && $0 + size(whole, $0) <= length }.map { $0 + size(whole, $0) }
            ?? 0
          #expect(opened.status == LTP_OK && opened.offset == UInt64(end), "cut at \(length): \(opened)")
        }
        scene.disk.entries.removeAll {
          if case .torn = ChainNaming.trace.file(named: $0.name) { true } else { false }
        }
      }
    }
    scene.put(whole, as: .segment(1))
    scene.put(mark, as: .watermark)
    let opened = scene.openStatus()
    #expect(opened.status == LTP_OK && opened.offset == UInt64(walk.endOffset))
  }

  private func size(_ content: [UInt8], _ block: Int) -> Int {
    content.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: block + 60, as: UInt32.self)) }
  }

  /// A log of four segments and another one's, and what each has on disk.
  private func twoLogs() throws -> (Scene, Scene, [[UInt8]], [[UInt8]]) {
    let scene = Scene()
    try scene.writeLog(segments: 3)
    let other = Scene(seed: 9)
    other.disk.logIDs = 99
    try other.writeLog(segments: 3)
    return (
      scene, other, (0..<4).map { scene.bytes(.segment(UInt64($0))) },
      (0..<4).map { other.bytes(.segment(UInt64($0))) }
    )
  }

  @Test(
    "fault 19: a segment missing, swapped, doubled or from another log: refused", arguments: [true, false])
  func shuffledSegments(_ hasWatermark: Bool) throws {
    let (scene, _, mine, others) = try twoLogs()
    let corrupt = LTP_ERROR_TRACE_CORRUPT
    let foreign = LTP_ERROR_TRACE_FOREIGN
    let cases: [(name: String, files: [Int: [UInt8]], missing: [UInt64], status: Int32)] = [
      ("second missing", [:], [1], corrupt), ("two missing", [:], [1, 2], corrupt),
      ("swapped", [1: mine[2], 2: mine[1]], [], corrupt),
      ("swapped with the last", [2: mine[3], 3: mine[2]], [], corrupt),
      ("doubled inside", [2: mine[1]], [], corrupt), ("doubled at the end", [4: mine[3]], [], corrupt),
      ("sealed one doubled at the end", [4: mine[2]], [], corrupt),
      ("another log's first", [0: others[0]], [], foreign),
      ("another log's inside", [2: others[2]], [], foreign),
      ("another log's last", [3: others[3]], [], foreign),
      ("another log's added", [4: others[3]], [], foreign),
    ]
    let mark = scene.bytes(.watermark)
    for test in cases {
      for index in 0..<4 { scene.put(mine[index], as: .segment(UInt64(index))) }
      if scene.disk.file(.segment(4)) != nil { scene.drop(.segment(4)) }
      for (index, content) in test.files { scene.put(content, as: .segment(UInt64(index))) }
      for index in test.missing { scene.drop(.segment(index)) }
      if hasWatermark {
        scene.put(mark, as: .watermark)
      } else if scene.disk.file(.watermark) != nil {
        scene.drop(.watermark)
      }
      let opened = scene.openStatus()
      // A last segment that is not sealed, with others behind it, is refused as that first.
      #expect(opened.status == test.status || opened.status == corrupt, "\(test.name): \(opened)")
      #expect(opened.status != LTP_OK, "\(test.name)")
    }
  }

  @Test("fault 19: the last segment missing: LOST by the watermark's word")
  func lastMissing() throws {
    let scene = Scene()
    try scene.writeLog(segments: 2)
    scene.drop(.segment(2))
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_LOST)
  }

  @Test("fault 20: stale blocks in the space ahead are never accepted")
  func staleBlocks() throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 2)
    let other = Scene(seed: 4)
    other.disk.logIDs = 5
    try other.writeLog(segments: 2)
    let whole = scene.bytes(.segment(2))
    let older = scene.bytes(.segment(1))
    // Whole blocks: of an older segment, of this segment, of another log; and all of them a page further on.
    let stale: [[UInt8]] = [
      older, Array(older[scene.blockOffsets(1).last!...]), Array(whole[..<scene.blockOffsets(2)[1]]),
      Array(whole[scene.blockOffsets(2).last!...]), other.bytes(.segment(2)),
    ]
    for plant in stale {
      for gap in [0, 4096, 12288] {
        scene.put(whole + [UInt8](repeating: 0, count: gap) + plant, as: .segment(2))
        let core = try scene.open()
        #expect(
          core.log.chain.position.blockIndex == walk.blockCount
            && core.log.chain.offset == UInt64(whole.count))
        #expect(core.log.chain.cutBytes > 0)
        scene.disk.kill()
        scene.calm()
      }
    }
    try scene.loseAndReopen()
  }

  @Test("fault 20: a new segment's space full of the old one's blocks")
  func staleSegment() throws {
    let scene = Scene()
    let (core, lane) = try scene.openWithLane()
    // The prepared file is named once its zeros are durable: plant under the unfinished name, as a crash leaves it.
    for _ in 0..<30 {
      try scene.admit(core, lane, count: 100)
      try core.step(after: 1_000_000)
    }
    scene.disk.losePower()
    scene.calm()
    let index = scene.disk.segmentIndices().last! + 1
    scene.put(scene.bytes(.segment(0)), as: .prepared(index))
    try scene.loseAndReopen()
    #expect(scene.disk.file(.prepared(index)) == nil)
  }
}
