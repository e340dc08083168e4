// SPDX-License-Identifier: Apache-2.0
// Segments: preparing the next one ahead of its use, going over to it, finishing with the old one, retention.
//
// Direct writes into space that was written before are three times as fast as writes that grow a file, so
// a segment is filled with zeros ahead of its use. It gets its name only once that is on disk, and so is every block
// of the segment before: under the name of a segment there is always one that can be trusted or recovered, and
// only the last one can have a torn end.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPRecords
import Synchronization

/// The segment after the current one, on its way to being ready; also the zeros ahead in the current one.
struct SegmentPreparer {
  enum Phase { case idle, zeroing, zeroed, syncing, ready }

  var phase = Phase.idle
  var handle: Int32 = -1
  var zeroed: UInt64 = 0
  var zeroWriteIsBusy = false
  var syncIsBusy = false
  /// The zero write under way goes to the current segment.
  var zeroesCurrent = false
  /// Not before this time: the last try failed.
  var retryAt: UInt64 = 0
  var memory: UnsafeMutableRawPointer?

  var isBusy: Bool { zeroWriteIsBusy || syncIsBusy }
}

private let retryNanoseconds: UInt64 = 100_000_000

extension TraceWriter where Storage: ~Copyable {
  /// Whether a block of so many slots can be appended now, and the summary after it. If not, what it takes has been set going.
  /// `isLanes`: each slot may be a decision of a kind that the segment has not had.
  mutating func hasRoom(slotCount: Int, isLanes: Bool) -> Bool {
    guard let current = segment, !current.isSealed else { return false }
    let entries = counts.entryCount + (isLanes ? slotCount : 0)
    if entries <= SegmentCounts.entriesMax {
      let end =
        current.offset + UInt64(BlockHeader.sizeBytes(slotCount: slotCount))
        + UInt64(SegmentCounts.summaryBytes(entries: entries))
      if end <= configuration.segmentBytes { return end <= current.zeroed }
    }
    sealSegment()
    return false
  }

  /// There is a current segment that takes blocks, and its preamble is said.
  mutating func ensureSegment() -> Bool {
    if let current = segment {
      if current.isSealed {
        guard durableBlocks == position.blockIndex, cutEnd(of: current), adoptPrepared() else { return false }
        storage.close(current.handle)
        applyRetention()
      }
    } else {
      guard preparer.phase == .ready, adoptPrepared() else { return false }
    }
    return sayPreamble()
  }

  /// Says the summary of a full segment, once the next one is ready. What comes then waits until all of the
  /// segment is durable: a drained queue for each segment buys a log whose torn end is in one place.
  private mutating func sealSegment() {
    guard !segment!.isSealed, preparer.phase == .ready, hasFreeEntry, preamble.isDone else { return }
    assert(counts.decisionCount == segment!.decisions, "the lanes counted other decisions than the writer")
    // In memory of its own, which is free again by the next seal: that waits until all of this segment is durable.
    let slotCount = counts.writeSummary(blockCount: segment!.blocks + 1)
    segment!.isSealed = true
    appendControl(slotCount: slotCount, at: counts.block, baseMonotonic: now, baseUnix: nowUnix)
  }

  /// Gives the prepared segment its name and makes it the current one.
  private mutating func adoptPrepared() -> Bool {
    let index = segment.map { $0.index + 1 } ?? position.segmentIndex
    do throws(StorageFault) {
      guard try storage.lock(preparer.handle) else {
        fail(LTP_ERROR_TRACE_LOCKED, code: 0)
        return false
      }
      try storage.rename(.prepared(index), to: .segment(index))
      try storage.syncDirectory()
    } catch {
      fail(error)
      return false
    }
    segment = OpenSegment(index: index, handle: preparer.handle, offset: 0, zeroed: preparer.zeroed)
    counts.removeAll()
    position.segmentIndex = index
    preparer.phase = .idle
    preparer.handle = -1
    preparer.zeroed = 0
    preamble = Preamble()
    progress.pointee.segmentIndex.store(index, ordering: .relaxed)
    progressed = true
    return true
  }

  // MARK: Preparing

  /// Keeps zeros ahead of the writing: first to the end of the current segment, then in the next one.
  mutating func prepareSegments() {
    guard !preparer.zeroWriteIsBusy, now >= preparer.retryAt else { return }
    if let current = segment, current.zeroed < configuration.segmentBytes {
      startZeros(handle: current.handle, at: current.zeroed, current: true)
      return
    }
    switch preparer.phase {
    case .idle: createNext()
    case .zeroing: startZeros(handle: preparer.handle, at: preparer.zeroed, current: false)
    case .zeroed: startSegmentSync()
    case .syncing, .ready: break
    }
  }

  private mutating func createNext() {
    preparer.zeroesCurrent = false
    // Not before it is needed: a service that decides little should not hold two segments of zeros.
    if let current = segment, current.offset < configuration.segmentBytes / 4 { return }
    let index = segment.map { $0.index + 1 } ?? position.segmentIndex
    do throws(StorageFault) {
      preparer.handle = try storage.open(.prepared(index), create: true)
      preparer.phase = .zeroing
      preparer.zeroed = 0
      startZeros(handle: preparer.handle, at: 0, current: false)
    } catch {
      // An earlier try could not remove its file.
      if error.code == LTP_SYSTEM_EEXIST { removePrepared(index) }
      hinder(error)
    }
  }

  private mutating func startZeros(handle: Int32, at offset: UInt64, current: Bool) {
    if preparer.memory == nil { mapZeros() }
    guard let zeros = preparer.memory else { return hinder(StorageFault(.write, code: LTP_SYSTEM_ENOMEM)) }
    // Opening waits for the start of a first segment: a small one will do, the rest follows while it is used.
    let most = segment == nil ? 2 * configuration.blockBytes : configuration.zeroBytes
    let count = min(UInt64(most), configuration.segmentBytes - offset)
    preparer.zeroesCurrent = current
    preparer.zeroWriteIsBusy = storage.start(
      StorageWrite(
        file: handle, memory: UnsafeRawPointer(zeros), count: Int(count), offset: offset,
        bufferIndex: -1, durable: false, token: CompletionToken.zeroWrite))
  }

  private mutating func mapZeros() {
    // Not registered: that would give the core pages of its own, where the system's one page of zeros does.
    preparer.memory = ltp_system_map(configuration.zeroBytes, LTP_SYSTEM_ZEROS)
  }

  private mutating func startSegmentSync() {
    preparer.syncIsBusy = storage.startSync(preparer.handle, token: CompletionToken.segmentSync)
    if preparer.syncIsBusy { preparer.phase = .syncing }
  }

  mutating func preparedZeros(result: Int32) {
    preparer.zeroWriteIsBusy = false
    guard result > 0 else {
      let code = result == 0 ? LTP_SYSTEM_EIO : -result
      if code == LTP_SYSTEM_EINTR || code == LTP_SYSTEM_EAGAIN || code == LTP_SYSTEM_ECANCELED { return }
      return hinder(StorageFault(.write, code: code))
    }
    progress.pointee.hindrance.store(LTP_OK, ordering: .relaxed)
    // Whole pages only: a short write may end anywhere.
    let bytes = UInt64(result) / UInt64(LTP_TRACE_PAGE_BYTES) * UInt64(LTP_TRACE_PAGE_BYTES)
    if preparer.zeroesCurrent {
      segment?.zeroed += bytes
      return
    }
    preparer.zeroed += bytes
    // A first segment is usable as soon as its start is there; the rest follows while it is used.
    if preparer.zeroed >= configuration.segmentBytes || segment == nil { preparer.phase = .zeroed }
  }

  mutating func preparedSync(result: Int32) {
    preparer.syncIsBusy = false
    if result < 0 {
      // Nothing of the log is in this file yet, so it can be thrown away and made anew.
      return hinder(StorageFault(.sync, code: -result))
    }
    preparer.phase = .ready
    progressed = true
  }

  /// The next segment cannot be had now: what is being prepared is dropped, and tried again later. The current
  /// segment stays as it is; when it is full, the lanes' rings fill up and admission fails closed.
  private mutating func hinder(_ fault: StorageFault) {
    preparer.retryAt = now &+ retryNanoseconds
    let status: Int32 =
      switch fault.code {
      case LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT, LTP_SYSTEM_EFBIG: LTP_ERROR_TRACE_NO_SPACE
      case LTP_SYSTEM_EMFILE, LTP_SYSTEM_ENFILE: LTP_ERROR_TRACE_DESCRIPTORS
      default: LTP_ERROR_TRACE_IO
      }
    progress.pointee.hindrance.store(status, ordering: .relaxed)
    progress.pointee.failureCode.store(fault.code, ordering: .relaxed)
    if !preparer.zeroesCurrent { dropPrepared() }
  }

  mutating func dropPrepared() {
    guard preparer.handle >= 0 else { return }
    storage.close(preparer.handle)
    removePrepared(segment.map { $0.index + 1 } ?? position.segmentIndex)
    preparer.handle = -1
    preparer.zeroed = 0
    preparer.phase = .idle
  }

  private mutating func removePrepared(_ index: UInt64) {
    do throws(StorageFault) { try storage.remove(.prepared(index)) } catch {}
  }

  // MARK: Finishing

  /// Cuts the unused end off a segment that is sealed and wholly durable. Its zeros were never synced, so a power
  /// loss could leave anything there: only the last segment may look like that.
  private mutating func cutEnd(of old: OpenSegment) -> Bool {
    do throws(StorageFault) {
      try storage.truncate(old.handle, to: old.offset)
      try storage.sync(old.handle)
      return true
    } catch {
      fail(error)
      return false
    }
  }

  private mutating func applyRetention() {
    guard let current = segment else { return }
    if configuration.retainSegments > 0 {
      while current.index - oldestSegment + 1 > max(configuration.retainSegments, 2) {
        guard removeOldest() else { return }
      }
    }
    if configuration.retainBytes > 0 {
      while oldestSegment + 1 < current.index,
        (current.index - oldestSegment + 1) * configuration.segmentBytes > configuration.retainBytes
      {
        guard removeOldest() else { return }
      }
    }
  }

  private mutating func removeOldest() -> Bool {
    do throws(StorageFault) { try storage.remove(.segment(oldestSegment)) } catch {
      // Gone already, if only the sync below failed.
      guard error.code == LTP_SYSTEM_ENOENT else { return false }
    }
    // One by one: a power loss that undid this removal and kept the next one would leave a hole.
    do throws(StorageFault) { try storage.syncDirectory() } catch { return false }
    oldestSegment += 1
    return true
  }

  // MARK: The end

  /// Says that the run ends in order. False: something is still on its way; call `step` and try again.
  public mutating func finish() -> Bool {
    guard !hasFailed, entryCount == 0, !preparer.isBusy else { return false }
    if !saidClosed {
      guard ensureSegment(), drainTransitions(), sayTexts(), sayClosed(), flushControl(.control) else {
        return false
      }
      saidClosed = true
      return false
    }
    dropPrepared()
    isFinished = true
    guard let current = segment else { return true }
    do throws(StorageFault) {
      try storage.truncate(current.handle, to: current.offset)
      try storage.sync(current.handle)
      try storage.sync(log.watermarkHandle)
    } catch {
      fail(error)
    }
    return true
  }

  private mutating func sayClosed() -> Bool {
    guard !closedIsGathered else { return true }
    var record = ltp_closed_record()
    record.header = ltp_control_header(.closed)
    record.decision_count = runDecisions
    record.unrecorded_count = progress.pointee.unrecorded.load(ordering: .acquiring)
    guard say(record, in: .control) else { return false }
    closedIsGathered = true
    return true
  }

  /// Closes every descriptor. The log's lock goes with them. To be called by the thread that stepped, if any did:
  /// the ring lets go of files at once only for its own thread.
  public mutating func closeFiles() {
    guard !filesAreClosed else { return }
    filesAreClosed = true
    dropPrepared()
    if let current = segment { storage.close(current.handle) }
    segment = nil
    storage.close(log.watermarkHandle)
  }
}
