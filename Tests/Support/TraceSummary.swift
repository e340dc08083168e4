// SPDX-License-Identifier: Apache-2.0
// The summary of a segment as TraceBuilder writes it. Counts for itself, so that the builder and the writer check each other.

package import CLTP

/// What a segment's blocks come to.
package struct TraceSummary {
  private struct Kind: Hashable {
    var state: UInt8
    var actionClass: UInt8
    var domain: UInt8
    var outcome: UInt8
    var gate: UInt8
  }

  /// In the order in which they first came.
  private var kinds: [Kind] = []
  private var counts: [Kind: UInt64] = [:]
  private var times: [UInt64] = []
  private var transitions: UInt64 = 0
  private var unrecorded: UInt64 = 0

  package init() {}

  package mutating func addLane(_ slots: [UInt8], word: UInt64, baseUnix: UInt64) {
    var state = UInt8(word & 15)
    var base = baseUnix
    slots.withUnsafeBytes { bytes in
      for offset in stride(from: 0, to: bytes.count, by: 32) {
        func load<Record>(_ type: Record.Type) -> Record {
          bytes.loadUnaligned(fromByteOffset: offset, as: type)
        }
        switch bytes[offset] {
        case LTP_RECORD_DECISION: add(load(ltp_decision_record.self), state: state, base: base)
        case LTP_RECORD_OBSERVED: state = UInt8(load(ltp_observed_record.self).orientation_word & 15)
        case LTP_RECORD_TIME: base = load(ltp_time_record.self).base_unix_ns
        case LTP_RECORD_UNRECORDED: unrecorded &+= load(ltp_unrecorded_record.self).denied_count
        default: break
        }
      }
    }
  }

  private mutating func add(_ record: ltp_decision_record, state: UInt8, base: UInt64) {
    let isNamed = record.action_class < LTP_CLASS_COUNT || record.action_class == LTP_CLASS_NONE
    let kind = Kind(
      state: state, actionClass: isNamed ? record.action_class : LTP_COUNTS_CLASS_UNKNOWN,
      domain: record.domain, outcome: record.outcome, gate: UInt8(record.inputs >> 12))
    if counts.updateValue(counts[kind, default: 0] + 1, forKey: kind) == nil { kinds.append(kind) }
    times.append(base &+ UInt64(record.time_us) &* 1000)
  }

  /// Records of the control lane, by their own slot counts.
  package mutating func addControl(_ slots: [UInt8]) {
    var offset = 0
    while offset + 32 <= slots.count {
      if slots[offset] == LTP_RECORD_TRANSITION, slots.count >= offset + 256,
        slots[offset + LTP_AT_transition_record_flags] == 0
      {
        transitions += 1
      }
      let slotCount = Int(slots[offset + 2]) | Int(slots[offset + 3]) << 8
      offset += max(1, slotCount) * 32
    }
  }

  /// The records that end the segment.
  package func records(blocks: UInt64) -> (counts: [ltp_counts_record], sealed: ltp_sealed_record) {
    var records: [ltp_counts_record] = []
    for start in stride(from: 0, to: kinds.count, by: 15) {
      let part = kinds[start..<min(start + 15, kinds.count)]
      var record = ltp_counts_record()
      record.header = Records.header(.counts)
      record.entry_count = UInt32(part.count)
      withUnsafeMutableBytes(of: &record.entries) { bytes in
        let entries = bytes.bindMemory(to: ltp_counts_entry.self)
        for (index, kind) in part.enumerated() {
          entries[index].count = counts[kind]!
          entries[index].action_class = kind.actionClass
          entries[index].domain = kind.domain
          entries[index].state = kind.state
          entries[index].outcome = kind.outcome
          entries[index].gate = kind.gate
        }
      }
      records.append(record)
    }
    var sealed = ltp_sealed_record()
    sealed.header = Records.header(.sealed)
    sealed.block_count = blocks
    sealed.decision_count = UInt64(times.count)
    sealed.first_unix_ns = times.min() ?? 0
    sealed.last_unix_ns = times.max() ?? 0
    sealed.transition_count = transitions
    sealed.unrecorded_count = unrecorded
    sealed.counts_entries = UInt32(kinds.count)
    return (records, sealed)
  }
}
