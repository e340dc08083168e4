// SPDX-License-Identifier: Apache-2.0
// Which records there are. Switched over without a `default:`, so that a new kind shows every place that must know it.
// LTPRecordsTests compares the list with the constants in ltp_trace.h.

package import CLTP

/// What a slot holds, by its first byte.
@frozen
package enum RecordKind: RawRepresentable, CaseIterable, Sendable {
  // Of lanes.
  case decision, replay, observed, unrecorded, hello, time, tenant, voided, kept
  // Of the control lane.
  case opened, segment, transition, policy, text, sealed, closed, counts, domains, intent, step, deferral

  /// `rawValue` is LTP_RECORD_*; nil for any other byte.
  @inlinable
  package init?(rawValue: UInt8) {
    switch rawValue {
    case LTP_RECORD_DECISION: self = .decision
    case LTP_RECORD_REPLAY: self = .replay
    case LTP_RECORD_OBSERVED: self = .observed
    case LTP_RECORD_UNRECORDED: self = .unrecorded
    case LTP_RECORD_HELLO: self = .hello
    case LTP_RECORD_TIME: self = .time
    case LTP_RECORD_TENANT: self = .tenant
    case LTP_RECORD_VOIDED: self = .voided
    case LTP_RECORD_KEPT: self = .kept
    case LTP_RECORD_OPENED: self = .opened
    case LTP_RECORD_SEGMENT: self = .segment
    case LTP_RECORD_TRANSITION: self = .transition
    case LTP_RECORD_POLICY: self = .policy
    case LTP_RECORD_TEXT: self = .text
    case LTP_RECORD_SEALED: self = .sealed
    case LTP_RECORD_CLOSED: self = .closed
    case LTP_RECORD_COUNTS: self = .counts
    case LTP_RECORD_DOMAINS: self = .domains
    case LTP_RECORD_INTENT: self = .intent
    case LTP_RECORD_STEP: self = .step
    case LTP_RECORD_DEFERRAL: self = .deferral
    default: return nil
    }
  }

  @inlinable
  package var rawValue: UInt8 {
    switch self {
    case .decision: LTP_RECORD_DECISION
    case .replay: LTP_RECORD_REPLAY
    case .observed: LTP_RECORD_OBSERVED
    case .unrecorded: LTP_RECORD_UNRECORDED
    case .hello: LTP_RECORD_HELLO
    case .time: LTP_RECORD_TIME
    case .tenant: LTP_RECORD_TENANT
    case .voided: LTP_RECORD_VOIDED
    case .kept: LTP_RECORD_KEPT
    case .opened: LTP_RECORD_OPENED
    case .segment: LTP_RECORD_SEGMENT
    case .transition: LTP_RECORD_TRANSITION
    case .policy: LTP_RECORD_POLICY
    case .text: LTP_RECORD_TEXT
    case .sealed: LTP_RECORD_SEALED
    case .closed: LTP_RECORD_CLOSED
    case .counts: LTP_RECORD_COUNTS
    case .domains: LTP_RECORD_DOMAINS
    case .intent: LTP_RECORD_INTENT
    case .step: LTP_RECORD_STEP
    case .deferral: LTP_RECORD_DEFERRAL
    }
  }

  /// How many bytes a record of this kind takes: that of its structure, whole slots.
  package var byteCount: Int {
    switch self {
    case .decision: MemoryLayout<ltp_decision_record>.size
    case .replay: MemoryLayout<ltp_replay_record>.size
    case .observed: MemoryLayout<ltp_observed_record>.size
    case .unrecorded: MemoryLayout<ltp_unrecorded_record>.size
    case .hello: MemoryLayout<ltp_hello_record>.size
    case .time: MemoryLayout<ltp_time_record>.size
    case .tenant: MemoryLayout<ltp_tenant_record>.size
    case .voided: MemoryLayout<ltp_voided_record>.size
    case .kept: MemoryLayout<ltp_kept_record>.size
    case .opened: MemoryLayout<ltp_opened_record>.size
    case .segment: MemoryLayout<ltp_segment_record>.size
    case .transition: MemoryLayout<ltp_transition_record>.size
    case .policy: MemoryLayout<ltp_policy_record>.size
    case .text: MemoryLayout<ltp_text_record>.size
    case .sealed: MemoryLayout<ltp_sealed_record>.size
    case .closed: MemoryLayout<ltp_closed_record>.size
    case .counts: MemoryLayout<ltp_counts_record>.size
    case .domains: MemoryLayout<ltp_domains_record>.size
    case .intent: MemoryLayout<ltp_intent_record>.size
    case .step: MemoryLayout<ltp_step_record>.size
    case .deferral: MemoryLayout<ltp_deferral_record>.size
    }
  }

  package var slotCount: Int { byteCount / Int(LTP_SLOT_BYTES) }

  /// Written by the writer itself, in the control lane; else by lanes. Its record starts with an ltp_control_header.
  package var isControl: Bool {
    switch self {
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant, .voided, .kept: false
    case .opened, .segment, .transition, .policy, .text, .sealed, .closed, .counts, .domains, .intent, .step,
      .deferral:
      true
    }
  }
}

extension ltp_control_header {
  /// Of a record of this kind; its time is the block's.
  package init(_ kind: RecordKind) {
    self.init()
    self.kind = kind.rawValue
    slot_count = UInt16(kind.slotCount)
  }
}
