// SPDX-License-Identifier: Apache-2.0
// A forger who has read docs/FORMAT.md: changes the records of a trace, or takes some out, numbers lanes' slots and blocks anew, and seals every
// block again. The chain holds afterwards.

import CLTP
import CLTPSystem
import Foundation
import LTPRecords
import LTPTestSupport

enum Resealer {
  /// Of `directory`, in place. `change` gets each block's lane and its records; a block left without records goes.
  static func forge(_ directory: TemporaryDirectory, _ change: (UInt32, inout [UInt8]) -> Void) throws {
    var previous: [UInt8] = []
    var index: UInt64 = 0
    var sequences: [UInt32: UInt64] = [:]
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    var log = LogID(low: 0, high: 0)
    for name in names.filter({ $0.hasSuffix(".ltp") && !$0.hasPrefix(LTP_DEFERRAL_PREFIX) }).sorted() {
      let segment = directory.read(name)
      var forged: [UInt8] = []
      var offset = 0
      while offset + 256 <= segment.count {
        let header = segment.withUnsafeBytes {
          $0.loadUnaligned(fromByteOffset: offset, as: ltp_block_header.self)
        }
        guard header.magic == LTP_BLOCK_MAGIC else { break }
        // Of a trace whose first segments have left, the first block at hand has others before it.
        if previous.isEmpty {
          let hash = offset + LTP_AT_block_header_previous_hash
          (previous, index) = (Array(segment[hash..<hash + 32]), header.block_index)
        }
        if sequences[header.lane_id] == nil { sequences[header.lane_id] = header.first_sequence }
        var body = Array(segment[offset + 256..<offset + 256 + Int(header.slot_count) * 32])
        change(header.lane_id, &body)
        if !body.isEmpty {
          let count = body.count / 32
          var block = Array(segment[offset..<offset + 256]) + body
          block += [UInt8](repeating: 0, count: BlockHeader.sizeBytes(slotCount: count) - block.count)
          block.withUnsafeMutableBytes { bytes in
            let fields = bytes.baseAddress!.bindMemory(to: ltp_block_header.self, capacity: 1)
            fields.pointee.block_index = index
            fields.pointee.durable_blocks = min(fields.pointee.durable_blocks, index)
            fields.pointee.first_sequence = sequences[header.lane_id]!
            fields.pointee.slot_count = UInt32(count)
            fields.pointee.size_bytes = UInt32(bytes.count)
            store(previous, bytes, LTP_AT_block_header_previous_hash)
            store(sha256(bytes.baseAddress! + 256, body.count), bytes, LTP_AT_block_header_body_hash)
            previous = sha256(bytes.baseAddress!, LTP_AT_block_header_block_hash)
            store(previous, bytes, LTP_AT_block_header_block_hash)
            log = BlockHeader(bytes.baseAddress!).logID
          }
          forged += block
          sequences[header.lane_id]! += UInt64(count)
          index += 1
        }
        offset += Int(header.size_bytes)
      }
      directory.write(forged, to: name)
    }
    directory.write(Records.watermark(log, index), to: LTP_WATERMARK_NAME)
  }

  private static func sha256(_ bytes: UnsafeRawPointer, _ count: Int) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    precondition(ltp_system_sha256(bytes, count, &digest) == 0)
    return digest
  }

  private static func store(_ digest: [UInt8], _ block: UnsafeMutableRawBufferPointer, _ offset: Int) {
    UnsafeMutableRawBufferPointer(rebasing: block[offset..<offset + 32]).copyBytes(from: digest)
  }

  /// The control records in a body, in order: their kind, and where they lie in it.
  static func controlRecords(_ body: [UInt8]) -> [(kind: UInt8, bytes: Range<Int>)] {
    var (found, offset) = ([(kind: UInt8, bytes: Range<Int>)](), 0)
    while offset + 32 <= body.count, let kind = RecordKind(rawValue: body[offset]) {
      found.append((body[offset], offset..<offset + kind.byteCount))
      offset += kind.byteCount
    }
    return found
  }

  /// The record at this place, changed.
  static func edit<Record>(
    _ body: inout [UInt8], at offset: Int, as type: Record.Type, _ change: (inout Record) -> Void
  ) {
    body.withUnsafeMutableBytes { bytes in
      var record = bytes.loadUnaligned(fromByteOffset: offset, as: type)
      change(&record)
      bytes.storeBytes(of: record, toByteOffset: offset, as: type)
    }
  }
}
