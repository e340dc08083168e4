// SPDX-License-Identifier: Apache-2.0
// A record where it lies in a block's body: its kind first, then its fields through the C structure. Slots are 32-byte
// aligned, so a structure is bound in place.
//
// Not `storeBytes` and `loadUnaligned`: their BitwiseCopyable conformance of imported C structures does not
// survive serialization of generic code in Embedded Swift 6.3 (the compiler stops with "Conformance ... not
// found in referenced module").

package import CLTP

/// Whoever asks for the fields of a kind has looked at the kind, and at how many slots are left.
@frozen
package struct RecordView {
  package let base: UnsafeRawPointer

  /// `base` is aligned as a slot of a block is: to 8 at least.
  @inlinable
  @inline(__always)
  package init(_ base: UnsafeRawPointer) {
    assert(UInt(bitPattern: base) % 8 == 0)
    self.base = base
  }

  /// The record that begins in slot `slot` of a body.
  @inlinable
  @inline(__always)
  package init(_ body: UnsafeRawPointer, slot: Int) { self.init(body + slot * Int(LTP_SLOT_BYTES)) }

  /// LTP_RECORD_*, or what no writer puts there.
  @inlinable
  @inline(__always)
  package var kindByte: UInt8 { base.load(as: UInt8.self) }

  /// Nil: it is not known.
  @inlinable
  @inline(__always)
  package var kind: RecordKind? { RecordKind(rawValue: kindByte) }

  @inlinable
  @inline(__always)
  package var isDecision: Bool { kindByte == LTP_RECORD_DECISION }

  @inlinable
  @inline(__always)
  func bound<Record>(to type: Record.Type) -> UnsafePointer<Record> { base.assumingMemoryBound(to: type) }

  // MARK: Of lanes

  @inlinable
  @inline(__always)
  package var decision: UnsafePointer<ltp_decision_record> { bound(to: ltp_decision_record.self) }
  package var replay: UnsafePointer<ltp_replay_record> { bound(to: ltp_replay_record.self) }
  package var observed: UnsafePointer<ltp_observed_record> { bound(to: ltp_observed_record.self) }
  package var unrecorded: UnsafePointer<ltp_unrecorded_record> { bound(to: ltp_unrecorded_record.self) }
  package var hello: UnsafePointer<ltp_hello_record> { bound(to: ltp_hello_record.self) }
  package var time: UnsafePointer<ltp_time_record> { bound(to: ltp_time_record.self) }
  package var tenant: UnsafePointer<ltp_tenant_record> { bound(to: ltp_tenant_record.self) }
  package var voided: UnsafePointer<ltp_voided_record> { bound(to: ltp_voided_record.self) }

  package var kept: UnsafePointer<ltp_kept_record> { bound(to: ltp_kept_record.self) }

  // MARK: Of the control lane

  /// What every control record starts with.
  package var control: UnsafePointer<ltp_control_header> { bound(to: ltp_control_header.self) }
  package var opened: UnsafePointer<ltp_opened_record> { bound(to: ltp_opened_record.self) }
  package var segment: UnsafePointer<ltp_segment_record> { bound(to: ltp_segment_record.self) }
  package var transition: UnsafePointer<ltp_transition_record> { bound(to: ltp_transition_record.self) }
  package var policy: UnsafePointer<ltp_policy_record> { bound(to: ltp_policy_record.self) }
  package var text: UnsafePointer<ltp_text_record> { bound(to: ltp_text_record.self) }
  package var sealed: UnsafePointer<ltp_sealed_record> { bound(to: ltp_sealed_record.self) }
  package var closed: UnsafePointer<ltp_closed_record> { bound(to: ltp_closed_record.self) }
  package var counts: UnsafePointer<ltp_counts_record> { bound(to: ltp_counts_record.self) }
  package var domains: UnsafePointer<ltp_domains_record> { bound(to: ltp_domains_record.self) }
  package var intent: UnsafePointer<ltp_intent_record> { bound(to: ltp_intent_record.self) }
  package var step: UnsafePointer<ltp_step_record> { bound(to: ltp_step_record.self) }
  package var deferral: UnsafePointer<ltp_deferral_record> { bound(to: ltp_deferral_record.self) }

  /// The record's time in microseconds since the block's base; nil where a record of this kind has none.
  package func timeMicroseconds(_ kind: RecordKind) -> UInt32? {
    switch kind {
    case .decision: decision.pointee.time_us
    case .observed: observed.pointee.time_us
    case .unrecorded: unrecorded.pointee.time_us
    case .hello: hello.pointee.time_us
    case .voided: voided.pointee.time_us
    case .replay, .time, .tenant, .kept: nil
    case .opened, .segment, .transition, .policy, .text, .sealed, .closed, .counts, .domains, .intent, .step,
      .deferral:
      control.pointee.time_us
    }
  }
}

extension ltp_decision_record {
  package var verdict: UInt8 { Outcome(rawValue: outcome).verdict }
  package var reason: UInt8 { Outcome(rawValue: outcome).reason }
  package var retryAfterMilliseconds: UInt32 { retry_and_shadow & UInt32(LTP_DECISION_RETRY_MASK) }
  package var shadow: Outcome {
    Outcome(rawValue: UInt8(truncatingIfNeeded: retry_and_shadow >> UInt32(LTP_DECISION_SHADOW_SHIFT)))
  }
}

extension UnsafePointer<ltp_transition_record> {
  /// `index` is below LTP_EVIDENCE_MAX.
  package func evidence(_ index: Int) -> UnsafePointer<ltp_evidence> {
    (UnsafeRawPointer(self) + LTP_AT_transition_record_evidence)
      .assumingMemoryBound(to: ltp_evidence.self) + index
  }

  /// The field, zeros included.
  package var text: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      start: UnsafeRawPointer(self) + LTP_AT_transition_record_text,
      count: LTP_END_transition_record_text - LTP_AT_transition_record_text)
  }

  /// Of the word that it brought, in full.
  package var numbers: EpochNumbers {
    EpochNumbers(epoch: pointee.epoch, continuityEpoch: pointee.continuity_epoch)
  }

  /// It was said before, and begins a segment.
  package var isRepeated: Bool { pointee.flags & LTP_TRANSITION_REPEATED != 0 }
}

extension UnsafePointer<ltp_policy_record> {
  /// It decided beside the policy of its generation.
  package var isShadow: Bool { pointee.policy_slot & LTP_POLICY_SHADOW != 0 }
  package var slot: UInt32 { pointee.policy_slot & ~LTP_POLICY_SHADOW }
  package var digest: Digest { Digest(from: UnsafeRawPointer(self) + LTP_AT_policy_record_digest) }

  package var policy: UnsafePointer<ltp_policy> {
    (UnsafeRawPointer(self) + LTP_AT_policy_record_policy).assumingMemoryBound(to: ltp_policy.self)
  }
}

extension UnsafeMutablePointer<ltp_policy_record> {
  /// Fills in everything but the digest and what it was made by.
  package func write(_ policy: UnsafePointer<ltp_policy>, generation: UInt32, slot: UInt8, isShadow: Bool) {
    let base = UnsafeMutableRawPointer(self)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<ltp_policy_record>.size)
    pointee.header = ltp_control_header(.policy)
    pointee.policy_generation = generation
    pointee.policy_slot = UInt32(slot) | (isShadow ? LTP_POLICY_SHADOW : 0)
    (base + LTP_AT_policy_record_policy).copyMemory(from: policy, byteCount: MemoryLayout<ltp_policy>.size)
  }

  /// Fills in the digest of the policy that was written, and its hash_id. False: it could not be computed (no memory).
  package func seal() -> Bool {
    let base = UnsafeMutableRawPointer(self)
    let policy = base + LTP_AT_policy_record_policy
    guard let digest = Digest(of: policy, count: MemoryLayout<ltp_policy>.size) else { return false }
    digest.store(to: base + LTP_AT_policy_record_digest)
    pointee.hash_id = LTP_HASH_SHA256
    return true
  }
}

extension UnsafePointer<ltp_text_record> {
  /// The field, zeros included.
  package var text: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      start: UnsafeRawPointer(self) + LTP_AT_text_record_text,
      count: LTP_END_text_record_text - LTP_AT_text_record_text)
  }
}

extension UnsafePointer<ltp_domains_record> {
  /// `index` is below LTP_DOMAINS_ENTRIES.
  package func entry(_ index: Int) -> UnsafePointer<ltp_domains_entry> {
    (UnsafeRawPointer(self) + LTP_AT_domains_record_entries)
      .assumingMemoryBound(to: ltp_domains_entry.self) + index
  }
}

extension UnsafePointer<ltp_counts_record> {
  /// `index` is below LTP_COUNTS_ENTRIES.
  package func entry(_ index: Int) -> UnsafePointer<ltp_counts_entry> {
    (UnsafeRawPointer(self) + LTP_AT_counts_record_entries)
      .assumingMemoryBound(to: ltp_counts_entry.self) + index
  }
}

/// Stores a record at an aligned address.
@inlinable
package func storeRecord<Record>(_ record: Record, at address: UnsafeMutableRawPointer) {
  address.assumingMemoryBound(to: Record.self).pointee = record
}

extension BlockHeader {
  /// Calls `body` with each record of a control block and its slot. Ends before what is no control record, or does not end within
  /// the block; returns the slot of that, or the block's end.
  @discardableResult
  package func forEachControlRecord(_ body: (RecordKind, RecordView, Int) -> Void) -> Int {
    var slot = 0
    while slot < slotCount {
      let record = RecordView(self.body, slot: slot)
      guard let kind = record.kind, kind.isControl, slot + kind.slotCount <= slotCount else { break }
      body(kind, record, slot)
      slot += kind.slotCount
    }
    return slot
  }
}
