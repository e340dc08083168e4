// SPDX-License-Identifier: Apache-2.0
// A block's header as bytes: where each field of ltp_block_header lies, read in place. The offsets are those of
// ltp_trace.h; LTPTraceTests compares every one of them with the C structure.

import CLTP

/// A view over the first 256 bytes of a block. The memory must outlive it.
public struct BlockHeader {
  public let base: UnsafeRawPointer

  public init(_ base: UnsafeRawPointer) { self.base = base }

  func field<T: BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T {
    base.loadUnaligned(fromByteOffset: offset, as: type)
  }

  public var magic: UInt64 { field(0, as: UInt64.self) }
  public var version: UInt8 { field(8, as: UInt8.self) }
  public var hashID: UInt8 { field(9, as: UInt8.self) }
  public var headerBytes: UInt16 { field(10, as: UInt16.self) }
  public var laneID: UInt32 { field(12, as: UInt32.self) }
  public var logID: LogID { LogID(low: field(16, as: UInt64.self), high: field(24, as: UInt64.self)) }
  public var blockIndex: UInt64 { field(32, as: UInt64.self) }
  public var segmentIndex: UInt64 { field(40, as: UInt64.self) }
  public var firstSequence: UInt64 { field(48, as: UInt64.self) }
  public var slotCount: Int { Int(field(56, as: UInt32.self)) }
  public var sizeBytes: Int { Int(field(60, as: UInt32.self)) }
  public var baseMonotonicNanoseconds: UInt64 { field(64, as: UInt64.self) }
  public var baseUnixNanoseconds: UInt64 { field(72, as: UInt64.self) }
  public var orientationWord: UInt64 { field(80, as: UInt64.self) }
  public var durableBlocks: UInt64 { field(88, as: UInt64.self) }
  public var limitsWord: UInt64 { field(96, as: UInt64.self) }
  public var previousHash: Digest { Digest(from: base + 160) }
  public var bodyHash: Digest { Digest(from: base + 192) }
  public var blockHash: Digest { Digest(from: base + 224) }

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

  /// Writes header, padding and hashes around the body that already lies in `block`. Returns the block's hash,
  /// or nil when hashing failed.
  public func seal(_ block: UnsafeMutableRawPointer) -> Digest? {
    let size = BlockHeader.sizeBytes(slotCount: slotCount)
    let used = Int(LTP_BLOCK_HEADER_BYTES) + slotCount * Int(LTP_SLOT_BYTES)
    (block + used).initializeMemory(as: UInt8.self, repeating: 0, count: size - used)
    block.initializeMemory(as: UInt8.self, repeating: 0, count: Int(LTP_BLOCK_HEADER_BYTES))
    block.storeBytes(of: LTP_BLOCK_MAGIC, toByteOffset: 0, as: UInt64.self)
    block.storeBytes(of: UInt8(LTP_TRACE_VERSION), toByteOffset: 8, as: UInt8.self)
    block.storeBytes(of: LTP_HASH_SHA256, toByteOffset: 9, as: UInt8.self)
    block.storeBytes(of: UInt16(LTP_BLOCK_HEADER_BYTES), toByteOffset: 10, as: UInt16.self)
    block.storeBytes(of: laneID, toByteOffset: 12, as: UInt32.self)
    block.storeBytes(of: logID.low, toByteOffset: 16, as: UInt64.self)
    block.storeBytes(of: logID.high, toByteOffset: 24, as: UInt64.self)
    block.storeBytes(of: blockIndex, toByteOffset: 32, as: UInt64.self)
    block.storeBytes(of: segmentIndex, toByteOffset: 40, as: UInt64.self)
    block.storeBytes(of: firstSequence, toByteOffset: 48, as: UInt64.self)
    block.storeBytes(of: UInt32(slotCount), toByteOffset: 56, as: UInt32.self)
    block.storeBytes(of: UInt32(size), toByteOffset: 60, as: UInt32.self)
    block.storeBytes(of: baseMonotonicNanoseconds, toByteOffset: 64, as: UInt64.self)
    block.storeBytes(of: baseUnixNanoseconds, toByteOffset: 72, as: UInt64.self)
    block.storeBytes(of: orientationWord, toByteOffset: 80, as: UInt64.self)
    block.storeBytes(of: durableBlocks, toByteOffset: 88, as: UInt64.self)
    block.storeBytes(of: limitsWord, toByteOffset: 96, as: UInt64.self)
    previousHash.store(to: block + 160)
    guard
      let bodyHash = Digest(
        of: block + Int(LTP_BLOCK_HEADER_BYTES), count: slotCount * Int(LTP_SLOT_BYTES))
    else { return nil }
    bodyHash.store(to: block + 192)
    guard let blockHash = Digest(of: block, count: Int(LTP_BLOCK_HASHED_BYTES)) else { return nil }
    blockHash.store(to: block + Int(LTP_BLOCK_HASHED_BYTES))
    return blockHash
  }
}
