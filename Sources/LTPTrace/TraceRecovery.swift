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
  package var domains: DomainTable
  /// The policy that `word` is under.
  public var wordGeneration: UInt32
  /// The highest number that any policy has.
  public var policyGeneration: UInt32
  /// What the trace tells of a deferral log; nil: of none.
  package var told: ToldDeferral?
  /// Of the segment so far. The writer's to give back, once there is one.
  package var counts: SegmentCounts

  /// Locks the trace and finds where to go on.
  public static func open<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, configuration: TraceConfiguration
  ) throws(OpenFault) -> RecoveredTrace {
    guard let counts = SegmentCounts() else { throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory") }
    var facts = TraceFacts(counts: counts)
    var chain: RecoveredChain
    do throws(OpenFault) {
      chain = try ChainRecovery.open(&device, configuration: configuration.chain, into: &facts)
    } catch {
      counts.releaseMemory()
      throw error
    }
    let used = facts.used
    guard used.run < UInt32.max, used.policyGeneration < UInt32.max else {
      counts.releaseMemory()
      chain.close(&device)
      throw OpenFault(
        LTP_ERROR_EXHAUSTED, "the log has no number left for another run or policy; start a new trace")
    }
    // The log goes on in a segment that has nothing to count yet.
    if chain.handle == nil { counts.removeAll() } else { chain.segmentBytes = facts.segmentBytes }
    return RecoveredTrace(
      chain: chain, run: used.run + 1, nextLaneID: used.nextLaneID, controlSequence: facts.controlSequence,
      word: facts.word, numbers: facts.numbers, domains: facts.domains, wordGeneration: facts.wordGeneration,
      policyGeneration: used.policyGeneration, told: facts.told, counts: counts)
  }

  /// Closes its files and gives its memory back: no writer goes on with it.
  package func abandon<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    chain.close(&device)
    counts.releaseMemory()
  }
}

/// What the blocks read so far say about the trace.
struct TraceFacts: BlockReader {
  var used = UsedNumbers()
  var controlSequence: UInt64 = 0
  var word: UInt64 = 0
  /// Of the word, in full.
  var numbers = EpochNumbers()
  var domains = DomainTable()
  /// The policy that `word` is under.
  var wordGeneration: UInt32 = 0
  var told: ToldDeferral?
  /// The limit that the last segment was begun with.
  var segmentBytes: UInt64?
  /// Of the last segment.
  private let counts: SegmentCounts
  private var isLast = false
  private var isSealed = false

  init(counts: SegmentCounts) { self.counts = counts }

  mutating func beginSegment(isLast: Bool) {
    self.isLast = isLast
    segmentBytes = nil
    isSealed = false
  }

  mutating func read(_ header: BlockHeader) -> Bool {
    if isLast { counts.add(header) }
    if header.laneID == UInt32(LTP_CONTROL_LANE) {
      controlSequence = header.firstSequence + UInt64(header.slotCount)
      readControlBlock(header)
    } else {
      used.include(laneID: header.laneID)
    }
    return isSealed
  }

  private mutating func readControlBlock(_ header: BlockHeader) {
    var slot = 0
    while slot < header.slotCount {
      let record = RecordView(header.body, slot: slot)
      let slotCount = Int(record.control.pointee.slot_count)
      // The hash says that this library wrote it; still, never read past the body.
      guard slotCount > 0, slot + slotCount <= header.slotCount else { return }
      if let kind = record.kind, kind.slotCount == slotCount { readControl(kind, record) }
      slot += slotCount
    }
  }

  private mutating func readControl(_ kind: RecordKind, _ record: RecordView) {
    used.include(kind, record)
    switch kind {
    case .segment:
      let segment = record.segment.pointee
      segmentBytes = segment.segment_bytes
      word = segment.orientation_word
      wordGeneration = segment.policy_generation
      numbers = EpochNumbers(epoch: segment.epoch, continuityEpoch: segment.continuity_epoch)
      domains = DomainTable(all: segment.continuity_all)
    case .transition:
      let transition = record.transition
      word = transition.pointee.word_after
      wordGeneration = transition.pointee.policy_generation
      numbers = transition.numbers
      domains.apply(transition)
    case .domains: domains.apply(record.domains)
    case .sealed: isSealed = true
    case .deferral: told = ToldDeferral(record.deferral)
    case .intent: told?.apply(record.intent)
    case .step: told?.apply(record.step)
    case .opened, .policy, .text, .closed, .counts: break
    // A lane's record in a control block is nothing that the writer puts there; `ltp inspect` says so.
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant, .voided, .kept: break
    }
  }
}
