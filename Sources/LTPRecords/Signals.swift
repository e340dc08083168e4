// SPDX-License-Identifier: Apache-2.0
//
// Which numbers are signals: observations, and the core's own.

import CLTP

/// One that a host may push or publish.
package func isObservation(_ signal: UInt8) -> Bool {
  signal != LTP_SIGNAL_NONE && signal <= UInt8(LTP_OBSERVATION_COUNT)
}

/// One that exists.
package func isSignal(_ signal: UInt8) -> Bool {
  let own = Int(signal) - Int(LTP_SIGNAL_OWN_FIRST)
  return isObservation(signal) || (0..<Int(LTP_SIGNAL_OWN_COUNT)).contains(own)
}
