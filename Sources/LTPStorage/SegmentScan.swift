// SPDX-License-Identifier: Apache-2.0
// Walks the blocks of one segment, as recovery does: each must be whole and the next one of the chain. Hands them to the
// log's owner, who knows what they say.

import CLTP
import CLTPSystem
public import LTPRecords

/// What the owner of a log makes of its blocks while they are recovered.
public protocol BlockReader {
  /// The blocks that follow are of another segment. `isLast`: of the one in which the log may go on.
  mutating func beginSegment(isLast: Bool)
  /// Takes a whole block that is in its place. True: it says that its segment is full.
  mutating func read(_ header: BlockHeader) -> Bool
}

struct SegmentScan {
  /// Where the next block belongs; its log id is nil until a first block has been believed.
  var position: ChainPosition?
  /// The most blocks that any block so far calls durable, in earlier segments too.
  var claimedBlocks: UInt64
  var offset: UInt64 = 0
  var blocks: UInt64 = 0
  var isSealed = false
  /// Why the scan stopped, unless it was at the end of the file.
  var fault: BlockFault?
  /// With a fault of the version.
  var versionEvidence = VersionEvidence.none

  init(position: ChainPosition?, claimedBlocks: UInt64 = 0) {
    self.position = position
    self.claimedBlocks = claimedBlocks
  }

  /// Reads blocks from the start until one is not the next one. `index` is the segment's.
  mutating func run<Device: StorageDevice & ~Copyable, Reader: BlockReader>(
    _ segment: inout SegmentReader, index: UInt64, isLast: Bool, into reader: inout Reader,
    _ device: inout Device
  ) throws(StorageFault) {
    reader.beginSegment(isLast: isLast)
    while offset < segment.size {
      let (base, count) = try segment.bytes(at: offset, wanted: BlockHeader.bytesMax, &device)
      let header = BlockHeader(base)
      do throws(BlockFault) {
        try header.checkContent(available: count)
        try header.checkPlace(position ?? Self.beginning(header, segment: index))
        position = ChainPosition(
          logID: header.logID, segmentIndex: index, blockIndex: header.blockIndex + 1,
          previousHash: header.blockHash)
      } catch {
        // That says nothing of the block, so nothing may follow from it.
        if error.kind == .hashing { throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM) }
        fault = error
        if error.kind == .version { versionEvidence = header.versionEvidence }
        return
      }
      claimedBlocks = max(claimedBlocks, header.durableBlocks)
      isSealed = reader.read(header)
      blocks += 1
      offset += UInt64(header.sizeBytes)
      if isSealed { return }
    }
  }

  /// Where a first block belongs. The log's first one begins the chain; without an earlier segment to go by, any other is
  /// believed about its place in it.
  private static func beginning(_ header: BlockHeader, segment index: UInt64) -> ChainPosition {
    ChainPosition(
      logID: header.logID, segmentIndex: index, blockIndex: index == 0 ? 0 : header.blockIndex,
      previousHash: index == 0 ? Digest() : header.previousHash)
  }

  /// What the table of verdicts asks. `garbage`: where the first byte that is not zero follows the blocks.
  func findings(
    isLast: Bool, isFirstBlock: Bool, garbage: UInt64?, mark: (logID: LogID, durableBlocks: UInt64)?
  ) -> SegmentFindings {
    var end = SegmentEnd.zeros
    if garbage != nil { end = fault.map { .fault($0.kind) } ?? .bytes }
    var watermark = WatermarkReading.absent
    if let mark {
      let isOurs = position.map { $0.logID == mark.logID } ?? true
      watermark = isOurs ? .blocks(mark.durableBlocks) : .ofAnotherLog
    }
    return SegmentFindings(
      end: end, hasBlocks: blocks > 0, isSealed: isSealed, isLast: isLast, isFirstBlock: isFirstBlock,
      versionEvidence: versionEvidence, nextBlock: position?.blockIndex, watermark: watermark,
      claimedBlocks: claimedBlocks)
  }
}
