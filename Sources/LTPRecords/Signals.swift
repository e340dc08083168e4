// SPDX-License-Identifier: Apache-2.0
//
// Which numbers are signals: observations, and the core's own.

public import CLTP

/// One that a host may push or publish.
package func isObservation(_ signal: UInt8) -> Bool {
  signal != LTP_SIGNAL_NONE && signal <= UInt8(LTP_OBSERVATION_COUNT)
}

/// One that exists.
package func isSignal(_ signal: UInt8) -> Bool {
  let own = Int(signal) - Int(LTP_SIGNAL_OWN_FIRST)
  return isObservation(signal) || (0..<Int(LTP_SIGNAL_OWN_COUNT)).contains(own)
}

extension ltp_evidence {
  /// LTP_OK for a fact that can be published, or what is wrong with it.
  public var status: Int32 {
    guard isSignal(signal) else { return LTP_ERROR_UNKNOWN_SIGNAL }
    return reserved.0 | reserved.1 | reserved.2 == 0 ? LTP_OK : LTP_ERROR_OPTION_RANGE
  }
}
