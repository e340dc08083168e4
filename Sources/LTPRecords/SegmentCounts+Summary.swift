// SPDX-License-Identifier: Apache-2.0
// The summary that ends a full segment: COUNTS records, as many as the entries need, and SEALED after them, in one block.

import CLTP

extension SegmentCounts {
  /// How many slots a summary of so many entries takes.
  package static func summarySlots(entries: Int) -> Int {
    let perRecord = Int(LTP_COUNTS_ENTRIES)
    return (entries + perRecord - 1) / perRecord * RecordKind.counts.slotCount + RecordKind.sealed.slotCount
  }

  /// How many bytes the block of such a summary takes. `entries` is at most `entriesMax`.
  package static func summaryBytes(entries: Int) -> Int {
    BlockHeader.sizeBytes(slotCount: summarySlots(entries: entries))
  }

  /// Writes the summary of a segment of `blockCount` blocks into the body of `block`. Returns how many slots it has.
  package func writeSummary(blockCount: UInt64) -> Int {
    assert(checkInvariants())
    let body = block + Int(LTP_BLOCK_HEADER_BYTES)
    var slot = 0
    var written = 0
    while written < entryCount {
      let count = min(Int(LTP_COUNTS_ENTRIES), entryCount - written)
      writeCounts(from: written, count: count, at: body + slot * Int(LTP_SLOT_BYTES))
      written += count
      slot += RecordKind.counts.slotCount
    }
    var sealed = ltp_sealed_record()
    sealed.header = ltp_control_header(.sealed)
    sealed.block_count = blockCount
    sealed.decision_count = decisionCount
    sealed.first_unix_ns = firstUnixNanoseconds
    sealed.last_unix_ns = lastUnixNanoseconds
    sealed.transition_count = transitionCount
    sealed.unrecorded_count = unrecordedCount
    sealed.counts_entries = UInt32(entryCount)
    storeRecord(sealed, at: body + slot * Int(LTP_SLOT_BYTES))
    return slot + RecordKind.sealed.slotCount
  }

  private func writeCounts(from first: Int, count: Int, at address: UnsafeMutableRawPointer) {
    address.initializeMemory(as: UInt8.self, repeating: 0, count: RecordKind.counts.byteCount)
    let record = address.assumingMemoryBound(to: ltp_counts_record.self)
    record.pointee.header = ltp_control_header(.counts)
    record.pointee.entry_count = UInt32(count)
    (address + LTP_AT_counts_record_entries).copyMemory(
      from: entries + first, byteCount: count * MemoryLayout<ltp_counts_entry>.stride)
  }
}
