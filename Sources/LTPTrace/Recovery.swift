// SPDX-License-Identifier: Apache-2.0
// Opening a trace for writing. What the end of each segment means is in SegmentVerdict's table; beside it, LTPTraceTests
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

public enum Recovery {
  /// Locks the trace and finds where to go on.
  public static func open<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, configuration: TraceConfiguration
  ) throws(TraceOpenFault) -> RecoveredLog {
    guard let counts = SegmentCounts() else { throw TraceOpenFault(LTP_ERROR_NO_MEMORY, "out of memory") }
    do throws(TraceOpenFault) {
      return try open(&storage, counts, configuration)
    } catch {
      counts.giveBack()
      throw error
    }
  }

  private static func open<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, _ counts: SegmentCounts, _ configuration: TraceConfiguration
  ) throws(TraceOpenFault) -> RecoveredLog {
    try lock(&storage, handle: nil, configuration)
    let found = try survey(&storage)
    let mark = try readWatermark(&storage, found)
    guard let last = found.last, let first = found.first else {
      return try begin(&storage, counts, mark: mark)
    }
    guard found.count - 1 == last - first else {
      throw TraceOpenFault(
        LTP_ERROR_TRACE_CORRUPT, "a segment between the first and the last is missing",
        segment: try missingSegment(&storage, first: first))
    }
    var scan = try scanSealed(&storage, first: first, last: last, mark: mark, configuration)
    scan = SegmentScan(position: scan.position, facts: scan.facts, counts: counts)
    return try openLast(&storage, index: last, first: first, scan: scan, counts, mark: mark, configuration)
  }

  // MARK: Steps

  static func lock<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, handle: Int32?, _ configuration: TraceConfiguration
  ) throws(TraceOpenFault) {
    // A dead owner's writes may still be under way; its descriptor, and so its lock, lives as long as they do.
    let pause: UInt64 = 1_000_000
    var waited: UInt64 = 0
    do throws(StorageFault) {
      while try !storage.lock(handle) {
        guard waited < configuration.lockWaitNanoseconds else {
          throw StorageFault(.lock, code: LTP_SYSTEM_EAGAIN)
        }
        storage.sleep(nanoseconds: pause)
        waited += pause
      }
    } catch {
      guard error.code == LTP_SYSTEM_EAGAIN else { throw openFault(error) }
      throw TraceOpenFault(
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
  private static func survey<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage
  ) throws(TraceOpenFault) -> Survey {
    do throws(StorageFault) {
      while true {
        var found = Survey()
        try storage.list { file in
          switch file {
          case .segment(let index):
            found.first = min(found.first ?? index, index)
            found.last = max(found.last ?? index, index)
            found.count += 1
          case .prepared(let index): found.prepared = index
          case .watermark: found.hasWatermark = true
          case .preparedWatermark: found.hasPreparedWatermark = true
          case .torn: break
          }
        }
        if let index = found.prepared {
          try storage.remove(.prepared(index))
        } else if found.hasPreparedWatermark {
          try storage.remove(.preparedWatermark)
        } else {
          // A name that is seen here may not be durable yet: the process before us could not say that it was.
          try storage.syncDirectory()
          return found
        }
      }
    } catch {
      throw openFault(error)
    }
  }

  private static func missingSegment<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, first: UInt64
  ) throws(TraceOpenFault) -> UInt64 {
    var index = first
    while true {
      do throws(StorageFault) {
        storage.close(try storage.open(.segment(index), create: false))
      } catch {
        if error.code == LTP_SYSTEM_ENOENT { return index }
        throw openFault(error)
      }
      index += 1
    }
  }

  private static func readWatermark<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, _ found: Survey
  ) throws(TraceOpenFault) -> (logID: LogID, durableBlocks: UInt64)? {
    guard found.hasWatermark else { return nil }
    do throws(StorageFault) {
      let handle = try storage.open(.watermark, create: false)
      defer { storage.close(handle) }
      let base = UnsafeMutableRawPointer.allocate(byteCount: Watermark.bytes, alignment: 8)
      defer { base.deallocate() }
      let count = try storage.read(handle, into: base, count: Watermark.bytes, offset: 0)
      guard let mark = Watermark.read(base, count: count) else {
        throw StorageFault(.read, code: 0)
      }
      return mark
    } catch {
      guard error.code == 0 else { throw openFault(error) }
      // A power loss while it was written can leave that. The blocks' own word about each other remains.
      if found.last != nil { return nil }
      throw TraceOpenFault(
        SegmentVerdict.withoutSegments(.damaged).status,
        "the file \"durable\" is damaged; move it away to open the trace without its word")
    }
  }

  /// A directory without segments.
  private static func begin<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, _ counts: SegmentCounts, mark: (logID: LogID, durableBlocks: UInt64)?
  ) throws(TraceOpenFault) -> RecoveredLog {
    if let mark, SegmentVerdict.withoutSegments(.blocks(mark.durableBlocks)) != .goesOn {
      throw TraceOpenFault(
        LTP_ERROR_TRACE_LOST, "no segment is left, but records were acknowledged as durable",
        block: mark.durableBlocks)
    }
    var logID = mark?.logID ?? LogID(low: 0, high: 0)
    if mark == nil {
      guard let random = storage.randomLogID() else {
        throw TraceOpenFault(LTP_ERROR_TRACE_IO, "the system gave no random bytes")
      }
      logID = random
    }
    let position = ChainPosition(logID: logID, segmentIndex: 0, blockIndex: 0, previousHash: Digest())
    return try goOn(&storage, position: position, facts: LogFacts(), counts, oldest: 0, mark: mark)
  }

  /// Checks every segment before the last one, or only the one before it when its end is all that is needed.
  private static func scanSealed<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, first: UInt64, last: UInt64, mark: (logID: LogID, durableBlocks: UInt64)?,
    _ configuration: TraceConfiguration
  ) throws(TraceOpenFault) -> SegmentScan {
    var scan = SegmentScan(position: nil, facts: LogFacts())
    var index = first
    if configuration.verifiesTailOnly, last > first { index = last - 1 }
    while index < last {
      var position = scan.position
      position?.segmentIndex = index
      scan = SegmentScan(position: position, facts: scan.facts)
      try scanWhole(&storage, index: index, mark: mark, &scan)
      index += 1
    }
    scan.position?.segmentIndex = last
    return scan
  }

  /// Scans a segment that must be sealed and whole.
  private static func scanWhole<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, index: UInt64, mark: (logID: LogID, durableBlocks: UInt64)?,
    _ scan: inout SegmentScan
  ) throws(TraceOpenFault) {
    let garbage: UInt64?
    do throws(StorageFault) {
      let handle = try storage.open(.segment(index), create: false)
      defer { storage.close(handle) }
      guard var reader = SegmentReader(handle: handle, size: try storage.size(handle)) else {
        throw StorageFault(.read, code: LTP_SYSTEM_ENOMEM)
      }
      try scan.run(&reader, segment: index, &storage)
      // A sealed one's unused end may not have been cut yet; then it holds zeros.
      garbage = try reader.firstNonZeroByte(from: scan.offset, &storage)
    } catch {
      throw openFault(error, segment: index)
    }
    let found = scan.findings(
      isLast: false, isFirstBlock: scan.position == nil, garbage: garbage, mark: mark)
    let verdict = SegmentVerdict.of(found)
    if verdict == .goesOn { return }
    let place = scan.fault.map { scan.offset + UInt64($0.offset) } ?? garbage ?? scan.offset
    throw TraceOpenFault(
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
