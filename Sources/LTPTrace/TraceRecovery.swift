// SPDX-License-Identifier: Apache-2.0
// What the blocks of a trace say that a writer needs in order to go on after them.

import CLTP
package import LTPRecords
public import LTPStorage

/// What recovery found, and where the writer goes on.
public struct RecoveredTrace {
  public var chain: RecoveredChain
  /// The run that begins now.
  public var run: UInt32
  public var nextLaneID: UInt32
  public var controlSequence: UInt64
  public var word: UInt64
  /// Of the word, in full.
  package var numbers: EpochNumbers
  /// The policy that `word` is under.
  public var wordGeneration: UInt32
  /// The highest number that any policy has.
  public var policyGeneration: UInt32
  /// Decisions in the segment so far.
  public var segmentDecisions: UInt64

  /// Locks the trace and finds where to go on.
  public static func open<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, configuration: TraceConfiguration
  ) throws(OpenFault) -> RecoveredTrace {
    var facts = TraceFacts()
    let chain = try ChainRecovery.open(&device, configuration: configuration.chain, into: &facts)
    guard facts.run < UInt32.max, facts.policyGeneration < UInt32.max else {
      chain.close(&device)
      throw OpenFault(
        LTP_ERROR_EXHAUSTED, "the log has no number left for another run or policy; start a new trace")
    }
    return RecoveredTrace(
      chain: chain, run: facts.run + 1, nextLaneID: facts.nextLaneID, controlSequence: facts.controlSequence,
      word: facts.word, numbers: facts.numbers, wordGeneration: facts.wordGeneration,
      policyGeneration: facts.policyGeneration,
      segmentDecisions: chain.handle == nil ? 0 : facts.segmentDecisions)
  }
}

/// What the blocks read so far say about the trace.
struct TraceFacts: BlockReader {
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
  var segmentDecisions: UInt64 = 0
  private var isSealed = false

  mutating func beginSegment() {
    segmentDecisions = 0
    isSealed = false
  }

  mutating func take(_ header: BlockHeader) -> Bool {
    if header.laneID == UInt32(LTP_CONTROL_LANE) {
      controlSequence = header.firstSequence + UInt64(header.slotCount)
      takeControlBlock(header)
    } else {
      nextLaneID = max(nextLaneID, header.laneID &+ 1)
      for slot in 0..<header.slotCount where RecordView(header.body, slot: slot).isDecision {
        segmentDecisions += 1
      }
    }
    return isSealed
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
      run = max(run, record.opened.pointee.run)
      nextLaneID = max(nextLaneID, record.opened.pointee.next_lane_id)
    case .segment:
      let segment = record.segment.pointee
      run = max(run, segment.run)
      nextLaneID = max(nextLaneID, segment.next_lane_id)
      word = segment.orientation_word
      wordGeneration = segment.policy_generation
      numbers = EpochNumbers(epoch: segment.epoch, continuityEpoch: segment.continuity_epoch)
      policyGeneration = max(policyGeneration, segment.policy_generation)
    case .transition:
      let transition = record.transition
      word = transition.pointee.word_after
      wordGeneration = transition.pointee.policy_generation
      numbers = transition.numbers
      policyGeneration = max(policyGeneration, transition.pointee.policy_generation)
    case .sealed: isSealed = true
    case .policy:
      // Its transition may never have come: the number is used all the same.
      policyGeneration = max(policyGeneration, record.policy.pointee.policy_generation)
    case .text, .closed: break
    // A lane's record in a control block is nothing that the writer puts there; `ltp inspect` says so.
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant: break
    }
  }
}
