// SPDX-License-Identifier: Apache-2.0
// The first eight bytes of a decision record, read at once: ltp_decision_record up to its reserved byte.

import CLTP
import LTPAdmission

struct DecisionWord {
  private let word: UInt64

  /// Nil when another kind of record begins at `record`.
  @inline(__always)
  init?(_ record: UnsafeRawPointer) {
    word = record.u64(0)
    guard UInt8(truncatingIfNeeded: word) == LTP_RECORD_DECISION else { return nil }
  }

  @inline(__always) var verdict: UInt8 { UInt8(truncatingIfNeeded: word >> 8) }
  @inline(__always) var reason: UInt8 { UInt8(truncatingIfNeeded: word >> 16) }
  @inline(__always) var inputs: UInt8 { UInt8(truncatingIfNeeded: word >> 24) }
  /// LTP_GATE_*: the limit that refused.
  @inline(__always) var gate: UInt8 { inputs >> LTP_INPUT_GATE_SHIFT }
  /// Of a shadow policy; zero: there was none.
  @inline(__always) var shadow: Outcome { Outcome(rawValue: UInt8(truncatingIfNeeded: word >> 56)) }
  /// Of the tables by class.
  @inline(__always) var column: Int { CountTable.column(UInt16(truncatingIfNeeded: word >> 32)) }
  @inline(__always) var priority: UInt8 { UInt8(truncatingIfNeeded: word >> 48) }
  /// A REPLAY record follows.
  @inline(__always) var isReplay: Bool { inputs & LTP_INPUT_REPLAY != 0 }
}
