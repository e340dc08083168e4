// SPDX-License-Identifier: Apache-2.0
// Opening a chain for writing. What the end of each segment means is in SegmentVerdict's table; beside it, LTPTraceTests
// walks this one.
//
//   directory                         what is done
//   no segments, no watermark         a new log
//   segments, no sound watermark      made anew; what blocks say about those before them remains
//   a segment missing in between      refused (CORRUPT)
//   last segment sealed               go on in a new one
//   last segment ends in zeros        go on after its last block
//   something after its last block    a torn tail: a copy is kept beside the log, then it is cut
//
// Each step can be interrupted and done again: nothing is cut before its copy is on disk.

import CLTP
import CLTPSystem
import LTPRecords

public enum ChainRecovery {
  /// Locks the directory and the chain, and finds where to go on. `reader` is handed every block on the way, or, with
  /// `verifiesTailOnly`, those of the last two segments.
  public static func open<Device: StorageDevice & ~Copyable, Reader: BlockReader>(
    _ device: inout Device, configuration: ChainConfiguration, into reader: inout Reader
  ) throws(OpenFault) -> RecoveredChain {
    try lock(&device, handle: nil, configuration)
    let naming = configuration.naming
    let found = try survey(&device, naming)
    let mark = try readWatermark(&device, found, naming)
    guard let last = found.last, let first = found.first else {
      return try begin(&device, mark: mark, naming)
    }
    guard found.count - 1 == last - first else {
      throw OpenFault(
        LTP_ERROR_TRACE_CORRUPT, "a segment between the first and the last is missing",
        segment: try missingSegment(&device, first: first, naming))
    }
    let scan = try scanSealed(
      &device, first: first, last: last, mark: mark, configuration, into: &reader)
    return try openLast(
      &device, index: last, first: first,
      scan: SegmentScan(position: scan.position, claimedBlocks: scan.claimedBlocks), mark: mark,
      configuration, into: &reader)
  }

  // MARK: Steps

  static func lock<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, handle: Int32?, _ configuration: ChainConfiguration
  ) throws(OpenFault) {
    // A dead owner's writes may still be under way; its descriptor, and so its lock, lives as long as they do.
    let pause: UInt64 = 1_000_000
    var waited: UInt64 = 0
    do throws(StorageFault) {
      while try !device.lock(handle) {
        guard waited < configuration.lockWaitNanoseconds else {
          throw StorageFault(.lock, code: LTP_SYSTEM_EAGAIN)
        }
        device.sleep(nanoseconds: pause)
        waited += pause
      }
    } catch {
      guard error.code == LTP_SYSTEM_EAGAIN else { throw OpenFault(error) }
      throw OpenFault(
        LTP_ERROR_TRACE_LOCKED, "another process writes this trace; close it, or name another directory")
    }
  }

  struct Survey {
    var first: UInt64?
    var last: UInt64?
    var count: UInt64 = 0
    var hasWatermark = false
    var prepared: UInt64?
    var hasPreparedWatermark = false
  }

  /// What lies in the directory. Unfinished files are removed: nothing was ever acknowledged in them.
  private static func survey<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, _ naming: ChainNaming
  ) throws(OpenFault) -> Survey {
    do throws(StorageFault) {
      while true {
        var found = Survey()
        try device.list { name in
          switch naming.file(named: name) {
          case .segment(let index):
            found.first = min(found.first ?? index, index)
            found.last = max(found.last ?? index, index)
            found.count += 1
          case .prepared(let index): found.prepared = index
          case .watermark: found.hasWatermark = true
          case .preparedWatermark: found.hasPreparedWatermark = true
          case .torn, nil: break
          }
        }
        if let index = found.prepared {
          try device.remove(naming.name(of: .prepared(index)))
        } else if found.hasPreparedWatermark {
          try device.remove(naming.name(of: .preparedWatermark))
        } else {
          // A name that is seen here may not be durable yet: the process before us could not say that it was.
          try device.syncDirectory()
          return found
        }
      }
    } catch {
      throw OpenFault(error)
    }
  }

  private static func missingSegment<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, first: UInt64, _ naming: ChainNaming
  ) throws(OpenFault) -> UInt64 {
    var index = first
    while true {
      do throws(StorageFault) {
        device.close(try device.open(naming.name(of: .segment(index)), OpenMode(holdsBlocks: true)))
      } catch {
        if error.code == LTP_SYSTEM_ENOENT { return index }
        throw OpenFault(error)
      }
      index += 1
    }
  }

  private static func readWatermark<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, _ found: Survey, _ naming: ChainNaming
  ) throws(OpenFault) -> (logID: LogID, durableBlocks: UInt64)? {
    guard found.hasWatermark else { return nil }
    do throws(StorageFault) {
      let handle = try device.open(naming.name(of: .watermark), OpenMode())
      defer { device.close(handle) }
      let base = UnsafeMutableRawPointer.allocate(byteCount: Watermark.bytes, alignment: 8)
      defer { base.deallocate() }
      let count = try device.read(handle, into: base, count: Watermark.bytes, offset: 0)
      guard let mark = Watermark.read(base, count: count) else {
        throw StorageFault(.read, code: 0)
      }
      return mark
    } catch {
      guard error.code == 0 else { throw OpenFault(error) }
      // A power loss while it was written can leave that. The blocks' own word about each other remains.
      if found.last != nil { return nil }
      throw OpenFault(
        SegmentVerdict.withoutSegments(.damaged).status,
        "the file \"durable\" is damaged; move it away to open the trace without its word")
    }
  }

  /// A directory without segments.
  private static func begin<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, mark: (logID: LogID, durableBlocks: UInt64)?, _ naming: ChainNaming
  ) throws(OpenFault) -> RecoveredChain {
    if let mark, SegmentVerdict.withoutSegments(.blocks(mark.durableBlocks)) != .goesOn {
      throw OpenFault(
        LTP_ERROR_TRACE_LOST, "no segment is left, but records were acknowledged as durable",
        block: mark.durableBlocks)
    }
    var logID = mark?.logID ?? LogID(low: 0, high: 0)
    if mark == nil {
      guard let random = device.randomLogID() else {
        throw OpenFault(LTP_ERROR_TRACE_IO, "the system gave no random bytes")
      }
      logID = random
    }
    let position = ChainPosition(logID: logID, segmentIndex: 0, blockIndex: 0, previousHash: Digest())
    return try goOn(&device, position: position, oldest: 0, mark: mark, naming)
  }

  /// Checks every segment before the last one, or only the one before it when its end is all that is needed.
  private static func scanSealed<Device: StorageDevice & ~Copyable, Reader: BlockReader>(
    _ device: inout Device, first: UInt64, last: UInt64, mark: (logID: LogID, durableBlocks: UInt64)?,
    _ configuration: ChainConfiguration, into reader: inout Reader
  ) throws(OpenFault) -> SegmentScan {
    var scan = SegmentScan(position: nil)
    var index = first
    if configuration.verifiesTailOnly, last > first { index = last - 1 }
    while index < last {
      var position = scan.position
      position?.segmentIndex = index
      scan = SegmentScan(position: position, claimedBlocks: scan.claimedBlocks)
      try scanWhole(&device, index: index, mark: mark, &scan, configuration.naming, into: &reader)
      index += 1
    }
    scan.position?.segmentIndex = last
    return scan
  }

  /// Scans a segment that must be sealed and whole.
  private static func scanWhole<Device: StorageDevice & ~Copyable, Reader: BlockReader>(
    _ device: inout Device, index: UInt64, mark: (logID: LogID, durableBlocks: UInt64)?,
    _ scan: inout SegmentScan, _ naming: ChainNaming, into reader: inout Reader
  ) throws(OpenFault) {
    let garbage: UInt64?
    do throws(StorageFault) {
      let handle = try device.open(naming.name(of: .segment(index)), OpenMode(holdsBlocks: true))
      defer { device.close(handle) }
      guard var segment = SegmentReader(handle: handle, size: try device.size(handle)) else {
        throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM)
      }
      try scan.run(&segment, index: index, isLast: false, into: &reader, &device)
      // A sealed one's unused end may not have been cut yet; then it holds zeros.
      garbage = try segment.firstNonZeroByte(from: scan.offset, &device)
    } catch {
      throw OpenFault(error, segment: index)
    }
    let found = scan.findings(
      isLast: false, isFirstBlock: scan.position == nil, garbage: garbage, mark: mark)
    let verdict = SegmentVerdict.of(found)
    if verdict == .goesOn { return }
    let place = scan.fault.map { scan.offset + UInt64($0.offset) } ?? garbage ?? scan.offset
    throw OpenFault(
      verdict.status, text(verdict, scan, found), segment: index, offset: place,
      block: scan.position?.blockIndex ?? 0)
  }

  /// What a refusal says.
  static func text(
    _ verdict: SegmentVerdict, _ scan: SegmentScan, _ found: SegmentFindings
  ) -> StaticString {
    if found.isLast, found.watermark == .ofAnotherLog { return "the file \"durable\" is of another log" }
    if verdict == .lost {
      return found.isLast
        ? "the log ends before records that were acknowledged as durable"
        : "a segment before the last one is empty, and its records were acknowledged as durable"
    }
    if found.end != .zeros, let fault = scan.fault { return fault.text }
    if found.isLast {
      return found.nextBlock == nil
        ? "the only segment does not begin with a block" : "a durable block is damaged"
    }
    if found.end == .bytes { return "a byte after a sealed segment's last block is not zero" }
    return found.hasBlocks
      ? "a segment before the last one does not end with its seal" : "a segment before the last one is empty"
  }
}
