// SPDX-License-Identifier: Apache-2.0
// Decision records are most of a trace, so they are written and read by words of 8 bytes rather than field by field.
// Which field lies where in a word follows from ltp_trace.h; include/layout.c asserts the orders that are relied on.

public import CLTP

/// What a decision record says of a decision beside times and ids: its first eight bytes and its shadow, each read at once.
@frozen
package struct DecisionWord {
  @usableFromInline let word: UInt64
  @usableFromInline let retryAndShadow: UInt32

  /// Nil when it is another kind of record.
  @inlinable
  @inline(__always)
  package init?(_ record: RecordView) {
    word = record.base.load(as: UInt64.self)
    retryAndShadow = record.base.load(
      fromByteOffset: LTP_AT_decision_record_retry_and_shadow, as: UInt32.self)
    guard byte(LTP_AT_decision_record_kind) == LTP_RECORD_DECISION else { return nil }
  }

  @inlinable
  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: word >> UInt64(offset * 8)) }

  @inlinable
  @inline(__always)
  package var outcome: Outcome { Outcome(rawValue: byte(LTP_AT_decision_record_outcome)) }

  /// LTP_INPUT_*.
  @inlinable
  @inline(__always)
  package var inputs: UInt16 {
    UInt16(truncatingIfNeeded: word >> UInt64(LTP_AT_decision_record_inputs * 8))
  }

  /// LTP_GATE_*: the limit that refused.
  @inlinable
  @inline(__always)
  package var gate: UInt8 { gateOf(inputs: inputs) }

  /// The rule wanted a valid token, and what the session showed was looked at.
  @inlinable
  @inline(__always)
  package var isContinuityAsked: Bool { continuityOf(inputs: inputs) != LTP_CONTINUITY_NOT_ASKED }

  /// Records that belong to this one follow it: REPLAY, TENANT, KEPT, in this order.
  @inlinable
  @inline(__always)
  package var hasFollowers: Bool { inputs & (LTP_INPUT_REPLAY | LTP_INPUT_TENANT | LTP_INPUT_KEPT) != 0 }

  @inlinable
  @inline(__always)
  package var actionClass: UInt8 { byte(LTP_AT_decision_record_action_class) }

  /// Continuity domain.
  @inlinable
  @inline(__always)
  package var domain: UInt8 { byte(LTP_AT_decision_record_domain) }

  @inlinable
  @inline(__always)
  package var priority: UInt8 { byte(LTP_AT_decision_record_priority) }

  /// What is shed first: priority * 256 + cohort.
  @inlinable
  @inline(__always)
  package var level: UInt16 { UInt16(priority) << 8 | UInt16(byte(LTP_AT_decision_record_cohort)) }

  /// Of a shadow policy; zero: there was none.
  @inlinable
  @inline(__always)
  package var shadow: Outcome {
    Outcome(rawValue: UInt8(truncatingIfNeeded: retryAndShadow >> UInt32(LTP_DECISION_SHADOW_SHIFT)))
  }

  @inlinable
  @inline(__always)
  package var retryAfterMilliseconds: UInt32 { retryAndShadow & UInt32(LTP_DECISION_RETRY_MASK) }

  /// The bits between the two, which mean nothing.
  @inlinable
  @inline(__always)
  package var hasOddRetry: Bool {
    retryAndShadow & ~(UInt32(LTP_DECISION_RETRY_MASK) | 0xFF << UInt32(LTP_DECISION_SHADOW_SHIFT)) != 0
  }
}

/// LTP_GATE_* in a decision's inputs.
@inlinable
@inline(__always)
package func gateOf(inputs: UInt16) -> UInt8 { UInt8(inputs >> UInt16(LTP_INPUT_GATE_SHIFT)) }

/// LTP_CONTINUITY_* in a decision's inputs.
@inlinable
@inline(__always)
package func continuityOf(inputs: UInt16) -> UInt16 { inputs & LTP_INPUT_CONTINUITY_MASK }

/// Public, because lanes inline it wherever they are inlined.
public enum DecisionRecord {
  /// Writes a whole ltp_decision_record in four stores instead of eleven; LTPAdmissionTests compares the two.
  ///
  /// `attributes`: action class, domain, priority and cohort, 8 bits each, the class lowest, as in the request. `retryAndShadow`:
  /// both in the upper 4 bytes, as retry_after is in the lower 8 bytes of the ltp_verdict.
  @inlinable
  @inline(__always)
  public static func store(
    outcome: UInt64, inputs: UInt64, attributes: UInt64, timeMicroseconds: UInt64,
    retryAndShadow: UInt64, frameID: UInt64, sessionID: UInt64, at record: UnsafeMutableRawPointer
  ) {
    let first =
      UInt64(LTP_RECORD_DECISION) &<< UInt64(LTP_AT_decision_record_kind * 8)
      | outcome &<< UInt64(LTP_AT_decision_record_outcome * 8)
      | inputs &<< UInt64(LTP_AT_decision_record_inputs * 8)
      | attributes &<< UInt64(LTP_AT_decision_record_action_class * 8)
    record.storeBytes(of: first, as: UInt64.self)
    record.storeBytes(
      of: timeMicroseconds | retryAndShadow, toByteOffset: LTP_AT_decision_record_time_us, as: UInt64.self)
    record.storeBytes(of: frameID, toByteOffset: LTP_AT_decision_record_frame_id, as: UInt64.self)
    record.storeBytes(of: sessionID, toByteOffset: LTP_AT_decision_record_session_id, as: UInt64.self)
  }
}
