// SPDX-License-Identifier: Apache-2.0
// Walks the blocks of one segment and gathers what a writer needs in order to go on after them.

import CLTP
import CLTPSystem
import LTPRecords

/// What the blocks read so far say about the log.
struct LogFacts {
  var run: UInt32 = 0
  var nextLaneID: UInt32 = 1
  var controlSequence: UInt64 = 0
  var word: UInt64 = 0
  /// Of the word, in full.
  var numbers = EpochNumbers()
  /// The policy that `word` is under ...
  var wordGeneration: UInt32 = 0
  /// ... and the highest number that any policy has.
  var policyGeneration: UInt32 = 0
  /// Highest durable_blocks that any block claims.
  var durableBlocks: UInt64 = 0
}

struct SegmentScan {
  /// Where the next block belongs; its log id is nil until a first block has been believed.
  var position: ChainPosition?
  var facts = LogFacts()
  var offset: UInt64 = 0
  var blocks: UInt64 = 0
  var decisions: UInt64 = 0
  var isSealed = false
  /// Where the records of blocks are counted, if anyone will want to know.
  var counts: SegmentCounts?
  /// Why the scan stopped, unless it was at the end of the file.
  var fault: BlockFault?
  /// With a fault of the version.
  var versionEvidence = VersionEvidence.none

  init(position: ChainPosition?, facts: LogFacts, counts: SegmentCounts? = nil) {
    self.position = position
    self.facts = facts
    self.counts = counts
  }

  /// Reads blocks from the start until one is not the next one. `index` is the segment's.
  mutating func run<Storage: TraceStorage & ~Copyable>(
    _ reader: inout SegmentReader, segment index: UInt64, _ storage: inout Storage
  ) throws(StorageFault) {
    while offset < reader.size {
      let (base, count) = try reader.bytes(at: offset, wanted: BlockHeader.bytesMax, &storage)
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
      take(header)
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
      claimedBlocks: facts.durableBlocks)
  }

  private mutating func take(_ header: BlockHeader) {
    blocks += 1
    counts?.add(header)
    facts.durableBlocks = max(facts.durableBlocks, header.durableBlocks)
    if header.laneID == UInt32(LTP_CONTROL_LANE) {
      facts.controlSequence = header.firstSequence + UInt64(header.slotCount)
      takeControlBlock(header)
    } else {
      facts.nextLaneID = max(facts.nextLaneID, header.laneID &+ 1)
      for slot in 0..<header.slotCount where RecordView(header.body, slot: slot).isDecision { decisions += 1 }
    }
  }

  private mutating func takeControlBlock(_ header: BlockHeader) {
    var slot = 0
    while slot < header.slotCount {
      let record = RecordView(header.body, slot: slot)
      let slotCount = Int(record.control.pointee.slot_count)
      // The hash says that this library wrote it; still, never read past the body.
      guard slotCount > 0, slot + slotCount <= header.slotCount else { return }
      if let kind = record.kind, kind.slotCount == slotCount { takeControl(kind, record) }
      slot += slotCount
    }
  }

  private mutating func takeControl(_ kind: RecordKind, _ record: RecordView) {
    switch kind {
    case .opened:
      facts.run = max(facts.run, record.opened.pointee.run)
      facts.nextLaneID = max(facts.nextLaneID, record.opened.pointee.next_lane_id)
    case .segment:
      let segment = record.segment.pointee
      facts.run = max(facts.run, segment.run)
      facts.nextLaneID = max(facts.nextLaneID, segment.next_lane_id)
      facts.word = segment.orientation_word
      facts.wordGeneration = segment.policy_generation
      facts.numbers = EpochNumbers(epoch: segment.epoch, continuityEpoch: segment.continuity_epoch)
      facts.policyGeneration = max(facts.policyGeneration, segment.policy_generation)
    case .transition:
      let transition = record.transition
      facts.word = transition.pointee.word_after
      facts.wordGeneration = transition.pointee.policy_generation
      facts.numbers = transition.numbers
      facts.policyGeneration = max(facts.policyGeneration, transition.pointee.policy_generation)
    case .sealed: isSealed = true
    case .policy:
      // Its transition may never have come: the number is used all the same.
      facts.policyGeneration = max(facts.policyGeneration, record.policy.pointee.policy_generation)
    case .text, .closed, .counts: break
    // A lane's record in a control block is nothing that the writer puts there; `ltp inspect` says so.
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant: break
    }
  }
}
