// SPDX-License-Identifier: Apache-2.0
// The control lane: what the writer itself has to say. Openings, transitions, policies, texts, and the preamble
// that each segment starts with.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPRecords
import Synchronization

/// Control records being gathered into one block.
struct ControlBlock {
  var staging = -1
  var slotCount = 0
  var baseMonotonic: UInt64 = 0
  var baseUnix: UInt64 = 0
}

/// What control records have said in this run, and where the log left off.
struct Said {
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
}

/// How much of a segment's preamble has been said.
struct Preamble {
  var isDone = false
  var saidSegment = false
  var policySlots = 0
  var texts = 0
}

/// The two blocks of control records that can be gathered at a time.
enum Gathering: Int { case control, preamble }

extension TraceWriter where Storage: ~Copyable {
  /// Where a record of `slotCount` slots goes in the block; nil when the block cannot be had or flushed now.
  private mutating func place(
    _ slotCount: Int, in gathering: Gathering
  ) -> UnsafeMutableRawPointer? {
    let slotCountMax = BlockHeader.slotCountMax(blockBytes: configuration.blockBytes)
    assert(slotCount > 0 && slotCount <= slotCountMax, "no block holds such a record")
    let block = controlBlocks[gathering.rawValue]
    if block.staging >= 0, block.slotCount + slotCount > slotCountMax {
      guard flushControl(gathering) else { return nil }
    }
    if controlBlocks[gathering.rawValue].staging < 0 {
      guard let staging = takeStaging() else { return nil }
      controlBlocks[gathering.rawValue] = ControlBlock(
        staging: staging, slotCount: 0, baseMonotonic: now, baseUnix: nowUnix)
    }
    let started = controlBlocks[gathering.rawValue]
    controlBlocks[gathering.rawValue].slotCount += slotCount
    return stagingMemory(started.staging) + Int(LTP_BLOCK_HEADER_BYTES)
      + started.slotCount * Int(LTP_SLOT_BYTES)
  }

  /// Takes back the slots that `place` gave last.
  private mutating func takeBack(_ slotCount: Int, in gathering: Gathering) {
    controlBlocks[gathering.rawValue].slotCount -= slotCount
    assert(controlBlocks[gathering.rawValue].slotCount >= 0, "more is taken back than was given")
    dropIfEmpty(gathering)
  }

  /// A block in which nothing is gathered is none: one that is sealed without a slot ends the log for every reader.
  private mutating func dropIfEmpty(_ gathering: Gathering) {
    let block = controlBlocks[gathering.rawValue]
    guard block.staging >= 0, block.slotCount == 0 else { return }
    giveStaging(block.staging)
    controlBlocks[gathering.rawValue] = ControlBlock()
  }

  mutating func say<Record>(_ record: Record, in gathering: Gathering) -> Bool {
    guard let memory = place(MemoryLayout<Record>.size / Int(LTP_SLOT_BYTES), in: gathering) else {
      return false
    }
    storeRecord(record, at: memory)
    return true
  }

  /// Seals the block if it holds anything. False: there is no room now.
  mutating func flushControl(_ gathering: Gathering) -> Bool {
    dropIfEmpty(gathering)
    let block = controlBlocks[gathering.rawValue]
    guard block.staging >= 0 else { return true }
    guard gathering == .preamble || preamble.isDone else { return false }
    guard hasFreeEntry, hasRoom(slotCount: block.slotCount, isLanes: false) else { return false }
    controlBlocks[gathering.rawValue] = ControlBlock()
    appendControl(
      slotCount: block.slotCount, at: stagingMemory(block.staging), staging: block.staging,
      baseMonotonic: block.baseMonotonic, baseUnix: block.baseUnix)
    if gathering == .control { sealed = said }
    return !hasFailed
  }

  /// Seals without asking for room: the caller has made sure of it. `staging`: the buffer that `memory` is; -1: it is none.
  mutating func appendControl(
    slotCount: Int, at memory: UnsafeMutableRawPointer, staging: Int = -1, baseMonotonic: UInt64,
    baseUnix: UInt64
  ) {
    let first = controlSequence
    controlSequence += UInt64(slotCount)
    appendBlock(
      memory,
      BlockOrigin(
        laneIndex: -1, laneID: UInt32(LTP_CONTROL_LANE), firstSequence: first, slotCount: slotCount,
        word: 0, limitsWord: 0, baseMonotonic: baseMonotonic, baseUnix: baseUnix, decisions: 0,
        staging: staging, bufferIndex: staging >= 0 ? stagingBuffer : -1))
  }

  // MARK: Transitions

  /// Gathers every transition up to the current word. False: one is still being filled in, or there is no room.
  mutating func drainTransitions() -> Bool {
    if !said.opened {
      guard sayOpened() else { return false }
      said.opened = true
    }
    let target = orientation.numbers(of: orientation.current).epoch
    while orientation.drainedEpoch < target {
      guard let record = orientation.nextTransition() else { return false }
      let generation = record.pointee.policy_generation
      if generation > said.generation || pairsBegun[Gathering.control.rawValue] == generation {
        let slot = OrientationWord(rawValue: record.pointee.word_after).policySlot
        guard sayPolicies(slot: slot, in: .control) else { return false }
        said.generation = generation
      }
      guard say(record.pointee, in: .control) else { return false }
      said.word = record.pointee.word_after
      said.wordGeneration = generation
      said.numbers = record.numbers
      orientation.markDrained(said.numbers)
      progressed = true
    }
    return true
  }

  private mutating func sayOpened() -> Bool {
    var record = ltp_opened_record()
    record.header = ltp_control_header(.opened)
    record.run = log.run
    record.next_lane_id = log.nextLaneID
    record.process_id = ltp_system_process_id()
    record.cut_segment = log.cutSegment
    record.cut_offset = log.cutOffset
    record.cut_bytes = log.cutBytes
    return say(record, in: .control)
  }

  /// The slot's policy, and the one that decides beside it. Each is said once, though there may be no room for the
  /// second one now: with one block in flight there is none before the first one's block is durable.
  private mutating func sayPolicies(slot: UInt8, in gathering: Gathering) -> Bool {
    let generation = orientation.policySlot(slot).pointee.generation.load(ordering: .acquiring)
    if pairsBegun[gathering.rawValue] != generation {
      guard sayPolicy(slot: slot, generation: generation, isShadow: false, in: gathering) else {
        return false
      }
      pairsBegun[gathering.rawValue] = generation
      // Its shadow may come in a later segment, whose preamble must repeat it then.
      if gathering == .control { said.generation = max(said.generation, generation) }
    }
    guard sayPolicy(slot: slot, generation: generation, isShadow: true, in: gathering) else { return false }
    pairsBegun[gathering.rawValue] = 0
    return true
  }

  /// Says nothing when the slot holds another generation by now, or no shadow.
  private mutating func sayPolicy(
    slot: UInt8, generation: UInt32, isShadow: Bool, in gathering: Gathering
  ) -> Bool {
    // Before a place is made for it, because that may seal the block before and begin one. And again when it is copied,
    // because the mutex is not held meanwhile: sealing hashes and calls the device, and loaders wait for the mutex.
    guard holdsPolicy(slot: slot, generation: generation, isShadow: isShadow) else { return true }
    guard let memory = place(RecordKind.policy.slotCount, in: gathering) else { return false }
    let record = memory.assumingMemoryBound(to: ltp_policy_record.self)
    guard copyPolicy(slot: slot, generation: generation, isShadow: isShadow, to: record) else {
      takeBack(RecordKind.policy.slotCount, in: gathering)
      return true
    }
    guard record.seal() else {
      fail(LTP_ERROR_NO_MEMORY, code: LTP_SYSTEM_ENOMEM)
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

  private mutating func sayText(id: Int, in gathering: Gathering) -> Bool {
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
    return say(record, in: gathering)
  }

  /// Gathers texts interned since the last call.
  mutating func sayTexts() -> Bool {
    let count = texts.pointee.count
    while said.texts < count {
      guard sayText(id: said.texts + 1, in: .control) else { return false }
      said.texts += 1
    }
    return true
  }

  // MARK: Preamble

  /// Says what makes a segment readable by itself: its own record, the orientation, policies and texts.
  mutating func sayPreamble() -> Bool {
    guard !preamble.isDone else { return true }
    guard sayPreambleRecords(in: .preamble), flushControl(.preamble) else { return false }
    preamble.isDone = true
    return true
  }

  private mutating func sayPreambleRecords(in gathering: Gathering) -> Bool {
    if !preamble.saidSegment {
      guard saySegment(in: gathering) else { return false }
      preamble.saidSegment = true
    }
    // Before the first transition there is nothing to repeat: the log's start says it all by itself.
    while sealed.opened, preamble.policySlots < PolicySlot.count {
      let slot = orientation.policySlot(UInt8(preamble.policySlots))
      let generation = slot.pointee.generation.load(ordering: .acquiring)
      if generation > 0, generation <= sealed.generation {
        let index = UInt8(preamble.policySlots)
        // Of older ones, only what is in force, or about to be: the smallest segments have no room for four shadows.
        let isCurrent = OrientationWord(rawValue: sealed.word).policySlot == index
        let isSaid =
          isCurrent || generation > sealed.wordGeneration
          ? sayPolicies(slot: index, in: gathering)
          : sayPolicy(slot: index, generation: generation, isShadow: false, in: gathering)
        guard isSaid else { return false }
      }
      preamble.policySlots += 1
    }
    while preamble.texts < sealed.texts {
      guard sayText(id: preamble.texts + 1, in: gathering) else { return false }
      preamble.texts += 1
    }
    return true
  }

  private mutating func saySegment(in gathering: Gathering) -> Bool {
    var record = ltp_segment_record()
    record.header = ltp_control_header(.segment)
    record.run = log.run
    record.next_lane_id = progress.pointee.nextLaneID.load(ordering: .acquiring)
    record.segment_bytes = configuration.segmentBytes
    record.orientation_word = sealed.word
    record.policy_generation = sealed.wordGeneration
    record.epoch = sealed.numbers.epoch
    record.continuity_epoch = sealed.numbers.continuityEpoch
    record.block_bytes = UInt32(configuration.blockBytes)
    guard say(record, in: gathering) else { return false }
    guard sealed.opened else { return true }
    let drained = OrientationWord(rawValue: sealed.word)
    guard var transition = orientation.transition(epoch: drained.epoch) else { return true }
    transition.flags = LTP_TRANSITION_REPEATED
    return say(transition, in: gathering)
  }
}
