// SPDX-License-Identifier: Apache-2.0
// Which bytes of a record must be zero. A test measures the structures and compares them with this table.

import CLTP

extension RecordKind {
  /// Where its reserved bytes lie, in ascending order; the rest are empty.
  package var reservedRanges: InlineArray<3, Range<Int>> {
    let none = 0..<0
    // The one reserved byte of ltp_control_header, which every control record starts with.
    let header = LTP_AT_control_header_reserved..<LTP_END_control_header_reserved
    return switch self {
    case .decision, .hello, .kept: [none, none, none]
    case .replay:
      [LTP_AT_replay_record_reserved..<LTP_END_replay_record_reserved, none, none]
    case .observed: [LTP_AT_observed_record_reserved..<LTP_END_observed_record_reserved, none, none]
    case .unrecorded:
      [
        LTP_AT_unrecorded_record_reserved..<LTP_END_unrecorded_record_reserved,
        LTP_AT_unrecorded_record_reserved_2..<LTP_END_unrecorded_record_reserved_2,
        LTP_AT_unrecorded_record_reserved_3..<LTP_END_unrecorded_record_reserved_3,
      ]
    case .voided:
      [
        LTP_AT_voided_record_reserved..<LTP_END_voided_record_reserved,
        LTP_AT_voided_record_reserved_2..<LTP_END_voided_record_reserved_2,
        LTP_AT_voided_record_reserved_3..<LTP_END_voided_record_reserved_3,
      ]
    case .time:
      [
        LTP_AT_time_record_reserved..<LTP_END_time_record_reserved,
        LTP_AT_time_record_reserved_2..<LTP_END_time_record_reserved_2, none,
      ]
    case .tenant:
      [
        LTP_AT_tenant_record_reserved..<LTP_END_tenant_record_reserved,
        LTP_AT_tenant_record_reserved_2..<LTP_END_tenant_record_reserved_2,
        LTP_AT_tenant_record_reserved_3..<LTP_END_tenant_record_reserved_3,
      ]
    case .opened: [header, LTP_AT_opened_record_reserved..<LTP_END_opened_record_reserved, none]
    case .segment: [header, LTP_AT_segment_record_reserved..<LTP_END_segment_record_reserved, none]
    case .transition:
      [
        header, LTP_AT_transition_record_reserved_2..<LTP_END_transition_record_reserved_2, none,
      ]
    case .policy: [header, LTP_AT_policy_record_reserved..<LTP_END_policy_record_reserved, none]
    case .text: [header, none, none]
    case .sealed: [header, LTP_AT_sealed_record_reserved..<LTP_END_sealed_record_reserved, none]
    // Those of its entries depend on how many are used: `ltp inspect` looks at each.
    case .counts: [header, LTP_AT_counts_record_reserved..<LTP_END_counts_record_reserved, none]
    case .domains: [header, LTP_AT_domains_record_reserved..<LTP_END_domains_record_reserved, none]
    case .intent:
      [
        header, LTP_AT_intent_record_reserved..<LTP_END_intent_record_reserved,
        LTP_AT_intent_record_reserved_2..<LTP_END_intent_record_reserved_2,
      ]
    case .step:
      [
        header, LTP_AT_step_record_reserved..<LTP_END_step_record_reserved,
        LTP_AT_step_record_reserved_2..<LTP_END_step_record_reserved_2,
      ]
    case .deferral:
      [
        header, LTP_AT_deferral_record_reserved..<LTP_END_deferral_record_reserved,
        LTP_AT_deferral_record_reserved_2..<LTP_END_deferral_record_reserved_2,
      ]
    case .closed: [header, LTP_AT_closed_record_reserved..<LTP_END_closed_record_reserved, none]
    }
  }

  /// Offset of the first reserved byte of the record that is not zero.
  package func reservedFault(_ record: RecordView) -> Int? {
    let ranges = reservedRanges
    for index in ranges.indices {
      let range = ranges[index]
      if let offset = firstNonZero(record.base, from: range.lowerBound, to: range.upperBound) {
        return offset
      }
    }
    return nil
  }
}
