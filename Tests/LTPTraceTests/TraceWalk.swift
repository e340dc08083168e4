// SPDX-License-Identifier: Apache-2.0
// The checker: reads a trace's bytes by the layout of ltp_trace.h and nothing else, and compares what it finds
// with the host's ledger. It shares no code with the writer or with recovery.

import CLTP
import CLTPSystem
import Glibc
import LTPTestSupport

/// What a walk over a sound log found.
struct TraceWalk {
  var blockCount: UInt64 = 0
  var firstBlock: UInt64 = 0
  var lastHash = [UInt8](repeating: 0, count: 32)
  var logID: [UInt8] = []
  var controlEnd: UInt64 = 0
  var run: UInt32 = 0
  var laneIDMax: UInt32 = 0
  var word: UInt64 = 0
  var policyGeneration: UInt32 = 0
  /// Of the last transition.
  var wordGeneration: UInt32 = 0
  /// By lane id: number of the first slot found, and of the one after the last.
  var laneFirst: [UInt32: UInt64] = [:]
  var laneEnd: [UInt32: UInt64] = [:]
  var unrecorded: [UInt32: UInt64] = [:]
  var unixTimes: [UInt64] = []
  /// Of the last segment.
  var segmentIndex: UInt64 = 0
  var segmentBlocks: UInt64 = 0
  var segmentDecisions: UInt64 = 0
  var isSealed = false
  var endOffset = 0
  var closedRuns: Set<UInt32> = []
  var tally = SegmentTally()
  /// Of the deferral log beside it.
  var told = ToldWalk()

  private var hasBlocks = false
  private var openedRun: UInt32 = 0
  private var firstEpoch: UInt64 = 0
  private var durableBlocks: UInt64 = 0
  private var knownWords: Set<UInt64> = []
  private var knownPolicies: Set<UInt32> = []
  private var texts: [UInt32: [UInt8]] = [:]

  /// Walks every segment in the directory. `tail`: what may follow the last block of the last segment.
  init(_ disk: SimulatedDisk, ledger: HostLedger, toleratesTail: Bool = false) throws(Violation) {
    let indices = disk.segmentIndices()
    for (place, index) in indices.enumerated() {
      guard place == 0 || index == indices[place - 1] + 1 else {
        throw Violation("segment \(index) follows \(indices[place - 1])")
      }
      let isLast = place == indices.count - 1
      try walkSegment(
        disk.file(.segment(index))!, index, ledger, isLast: isLast, toleratesTail: isLast && toleratesTail)
    }
    segmentIndex = indices.last ?? 0
  }

  private mutating func walkSegment(
    _ file: SimulatedFile, _ index: UInt64, _ ledger: HostLedger, isLast: Bool, toleratesTail: Bool
  ) throws(Violation) {
    var offset = 0
    segmentBlocks = 0
    segmentDecisions = 0
    tally = SegmentTally()
    isSealed = false
    while offset + 256 <= file.size, !isSealed {
      let block = UnsafeRawPointer(file.visible + offset)
      guard block.load(as: UInt64.self) == LTP_BLOCK_MAGIC else { break }
      let header = block.load(as: ltp_block_header.self)
      let place = "segment \(index) offset \(offset) block \(header.block_index)"
      do throws(Violation) { try checkHeader(block, header, index, left: file.size - offset) } catch {
        if toleratesTail { break }
        throw Violation("\(place): \(error)")
      }
      do throws(Violation) { try take(block, header, ledger) } catch { throw Violation("\(place): \(error)") }
      offset += Int(header.size_bytes)
    }
    endOffset = offset
    guard isLast || isSealed else { throw Violation("segment \(index) is not sealed") }
    guard !toleratesTail else { return }
    guard isZero(file.visible + offset, max(0, file.size - offset)) else {
      throw Violation("segment \(index): something after the last block, which ends at \(offset)")
    }
  }

  // MARK: One block

  private mutating func checkHeader(
    _ block: UnsafeRawPointer, _ header: ltp_block_header, _ segment: UInt64, left: Int
  ) throws(Violation) {
    let used = 256 + Int(header.slot_count) * 32
    guard header.version == 3, header.hash_id == 1, header.header_bytes == 256, header.slot_count > 0,
      Int(header.size_bytes) == (used + 4095) / 4096 * 4096, Int(header.size_bytes) <= left
    else { throw Violation("shape") }
    guard sha256(block, LTP_AT_block_header_block_hash) == bytes(block + LTP_AT_block_header_block_hash, 32)
    else { throw Violation("block hash") }
    guard sha256(block + 256, used - 256) == bytes(block + LTP_AT_block_header_body_hash, 32) else {
      throw Violation("body hash")
    }
    let reserved = LTP_AT_block_header_reserved..<LTP_END_block_header_reserved
    guard isZero(block + reserved.lowerBound, reserved.count),
      isZero(block + used, Int(header.size_bytes) - used)
    else {
      throw Violation("padding")
    }
    guard header.segment_index == segment else { throw Violation("segment index \(header.segment_index)") }
    guard hasBlocks || segment != 0 || header.block_index == 0 else { throw Violation("first block") }
    if hasBlocks || header.block_index == 0 {
      guard header.block_index == blockCount else { throw Violation("block index, not \(blockCount)") }
      guard bytes(block + LTP_AT_block_header_previous_hash, 32) == lastHash else {
        throw Violation("previous hash")
      }
    }
    guard !hasBlocks || bytes(block + LTP_AT_block_header_log_id, 16) == logID else {
      throw Violation("log id")
    }
    guard header.durable_blocks <= header.block_index, header.durable_blocks >= durableBlocks else {
      throw Violation("durable blocks \(header.durable_blocks)")
    }
  }

  private mutating func take(
    _ block: UnsafeRawPointer, _ header: ltp_block_header, _ ledger: HostLedger
  ) throws(Violation) {
    if !hasBlocks { firstBlock = header.block_index }
    hasBlocks = true
    blockCount = header.block_index + 1
    lastHash = bytes(block + LTP_AT_block_header_block_hash, 32)
    logID = bytes(block + LTP_AT_block_header_log_id, 16)
    durableBlocks = header.durable_blocks
    segmentBlocks += 1
    unixTimes.append(header.base_unix_ns)
    if header.lane_id == 0 {
      guard controlEnd == header.first_sequence || firstBlock == header.block_index else {
        throw Violation("control sequence \(header.first_sequence), not \(controlEnd)")
      }
      controlEnd = header.first_sequence + UInt64(header.slot_count)
      try takeControl(block, header, ledger)
    } else {
      guard segmentBlocks > 1 else { throw Violation("a segment begins with a lane's block") }
      try takeLane(block, header, ledger)
    }
  }

  private mutating func takeLane(
    _ block: UnsafeRawPointer, _ header: ltp_block_header, _ ledger: HostLedger
  ) throws(Violation) {
    guard let book = ledger.lanes[header.lane_id] else { throw Violation("unknown lane \(header.lane_id)") }
    if let end = laneEnd[header.lane_id] {
      guard end == header.first_sequence else {
        throw Violation("sequence \(header.first_sequence), not \(end)")
      }
    } else {
      guard header.first_sequence == 0 || !ledger.retainsEverything else { throw Violation("first sequence") }
      laneFirst[header.lane_id] = header.first_sequence
    }
    laneEnd[header.lane_id] = header.first_sequence + UInt64(header.slot_count)
    laneIDMax = max(laneIDMax, header.lane_id)
    tally.takeLane(block, header)
    try know(header.orientation_word)
    for slot in 0..<Int(header.slot_count) {
      let address = block + 256 + slot * 32
      let sequence = Int(header.first_sequence) + slot
      guard sequence < book.slots.count else { throw Violation("slot \(sequence) was never issued") }
      let bytes = SlotBytes(address)
      guard bytes == book.slots[sequence] else {
        throw Violation("slot \(sequence) differs from what was issued")
      }
      switch bytes.kind {
      case LTP_RECORD_DECISION: segmentDecisions += 1
      case LTP_RECORD_OBSERVED: try know(address.load(as: ltp_observed_record.self).orientation_word)
      case LTP_RECORD_UNRECORDED:
        unrecorded[header.lane_id, default: 0] += address.load(as: ltp_unrecorded_record.self).denied_count
      default: break
      }
    }
  }

  private func know(_ word: UInt64) throws(Violation) {
    // Where retention took the segment with its transition, an older word may still come.
    if firstBlock > 0, word >> 32 < firstEpoch { return }
    guard knownWords.contains(word) else {
      throw Violation("decided under a word whose transition comes later")
    }
  }

  // MARK: Control records

  private mutating func takeControl(
    _ block: UnsafeRawPointer, _ header: ltp_block_header, _ ledger: HostLedger
  ) throws(Violation) {
    var slot = 0
    while slot < Int(header.slot_count) {
      let record = block + 256 + slot * 32
      let control = record.load(as: ltp_control_header.self)
      if segmentBlocks == 1, slot == 0, control.kind != LTP_RECORD_SEGMENT {
        throw Violation("a segment begins with record kind \(control.kind)")
      }
      guard !isSealed else { throw Violation("record kind \(control.kind) after the seal") }
      try tally.takeControl(control.kind, record)
      try takeRecord(control.kind, record, ledger)
      slot += Int(control.slot_count)
      guard control.slot_count > 0, slot <= Int(header.slot_count) else { throw Violation("slot count") }
    }
  }

  private mutating func takeRecord(
    _ kind: UInt8, _ record: UnsafeRawPointer, _ ledger: HostLedger
  ) throws(Violation) {
    switch kind {
    case LTP_RECORD_OPENED:
      let opened = record.load(as: ltp_opened_record.self)
      // A run's first segment names the run before its opening is said, and a crash may come between.
      guard opened.run == run + 1 || (opened.run == run && openedRun < run) else {
        throw Violation("run \(opened.run) after \(run)")
      }
      openedRun = opened.run
      guard opened.next_lane_id > laneIDMax else { throw Violation("a lane id is used again") }
      run = opened.run
      texts = [:]
    case LTP_RECORD_SEGMENT: try takeSegment(record.load(as: ltp_segment_record.self))
    case LTP_RECORD_TRANSITION: try takeTransition(record)
    case LTP_RECORD_POLICY:
      let generation = record.assumingMemoryBound(to: ltp_policy_record.self).pointee.policy_generation
      let policy = record + LTP_AT_policy_record_policy
      guard
        sha256(policy, MemoryLayout<ltp_policy>.size) == bytes(record + LTP_AT_policy_record_digest, 32)
      else {
        throw Violation("policy digest")
      }
      knownPolicies.insert(generation)
      policyGeneration = max(policyGeneration, generation)
    case LTP_RECORD_TEXT:
      let id = record.load(as: ltp_text_record.self).text_id
      let text = bytes(record + LTP_AT_text_record_text, Int(LTP_TEXT_BYTES_MAX) + 1)
      guard id >= 1, texts[id] == nil || texts[id] == text else { throw Violation("text \(id) changed") }
      texts[id] = text
    case LTP_RECORD_SEALED:
      let sealed = record.load(as: ltp_sealed_record.self)
      guard sealed.block_count == segmentBlocks, sealed.decision_count == segmentDecisions else {
        throw Violation("sealed with \(sealed.block_count) blocks and \(sealed.decision_count) decisions")
      }
      isSealed = true
    case LTP_RECORD_COUNTS: break
    case LTP_RECORD_CLOSED: closedRuns.insert(run)
    case LTP_RECORD_DEFERRAL, LTP_RECORD_INTENT, LTP_RECORD_STEP: try told.take(kind, record, ledger.intents)
    default: throw Violation("record kind \(kind) in the control lane")
    }
  }

  private mutating func takeSegment(_ segment: ltp_segment_record) throws(Violation) {
    guard segmentBlocks == 1 else { throw Violation("a segment record in mid-segment") }
    guard segment.next_lane_id > laneIDMax else { throw Violation("segment: lane id") }
    guard segment.run >= run else { throw Violation("segment: run \(segment.run) after \(run)") }
    if firstBlock + 1 == blockCount, firstBlock > 0 {
      // The first segment that is left stands for all before it.
      word = segment.orientation_word
      wordGeneration = segment.policy_generation
      openedRun = segment.run - 1
      firstEpoch = word >> 32
    }
    run = segment.run
    guard segment.orientation_word == word else { throw Violation("segment: word") }
    guard word == 0 || segment.policy_generation == wordGeneration else {
      throw Violation("segment: policy \(segment.policy_generation), not \(wordGeneration)")
    }
  }

  private mutating func takeTransition(_ address: UnsafeRawPointer) throws(Violation) {
    let record = address.load(as: ltp_transition_record.self)
    // A preamble says the orientation first, then the policies.
    guard knownPolicies.contains(record.policy_generation) || record.flags != 0 else {
      throw Violation("a transition under policy \(record.policy_generation), which comes later")
    }
    if knownWords.contains(record.word_after) || record.word_after == word {
      guard record.flags == LTP_TRANSITION_REPEATED else { throw Violation("a transition twice") }
    } else {
      guard record.flags == 0 else { throw Violation("a transition repeated before it was said") }
      guard record.word_before == word else { throw Violation("a transition is missing") }
      guard record.word_after >> 32 == word >> 32 + 1 else { throw Violation("an epoch is missing") }
      word = record.word_after
      wordGeneration = record.policy_generation
    }
    knownWords.insert(record.word_after)
  }
}

extension TraceWalk {
  /// What was acknowledged is there.
  func checkAcknowledged(_ ledger: HostLedger) throws(Violation) {
    guard blockCount >= ledger.durableBlocks else {
      throw Violation("\(ledger.durableBlocks) blocks were durable, \(blockCount) are left")
    }
    for (id, book) in ledger.lanes where book.acknowledged > 0 {
      guard let end = laneEnd[id] else {
        if ledger.retainsEverything { throw Violation("lane \(id) is gone") }
        continue
      }
      guard end >= UInt64(book.acknowledged) else {
        throw Violation("lane \(id): \(book.acknowledged) slots were durable, \(end) are left")
      }
    }
  }
}

// MARK: Bytes

private func bytes(_ address: UnsafeRawPointer, _ count: Int) -> [UInt8] {
  [UInt8](UnsafeRawBufferPointer(start: address, count: count))
}

private func sha256(_ address: UnsafeRawPointer, _ count: Int) -> [UInt8] {
  var digest = [UInt8](repeating: 0, count: 32)
  precondition(ltp_system_sha256(address, count, &digest) == 0)
  return digest
}

private func isZero(_ address: UnsafeRawPointer, _ count: Int) -> Bool {
  count == 0
    || (address.load(as: UInt8.self) == 0 && memcmp(address, address + 1, count - 1) == 0)
}
