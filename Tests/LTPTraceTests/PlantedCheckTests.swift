// SPDX-License-Identifier: Apache-2.0
// The checker itself: it must call wrong what is wrong, without recovery's help.

import CLTP
import CLTPSystem
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPStorage
@testable import LTPTrace

@Suite("The checker", .guarded)
struct PlantedCheckTests {
  /// Changes a sealed block of a good log and hashes it again, so that only its place in the log can tell.
  private func violation(_ change: (UnsafeMutablePointer<ltp_block_header>) -> Void) throws -> String? {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    let file = scene.disk.file(.segment(0))!
    let block = file.visible + scene.blockOffsets(0).last!
    let header = block.assumingMemoryBound(to: ltp_block_header.self)
    change(header)
    Digest(of: block + 256, count: Int(header.pointee.slot_count) * 32)!
      .store(to: block + LTP_AT_block_header_body_hash)
    Digest(of: block, count: LTP_AT_block_header_block_hash)!
      .store(to: block + LTP_AT_block_header_block_hash)
    do throws(Violation) {
      _ = try TraceWalk(scene.disk, ledger: scene.ledger)
      return nil
    } catch {
      return error.description
    }
  }

  @Test("a wrong previous hash that somebody accepted is found")
  func previousHash() throws {
    #expect(try violation { $0.pointee.previous_hash.5 ^= 1 }?.contains("previous hash") == true)
  }

  @Test("a wrong block index, segment, log or durable count is found")
  func place() throws {
    #expect(try violation { $0.pointee.block_index += 1 }?.contains("block index") == true)
    #expect(try violation { $0.pointee.segment_index += 1 }?.contains("segment index") == true)
    #expect(try violation { $0.pointee.log_id.0 ^= 1 }?.contains("log id") == true)
    #expect(try violation { $0.pointee.durable_blocks = 0 }?.contains("durable blocks") == true)
    #expect(try violation { $0.pointee.first_sequence += 1 }?.contains("sequence") == true)
  }

  @Test(
    "a re-hashed block whose records say something else is found, by the next block's previous hash at least")
  func records() throws {
    #expect(try violation { _ in } == nil)
    #expect(
      try violation { ($0 + 1).withMemoryRebound(to: UInt8.self, capacity: 64) { $0[8] ^= 1 } } != nil)
  }

  @Test("a summary that says something else than the records is found")
  func summary() throws {
    func violation(_ change: (UnsafeMutablePointer<ltp_counts_record>) -> Void) throws -> String? {
      try self.violation { header in
        let body = UnsafeMutableRawPointer(header) + Int(LTP_BLOCK_HEADER_BYTES)
        change(body.assumingMemoryBound(to: ltp_counts_record.self))
      }
    }
    #expect(try violation { $0.pointee.entries.0.count += 1 }?.contains("counts: [") == true)
    #expect(try violation { $0.pointee.entries.0.state ^= 1 }?.contains("counts: [") == true)
    #expect(try violation { $0.pointee.entries.0.reserved.0 = 1 }?.contains("counts: entry 0") == true)
    #expect(try violation { $0.pointee.entry_count = 16 }?.contains("counts: 16 entries") == true)
    #expect(try violation { $0.pointee.header.kind = LTP_RECORD_TEXT }?.contains("counts: [:]") == true)
    func sealed(_ change: (UnsafeMutablePointer<ltp_sealed_record>) -> Void) throws -> String? {
      try self.violation { header in
        let body = UnsafeMutableRawPointer(header) + Int(LTP_BLOCK_HEADER_BYTES)
        let slot = Int(header.pointee.slot_count) - RecordKind.sealed.slotCount
        change((body + slot * Int(LTP_SLOT_BYTES)).assumingMemoryBound(to: ltp_sealed_record.self))
      }
    }
    #expect(try sealed { $0.pointee.counts_entries += 1 }?.contains("sealed: ") == true)
    #expect(try sealed { $0.pointee.first_unix_ns += 1 }?.contains("sealed: times") == true)
    #expect(try sealed { $0.pointee.last_unix_ns += 1 }?.contains("sealed: times") == true)
    #expect(try sealed { $0.pointee.transition_count += 1 }?.contains("transitions") == true)
    #expect(try sealed { $0.pointee.unrecorded_count += 1 }?.contains("unrecorded") == true)
  }

  @Test("an acknowledged record that is gone is found")
  func acknowledged() throws {
    let scene = Scene()
    let walk = try scene.writeLog(segments: 1)
    try walk.checkAcknowledged(scene.ledger)
    scene.ledger.durableBlocks = walk.blockCount + 1
    #expect(throws: Violation.self) { try walk.checkAcknowledged(scene.ledger) }
    scene.ledger.durableBlocks = 0
    let lane = scene.ledger.lanes.keys.first!
    scene.ledger.lanes[lane]!.acknowledged = scene.ledger.lanes[lane]!.slots.count + 1
    #expect(throws: Violation.self) { try walk.checkAcknowledged(scene.ledger) }
  }

  @Test("a slot that differs from what the host saw is found")
  func slots() throws {
    let scene = Scene()
    try scene.writeLog(segments: 1)
    let lane = scene.ledger.lanes.keys.first!
    scene.ledger.lanes[lane]!.slots[40].words.2 ^= 1
    #expect(throws: Violation.self) { _ = try TraceWalk(scene.disk, ledger: scene.ledger) }
  }
}
