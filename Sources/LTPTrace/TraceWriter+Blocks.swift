// SPDX-License-Identifier: Apache-2.0
// Blocks on their way to the device: sealing, starting, completing, acknowledging.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPRecords
import Synchronization

/// Who completed: block tokens are block indices; the preparer's operations have tokens of their own.
enum CompletionToken {
  static let zeroWrite: UInt64 = 1 << 62
  static let segmentSync: UInt64 = 1 << 61
}

private let passingTriesMax = 100

extension TraceWriter where Storage: ~Copyable {
  var hasFreeEntry: Bool { entryCount < configuration.inflightMax }

  func entry(_ position: Int) -> UnsafeMutablePointer<BlockInFlight> {
    entries + (firstEntry + position) % configuration.inflightMax
  }

  func stagingMemory(_ index: Int) -> UnsafeMutableRawPointer {
    staging + index * configuration.blockBytes
  }

  mutating func takeStaging() -> Int? {
    guard freeStagingCount > 0 else { return nil }
    freeStagingCount -= 1
    return freeStaging[freeStagingCount]
  }

  mutating func giveStaging(_ index: Int) {
    freeStaging[freeStagingCount] = index
    freeStagingCount += 1
  }

  /// What a block is sealed with beside its body.
  struct BlockOrigin {
    var laneIndex: Int
    var laneID: UInt32
    var firstSequence: UInt64
    var slotCount: Int
    var word: UInt64
    var limitsWord: UInt64
    var baseMonotonic: UInt64
    var baseUnix: UInt64
    var decisions: UInt64
    var staging: Int
    var bufferIndex: Int32
  }

  /// Seals the body in `memory` as the next block, queues and counts it. There is a free entry and room in the segment.
  mutating func appendBlock(_ memory: UnsafeMutableRawPointer, _ origin: BlockOrigin) {
    assert(origin.slotCount > 0, "a block of 0 slots")
    guard origin.slotCount > 0 else {
      // Sealed, it would make the log unreadable from here on while the status says OK.
      if origin.staging >= 0 { giveStaging(origin.staging) }
      return fail(LTP_ERROR_TRACE_IO, code: 0)
    }
    let seal = BlockSeal(
      logID: position.logID, laneID: origin.laneID, blockIndex: position.blockIndex,
      segmentIndex: position.segmentIndex, firstSequence: origin.firstSequence,
      slotCount: origin.slotCount, baseMonotonicNanoseconds: origin.baseMonotonic,
      baseUnixNanoseconds: origin.baseUnix, orientationWord: origin.word, limitsWord: origin.limitsWord,
      durableBlocks: durableBlocks, previousHash: position.previousHash)
    guard let hash = seal.seal(memory) else {
      if origin.staging >= 0 { giveStaging(origin.staging) }
      return fail(LTP_ERROR_NO_MEMORY, code: LTP_SYSTEM_ENOMEM)
    }
    let bytes = BlockHeader.sizeBytes(slotCount: origin.slotCount)
    let place = segment!.offset
    let added = entry(entryCount)
    added.initialize(
      to: BlockInFlight(
        index: position.blockIndex, segment: position.segmentIndex, file: segment!.handle,
        memory: UnsafeRawPointer(memory), bytes: bytes, offset: place, bufferIndex: origin.bufferIndex,
        laneIndex: origin.laneIndex, endSequence: origin.firstSequence + UInt64(origin.slotCount),
        staging: origin.staging, decisions: origin.decisions))
    entryCount += 1
    segment!.offset += UInt64(bytes)
    segment!.blocks += 1
    segment!.decisions += origin.decisions
    runDecisions += origin.decisions
    position.blockIndex += 1
    position.previousHash = hash
    progress.pointee.sealedBlocks.store(position.blockIndex, ordering: .relaxed)
    progress.pointee.decisions.store(runDecisions, ordering: .relaxed)
    progressed = true
    // Hand it to the device now: it writes while this block is counted and the next one is hashed. And keep the zeros ahead of it.
    start(added)
    counts.add(BlockHeader(memory))
    // From here on its memory may be a lane's again.
    reap(waitNanoseconds: 0)
    if !hasFailed { prepareSegments() }
  }

  mutating func start(_ entry: UnsafeMutablePointer<BlockInFlight>) {
    let block = entry.pointee
    entry.pointee.isStarted = storage.start(
      StorageWrite(
        file: block.file, memory: block.memory + block.done, count: block.bytes - block.done,
        offset: block.offset + UInt64(block.done), bufferIndex: block.bufferIndex, durable: true,
        token: block.index))
  }

  /// Starts what the device's queue had no place for.
  mutating func startPending() {
    guard !hasFailed else { return }
    for position in 0..<entryCount where !entry(position).pointee.isStarted {
      start(entry(position))
      if !entry(position).pointee.isStarted { return }
    }
  }

  // MARK: Invariants

  /// What is true of control blocks, staging and blocks in flight between any two calls. For assertions.
  var invariantsHold: Bool {
    var staged = freeStagingCount
    for index in 0..<controlBlocks.count {
      let block = controlBlocks[index]
      guard (block.staging >= 0) == (block.slotCount > 0) else { return false }
      if block.staging >= 0 { staged += 1 }
    }
    for position in 0..<entryCount {
      guard entry(position).pointee.index == durableBlocks + UInt64(position) else { return false }
      if entry(position).pointee.staging >= 0 { staged += 1 }
    }
    return staged == configuration.stagingCount && durableBlocks + UInt64(entryCount) == position.blockIndex
  }

  // MARK: Completions

  mutating func reap(waitNanoseconds: UInt64) {
    var wait = waitNanoseconds
    while true {
      var count = 0
      do throws(StorageFault) {
        count = try storage.complete(
          into: completions, capacity: Self.completionsMax, waitNanoseconds: wait)
      } catch {
        return fail(error)
      }
      for index in 0..<count { completed(completions[index]) }
      if count < Self.completionsMax { break }
      wait = 0
    }
    acknowledge()
  }

  private mutating func completed(_ completion: StorageCompletion) {
    progressed = true
    switch completion.token {
    case CompletionToken.zeroWrite: preparedZeros(result: completion.result)
    case CompletionToken.segmentSync: preparedSync(result: completion.result)
    default:
      guard entryCount > 0, completion.token >= entry(0).pointee.index else { return }
      let place = Int(completion.token - entry(0).pointee.index)
      guard place < entryCount else { return }
      completedBlock(entry(place), result: completion.result)
    }
  }

  /// After the end: only that the device is done with the memory counts.
  mutating func letGo(_ completion: StorageCompletion) {
    switch completion.token {
    case CompletionToken.zeroWrite: preparer.zeroWriteIsBusy = false
    case CompletionToken.segmentSync: preparer.syncIsBusy = false
    default:
      for position in 0..<entryCount where entry(position).pointee.index == completion.token {
        entry(position).pointee.isComplete = true
      }
    }
  }

  private mutating func completedBlock(_ entry: UnsafeMutablePointer<BlockInFlight>, result: Int32) {
    if result > 0 {
      // A short write goes on at the exact offset; it made progress, so it is not counted as a try.
      entry.pointee.done += min(Int(result), entry.pointee.bytes - entry.pointee.done)
      entry.pointee.isComplete = entry.pointee.done == entry.pointee.bytes
      if entry.pointee.isComplete { return }
    } else {
      let passing =
        result == -LTP_SYSTEM_EINTR || result == -LTP_SYSTEM_EAGAIN || result == -LTP_SYSTEM_ECANCELED
        || result == 0
      entry.pointee.tries += 1
      guard passing, entry.pointee.tries <= passingTriesMax else {
        // A write or sync error is final for the log: a later success could hide that this data is lost.
        return fail(StorageFault(.write, code: result == 0 ? LTP_SYSTEM_EIO : -result))
      }
    }
    guard !hasFailed else { return }
    start(entry)
  }

  /// Takes completed blocks off the front, says so in the watermark, and only then to everyone else.
  private mutating func acknowledge() {
    guard !hasFailed, entryCount > 0, entry(0).pointee.isComplete else { return }
    var count = 0
    while count < entryCount, entry(count).pointee.isComplete { count += 1 }
    let last = entry(count - 1).pointee
    do throws(StorageFault) {
      try Watermark.write(
        &storage, handle: log.watermarkHandle, logID: position.logID, durableBlocks: last.index + 1)
    } catch {
      return fail(error)
    }
    durableBlocks = last.index + 1
    progress.pointee.durableBlocks.store(durableBlocks, ordering: .releasing)
    for _ in 0..<count { acknowledgeFirst() }
    wakeWaiters()
  }

  private mutating func acknowledgeFirst() {
    let block = entry(0).pointee
    firstEntry = (firstEntry + 1) % configuration.inflightMax
    entryCount -= 1
    progress.pointee.writtenBytes.add(UInt64(block.bytes), ordering: .relaxed)
    if block.staging >= 0 { giveStaging(block.staging) }
    guard block.laneIndex >= 0, let lane = lanes.lane(block.laneIndex) else { return }
    cursors[block.laneIndex].durable = block.endSequence
    lane.state.pointee.durable.store(block.endSequence, ordering: .releasing)
    lane.state.pointee.releasedBlocks.store(
      block.endSequence / lane.state.pointee.slotsPerBlock, ordering: .releasing)
  }
}
