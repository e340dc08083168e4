// SPDX-License-Identifier: Apache-2.0
// A block's header, read where it lies: an ltp_block_header in the terms of the trace.

import CLTP

/// A view over the first 256 bytes of a block, aligned to 8. The memory must outlive it.
public struct BlockHeader {
  package let base: UnsafeRawPointer

  package init(_ base: UnsafeRawPointer) {
    assert(UInt(bitPattern: base) % UInt(MemoryLayout<ltp_block_header>.alignment) == 0)
    self.base = base
  }

  private var fields: UnsafePointer<ltp_block_header> { base.assumingMemoryBound(to: ltp_block_header.self) }

  package var magic: UInt64 { fields.pointee.magic }
  package var version: UInt8 { fields.pointee.version }
  package var hashID: UInt8 { fields.pointee.hash_id }
  package var headerBytes: UInt16 { fields.pointee.header_bytes }
  package var laneID: UInt32 { fields.pointee.lane_id }
  package var logID: LogID { LogID(from: base + LTP_AT_block_header_log_id) }
  package var blockIndex: UInt64 { fields.pointee.block_index }
  package var segmentIndex: UInt64 { fields.pointee.segment_index }
  package var firstSequence: UInt64 { fields.pointee.first_sequence }
  package var slotCount: Int { Int(fields.pointee.slot_count) }
  package var sizeBytes: Int { Int(fields.pointee.size_bytes) }
  package var baseMonotonicNanoseconds: UInt64 { fields.pointee.base_monotonic_ns }
  package var baseUnixNanoseconds: UInt64 { fields.pointee.base_unix_ns }
  package var orientationWord: UInt64 { fields.pointee.orientation_word }
  package var durableBlocks: UInt64 { fields.pointee.durable_blocks }
  package var limitsWord: UInt64 { fields.pointee.limits_word }
  package var previousHash: Digest { Digest(from: base + LTP_AT_block_header_previous_hash) }
  package var bodyHash: Digest { Digest(from: base + LTP_AT_block_header_body_hash) }
  package var blockHash: Digest { Digest(from: base + LTP_AT_block_header_block_hash) }

  /// The first slot of the body.
  package var body: UnsafeRawPointer { base + Int(LTP_BLOCK_HEADER_BYTES) }
  package var bodyBytes: Int { slotCount * Int(LTP_SLOT_BYTES) }

  /// How many bytes a block of `slotCount` slots takes: whole pages.
  public static func sizeBytes(slotCount: Int) -> Int {
    let page = Int(LTP_TRACE_PAGE_BYTES)
    let used = Int(LTP_BLOCK_HEADER_BYTES) + slotCount * Int(LTP_SLOT_BYTES)
    return (used + page - 1) / page * page
  }

  /// How many slots fit a block of `blockBytes`.
  public static func slotCountMax(blockBytes: Int) -> Int {
    (blockBytes - Int(LTP_BLOCK_HEADER_BYTES)) / Int(LTP_SLOT_BYTES)
  }
}
