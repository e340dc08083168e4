// SPDX-License-Identifier: Apache-2.0
// The last segment of a chain that is opened: where its blocks end, whether what follows may be cut, and the
// files that the writer goes on with.

import CLTP
import CLTPSystem
import LTPRecords

extension ChainRecovery {
  static func openLast<Device: StorageDevice & ~Copyable, Reader: BlockReader>(
    _ device: inout Device, index: UInt64, first: UInt64, scan before: SegmentScan,
    mark: (logID: LogID, durableBlocks: UInt64)?, _ configuration: ChainConfiguration,
    into reader: inout Reader
  ) throws(OpenFault) -> RecoveredChain {
    var scan = before
    let handle: Int32
    do throws(StorageFault) {
      handle = try device.open(configuration.naming.name(of: .segment(index)), OpenMode(holdsBlocks: true))
    } catch {
      throw OpenFault(error, segment: index)
    }
    do throws(OpenFault) {
      try lock(&device, handle: handle, configuration)
      return try resume(
        &device, handle: handle, index: index, first: first, &scan, mark: mark, configuration.naming,
        into: &reader)
    } catch {
      device.close(handle)
      throw error
    }
  }

  /// Scans the locked last segment, cuts what may be cut, and says where to go on.
  private static func resume<Device: StorageDevice & ~Copyable, Reader: BlockReader>(
    _ device: inout Device, handle: Int32, index: UInt64, first: UInt64, _ scan: inout SegmentScan,
    mark: (logID: LogID, durableBlocks: UInt64)?, _ naming: ChainNaming, into reader: inout Reader
  ) throws(OpenFault) -> RecoveredChain {
    var garbage: UInt64?
    var isFirstBlock = false
    var cutBytes: UInt64 = 0
    do throws(StorageFault) {
      guard var segment = SegmentReader(handle: handle, size: try device.size(handle)) else {
        throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM)
      }
      try scan.run(&segment, index: index, isLast: true, into: &reader, &device)
      isFirstBlock = scan.position == nil
      if isFirstBlock, let mark, index == 0 {
        // The only segment: its chain starts from nothing, even if its first block never came.
        scan.position = ChainPosition(
          logID: mark.logID, segmentIndex: 0, blockIndex: 0, previousHash: Digest())
      }
      garbage = try segment.firstNonZeroByte(from: scan.offset, &device)
      if garbage != nil { try lookBehind(&segment, index: index, &scan, &device) }
    } catch {
      throw OpenFault(error, segment: index)
    }
    let position = try judge(scan, index: index, isFirstBlock: isFirstBlock, garbage: garbage, mark: mark)
    do throws(StorageFault) {
      let size = try device.size(handle)
      if garbage != nil {
        cutBytes = size - scan.offset
        try keepCopy(
          &device, handle: handle, from: scan.offset, to: size,
          as: naming.name(of: .torn(segment: index, offset: scan.offset)))
      }
      if size > scan.offset { try device.truncate(handle, to: scan.offset) }
      // What was read may still be on its way to the device.
      try device.sync(handle)
    } catch {
      throw OpenFault(error, segment: index)
    }
    var chain = try goOn(&device, position: position, oldest: first, mark: mark, naming)
    if cutBytes > 0 {
      chain.cutSegment = index
      chain.cutOffset = scan.offset
      chain.cutBytes = cutBytes
    }
    if scan.isSealed {
      device.close(handle)
      chain.position.segmentIndex = index + 1
    } else {
      chain.handle = handle
      chain.offset = scan.offset
      chain.segmentBlocks = scan.blocks
    }
    return chain
  }

  /// Blocks of this log that lie behind the hole know how far it was durable when they were sealed.
  private static func lookBehind<Device: StorageDevice & ~Copyable>(
    _ segment: inout SegmentReader, index: UInt64, _ scan: inout SegmentScan, _ device: inout Device
  ) throws(StorageFault) {
    guard let position = scan.position else { return }
    let page = UInt64(LTP_TRACE_PAGE_BYTES)
    var offset = scan.offset + page
    while offset < segment.size {
      let (base, count) = try segment.bytes(at: offset, wanted: Int(LTP_BLOCK_HEADER_BYTES), &device)
      if count >= Int(LTP_BLOCK_HEADER_BYTES) {
        let claim = BlockHeader(base).durableClaim(
          log: position.logID, segment: index, hole: position.blockIndex)
        scan.claimedBlocks = max(scan.claimedBlocks, claim)
      }
      offset += page
    }
  }

  /// Where the log goes on. Throws when its end is not one that a crash can leave.
  private static func judge(
    _ scan: SegmentScan, index: UInt64, isFirstBlock: Bool, garbage: UInt64?,
    mark: (logID: LogID, durableBlocks: UInt64)?
  ) throws(OpenFault) -> ChainPosition {
    let found = scan.findings(
      isLast: true, isFirstBlock: isFirstBlock, garbage: garbage, mark: mark)
    let verdict = SegmentVerdict.of(found)
    // The table refuses a segment that nothing names.
    if verdict.status == LTP_OK, let position = scan.position { return position }
    let place = scan.offset + (garbage == nil ? 0 : UInt64(scan.fault?.offset ?? 0))
    throw OpenFault(
      verdict.status, text(verdict, scan, found), segment: index, offset: place, block: found.nextBlock ?? 0)
  }

  /// Copies what will be cut to "torn-SEGMENT-OFFSET.bin".
  private static func keepCopy<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, handle: Int32, from start: UInt64, to end: UInt64, as name: FileName
  ) throws(StorageFault) {
    // A copy that an interrupted recovery left may be short.
    do throws(StorageFault) { try device.remove(name) } catch {
      guard error.code == LTP_SYSTEM_ENOENT else { throw error }
    }
    let copy = try device.open(name, OpenMode(creates: true))
    defer { device.close(copy) }
    guard let buffer = ltp_system_map(SegmentReader.bufferBytes, 0) else {
      throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM)
    }
    defer { ltp_system_unmap(buffer, SegmentReader.bufferBytes) }
    var offset = start
    while offset < end {
      let count = try device.read(handle, into: buffer, count: SegmentReader.bufferBytes, offset: offset)
      if count == 0 { break }
      try device.write(copy, from: buffer, count: count, offset: offset - start)
      offset += UInt64(count)
    }
    try device.sync(copy)
    try device.syncDirectory()
  }

  /// Opens or makes the watermark, brings it up to what recovery read, and puts the chain's start together.
  static func goOn<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, position: ChainPosition, oldest: UInt64,
    mark: (logID: LogID, durableBlocks: UInt64)?, _ naming: ChainNaming
  ) throws(OpenFault) -> RecoveredChain {
    let isNew = mark == nil
    let handle: Int32
    do throws(StorageFault) {
      handle = try device.open(
        naming.name(of: isNew ? .preparedWatermark : .watermark), OpenMode(creates: isNew))
    } catch {
      throw OpenFault(error)
    }
    do throws(StorageFault) {
      // What it says already is not said again: a power loss could take it, and with it an empty log's name.
      if mark?.durableBlocks != position.blockIndex {
        try Watermark.write(
          &device, handle: handle, logID: position.logID, durableBlocks: position.blockIndex)
      }
      try device.sync(handle)
      if isNew {
        try device.rename(
          naming.name(of: .preparedWatermark), to: naming.name(of: .watermark), replaces: true)
        try device.syncDirectory()
      }
      return RecoveredChain(
        position: position, offset: 0, handle: nil, watermarkHandle: handle, oldestSegment: oldest,
        segmentBlocks: 0, segmentBytes: nil, cutSegment: 0, cutOffset: 0, cutBytes: 0)
    } catch {
      device.close(handle)
      throw OpenFault(error)
    }
  }
}
