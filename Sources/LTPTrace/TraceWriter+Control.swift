// SPDX-License-Identifier: Apache-2.0
// The control lane: what the writer itself has to say. Openings, transitions, policies, texts, and the preamble
// that each segment starts with.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPOrientation
package import LTPRecords
import LTPStorage
import Synchronization

/// Control records being gathered into one block.
struct ControlBlock {
  var staging = -1
  var slotCount = 0
  var baseMonotonic: UInt64 = 0
  var baseUnix: UInt64 = 0
}

/// What control records of this run say, and where the log left off.
struct ControlFacts {
  var opened = false
  /// The highest number that any policy has.
  var generation: UInt32
  var texts = 0
  /// Of the last transition.
  var word: UInt64
  /// The policy that the word is under. A policy may be in a sealed block while its transition is not yet.
  var wordGeneration: UInt32
  /// Of the word, in full.
  var numbers: EpochNumbers
  /// As the transitions up to the word left them.
  var domains: DomainTable
  /// Of the deferral log; nil: there is none.
  var told: ToldDeferral?
}

/// How much of a segment's preamble has been gathered.
struct Preamble {
  var isDone = false
  var segmentIsGathered = false
  var domains = 0
  var toldIsGathered = false
  var policySlots = 0
  var texts = 0
  /// Of the segment, once it is done.
  var blocks: UInt64 = 0
}

/// The two blocks of control records that can be gathered at a time.
enum Gathering: Int { case control, preamble }

/// The control lane: what is being gathered for it, and what it says.
///
/// Invariants
///   - A gathered block has a staging buffer exactly when it holds a slot, because one that is sealed without a slot ends
///     the log for every reader.
///   - What sealed blocks say, gathered ones do not take back.
struct ControlLane {
  /// Of the next slot.
  var sequence: UInt64
  private var blocks = InlineArray<2, ControlBlock>(repeating: ControlBlock())
  var preamble = Preamble()
  /// By gathering: the generation whose policy has been gathered, and not yet the shadow beside it; 0: none.
  var pairsBegun = InlineArray<2, UInt32>(repeating: 0)
  /// What control records say, with those that are still being gathered ...
  var gathered: ControlFacts
  /// ... and what sealed blocks say: only that may be repeated in a preamble, which goes before what is gathered.
  var sealed: ControlFacts
  var closedIsGathered = false
  var closedIsSealed = false
  /// The deferral log that this run goes on with, until the trace says so.
  var toldToOpen: ToldDeferral?

  init(_ log: RecoveredTrace) {
    sequence = log.controlSequence
    gathered = ControlFacts(
      generation: log.policyGeneration, word: log.word, wordGeneration: log.wordGeneration,
      numbers: log.numbers, domains: log.domains, told: log.told)
    sealed = gathered
    preamble.isDone = log.chain.offset > 0
  }

  subscript(gathering: Gathering) -> ControlBlock {
    get { blocks[gathering.rawValue] }
    set { blocks[gathering.rawValue] = newValue }
  }

  /// Staging buffers in which control records are being gathered.
  var stagingCount: Int {
    var count = 0
    for index in 0..<blocks.count where blocks[index].staging >= 0 { count += 1 }
    return count
  }

  /// What the block is sealed with; its slots get their numbers.
  mutating func content(of block: ControlBlock) -> BlockContent {
    var content = BlockContent(
      laneID: UInt32(LTP_CONTROL_LANE), firstSequence: sequence, slotCount: block.slotCount,
      baseMonotonicNanoseconds: block.baseMonotonic, baseUnixNanoseconds: block.baseUnix)
    content.staging = block.staging
    sequence += UInt64(block.slotCount)
    return content
  }

  /// nil: all is as it must be; else what is not.
  func checkInvariants() -> StaticString? {
    for index in 0..<blocks.count where (blocks[index].staging >= 0) != (blocks[index].slotCount > 0) {
      return "control lane: a gathered block without a slot, or slots without a block"
    }
    if sealed.texts > gathered.texts || sealed.generation > gathered.generation {
      return "control lane: sealed blocks hold more than was gathered"
    }
    if closedIsSealed, !closedIsGathered { return "control lane: an end that was not gathered" }
    return nil
  }
}

extension TraceWriter where Device: ~Copyable {
  /// Where a record of `slotCount` slots goes in the block; nil when the block cannot be had or flushed now.
  private mutating func place(
    _ slotCount: Int, in gathering: Gathering
  ) -> UnsafeMutableRawPointer? {
    let slotCountMax = BlockHeader.slotCountMax(blockBytes: configuration.chain.blockBytes)
    assert(slotCount > 0 && slotCount <= slotCountMax, "no block holds such a record")
    if control[gathering].slotCount + slotCount > slotCountMax {
      guard flushControl(gathering) else { return nil }
    }
    if control[gathering].staging < 0 {
      guard let staging = chain.acquireStaging() else { return nil }
      control[gathering] = ControlBlock(
        staging: staging, slotCount: 0, baseMonotonic: now, baseUnix: nowUnix)
    }
    let started = control[gathering]
    control[gathering].slotCount += slotCount
    return chain.stagingMemory(started.staging) + Int(LTP_BLOCK_HEADER_BYTES)
      + started.slotCount * Int(LTP_SLOT_BYTES)
  }

  /// Takes back the slots that `place` gave last.
  private mutating func removeLast(_ slotCount: Int, in gathering: Gathering) {
    control[gathering].slotCount -= slotCount
    assert(control[gathering].slotCount >= 0, "more is taken back than was given")
    dropIfEmpty(gathering)
  }

  private mutating func dropIfEmpty(_ gathering: Gathering) {
    let block = control[gathering]
    guard block.staging >= 0, block.slotCount == 0 else { return }
    chain.releaseStaging(block.staging)
    control[gathering] = ControlBlock()
  }

  mutating func gather<Record>(_ record: Record, in gathering: Gathering) -> Bool {
    guard let memory = place(MemoryLayout<Record>.size / Int(LTP_SLOT_BYTES), in: gathering) else {
      return false
    }
    storeRecord(record, at: memory)
    return true
  }

  /// Seals the block if it holds anything. False: there is no room now.
  mutating func flushControl(_ gathering: Gathering) -> Bool {
    let block = control[gathering]
    guard block.staging >= 0 else { return true }
    guard gathering == .preamble || control.preamble.isDone else { return false }
    guard hasRoom(slotCount: block.slotCount, isLanes: false) else { return false }
    control[gathering] = ControlBlock()
    appendBlock(chain.stagingMemory(block.staging), control.content(of: block))
    if gathering == .control { control.sealed = control.gathered }
    return !hasFailed
  }

  // MARK: Transitions

  /// Gathers every transition up to the current word. False: one is still being filled in, or there is no room.
  mutating func drainTransitions() -> Bool {
    if !control.gathered.opened {
      guard gatherOpened() else { return false }
      control.gathered.opened = true
    }
    if let told = control.toldToOpen {
      guard gather(told, LTP_DEFERRAL_OPENED_HERE, in: .control) else { return false }
      control.gathered.told = told
      control.gathered.told?.isClosed = false
      control.toldToOpen = nil
    }
    let target = orientation.numbers(of: orientation.current).epoch
    while orientation.drainedEpoch < target {
      guard let record = orientation.nextTransition() else { return false }
      let generation = record.pointee.policy_generation
      if generation > control.gathered.generation
        || control.pairsBegun[Gathering.control.rawValue] == generation
      {
        let slot = OrientationWord(rawValue: record.pointee.word_after).policySlot
        guard gatherPolicies(slot: slot, in: .control) else { return false }
        control.gathered.generation = generation
      }
      guard gather(record.pointee, in: .control) else { return false }
      control.gathered.word = record.pointee.word_after
      control.gathered.wordGeneration = generation
      control.gathered.numbers = record.numbers
      control.gathered.domains.apply(record)
      orientation.markDrained(control.gathered.numbers)
      progressed = true
    }
    return true
  }

  private mutating func gatherOpened() -> Bool {
    var record = ltp_opened_record()
    record.header = ltp_control_header(.opened)
    record.run = log.run
    record.next_lane_id = log.nextLaneID
    record.process_id = ltp_system_process_id()
    record.cut_segment = log.chain.cutSegment
    record.cut_offset = log.chain.cutOffset
    record.cut_bytes = log.chain.cutBytes
    return gather(record, in: .control)
  }

  /// The slot's policy, and the one that decides beside it. Each is gathered once, though there may be no room for the
  /// second one now: with one block in flight there is none before the first one's block is durable.
  private mutating func gatherPolicies(slot: UInt8, in gathering: Gathering) -> Bool {
    let generation = orientation.policySlot(slot).pointee.generation.load(ordering: .acquiring)
    if control.pairsBegun[gathering.rawValue] != generation {
      guard gatherPolicy(slot: slot, generation: generation, isShadow: false, in: gathering) else {
        return false
      }
      control.pairsBegun[gathering.rawValue] = generation
      // Its shadow may come in a later segment, whose preamble must repeat it then.
      if gathering == .control { control.gathered.generation = max(control.gathered.generation, generation) }
    }
    guard gatherPolicy(slot: slot, generation: generation, isShadow: true, in: gathering) else {
      return false
    }
    control.pairsBegun[gathering.rawValue] = 0
    return true
  }

  /// Gathers nothing when the slot holds another generation by now, or no shadow.
  private mutating func gatherPolicy(
    slot: UInt8, generation: UInt32, isShadow: Bool, in gathering: Gathering
  ) -> Bool {
    // Before a place is made for it, because that may seal the block before and begin one. And again when it is copied,
    // because the mutex is not held meanwhile: sealing hashes and calls the device, and loaders wait for the mutex.
    guard holdsPolicy(slot: slot, generation: generation, isShadow: isShadow) else { return true }
    guard let memory = place(RecordKind.policy.slotCount, in: gathering) else { return false }
    let record = memory.assumingMemoryBound(to: ltp_policy_record.self)
    guard copyPolicy(slot: slot, generation: generation, isShadow: isShadow, to: record) else {
      removeLast(RecordKind.policy.slotCount, in: gathering)
      return true
    }
    guard record.seal() else {
      fail(StorageFault(.hash, code: LTP_SYSTEM_ENOMEM))
      return false
    }
    return true
  }

  private func holdsPolicy(slot: UInt8, generation: UInt32, isShadow: Bool) -> Bool {
    ltp_system_mutex_lock(orientation.controlMutex)
    defer { ltp_system_mutex_unlock(orientation.controlMutex) }
    let source = orientation.policySlot(slot)
    return source.pointee.generation.load(ordering: .relaxed) == generation
      && (!isShadow || source.pointee.hasShadow.load(ordering: .relaxed) != 0)
  }

  /// False, and nothing is copied, when the slot holds another policy by now. Loaders hold the mutex while they write.
  private func copyPolicy(
    slot: UInt8, generation: UInt32, isShadow: Bool, to record: UnsafeMutablePointer<ltp_policy_record>
  ) -> Bool {
    ltp_system_mutex_lock(orientation.controlMutex)
    defer { ltp_system_mutex_unlock(orientation.controlMutex) }
    let source = orientation.policySlot(slot)
    guard source.pointee.generation.load(ordering: .relaxed) == generation else { return false }
    record.write(
      isShadow ? source.pointee.shadowSource : source.pointee.source, generation: generation, slot: slot,
      isShadow: isShadow)
    return true
  }

  private mutating func gatherText(id: Int, in gathering: Gathering) -> Bool {
    var record = ltp_text_record()
    record.header = ltp_control_header(.text)
    record.text_id = UInt32(id)
    let text = texts.pointee.text(id: UInt32(id))
    withUnsafeMutableBytes(of: &record.text) { bytes in
      var index = 0
      while index < bytes.count - 1, text[index] != 0 {
        bytes[index] = UInt8(bitPattern: text[index])
        index += 1
      }
    }
    return gather(record, in: gathering)
  }

  /// Gathers texts interned since the last call.
  mutating func gatherTexts() -> Bool {
    let count = texts.pointee.count
    while control.gathered.texts < count {
      guard gatherText(id: control.gathered.texts + 1, in: .control) else { return false }
      control.gathered.texts += 1
    }
    return true
  }

  // MARK: Preamble

  /// Gathers what makes a segment readable by itself: its own record, the orientation, policies and texts.
  mutating func appendPreamble() -> Bool {
    guard !control.preamble.isDone else { return true }
    guard gatherPreambleRecords(in: .preamble), flushControl(.preamble) else { return false }
    control.preamble.isDone = true
    control.preamble.blocks = chain.segmentBlocks
    retention.endPreamble(chain.position.blockIndex)
    return true
  }

  private mutating func gatherPreambleRecords(in gathering: Gathering) -> Bool {
    if !control.preamble.segmentIsGathered {
      guard gatherSegment(in: gathering) else { return false }
      control.preamble.segmentIsGathered = true
    }
    while let (record, next) = control.sealed.domains.record(from: control.preamble.domains) {
      guard gather(record, in: gathering) else { return false }
      control.preamble.domains = next
    }
    if let told = control.sealed.told, !control.preamble.toldIsGathered {
      let what = told.isClosed ? LTP_DEFERRAL_CLOSED_HERE : LTP_DEFERRAL_GOES_ON
      guard gather(told, what, in: gathering) else { return false }
      control.preamble.toldIsGathered = true
    }
    // Before the first transition there is nothing to repeat: the log's start says it all by itself.
    while control.sealed.opened, control.preamble.policySlots < PolicySlot.count {
      let slot = orientation.policySlot(UInt8(control.preamble.policySlots))
      let generation = slot.pointee.generation.load(ordering: .acquiring)
      if generation > 0, generation <= control.sealed.generation {
        let index = UInt8(control.preamble.policySlots)
        // Of older ones, only what is in force, or about to be: the smallest segments have no room for four shadows.
        let isCurrent = OrientationWord(rawValue: control.sealed.word).policySlot == index
        let isGathered =
          isCurrent || generation > control.sealed.wordGeneration
          ? gatherPolicies(slot: index, in: gathering)
          : gatherPolicy(slot: index, generation: generation, isShadow: false, in: gathering)
        guard isGathered else { return false }
      }
      control.preamble.policySlots += 1
    }
    while control.preamble.texts < control.sealed.texts {
      guard gatherText(id: control.preamble.texts + 1, in: gathering) else { return false }
      control.preamble.texts += 1
    }
    return true
  }

  private mutating func gatherSegment(in gathering: Gathering) -> Bool {
    var record = ltp_segment_record()
    record.header = ltp_control_header(.segment)
    record.run = log.run
    record.next_lane_id = progress.pointee.nextLaneID.load(ordering: .acquiring)
    record.segment_bytes = configuration.chain.segmentBytes
    record.orientation_word = control.sealed.word
    record.policy_generation = control.sealed.wordGeneration
    record.epoch = control.sealed.numbers.epoch
    record.continuity_epoch = control.sealed.numbers.continuityEpoch
    record.continuity_all = control.sealed.domains.all
    record.block_bytes = UInt32(configuration.chain.blockBytes)
    guard gather(record, in: gathering) else { return false }
    guard control.sealed.opened else { return true }
    let drained = OrientationWord(rawValue: control.sealed.word)
    guard var transition = orientation.transition(epoch: drained.epoch) else { return true }
    transition.flags = LTP_TRANSITION_REPEATED
    return gather(transition, in: gathering)
  }

  // MARK: The deferral log

  private mutating func gather(_ told: ToldDeferral, _ what: UInt8, in gathering: Gathering) -> Bool {
    guard let memory = place(RecordKind.deferral.slotCount, in: gathering) else { return false }
    memory.assumingMemoryBound(to: ltp_deferral_record.self).write(told, what)
    return true
  }

  /// The run goes on with this deferral log. Before the first step.
  package mutating func open(_ told: ToldDeferral) {
    control.toldToOpen = told
    isDeferring = true
  }

  /// Tells a record of the deferral log, an ltp_intent_record or an ltp_step_record, which is durable there. False: there is no room now.
  package mutating func tell(_ record: UnsafeRawPointer) -> Bool {
    let view = RecordView(record)
    guard !hasFailed, control.gathered.opened, control.toldToOpen == nil, var told = control.gathered.told,
      let kind = view.kind, let memory = place(kind.slotCount, in: .control)
    else { return false }
    memory.copyMemory(from: record, byteCount: kind.byteCount)
    if kind == .intent { told.apply(view.intent) } else { told.apply(view.step) }
    control.gathered.told = told
    progressed = true
    return true
  }

  /// Sealed blocks tell the deferral log's records that end up to here.
  package var toldSequence: UInt64 { control.sealed.told?.sequence ?? 0 }

  // MARK: The end

  mutating func gatherClosed() -> Bool {
    guard !control.closedIsGathered else { return true }
    // A run without the log leaves it to the next one that has it.
    if isDeferring, let told = control.gathered.told, !told.isClosed {
      guard gather(told, LTP_DEFERRAL_CLOSED_HERE, in: .control) else { return false }
      control.gathered.told?.isClosed = true
    }
    var record = ltp_closed_record()
    record.header = ltp_control_header(.closed)
    record.decision_count = runDecisions
    record.unrecorded_count = progress.pointee.unrecorded.load(ordering: .acquiring)
    guard gather(record, in: .control) else { return false }
    control.closedIsGathered = true
    return true
  }
}
