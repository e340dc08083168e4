// SPDX-License-Identifier: Apache-2.0
// The last segment of a trace that is opened: where its blocks end, whether what follows may be cut, and the
// files that the writer goes on with.

import CLTP
import CLTPSystem
import LTPRecords

extension Recovery {
  static func openLast<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, index: UInt64, first: UInt64, scan before: SegmentScan,
    _ counts: SegmentCounts, mark: (logID: LogID, durableBlocks: UInt64)?, _ configuration: TraceConfiguration
  ) throws(TraceOpenFault) -> RecoveredLog {
    var scan = before
    let handle: Int32
    do throws(StorageFault) { handle = try storage.open(.segment(index), create: false) } catch {
      throw openFault(error, segment: index)
    }
    do throws(TraceOpenFault) {
      try lock(&storage, handle: handle, configuration)
      return try resume(&storage, handle: handle, index: index, first: first, &scan, counts, mark: mark)
    } catch {
      storage.close(handle)
      throw error
    }
  }

  /// Scans the locked last segment, cuts what may be cut, and says where to go on.
  private static func resume<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, handle: Int32, index: UInt64, first: UInt64, _ scan: inout SegmentScan,
    _ counts: SegmentCounts, mark: (logID: LogID, durableBlocks: UInt64)?
  ) throws(TraceOpenFault) -> RecoveredLog {
    var garbage: UInt64?
    var isFirstBlock = false
    var cutBytes: UInt64 = 0
    do throws(StorageFault) {
      guard var reader = SegmentReader(handle: handle, size: try storage.size(handle)) else {
        throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM)
      }
      try scan.run(&reader, segment: index, &storage)
      isFirstBlock = scan.position == nil
      if isFirstBlock, let mark, index == 0 {
        // The only segment: its chain starts from nothing, even if its first block never came.
        scan.position = ChainPosition(
          logID: mark.logID, segmentIndex: 0, blockIndex: 0, previousHash: Digest())
      }
      garbage = try reader.firstNonZeroByte(from: scan.offset, &storage)
      if garbage != nil { try lookBehind(&reader, segment: index, &scan, &storage) }
    } catch {
      throw openFault(error, segment: index)
    }
    let position = try judge(scan, index: index, isFirstBlock: isFirstBlock, garbage: garbage, mark: mark)
    do throws(StorageFault) {
      let size = try storage.size(handle)
      if garbage != nil {
        cutBytes = size - scan.offset
        try keepCopy(&storage, handle: handle, index: index, from: scan.offset, to: size)
      }
      if size > scan.offset { try storage.truncate(handle, to: scan.offset) }
      // What was read may still be on its way to the device.
      try storage.sync(handle)
    } catch {
      throw openFault(error, segment: index)
    }
    var log = try goOn(&storage, position: position, facts: scan.facts, counts, oldest: first, mark: mark)
    if cutBytes > 0 {
      log.cutSegment = index
      log.cutOffset = scan.offset
      log.cutBytes = cutBytes
    }
    if scan.isSealed {
      storage.close(handle)
      counts.removeAll()
      log.position.segmentIndex = index + 1
    } else {
      log.handle = handle
      log.offset = scan.offset
      log.segmentBlocks = scan.blocks
      log.segmentDecisions = scan.decisions
    }
    return log
  }

  /// Blocks of this log that lie behind the hole know how far it was durable when they were sealed.
  private static func lookBehind<Storage: TraceStorage & ~Copyable>(
    _ reader: inout SegmentReader, segment index: UInt64, _ scan: inout SegmentScan, _ storage: inout Storage
  ) throws(StorageFault) {
    guard let position = scan.position else { return }
    let page = UInt64(LTP_TRACE_PAGE_BYTES)
    var offset = scan.offset + page
    while offset < reader.size {
      let (base, count) = try reader.bytes(at: offset, wanted: Int(LTP_BLOCK_HEADER_BYTES), &storage)
      if count >= Int(LTP_BLOCK_HEADER_BYTES) {
        let claim = BlockHeader(base).durableClaim(
          log: position.logID, segment: index, hole: position.blockIndex)
        scan.facts.durableBlocks = max(scan.facts.durableBlocks, claim)
      }
      offset += page
    }
  }

  /// Where the log goes on. Throws when its end is not one that a crash can leave.
  private static func judge(
    _ scan: SegmentScan, index: UInt64, isFirstBlock: Bool, garbage: UInt64?,
    mark: (logID: LogID, durableBlocks: UInt64)?
  ) throws(TraceOpenFault) -> ChainPosition {
    let found = scan.findings(
      isLast: true, isFirstBlock: isFirstBlock, garbage: garbage, mark: mark)
    let verdict = SegmentVerdict.of(found)
    // The table refuses a segment that nothing names.
    if verdict.status == LTP_OK, let position = scan.position { return position }
    let place = scan.offset + (garbage == nil ? 0 : UInt64(scan.fault?.offset ?? 0))
    throw TraceOpenFault(
      verdict.status, text(verdict, scan, found), segment: index, offset: place, block: found.nextBlock ?? 0)
  }

  /// Copies what will be cut to "torn-SEGMENT-OFFSET.bin".
  private static func keepCopy<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, handle: Int32, index: UInt64, from start: UInt64, to end: UInt64
  ) throws(StorageFault) {
    let name = TraceFile.torn(segment: index, offset: start)
    // A copy that an interrupted recovery left may be short.
    do throws(StorageFault) { try storage.remove(name) } catch {
      guard error.code == LTP_SYSTEM_ENOENT else { throw error }
    }
    let copy = try storage.open(name, create: true)
    defer { storage.close(copy) }
    guard let buffer = ltp_system_map(SegmentReader.bufferBytes, 0) else {
      throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM)
    }
    defer { ltp_system_unmap(buffer, SegmentReader.bufferBytes) }
    var offset = start
    while offset < end {
      let count = try storage.read(handle, into: buffer, count: SegmentReader.bufferBytes, offset: offset)
      if count == 0 { break }
      try storage.write(copy, from: buffer, count: count, offset: offset - start)
      offset += UInt64(count)
    }
    try storage.sync(copy)
    try storage.syncDirectory()
  }

  /// Opens or makes the watermark, brings it up to what recovery read, and puts the writer's start together.
  static func goOn<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, position: ChainPosition, facts: LogFacts, _ counts: SegmentCounts,
    oldest: UInt64, mark: (logID: LogID, durableBlocks: UInt64)?
  ) throws(TraceOpenFault) -> RecoveredLog {
    guard facts.run < UInt32.max, facts.policyGeneration < UInt32.max else {
      throw TraceOpenFault(
        LTP_ERROR_EXHAUSTED, "the log has no number left for another run or policy; start a new trace")
    }
    let isNew = mark == nil
    let handle: Int32
    do throws(StorageFault) {
      handle = try storage.open(isNew ? .preparedWatermark : .watermark, create: isNew)
    } catch {
      throw openFault(error)
    }
    do throws(StorageFault) {
      // What it says already is not said again: a power loss could take it, and with it an empty log's name.
      if mark?.durableBlocks != position.blockIndex {
        try Watermark.write(
          &storage, handle: handle, logID: position.logID, durableBlocks: position.blockIndex)
      }
      try storage.sync(handle)
      if isNew {
        try storage.rename(.preparedWatermark, to: .watermark)
        try storage.syncDirectory()
      }
      return RecoveredLog(
        position: position, offset: 0, handle: nil, watermarkHandle: handle, run: facts.run + 1,
        nextLaneID: facts.nextLaneID, controlSequence: facts.controlSequence, word: facts.word,
        numbers: facts.numbers,
        wordGeneration: facts.wordGeneration, policyGeneration: facts.policyGeneration, oldestSegment: oldest,
        segmentBlocks: 0, segmentDecisions: 0, counts: counts, cutSegment: 0, cutOffset: 0, cutBytes: 0)
    } catch {
      storage.close(handle)
      throw openFault(error)
    }
  }

  /// A failed system call in the words of the contract.
  public static func openFault(_ fault: StorageFault, segment: UInt64 = 0) -> TraceOpenFault {
    switch fault.code {
    case LTP_SYSTEM_ENOENT, LTP_SYSTEM_ENOTDIR:
      TraceOpenFault(LTP_ERROR_TRACE_DIRECTORY, "no such directory; create it first", code: fault.code)
    case LTP_SYSTEM_EACCES, LTP_SYSTEM_EROFS:
      TraceOpenFault(
        LTP_ERROR_TRACE_READ_ONLY, "the trace may not be written here; check owner and mount",
        code: fault.code, segment: segment)
    case LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT:
      TraceOpenFault(
        LTP_ERROR_TRACE_NO_SPACE, "no space is left; free some, or retain fewer segments",
        code: fault.code, segment: segment)
    case LTP_SYSTEM_EMFILE, LTP_SYSTEM_ENFILE:
      TraceOpenFault(
        LTP_ERROR_TRACE_DESCRIPTORS, "no file descriptor is left; raise the limit (ulimit -n)",
        code: fault.code)
    case LTP_SYSTEM_ENOMEM:
      TraceOpenFault(LTP_ERROR_NO_MEMORY, "out of memory", code: fault.code)
    default:
      TraceOpenFault(
        LTP_ERROR_TRACE_IO, "the system reported an error", code: fault.code, segment: segment)
    }
  }
}
