// SPDX-License-Identifier: Apache-2.0
// Sealing a block: the header, the padding and the hashes around a body that is written already.

import CLTP

/// What the writer fills in when it seals a block.
public struct BlockSeal {
  public var logID: LogID
  public var laneID: UInt32
  public var blockIndex: UInt64
  public var segmentIndex: UInt64
  public var firstSequence: UInt64
  public var slotCount: Int
  public var baseMonotonicNanoseconds: UInt64
  public var baseUnixNanoseconds: UInt64
  public var orientationWord: UInt64
  public var limitsWord: UInt64
  public var durableBlocks: UInt64
  public var previousHash: Digest

  public init(
    logID: LogID, laneID: UInt32, blockIndex: UInt64, segmentIndex: UInt64, firstSequence: UInt64,
    slotCount: Int, baseMonotonicNanoseconds: UInt64, baseUnixNanoseconds: UInt64, orientationWord: UInt64,
    limitsWord: UInt64 = 0, durableBlocks: UInt64, previousHash: Digest
  ) {
    self.logID = logID
    self.laneID = laneID
    self.blockIndex = blockIndex
    self.segmentIndex = segmentIndex
    self.firstSequence = firstSequence
    self.slotCount = slotCount
    self.baseMonotonicNanoseconds = baseMonotonicNanoseconds
    self.baseUnixNanoseconds = baseUnixNanoseconds
    self.orientationWord = orientationWord
    self.limitsWord = limitsWord
    self.durableBlocks = durableBlocks
    self.previousHash = previousHash
  }

  /// Writes header, padding and hashes around the body that already lies in `block`, which is aligned to 8. Returns the
  /// block's hash, or nil when hashing failed, or when no reader would take a block of `slotCount` slots; nothing is written
  /// then.
  public func seal(_ block: UnsafeMutableRawPointer) -> Digest? {
    let slotCountMax = BlockHeader.slotCountMax(blockBytes: BlockHeader.bytesMax)
    guard slotCount >= 1, slotCount <= slotCountMax else { return nil }
    let size = BlockHeader.sizeBytes(slotCount: slotCount)
    let bodyBytes = slotCount * Int(LTP_SLOT_BYTES)
    let body = block + Int(LTP_BLOCK_HEADER_BYTES)
    let used = Int(LTP_BLOCK_HEADER_BYTES) + bodyBytes
    (block + used).initializeMemory(as: UInt8.self, repeating: 0, count: size - used)
    block.initializeMemory(as: UInt8.self, repeating: 0, count: Int(LTP_BLOCK_HEADER_BYTES))
    let header = block.assumingMemoryBound(to: ltp_block_header.self)
    header.pointee.magic = LTP_BLOCK_MAGIC
    header.pointee.version = UInt8(LTP_TRACE_VERSION)
    header.pointee.hash_id = LTP_HASH_SHA256
    header.pointee.header_bytes = UInt16(LTP_BLOCK_HEADER_BYTES)
    header.pointee.lane_id = laneID
    logID.store(to: block + LTP_AT_block_header_log_id)
    header.pointee.block_index = blockIndex
    header.pointee.segment_index = segmentIndex
    header.pointee.first_sequence = firstSequence
    header.pointee.slot_count = UInt32(slotCount)
    header.pointee.size_bytes = UInt32(size)
    header.pointee.base_monotonic_ns = baseMonotonicNanoseconds
    header.pointee.base_unix_ns = baseUnixNanoseconds
    header.pointee.orientation_word = orientationWord
    header.pointee.durable_blocks = durableBlocks
    header.pointee.limits_word = limitsWord
    previousHash.store(to: block + LTP_AT_block_header_previous_hash)
    guard let bodyHash = Digest(of: body, count: bodyBytes) else { return nil }
    bodyHash.store(to: block + LTP_AT_block_header_body_hash)
    guard let blockHash = Digest(of: block, count: LTP_AT_block_header_block_hash) else { return nil }
    blockHash.store(to: block + LTP_AT_block_header_block_hash)
    return blockHash
  }
}
