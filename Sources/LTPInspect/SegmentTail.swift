// SPDX-License-Identifier: Apache-2.0
// Between which times a sealed segment's decisions lie, from the last block of its file, before the segment is walked. It is a hint:
// nothing is hashed here. Whoever relies on it compares it with the SEALED record once the chain has led there.

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

/// Reads the ends of segments. Memory: one block of the greatest size.
final class SegmentTail {
  private let directory: TraceDirectory
  private let memory = UnsafeMutableRawPointer.allocate(
    byteCount: BlockHeader.bytesMax, alignment: Int(LTP_TRACE_PAGE_BYTES))

  init(_ directory: TraceDirectory) { self.directory = directory }

  deinit { memory.deallocate() }

  /// Nil when the file does not end with a SEALED record: it is in use, its unused end was never cut, or it is damaged.
  func span(segment: UInt64) -> SegmentSpan? {
    let name = SegmentName.text(segment)
    guard ltp_system_is_regular_at(directory.descriptor, name) == 1 else { return nil }
    let descriptor = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
    guard descriptor >= 0 else { return nil }
    defer { _ = ltp_system_close(descriptor) }
    let page = Int64(LTP_TRACE_PAGE_BYTES)
    let size = ltp_system_size(descriptor)
    guard size >= page, size % page == 0 else { return nil }
    let wanted = Int(min(size, Int64(BlockHeader.bytesMax)))
    let got = ltp_system_read_at(descriptor, memory, wanted, UInt64(size) - UInt64(wanted))
    guard got == Int64(wanted) else { return nil }
    return span(in: wanted, segment: segment)
  }

  private func span(in count: Int, segment: UInt64) -> SegmentSpan? {
    var offset = count
    while offset >= Int(LTP_TRACE_PAGE_BYTES) {
      offset -= Int(LTP_TRACE_PAGE_BYTES)
      let header = BlockHeader(memory + offset)
      guard header.magic == LTP_BLOCK_MAGIC, (try? header.checkShape()) != nil else { continue }
      let sealedSlots = RecordKind.sealed.slotCount
      guard header.sizeBytes == count - offset, header.laneID == UInt32(LTP_CONTROL_LANE),
        header.segmentIndex == segment, header.slotCount >= sealedSlots
      else { return nil }
      let record = RecordView(header.body, slot: header.slotCount - sealedSlots)
      guard record.kind == .sealed, Int(record.control.pointee.slot_count) == sealedSlots else { return nil }
      return SegmentSpan(record.sealed)
    }
    return nil
  }
}
