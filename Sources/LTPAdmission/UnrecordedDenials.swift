// SPDX-License-Identifier: Apache-2.0
// Denials that a lane counts instead of recording each: by reason, until the trace has room to say how many they were.

import CLTP

struct UnrecordedDenials {
  /// By LTP_REASON_*.
  private var counts = InlineArray<64, UInt64>(repeating: 0)
  /// Bit n: reason n has a count.
  private var reasons: UInt64 = 0

  mutating func count(_ reason: UInt8) {
    counts[Int(reason & LTP_OUTCOME_REASON_MASK)] &+= 1
    reasons |= 1 << UInt64(reason & LTP_OUTCOME_REASON_MASK)
  }

  /// The lowest reason that has a count.
  var first: UInt8? { reasons == 0 ? nil : UInt8(reasons.trailingZeroBitCount) }

  subscript(_ reason: UInt8) -> UInt64 { counts[Int(reason & LTP_OUTCOME_REASON_MASK)] }

  mutating func clear(_ reason: UInt8) {
    counts[Int(reason & LTP_OUTCOME_REASON_MASK)] = 0
    reasons &= ~(1 << UInt64(reason & LTP_OUTCOME_REASON_MASK))
  }
}
