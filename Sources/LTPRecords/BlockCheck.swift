// SPDX-License-Identifier: Apache-2.0
// Whether bytes are the block that should be here: the one check that recovery and `ltp inspect` share.
// First the block by itself (shape and hashes), then its place (log, indices, chain).

import CLTP

/// What differs, and where in the block.
package struct BlockFault: Error, Equatable {
  package enum Kind: UInt8, Sendable {
    case short, magic, version, hashID, shape, reserved, padding, bodyHash, blockHash
    case log, blockIndex, segmentIndex, previousHash, durableBlocks, hashing
  }

  package let kind: Kind
  /// Byte offset of the field in the block.
  package let offset: Int

  package init(_ kind: Kind, at offset: Int) {
    self.kind = kind
    self.offset = offset
  }

  package var text: StaticString {
    switch kind {
    case .short: "the block runs past the end of the segment"
    case .magic: "no block starts here (magic differs)"
    case .version: "the block's version is not known"
    case .hashID: "the block's hash is not one that is known"
    case .shape: "size and slot count contradict each other"
    case .reserved: "reserved bytes are not zero"
    case .padding: "padding is not zero"
    case .bodyHash: "the body's hash differs"
    case .blockHash: "the block's hash differs"
    case .log: "the block is of another log"
    case .blockIndex: "the block's index is not the next one"
    case .segmentIndex: "the block belongs to another segment"
    case .previousHash: "the previous hash is not the block's before"
    case .durableBlocks: "durable_blocks is more than the blocks before"
    case .hashing: "the hash could not be computed (no memory)"
    }
  }
}

/// Where in the chain the next block belongs.
public struct ChainPosition: Equatable, Sendable {
  public var logID: LogID
  public var segmentIndex: UInt64
  public var blockIndex: UInt64
  public var previousHash: Digest

  public init(logID: LogID, segmentIndex: UInt64, blockIndex: UInt64, previousHash: Digest) {
    self.logID = logID
    self.segmentIndex = segmentIndex
    self.blockIndex = blockIndex
    self.previousHash = previousHash
  }
}

extension BlockHeader {
  package static let bytesMax = 1 << 20

  /// Checks the header's shape, so that its sizes can be relied on. Needs 256 readable bytes.
  package func checkShape() throws(BlockFault) {
    guard magic == LTP_BLOCK_MAGIC else { throw BlockFault(.magic, at: LTP_AT_block_header_magic) }
    guard version == LTP_TRACE_VERSION else { throw BlockFault(.version, at: LTP_AT_block_header_version) }
    guard hashID == LTP_HASH_SHA256 else { throw BlockFault(.hashID, at: LTP_AT_block_header_hash_id) }
    guard headerBytes == UInt16(LTP_BLOCK_HEADER_BYTES) else {
      throw BlockFault(.shape, at: LTP_AT_block_header_header_bytes)
    }
    let fits = slotCount >= 1 && slotCount <= Self.slotCountMax(blockBytes: Self.bytesMax)
    guard fits, sizeBytes == Self.sizeBytes(slotCount: slotCount) else {
      throw BlockFault(.shape, at: LTP_AT_block_header_slot_count)
    }
    let reserved = firstNonZero(
      base, from: LTP_AT_block_header_reserved, to: LTP_END_block_header_reserved)
    if let reserved { throw BlockFault(.reserved, at: reserved) }
    guard durableBlocks <= blockIndex else {
      throw BlockFault(.durableBlocks, at: LTP_AT_block_header_durable_blocks)
    }
  }

  /// Checks the block by itself: shape, padding, hashes. `available` bytes can be read. `bodyDigest`: the body's
  /// SHA-256, if another thread has computed it already.
  package func checkContent(available: Int, bodyDigest: Digest? = nil) throws(BlockFault) {
    guard available >= Int(LTP_BLOCK_HEADER_BYTES) else { throw BlockFault(.short, at: 0) }
    try checkShape()
    guard available >= sizeBytes else { throw BlockFault(.short, at: LTP_AT_block_header_size_bytes) }
    guard let expectedBlockHash = Digest(of: base, count: LTP_AT_block_header_block_hash) else {
      throw BlockFault(.hashing, at: LTP_AT_block_header_block_hash)
    }
    guard expectedBlockHash == blockHash else {
      throw BlockFault(.blockHash, at: LTP_AT_block_header_block_hash)
    }
    guard let expectedBodyHash = bodyDigest ?? Digest(of: body, count: bodyBytes) else {
      throw BlockFault(.hashing, at: LTP_AT_block_header_body_hash)
    }
    guard expectedBodyHash == bodyHash else {
      throw BlockFault(.bodyHash, at: LTP_AT_block_header_body_hash)
    }
    let used = Int(LTP_BLOCK_HEADER_BYTES) + bodyBytes
    if let offset = firstNonZero(base, from: used, to: sizeBytes) { throw BlockFault(.padding, at: offset) }
  }

  /// Checks that this block is the next one of the chain.
  package func checkPlace(_ position: ChainPosition) throws(BlockFault) {
    guard logID == position.logID else { throw BlockFault(.log, at: LTP_AT_block_header_log_id) }
    guard segmentIndex == position.segmentIndex else {
      throw BlockFault(.segmentIndex, at: LTP_AT_block_header_segment_index)
    }
    guard blockIndex == position.blockIndex else {
      throw BlockFault(.blockIndex, at: LTP_AT_block_header_block_index)
    }
    guard previousHash == position.previousHash else {
      throw BlockFault(.previousHash, at: LTP_AT_block_header_previous_hash)
    }
  }
}

/// Offset of the first byte in `from ..< to` that is not zero.
package func firstNonZero(_ base: UnsafeRawPointer, from: Int, to: Int) -> Int? {
  var offset = from
  while offset < to, offset % 8 != 0 {
    if base.load(fromByteOffset: offset, as: UInt8.self) != 0 { return offset }
    offset += 1
  }
  while offset + 8 <= to, base.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == 0 { offset += 8 }
  while offset < to {
    if base.load(fromByteOffset: offset, as: UInt8.self) != 0 { return offset }
    offset += 1
  }
  return nil
}
