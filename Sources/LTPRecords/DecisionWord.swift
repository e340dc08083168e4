// SPDX-License-Identifier: Apache-2.0
// Decision records are most of a trace, so they are written and read by words of 8 bytes rather than field by field.
// Which field lies where in a word follows from ltp_trace.h; include/layout.c asserts the orders that are relied on.

public import CLTP

/// The first eight bytes of a decision record, read at once: kind, verdict, reason, inputs, class, priority, shadow.
@frozen
package struct DecisionWord {
  @usableFromInline let word: UInt64

  /// Nil when it is another kind of record.
  @inlinable
  @inline(__always)
  package init?(_ record: RecordView) {
    word = record.base.load(as: UInt64.self)
    guard byte(LTP_AT_decision_record_kind) == LTP_RECORD_DECISION else { return nil }
  }

  @inlinable
  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: word >> UInt64(offset * 8)) }

  @inlinable
  @inline(__always)
  package var verdict: UInt8 { byte(LTP_AT_decision_record_verdict) }

  @inlinable
  @inline(__always)
  package var reason: UInt8 { byte(LTP_AT_decision_record_reason) }

  /// LTP_INPUT_*.
  @inlinable
  @inline(__always)
  package var inputs: UInt8 { byte(LTP_AT_decision_record_inputs) }

  /// LTP_GATE_*: the limit that refused.
  @inlinable
  @inline(__always)
  package var gate: UInt8 { inputs >> LTP_INPUT_GATE_SHIFT }

  /// A REPLAY record follows.
  @inlinable
  @inline(__always)
  package var isReplay: Bool { inputs & LTP_INPUT_REPLAY != 0 }

  @inlinable
  @inline(__always)
  package var actionClass: UInt16 {
    UInt16(truncatingIfNeeded: word >> UInt64(LTP_AT_decision_record_action_class * 8))
  }

  @inlinable
  @inline(__always)
  package var priority: UInt8 { byte(LTP_AT_decision_record_priority) }

  /// Of a shadow policy; zero: there was none.
  @inlinable
  @inline(__always)
  package var shadow: Outcome { Outcome(rawValue: byte(LTP_AT_decision_record_shadow)) }
}

/// Public, because lanes inline it wherever they are inlined.
public enum DecisionRecord {
  /// Writes a whole ltp_decision_record in four stores instead of eleven; LTPAdmissionTests compares the two.
  ///
  /// `verdictHigh`: the upper 8 bytes of the ltp_verdict, in which verdict and reason stand side by side as they do in the
  /// record. `classAndPriority`: action class (16 bits), above it priority (8) and the shadow's outcome (8). `retry`:
  /// retry_after_ms in the upper 4 bytes, as in the lower 8 bytes of the ltp_verdict.
  @inlinable
  @inline(__always)
  public static func store(
    verdictHigh: UInt64, inputs: UInt64, classAndPriority: UInt64, timeMicroseconds: UInt64, retry: UInt64,
    frameID: UInt64, sessionID: UInt64, at record: UnsafeMutableRawPointer
  ) {
    // From the verdict's place in its upper word to that in the record; the mask leaves it and the reason.
    let fromVerdict = UInt64((LTP_AT_verdict_verdict - 8 - LTP_AT_decision_record_verdict) * 8)
    let outcomeMask: UInt64 = 0xFFFF &<< UInt64(LTP_AT_decision_record_verdict * 8)
    let first =
      UInt64(LTP_RECORD_DECISION) &<< UInt64(LTP_AT_decision_record_kind * 8)
      | (verdictHigh &>> fromVerdict & outcomeMask)
      | inputs &<< UInt64(LTP_AT_decision_record_inputs * 8)
      | classAndPriority &<< UInt64(LTP_AT_decision_record_action_class * 8)
    record.storeBytes(of: first, as: UInt64.self)
    record.storeBytes(
      of: timeMicroseconds | retry, toByteOffset: LTP_AT_decision_record_time_us, as: UInt64.self)
    record.storeBytes(of: frameID, toByteOffset: LTP_AT_decision_record_frame_id, as: UInt64.self)
    record.storeBytes(of: sessionID, toByteOffset: LTP_AT_decision_record_session_id, as: UInt64.self)
  }
}
