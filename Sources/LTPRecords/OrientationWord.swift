// SPDX-License-Identifier: Apache-2.0
// The orientation word: the 64 bits that a decision reads with one atomic load. Layout: ltp_trace.h.
// Zero is state UNKNOWN at epoch 0. Epoch and continuity epoch only grow within a log.

public import CLTP

public struct OrientationWord: Equatable, Sendable {
  public var rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  public init(
    state: UInt8, policySlot: UInt8, threshold: UInt8, continuityEpoch: UInt32, epoch: UInt32,
    scope: UInt8 = LTP_SCOPE_NONE
  ) {
    rawValue =
      UInt64(state & 0xF) << UInt64(LTP_WORD_STATE_SHIFT)
      | UInt64(policySlot & 0x3) << UInt64(LTP_WORD_POLICY_SLOT_SHIFT)
      | UInt64(threshold) << UInt64(LTP_WORD_THRESHOLD_SHIFT)
      | UInt64(continuityEpoch & UInt32(LTP_WORD_CONTINUITY_MASK)) << UInt64(LTP_WORD_CONTINUITY_SHIFT)
      | UInt64(scope & 0x3) << UInt64(LTP_WORD_SCOPE_SHIFT)
      | UInt64(epoch) << UInt64(LTP_WORD_EPOCH_SHIFT)
  }

  /// LTP_STATE_*, or `closed`.
  @inlinable
  public var state: UInt8 { UInt8(truncatingIfNeeded: rawValue >> UInt64(LTP_WORD_STATE_SHIFT)) & 0xF }

  /// Index of the policy in force in the core's slots, 0 to 3.
  @inlinable
  public var policySlot: UInt8 {
    UInt8(truncatingIfNeeded: rawValue >> UInt64(LTP_WORD_POLICY_SLOT_SHIFT)) & 0x3
  }

  /// Requests of a lower priority are not admitted, unless their class is exempt.
  @inlinable
  public var threshold: UInt8 {
    UInt8(truncatingIfNeeded: rawValue >> UInt64(LTP_WORD_THRESHOLD_SHIFT))
  }

  @inlinable
  public var continuityEpoch: UInt32 {
    UInt32(truncatingIfNeeded: rawValue >> UInt64(LTP_WORD_CONTINUITY_SHIFT))
      & UInt32(LTP_WORD_CONTINUITY_MASK)
  }

  /// LTP_SCOPE_*: whom the transition concerned that brought this word.
  @inlinable
  public var scope: UInt8 {
    UInt8(truncatingIfNeeded: rawValue >> UInt64(LTP_WORD_SCOPE_SHIFT)) & 0x3
  }

  @inlinable
  public var epoch: UInt32 { UInt32(truncatingIfNeeded: rawValue >> UInt64(LTP_WORD_EPOCH_SHIFT)) }

  /// Not a state of the protocol: the core is closing, and every lane denies without a record.
  @inlinable
  public static var closed: UInt8 { 0xF }
}
