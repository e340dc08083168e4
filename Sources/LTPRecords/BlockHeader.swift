// SPDX-License-Identifier: Apache-2.0
// A block's header, read where it lies: an ltp_block_header in the terms of the trace.

import CLTP

/// A view over the first 256 bytes of a block, aligned to 8. The memory must outlive it.
public struct BlockHeader {
  public let base: UnsafeRawPointer

  public init(_ base: UnsafeRawPointer) {
    assert(UInt(bitPattern: base) % UInt(MemoryLayout<ltp_block_header>.alignment) == 0)
    self.base = base
  }

  private var fields: UnsafePointer<ltp_block_header> { base.assumingMemoryBound(to: ltp_block_header.self) }

  public var magic: UInt64 { fields.pointee.magic }
  public var version: UInt8 { fields.pointee.version }
  public var hashID: UInt8 { fields.pointee.hash_id }
  public var headerBytes: UInt16 { fields.pointee.header_bytes }
  public var laneID: UInt32 { fields.pointee.lane_id }
  public var logID: LogID { LogID(from: base + LTP_AT_block_header_log_id) }
  public var blockIndex: UInt64 { fields.pointee.block_index }
  public var segmentIndex: UInt64 { fields.pointee.segment_index }
  public var firstSequence: UInt64 { fields.pointee.first_sequence }
  public var slotCount: Int { Int(fields.pointee.slot_count) }
  public var sizeBytes: Int { Int(fields.pointee.size_bytes) }
  public var baseMonotonicNanoseconds: UInt64 { fields.pointee.base_monotonic_ns }
  public var baseUnixNanoseconds: UInt64 { fields.pointee.base_unix_ns }
  public var orientationWord: UInt64 { fields.pointee.orientation_word }
  public var durableBlocks: UInt64 { fields.pointee.durable_blocks }
  public var limitsWord: UInt64 { fields.pointee.limits_word }
  public var previousHash: Digest { Digest(from: base + LTP_AT_block_header_previous_hash) }
  public var bodyHash: Digest { Digest(from: base + LTP_AT_block_header_body_hash) }
  public var blockHash: Digest { Digest(from: base + LTP_AT_block_header_block_hash) }

  /// The first slot of the body.
  public var body: UnsafeRawPointer { base + Int(LTP_BLOCK_HEADER_BYTES) }
  public var bodyBytes: Int { slotCount * Int(LTP_SLOT_BYTES) }

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
