// SPDX-License-Identifier: Apache-2.0
// ltp.h: continuity domains. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CLTP
import LTPCore

@c @implementation
public func ltp_transport_event(_ core: OpaquePointer!, _ domain: UInt8, _ event: UInt8) -> Int32 {
  withCore(core) { core in
    switch event {
    case LTP_TRANSPORT_CONNECTED, LTP_TRANSPORT_DISCONNECTED, LTP_TRANSPORT_RESTARTED:
      core.reportTransport(event, of: domain)
    default: LTP_ERROR_OPTION_RANGE
    }
  }
}
