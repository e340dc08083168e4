// SPDX-License-Identifier: Apache-2.0
// The checker's own count of a segment, and what the segment's summary says of it. Shares no code with the writer's.

import CLTP

struct SegmentTally {
  private struct Kind: Hashable {
    var state: UInt8
    var actionClass: UInt8
    var domain: UInt8
    var outcome: UInt8
    var gate: UInt8
  }

  private var counted: [Kind: UInt64] = [:]
  private var said: [Kind: UInt64] = [:]
  private var times: [UInt64] = []
  private var transitions: UInt64 = 0
  private var unrecorded: UInt64 = 0
  /// A COUNTS record with room came by, or SEALED.
  private var isOver = false
  private var isSaying = false

  /// So many different kinds of decisions.
  var kindCount: Int { counted.count }

  mutating func takeLane(_ block: UnsafeRawPointer, _ header: ltp_block_header) {
    var state = UInt8(header.orientation_word & 15)
    var base = header.base_unix_ns
    for slot in 0..<Int(header.slot_count) {
      let address = block + 256 + slot * 32
      switch address.load(as: UInt8.self) {
      case LTP_RECORD_OBSERVED:
        state = UInt8(address.load(as: ltp_observed_record.self).orientation_word & 15)
      case LTP_RECORD_TIME: base = address.load(as: ltp_time_record.self).base_unix_ns
      case LTP_RECORD_UNRECORDED: unrecorded += address.load(as: ltp_unrecorded_record.self).denied_count
      case LTP_RECORD_DECISION:
        let decision = address.load(as: ltp_decision_record.self)
        let isNamed = decision.action_class < 128 || decision.action_class == 0xFF
        let kind = Kind(
          state: state, actionClass: isNamed ? decision.action_class : 0xFE, domain: decision.domain,
          outcome: decision.outcome, gate: UInt8(decision.inputs >> 12))
        counted[kind, default: 0] += 1
        times.append(base + UInt64(decision.time_us) * 1000)
      default: break
      }
    }
  }

  mutating func takeControl(_ kind: UInt8, _ record: UnsafeRawPointer) throws(Violation) {
    guard kind == LTP_RECORD_COUNTS || kind == LTP_RECORD_SEALED || !isSaying else {
      throw Violation("record kind \(kind) in a summary")
    }
    switch kind {
    case LTP_RECORD_TRANSITION:
      if record.load(as: ltp_transition_record.self).flags == 0 { transitions += 1 }
    case LTP_RECORD_COUNTS: try takeCounts(record)
    case LTP_RECORD_SEALED: try compare(record.load(as: ltp_sealed_record.self))
    default: break
    }
  }

  private mutating func takeCounts(_ record: UnsafeRawPointer) throws(Violation) {
    isSaying = true
    let used = record.load(fromByteOffset: 8, as: UInt32.self)
    guard !isOver, (1...15).contains(used), record.load(fromByteOffset: 12, as: UInt32.self) == 0 else {
      throw Violation("counts: \(used) entries")
    }
    isOver = used < 15
    for index in 0..<15 {
      let address = record + 16 + index * 16
      guard index < Int(used) else {
        guard address.load(as: UInt64.self) == 0, address.load(fromByteOffset: 8, as: UInt64.self) == 0 else {
          throw Violation("counts: an entry that is not used")
        }
        continue
      }
      let entry = address.load(as: ltp_counts_entry.self)
      let kind = Kind(
        state: entry.state, actionClass: entry.action_class, domain: entry.domain, outcome: entry.outcome,
        gate: entry.gate)
      guard entry.count > 0, entry.reserved == (0, 0, 0), said.updateValue(entry.count, forKey: kind) == nil
      else { throw Violation("counts: entry \(index) for \(kind)") }
    }
  }

  private func compare(_ sealed: ltp_sealed_record) throws(Violation) {
    guard said == counted else { throw Violation("counts: \(said), not \(counted)") }
    guard sealed.counts_entries == UInt32(counted.count), sealed.reserved == 0 else {
      throw Violation("sealed: \(sealed.counts_entries) entries, not \(counted.count)")
    }
    guard sealed.first_unix_ns == times.min() ?? 0, sealed.last_unix_ns == times.max() ?? 0 else {
      throw Violation("sealed: times \(sealed.first_unix_ns) to \(sealed.last_unix_ns)")
    }
    guard sealed.transition_count == transitions, sealed.unrecorded_count == unrecorded else {
      throw Violation("sealed: \(sealed.transition_count) transitions, \(sealed.unrecorded_count) unrecorded")
    }
  }
}
