// SPDX-License-Identifier: Apache-2.0
// ltp.h: continuity domains. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CLTP
import LTPCore
import LTPFrames

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

@c @implementation
public func ltp_heartbeat_take(
  _ core: OpaquePointer!, _ heartbeat: UnsafeRawPointer!, _ available: Int
) -> Int32 {
  withCore(core) { core in
    withCopy(ofFrame: heartbeat, available: available) { heartbeat, available in
      do throws(FrameError) {
        let heard = try HeartbeatView(checking: heartbeat, available: available)
        return core.heard(domain: heard.domain, intervalMilliseconds: heard.intervalMilliseconds)
      } catch {
        return error.status
      }
    }
  }
}
