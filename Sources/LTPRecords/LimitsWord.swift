// SPDX-License-Identifier: Apache-2.0
// What the limits add to the orientation, in one word that lanes pick up with the clock's next tick. Layout: ltp_trace.h.

public import CLTP

@frozen
public struct LimitsWord: Equatable, Sendable {
  public var rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public init(shedLevel: UInt16, retryFloorMilliseconds: UInt32, concurrency: Int, isContended: Bool) {
    rawValue =
      UInt64(shedLevel) << UInt64(LTP_LIMITS_WORD_SHED_SHIFT)
      | UInt64(min(retryFloorMilliseconds, UInt32(LTP_RETRY_AFTER_MS_MAX)))
      << UInt64(LTP_LIMITS_WORD_RETRY_SHIFT)
      | UInt64(min(max(concurrency, 0), Int(LTP_CONCURRENCY_MAX)))
      << UInt64(LTP_LIMITS_WORD_CONCURRENCY_SHIFT)
      | (isContended ? 1 << UInt64(LTP_LIMITS_WORD_CONTENDED_SHIFT) : 0)
  }

  /// Requests whose priority * 256 + cohort is below it are shed.
  @inlinable
  public var shedLevel: UInt16 { UInt16(truncatingIfNeeded: rawValue >> UInt64(LTP_LIMITS_WORD_SHED_SHIFT)) }

  @inlinable
  public var retryFloorMilliseconds: UInt32 {
    UInt32(truncatingIfNeeded: rawValue >> UInt64(LTP_LIMITS_WORD_RETRY_SHIFT)) & 0x3F_FFFF
  }

  /// 0: none.
  @inlinable
  public var concurrency: UInt16 {
    UInt16(truncatingIfNeeded: rawValue >> UInt64(LTP_LIMITS_WORD_CONCURRENCY_SHIFT))
  }

  /// Tenants keep to their rate.
  @inlinable
  public var isContended: Bool { rawValue >> UInt64(LTP_LIMITS_WORD_CONTENDED_SHIFT) & 1 != 0 }

  /// Bits that mean nothing are zero.
  public var isWellFormed: Bool {
    rawValue >> UInt64(LTP_LIMITS_WORD_CONTENDED_SHIFT + 1) == 0
      && retryFloorMilliseconds <= UInt32(LTP_RETRY_AFTER_MS_MAX)
  }
}
