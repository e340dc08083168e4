// SPDX-License-Identifier: Apache-2.0
// Walks the blocks of one segment and gathers what a writer needs in order to go on after them.

import CLTP
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
  /// Why the scan stopped, unless it was at the end of the file.
  var fault: BlockFault?

  init(position: ChainPosition?, facts: LogFacts) {
    self.position = position
    self.facts = facts
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
        // Without an earlier segment to go by, the first block is believed about its place in the chain.
        let expected =
          position
          ?? ChainPosition(
            logID: header.logID, segmentIndex: index, blockIndex: header.blockIndex,
            previousHash: header.previousHash)
        try header.checkPlace(expected)
        position = ChainPosition(
          logID: header.logID, segmentIndex: index, blockIndex: header.blockIndex + 1,
          previousHash: header.blockHash)
      } catch {
        fault = error
        return
      }
      take(header)
      offset += UInt64(header.sizeBytes)
      if isSealed { return }
    }
  }

  private mutating func take(_ header: BlockHeader) {
    blocks += 1
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
    case .text, .closed: break
    // A lane's record in a control block is nothing that the writer puts there; `ltp inspect` says so.
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant: break
    }
  }
}
