// SPDX-License-Identifier: Apache-2.0
// The writer's turn: what was gathered becomes a block, what is durable counts, what is not needed any more is given back.

import CLTP
import LTPRecords
package import LTPStorage

/// What a block of the log is to its writer.
private enum BlockReference {
  static var records: Int { 0 }
  static var mark: Int { -1 }
  /// A mark that says that this run hands intents out.
  static var handingMark: Int { -2 }
}

extension DeferralLog {
  // MARK: The block being gathered

  /// Memory for so many slots; nil: not before something has completed.
  mutating func space(_ slotCount: Int) -> UnsafeMutableRawPointer? {
    guard chain.failure == nil, news.hasRoom, isNumbered else { return nil }
    if gathered == nil {
      guard chain.isOpen, let staging = chain.acquireStaging() else { return nil }
      gathered = (staging, 0)
    }
    let slotsMax = BlockHeader.slotCountMax(blockBytes: configuration.chain.blockBytes)
    guard let block = gathered, block.slots + slotCount <= slotsMax else { return nil }
    return chain.stagingMemory(block.staging) + Int(LTP_BLOCK_HEADER_BYTES) + block.slots
      * Int(LTP_SLOT_BYTES)
  }

  mutating func enter(_ slotCount: Int) {
    gathered!.slots += slotCount
    sequence += UInt64(slotCount)
  }

  // MARK: The writer's turn

  /// Takes what is durable, begins segments, ends what has run out, and gives space back. The caller has reaped the queue. What was gathered is for
  /// `flush`. True: something moved.
  package mutating func step<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64, unixNanoseconds: UInt64
  ) -> Bool {
    unixNow = unixNanoseconds
    chain.hasProgressed = false
    takeDurable(&queue, now: now)
    if chain.failure == nil {
      if chain.beginSegment(&queue) {
        markDue = LTP_DEFERRAL_SEGMENT
        segmentStart = sequence
        dropAt = nil
      }
      if markDue != 0, append(mark: markDue, now, &queue) { markDue = 0 }
      if handing == .due, markDue == 0, append(mark: LTP_DEFERRAL_HANDS_OUT, now, &queue) { handing = .said }
      if now &- walk.walkedAt >= TableWalk.nanoseconds {
        walk.walkedAt = now
        endWhatRanOut(unixNanoseconds: unixNanoseconds)
        forget()
      }
      drop(&queue)
      compact(&queue.device)
      tellAgain(&queue.device)
    }
    chain.pump(&queue)
    queue.reap(waitNanoseconds: 0)
    takeDurable(&queue, now: now)
    return chain.hasProgressed
  }

  /// Seals what was gathered, and starts to write it.
  package mutating func flush<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64, unixNanoseconds: UInt64
  ) {
    unixNow = unixNanoseconds
    guard chain.failure == nil else { return }
    seal(now, &queue)
  }

  /// Takes what has completed.
  package mutating func settle<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64
  ) {
    queue.reap(waitNanoseconds: 0)
    takeDurable(&queue, now: now)
  }

  /// Slots of the log that are in sealed blocks.
  package var sealedSequence: UInt64 { sequence - UInt64(gathered?.slots ?? 0) }

  private mutating func takeDurable<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64
  ) {
    chain.settle(now: now, &queue)
    while let block = chain.nextDurable() {
      if block.reference == BlockReference.records {
        durableSequence = block.endSequence
        continue
      }
      isNumbered = true
      if block.reference == BlockReference.handingMark { handing = .yes }
    }
    while let record = awaited.next(durable: durableSequence) {
      // Of one that has ended since, another record is awaited.
      guard let slot = table.slot(of: record.ticket), (table[slot].state == .ended) == record.isEnd else {
        continue
      }
      table.setAwaited(slot, false)
    }
  }

  private mutating func seal<Device: StorageDevice & ~Copyable>(
    _ now: UInt64, _ queue: inout StorageQueue<Device>
  ) {
    guard let block = gathered, block.slots > 0, markDue == 0 else { return }
    let bytes = BlockHeader.sizeBytes(slotCount: block.slots)
    switch chain.room(for: bytes, before: Int(LTP_TRACE_PAGE_BYTES)) {
    case .later: return
    case .segmentIsFull: _ = append(mark: LTP_DEFERRAL_SEALED, now, &queue)
    case .fits:
      let segment = chain.position.segmentIndex
      starts.see(segment, sequence - UInt64(block.slots))
      let offset = chain.nextOffset + UInt64(LTP_BLOCK_HEADER_BYTES)
      for intent in gatheredIntents {
        // A copy of one that is forgotten by now.
        guard let slot = table.slot(of: intent.ticket) else { continue }
        let at = offset + UInt64(intent.at) * UInt64(LTP_SLOT_BYTES)
        if let before = table.move(slot, toSegment: segment, offset: at) { use.add(before, -1) }
        use.add(segment, 1)
      }
      var content = BlockContent(
        laneID: LTP_DEFERRAL_LANE, firstSequence: sequence - UInt64(block.slots), slotCount: block.slots,
        baseMonotonicNanoseconds: now, baseUnixNanoseconds: unixNow)
      content.orientationWord = trace.blocks
      content.staging = block.staging
      content.reference = BlockReference.records
      gathered = nil
      sealedNumber = nextNumber
      gatheredIntents.removeAll(keepingCapacity: true)
      chain.append(chain.stagingMemory(block.staging), content, &queue)
    }
  }

  /// A block of one record that begins or ends a segment, or a run in one. False: there is no place for it now.
  private mutating func append<Device: StorageDevice & ~Copyable>(
    mark kind: UInt8, _ now: UInt64, _ queue: inout StorageQueue<Device>
  ) -> Bool {
    let isLast = kind == LTP_DEFERRAL_SEALED
    guard
      isLast
        ? chain.canEndSegment
        : chain.room(for: Int(LTP_TRACE_PAGE_BYTES), before: Int(LTP_TRACE_PAGE_BYTES)) == .fits,
      let staging = chain.acquireStaging()
    else { return kind != LTP_DEFERRAL_SEGMENT && !isLast && endSegmentInstead(now, &queue) }
    let memory = chain.stagingMemory(staging)
    var mark = ltp_deferral_mark()
    mark.kind = kind
    mark.version = UInt8(LTP_DEFERRAL_VERSION)
    mark.hands_out = kind == LTP_DEFERRAL_HANDS_OUT || handing == .said || handing == .yes ? 1 : 0
    mark.maybe_below = maybeBelow
    mark.next_number = sealedNumber
    mark.unix_ns = unixNow
    // What is being gathered comes after it.
    mark.sequence = sealedSequence
    let record = memory + Int(LTP_BLOCK_HEADER_BYTES)
    storeRecord(mark, at: record)
    configuration.trace.logID.store(to: record + LTP_AT_deferral_mark_trace_log_id)
    let slots = MemoryLayout<ltp_deferral_mark>.size / Int(LTP_SLOT_BYTES)
    var content = BlockContent(
      laneID: LTP_CONTROL_LANE, firstSequence: markSequence, slotCount: slots, baseMonotonicNanoseconds: now,
      baseUnixNanoseconds: unixNow)
    content.orientationWord = trace.blocks
    content.staging = staging
    content.reference = mark.hands_out != 0 ? BlockReference.handingMark : BlockReference.mark
    markSequence += UInt64(slots)
    if isLast { chain.appendLast(memory, content, &queue) } else { chain.append(memory, content, &queue) }
    return true
  }

  /// What a segment has no room for is said by the first mark of the next one.
  private mutating func endSegmentInstead<Device: StorageDevice & ~Copyable>(
    _ now: UInt64, _ queue: inout StorageQueue<Device>
  ) -> Bool {
    chain.room(for: Int(LTP_TRACE_PAGE_BYTES), before: Int(LTP_TRACE_PAGE_BYTES)) == .segmentIsFull
      && append(mark: LTP_DEFERRAL_SEALED, now, &queue)
  }

  /// Forgets what ended long enough ago.
  private mutating func forget() {
    let before = unixNow - min(unixNow, configuration.rememberNanoseconds)
    // Its end must be on disk: else it would come back after a crash.
    while let slot = table.firstEnded(before: before), !table[slot].isAwaited {
      use.add(table.forget(slot), -1)
    }
  }

  /// Gives back the segments in front that nothing needs.
  private mutating func drop<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    // Copies of what lay there are on disk, and the trace has been told all of it, also after a crash. By what its sealed blocks tell: the
    // block in which it is gathered need not be the next one, because a segment's summary and the preamble of the one after it may come
    // before.
    let needed = max(segmentStart, compaction.movedSequence)
    guard use.isUnused(before: chain.position.segmentIndex), needed <= durableSequence,
      needed <= trace.sealedSequence
    else {
      dropAt = nil
      return
    }
    let dropAt = self.dropAt ?? trace.sealedBlocks
    self.dropAt = dropAt
    guard trace.blocks >= dropAt else { return }
    let first = use.dropUnused(before: chain.position.segmentIndex)
    starts.drop(below: first)
    chain.dropSegments(below: first, &queue)
  }
}
