// SPDX-License-Identifier: Apache-2.0
// What the host reports of a continuity domain, and what the policy makes of it for the service as a whole.

import CLTP
import CLTPSystem
import LTPOrientation
import LTPRecords

extension Core {
  /// Takes an LTP_TRANSPORT_* of a domain; LTP_OK or why nothing has changed.
  package func reportTransport(_ event: UInt8, of domain: UInt8) -> Int32 {
    let now = ltp_system_monotonic_ns()
    do throws(PublishRefusal) {
      let hasBegun = try state.pointee.orientation.report(event, of: domain, now: now)
      tellService(outageHasBegun: hasBegun, now: now)
      return LTP_OK
    } catch {
      return error.status
    }
  }

  /// Takes a heartbeat of a domain; LTP_OK, or why the trace cannot take what follows from it now.
  package func heard(domain: UInt8, intervalMilliseconds: UInt32) -> Int32 {
    let now = ltp_system_monotonic_ns()
    do throws(PublishRefusal) {
      try state.pointee.orientation.heard(
        domain: domain, intervalMilliseconds: intervalMilliseconds, now: now)
      return LTP_OK
    } catch {
      return error.status
    }
  }

  /// Outages that end or begin with time. The clock's thread, with each tick.
  func stepDomains(now: UInt64) {
    let orientation = state.pointee.orientation
    orientation.endDomainOutages(now: now)
    tellService(outageHasBegun: orientation.findSilentDomains(now: now), now: now)
  }

  /// What domains that are out say of the service, if the policy says so. A core that orients itself has a signal for it, whose value
  /// is their number; one that its host orients becomes UNSTABLE when an outage begins, and is led back by the host. One that follows
  /// a page leaves the service to the page.
  private func tellService(outageHasBegun: Bool, now: UInt64) {
    let orientation = state.pointee.orientation
    if let observer = state.pointee.observer {
      let hasChanged = orientation.tellDomainsOut {
        observer.push(LTP_SIGNAL_TRANSPORT_DISCONNECTED, $0, now: now)
      }
      if hasChanged { observer.step(now: now) }
      return
    }
    guard outageHasBegun, !orientation.isFollowing, orientation.isOutageOfService else { return }
    var change = TransitionChange(to: LTP_STATE_UNSTABLE, reason: LTP_SIGNAL_TRANSPORT_DISCONNECTED)
    change.fromStates = Self.betterThanUnstable
    var fact = ltp_evidence()
    fact.signal = LTP_SIGNAL_TRANSPORT_DISCONNECTED
    fact.value = Int64(orientation.domainsOut)
    fact.threshold = 1
    // Refused: the trace can take no transition now. The domain is out all the same.
    _ = try? withUnsafePointer(to: fact) { fact throws(PublishRefusal) in
      try orientation.publish(change, evidence: fact, evidenceCount: 1, now: now)
    }
  }

  private static var betterThanUnstable: UInt16 {
    1 << UInt16(LTP_STATE_HEALTHY) | 1 << UInt16(LTP_STATE_DEGRADED) | 1 << UInt16(LTP_STATE_SATURATED)
      | 1 << UInt16(LTP_STATE_RECOVERING)
  }
}
