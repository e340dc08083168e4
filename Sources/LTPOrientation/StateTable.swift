// SPDX-License-Identifier: Apache-2.0
// The state machine as a table: which state follows from which, under which condition. Nothing else decides it.

import CLTP

/// What all signals together say, the worst that holds.
public enum Condition: UInt8, CaseIterable, Sendable {
  /// Nothing was observed yet, or what must be observed has not been for too long.
  case nothing
  /// Everything is observed, and quiet.
  case clear
  case strained
  case saturated
  case unstable
  case failed
  /// Clear for as long as a recovery takes.
  case recovered
}

public enum StateTable {
  /// ? UNKNOWN, H HEALTHY, D DEGRADED, S SATURATED, U UNSTABLE, F FAILED, R RECOVERING.
  ///
  /// From UNSTABLE and FAILED, and from UNKNOWN, which may hide them, the way back is by RECOVERING alone. FAILED is
  /// left only because something was observed.
  private static func row(of state: UInt8) -> StaticString {
    switch state {
    //          nothing  clear  strained  saturated  unstable  failed  recovered
    case LTP_STATE_HEALTHY: "?  H  D  S  U  F  H"
    case LTP_STATE_DEGRADED: "?  H  D  S  U  F  H"
    case LTP_STATE_SATURATED: "?  H  D  S  U  F  H"
    case LTP_STATE_UNSTABLE: "?  R  R  R  U  F  R"
    case LTP_STATE_FAILED: "F  R  R  R  U  F  R"
    case LTP_STATE_RECOVERING: "?  R  R  R  U  F  H"
    default: "?  R  R  R  U  F  R"  // UNKNOWN
    }
  }

  public static func next(_ state: UInt8, _ condition: Condition) -> UInt8 {
    switch row(of: state).utf8Start[Int(condition.rawValue) * 3] {
    case UInt8(ascii: "H"): LTP_STATE_HEALTHY
    case UInt8(ascii: "D"): LTP_STATE_DEGRADED
    case UInt8(ascii: "S"): LTP_STATE_SATURATED
    case UInt8(ascii: "U"): LTP_STATE_UNSTABLE
    case UInt8(ascii: "F"): LTP_STATE_FAILED
    case UInt8(ascii: "R"): LTP_STATE_RECOVERING
    default: LTP_STATE_UNKNOWN
    }
  }

  /// How bad a state is: what is worse is entered at once, what is better after the dwell.
  static func severity(_ state: UInt8) -> Int {
    switch state {
    case LTP_STATE_HEALTHY: 0
    case LTP_STATE_DEGRADED: 1
    case LTP_STATE_SATURATED: 2
    case LTP_STATE_RECOVERING: 3
    case LTP_STATE_UNSTABLE: 4
    case LTP_STATE_FAILED: 6
    default: 5  // UNKNOWN
    }
  }
}
