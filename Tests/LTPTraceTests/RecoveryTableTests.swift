// SPDX-License-Identifier: Apache-2.0
// Recovery's table, line by line.

import CLTP
import CLTPSystem
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPStorage
@testable import LTPTrace

@Suite("Recovery's table", .guarded)
struct RecoveryTableTests {
  @Test("nothing there: a new log")
  func empty() throws {
    let scene = Scene()
    let core = try scene.open()
    #expect(core.log.chain.position.blockIndex == 0 && core.log.run == 1 && core.log.chain.handle == nil)
    #expect(scene.disk.file(.watermark) != nil)
    scene.disk.kill()
    // The name of the log stays, though it has no segment yet.
    scene.calm()
    let again = try scene.open()
    #expect(again.log.chain.position.logID == core.log.chain.position.logID)
    scene.disk.kill()
  }

  @Test("no segments, but a watermark above 0: LOST")
  func segmentsGone() throws {
    let scene = Scene()
    try scene.writeLog(segments: 0)
    scene.drop(.segment(0))
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_LOST)
  }

  @Test("no segments, and a damaged watermark: CORRUPT")
  func segmentsGoneAndWatermarkDamaged() throws {
    let scene = Scene()
    try scene.writeLog(segments: 0)
    scene.drop(.segment(0))
    scene.disk.file(.watermark)!.flip(byte: 24, mask: 1)
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_CORRUPT)
  }

  @Test("segments without a sound watermark: made anew", arguments: [0, 8, 24, 40, 63, -1])
  func watermarkDamaged(_ byte: Int) throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 2)
    if byte < 0 { scene.drop(.watermark) } else { scene.disk.file(.watermark)!.flip(byte: byte, mask: 1) }
    let core = try scene.open()
    #expect(core.log.chain.position.blockIndex == walk.blockCount)
    let mark = scene.bytes(.watermark).withUnsafeBytes { Watermark.read($0.baseAddress!, count: $0.count) }
    #expect(mark?.durableBlocks == walk.blockCount && mark?.logID == core.log.chain.position.logID)
    scene.disk.kill()
    try scene.loseAndReopen()
  }

  @Test("a segment missing in between: CORRUPT, and which one")
  func hole() throws {
    let scene = Scene()
    try scene.writeLog(segments: 3)
    scene.drop(.segment(1))
    let refused = scene.openStatus()
    #expect(refused.status == LTP_ERROR_TRACE_CORRUPT && refused.segment == 1)
  }

  @Test("numbers of segments as far apart as they can be")
  func extremes() throws {
    let scene = Scene()
    try scene.writeLog(segments: 0)
    scene.put([], as: .segment(.max))
    let refused = scene.openStatus()
    #expect(refused.status == LTP_ERROR_TRACE_CORRUPT && refused.segment == 1)
  }

  @Test("a fault in a segment before the last one: CORRUPT, with its place")
  func damagedBefore() throws {
    let scene = Scene()
    try scene.writeLog(segments: 2)
    let block = scene.blockOffsets(0)[2]
    scene.disk.file(.segment(0))!.flip(byte: block + 300, mask: 4)
    let refused = scene.openStatus()
    #expect(refused.status == LTP_ERROR_TRACE_CORRUPT && refused.segment == 0)
    #expect(refused.offset >= UInt64(block) && refused.offset < UInt64(block) + 4096)
  }

  @Test("another log's segment before the last one: FOREIGN")
  func foreignBefore() throws {
    let scene = Scene()
    try scene.writeLog(segments: 2)
    let other = Scene(seed: 2)
    other.disk.logIDs = 77
    try other.writeLog(segments: 2)
    scene.put(other.bytes(.segment(1)), as: .segment(1))
    let refused = scene.openStatus()
    #expect(refused.status == LTP_ERROR_TRACE_FOREIGN && refused.segment == 1)
  }

  @Test("last segment sealed: on in a new one")
  func sealed() throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 2)
    // The next segment's name never came to be.
    scene.drop(.segment(2))
    scene.drop(.watermark)
    let core = try scene.open()
    #expect(core.log.chain.handle == nil && core.log.chain.position.segmentIndex == 2)
    #expect(core.log.chain.position.blockIndex < walk.blockCount)
    scene.disk.kill()
  }

  @Test("last segment ends in zeros: on after its last block")
  func zeros() throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 1)
    scene.put(scene.bytes(.segment(1)) + [UInt8](repeating: 0, count: 20_000), as: .segment(1))
    let opened = scene.openStatus()
    #expect(opened.status == LTP_OK && opened.segment == 1 && opened.offset == UInt64(walk.endOffset))
    try scene.loseAndReopen()
  }

  @Test("last segment has its name and nothing else: it gets its preamble")
  func nameOnly() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    scene.drop(.watermark)
    scene.put([UInt8](repeating: 0, count: 8192), as: .segment(1))
    // The records of the segment that was emptied are nobody's any more.
    for id in scene.ledger.lanes.keys { scene.ledger.lanes[id]!.acknowledged = 0 }
    scene.ledger.durableBlocks = 0
    let opened = scene.openStatus()
    #expect(opened.status == LTP_OK && opened.segment == 1 && opened.offset == 0)
    try scene.loseAndReopen()
    let header = scene.bytes(.segment(1)).withUnsafeBytes { $0[256] }
    #expect(header == LTP_RECORD_SEGMENT)
  }

  @Test("last segment ends in zeros before the watermark: LOST")
  func lost() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    let last = scene.blockOffsets(1).last!
    var content = scene.bytes(.segment(1))
    for index in last..<content.count { content[index] = 0 }
    scene.put(content, as: .segment(1))
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_LOST)
    scene.put([UInt8](content[..<last]), as: .segment(1))
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_LOST)
  }

  @Test("a block below the watermark is damaged: CORRUPT")
  func damagedBelow() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    let block = scene.blockOffsets(1)[1]
    scene.disk.file(.segment(1))!.flip(byte: block + 260, mask: 1)
    let refused = scene.openStatus()
    #expect(refused.status == LTP_ERROR_TRACE_CORRUPT && refused.segment == 1)
  }

  @Test("a damaged block that later blocks call durable: CORRUPT even without a watermark")
  func damagedBelowWithoutWatermark() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    scene.drop(.watermark)
    let blocks = scene.blockOffsets(1)
    #expect(blocks.count > 3)
    scene.disk.file(.segment(1))!.flip(byte: blocks[0] + 260, mask: 1)
    // The first block of the last segment: all after it stand behind the hole and know that it was durable.
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_CORRUPT)
  }

  @Test("all that is damaged lies above the watermark: a copy is kept, then it is cut")
  func tornTail() throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 1)
    let garbage = (0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 31 | 1) }
    scene.put(scene.bytes(.segment(1)) + garbage, as: .segment(1))
    let core = try scene.open()
    #expect(core.log.chain.cutSegment == 1 && core.log.chain.cutOffset == UInt64(walk.endOffset))
    #expect(core.log.chain.cutBytes == UInt64(garbage.count))
    #expect(scene.bytes(.torn(segment: 1, offset: UInt64(walk.endOffset))) == garbage)
    #expect(scene.disk.file(.segment(1))!.size == walk.endOffset)
    scene.disk.kill()
    try scene.loseAndReopen()
  }

  @Test("garbage behind a seal: cut, with a copy")
  func garbageBehindSeal() throws {
    let scene = Scene()
    try scene.writeLog(segments: 2)
    scene.drop(.segment(2))
    scene.drop(.watermark)
    let whole = scene.bytes(.segment(1))
    scene.put(whole + [UInt8](repeating: 7, count: 700), as: .segment(1))
    let core = try scene.open()
    #expect(core.log.chain.handle == nil && core.log.chain.cutBytes == 700)
    #expect(scene.bytes(.segment(1)) == whole)
    scene.disk.kill()
  }

  @Test("the watermark of another log: FOREIGN")
  func foreignWatermark() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    let other = Scene(seed: 2)
    other.disk.logIDs = 77
    try other.writeLog(segments: 1)
    scene.put(other.bytes(.watermark), as: .watermark)
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_FOREIGN)
  }

  @Test("a version that is not known: VERSION, in a log of one segment")
  func version() throws {
    let scene = Scene()
    try scene.writeLog(segments: 0)
    scene.disk.file(.segment(0))!.flip(byte: 8, mask: 2)
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_VERSION)
  }

  @Test("locked by another process: LOCKED after the wait, and open once it is free")
  func locked() throws {
    let scene = Scene()
    try scene.writeLog(segments: 0)
    let core = try scene.open()
    let before = scene.disk.now
    do throws(OpenFault) {
      _ = try scene.open()
      Issue.record("two writers")
    } catch {
      #expect(error.status == LTP_ERROR_TRACE_LOCKED)
    }
    #expect(scene.disk.now - before >= scene.configuration.chain.lockWaitNanoseconds)
    withExtendedLifetime(core) {}
    scene.disk.kill()
    scene.plan { $0.lockTriesRefused = 20 }
    #expect(scene.openStatus().status == LTP_OK)
    scene.plan { $0.lockTriesRefused = 1_000_000 }
    #expect(scene.openStatus().status == LTP_ERROR_TRACE_LOCKED)
  }

  @Test(
    "a failed call is told by its status",
    arguments: [
      (LTP_SYSTEM_ENOSPC, LTP_ERROR_TRACE_NO_SPACE), (LTP_SYSTEM_EROFS, LTP_ERROR_TRACE_READ_ONLY),
      (LTP_SYSTEM_EACCES, LTP_ERROR_TRACE_READ_ONLY), (LTP_SYSTEM_EMFILE, LTP_ERROR_TRACE_DESCRIPTORS),
      (LTP_SYSTEM_ENOMEM, LTP_ERROR_NO_MEMORY), (LTP_SYSTEM_EIO, LTP_ERROR_TRACE_IO),
    ])
  func failedCalls(_ code: Int32, _ status: Int32) throws {
    for call in [SimulatedCall.list, .open, .create, .size, .read, .write, .sync, .syncDirectory, .rename] {
      let scene = Scene()
      if call != .create, call != .write, call != .rename, call != .syncDirectory {
        try scene.writeLog(segments: 1)
      }
      scene.plan { $0.planned = [PlannedFault(call: call, nth: 1, code: code)] }
      do throws(OpenFault) {
        _ = try scene.open()
        Issue.record("\(call) failed, and nobody was told")
      } catch {
        #expect(error.status == status && error.code == code, "\(call)")
      }
      #expect(scene.disk.openHandleCount == 0, "\(call)")
      scene.disk.kill()
      scene.calm()
      #expect(scene.openStatus().status == LTP_OK, "\(call)")
    }
  }
}
