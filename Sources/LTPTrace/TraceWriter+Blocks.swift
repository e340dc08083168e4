// SPDX-License-Identifier: Apache-2.0
// Blocks on their way into the chain, and what everyone else is told when they come out of it.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPOrientation
import LTPRecords
import LTPStorage
import Synchronization

extension TraceWriter where Device: ~Copyable {
  /// Appends and counts the body in `memory`. There is room for it.
  mutating func appendBlock(_ memory: UnsafeMutableRawPointer, _ content: BlockContent) {
    let index = chain.position.blockIndex
    chain.append(memory, content, &queue)
    if chain.position.blockIndex > index {
      // While the device writes it. Its memory may be a lane's again after `publishProgress`.
      let before = counts.decisionCount
      counts.add(BlockHeader(memory))
      runDecisions += counts.decisionCount - before
    }
    progress.pointee.decisions.store(runDecisions, ordering: .relaxed)
    publishProgress()
  }

  /// Whether a block of so many slots can be appended now, and the summary after it. If not, what it takes has been set going.
  /// `isLanes`: each slot may be a decision of a kind that the segment has not had.
  mutating func hasRoom(slotCount: Int, isLanes: Bool) -> Bool {
    let entries = counts.entryCount + (isLanes ? slotCount : 0)
    guard entries <= SegmentCounts.entriesMax else {
      if chain.canEndSegment { sealSegment() }
      return false
    }
    let room = chain.room(
      for: BlockHeader.sizeBytes(slotCount: slotCount),
      before: SegmentCounts.summaryBytes(entries: entries))
    if room == .segmentIsFull { sealSegment() }
    return room == .fits
  }

  // MARK: Segments

  /// There is a current segment that takes blocks, and its preamble is appended.
  mutating func ensureSegment() -> Bool {
    if chain.beginSegment(&queue) {
      control.preamble = Preamble()
      counts.removeAll()
      beginRetention()
    }
    publishProgress()
    guard chain.isOpen, !hasFailed, appendPreamble() else { return false }
    applyRetention()
    return true
  }

  /// Appends the summary of a full segment. What comes then waits until all of the segment is durable.
  private mutating func sealSegment() {
    guard control.preamble.isDone else { return }
    // One segment after another would be begun, and nothing taken. The ranges of the options leave room for a block.
    assert(chain.segmentBlocks > control.preamble.blocks, "a segment has room for its preamble alone")
    // In memory of its own, which is free again by the next seal: that waits until all of this segment is durable.
    let slotCount = counts.writeSummary(blockCount: chain.segmentBlocks + 1)
    let block = ControlBlock(staging: -1, slotCount: slotCount, baseMonotonic: now, baseUnix: nowUnix)
    chain.appendLast(counts.block, control.content(of: block), &queue)
    publishProgress()
  }

  // MARK: Progress

  /// Tells lanes, waiters and the status what the chain has come to.
  mutating func publishProgress() {
    progress.pointee.sealedBlocks.store(chain.position.blockIndex, ordering: .relaxed)
    progress.pointee.segmentIndex.store(chain.position.segmentIndex, ordering: .relaxed)
    if let fault = chain.failure { return publishFailure(fault) }
    publishHindrance()
    guard progress.pointee.durableBlocks.load(ordering: .relaxed) < chain.durableBlocks else { return }
    progress.pointee.durableBlocks.store(chain.durableBlocks, ordering: .releasing)
    var isWantedMore = false
    while let block = chain.nextDurable() { isWantedMore = acknowledge(block) || isWantedMore }
    if isWantedMore { progress.pointee.notify() }
    wakeWaiters()
  }

  /// True: somebody has said that he wants slots of this lane, and not all of them were durable before.
  private mutating func acknowledge(_ block: DurableBlock) -> Bool {
    progress.pointee.writtenBytes.add(UInt64(block.bytes), ordering: .relaxed)
    guard block.reference >= 0, let lane = lanes.lane(block.reference) else { return false }
    let before = cursors[block.reference].durable
    cursors[block.reference].durable = block.endSequence
    // Both sequentially consistent, as on the other side: either whoever wants them sees that they are durable, or we see the wish.
    lane.state.pointee.durable.store(block.endSequence, ordering: .sequentiallyConsistent)
    lane.state.pointee.releasedBlocks.store(
      block.endSequence / lane.state.pointee.slotsPerBlock, ordering: .releasing)
    return lane.state.pointee.wanted.load(ordering: .sequentiallyConsistent) > before
  }

  /// Why the next segment cannot be had just now: when the current one is full, the lanes' rings fill up and admission
  /// fails closed.
  private func publishHindrance() {
    guard let fault = chain.hindrance else {
      return progress.pointee.hindrance.store(LTP_OK, ordering: .relaxed)
    }
    progress.pointee.hindrance.store(Self.status(of: fault), ordering: .relaxed)
    progress.pointee.failureCode.store(fault.code, ordering: .relaxed)
  }

  /// In the words of the contract.
  private static func status(of fault: StorageFault) -> Int32 {
    switch fault.code {
    case LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT, LTP_SYSTEM_EFBIG: LTP_ERROR_TRACE_NO_SPACE
    case LTP_SYSTEM_EMFILE, LTP_SYSTEM_ENFILE: LTP_ERROR_TRACE_DESCRIPTORS
    case LTP_SYSTEM_ENOMEM where fault.operation == .hash: LTP_ERROR_NO_MEMORY
    case 0 where fault.operation == .lock: LTP_ERROR_TRACE_LOCKED
    default: LTP_ERROR_TRACE_IO
    }
  }

  /// No record may be accepted any more.
  mutating func fail(_ fault: StorageFault) {
    chain.fail(fault)
    publishFailure(fault)
  }

  /// Lanes deny from their next decision on, waiters are told.
  private func publishFailure(_ fault: StorageFault) {
    guard !hasFailed else { return }
    progress.pointee.failureCode.store(fault.code, ordering: .relaxed)
    progress.pointee.failure.store(Self.status(of: fault), ordering: .releasing)
    orientation.close()
    progress.pointee.notify()
    wakeWaiters()
  }

  func wakeWaiters() {
    // Both sequentially consistent, as on the waiters' side: either they see the new signal or we see them.
    progress.pointee.durableSignal.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if progress.pointee.waiters.load(ordering: .sequentiallyConsistent) > 0 {
      FutexWord.wakeAll(progress.pointee.durableSignal)
    }
  }
}
