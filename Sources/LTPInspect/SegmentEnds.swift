// SPDX-License-Identifier: Apache-2.0
// A sealed segment's first and last block, found without walking what lies between. The last one says between which times the
// segment's decisions lie, and what they come to. To a walk it is a hint, compared with the SEALED record once the chain has led there;
// who leaves the walk out relies on both blocks' own hashes, and says so.

import CLTP
import CLTPSystem
import LTPRecords

struct SegmentSpan: Equatable {
  var firstUnixNanoseconds: UInt64
  var lastUnixNanoseconds: UInt64
  var isEmpty: Bool

  init(_ sealed: UnsafePointer<ltp_sealed_record>) {
    firstUnixNanoseconds = sealed.pointee.first_unix_ns
    lastUnixNanoseconds = sealed.pointee.last_unix_ns
    isEmpty = sealed.pointee.decision_count == 0
  }
}

/// Reads the ends of segments. Memory: two blocks of the greatest size.
final class SegmentEnds {
  /// What a first and a last block usually fit in.
  private static let usualBytes = 64 << 10

  private let directory: TraceDirectory
  private let head = UnsafeMutableRawPointer.allocate(
    byteCount: BlockHeader.bytesMax, alignment: Int(LTP_TRACE_PAGE_BYTES))
  private let tail = UnsafeMutableRawPointer.allocate(
    byteCount: BlockHeader.bytesMax, alignment: Int(LTP_TRACE_PAGE_BYTES))

  init(_ directory: TraceDirectory) { self.directory = directory }

  deinit {
    head.deallocate()
    tail.deallocate()
  }

  /// Nil when the file does not end with a SEALED record: it is in use, its unused end was never cut, or it is damaged.
  func span(segment: UInt64) -> SegmentSpan? {
    withFile(segment) { descriptor, size in last(descriptor, size, segment).map { SegmentSpan($0.sealed) } }
  }

  /// Calls `body` with the first and the last block, and the last one's offset; nil when they are not there, or not right by their
  /// own hashes.
  func withBlocks<Result>(
    of segment: UInt64, _ body: (_ first: BlockHeader, _ last: BlockHeader, _ offset: UInt64) -> Result
  ) -> Result? {
    withFile(segment) { descriptor, size in
      guard let last = last(descriptor, size, segment), let first = first(descriptor, size, segment),
        (try? last.header.checkContent(available: last.header.sizeBytes)) != nil
      else { return nil }
      return body(first, last.header, size - UInt64(last.header.sizeBytes))
    }
  }

  /// The policy that a segment began under; nil: it has no first block that says so.
  func generation(segment: UInt64) -> UInt32? {
    withFile(segment) { descriptor, size in
      guard let first = first(descriptor, size, segment), first.laneID == UInt32(LTP_CONTROL_LANE) else {
        return nil
      }
      let record = RecordView(first.body, slot: 0)
      return record.kind == .segment ? record.segment.pointee.policy_generation : nil
    }
  }

  private func withFile<Result>(_ segment: UInt64, _ body: (Int32, UInt64) -> Result?) -> Result? {
    let name = SegmentName.text(segment)
    guard ltp_system_is_regular_at(directory.descriptor, name) == 1 else { return nil }
    let descriptor = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
    guard descriptor >= 0 else { return nil }
    defer { _ = ltp_system_close(descriptor) }
    let page = Int64(LTP_TRACE_PAGE_BYTES)
    let size = ltp_system_size(descriptor)
    guard size >= page, size % page == 0 else { return nil }
    return body(descriptor, UInt64(size))
  }

  // MARK: The first block

  private func first(_ descriptor: Int32, _ size: UInt64, _ segment: UInt64) -> BlockHeader? {
    let header = BlockHeader(head)
    var count = Int(min(size, UInt64(Self.usualBytes)))
    guard ltp_system_read_at(descriptor, head, count, 0) == Int64(count), (try? header.checkShape()) != nil
    else { return nil }
    if header.sizeBytes > count {
      guard UInt64(header.sizeBytes) <= size else { return nil }
      count = header.sizeBytes
      guard ltp_system_read_at(descriptor, head, count, 0) == Int64(count) else { return nil }
    }
    guard (try? header.checkContent(available: count)) != nil, header.segmentIndex == segment else {
      return nil
    }
    return header
  }

  // MARK: The last block

  private typealias Last = (header: BlockHeader, sealed: UnsafePointer<ltp_sealed_record>)

  private func last(_ descriptor: Int32, _ size: UInt64, _ segment: UInt64) -> Last? {
    for most in [Self.usualBytes, BlockHeader.bytesMax] {
      let count = Int(min(size, UInt64(most)))
      guard ltp_system_read_at(descriptor, tail, count, size - UInt64(count)) == Int64(count) else {
        return nil
      }
      switch lastBlock(in: count, segment: segment) {
      case .found(let last): return last
      case .none: return nil
      // It begins before what was read.
      case .notYet: continue
      }
    }
    return nil
  }

  private enum Search {
    case found(Last)
    case none
    case notYet
  }

  private func lastBlock(in count: Int, segment: UInt64) -> Search {
    var offset = count
    while offset >= Int(LTP_TRACE_PAGE_BYTES) {
      offset -= Int(LTP_TRACE_PAGE_BYTES)
      let header = BlockHeader(tail + offset)
      guard header.magic == LTP_BLOCK_MAGIC, (try? header.checkShape()) != nil else { continue }
      let sealedSlots = RecordKind.sealed.slotCount
      guard header.sizeBytes == count - offset, header.laneID == UInt32(LTP_CONTROL_LANE),
        header.segmentIndex == segment, header.slotCount >= sealedSlots
      else { return .none }
      let record = RecordView(header.body, slot: header.slotCount - sealedSlots)
      guard record.kind == .sealed, Int(record.control.pointee.slot_count) == sealedSlots else {
        return .none
      }
      return .found((header, record.sealed))
    }
    return .notYet
  }
}
