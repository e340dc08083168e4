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
    let orientation = state.pointee.orientation
    do throws(PublishRefusal) {
      let isOfService = try orientation.report(event, of: domain, now: now)
      if isOfService { try tellService(now: now) }
      return LTP_OK
    } catch {
      return error.status
    }
  }

  /// Takes a heartbeat of a domain; LTP_OK, or why the trace cannot take what follows from it now.
  package func heard(domain: UInt8, intervalMilliseconds: UInt32) -> Int32 {
    let now = ltp_system_monotonic_ns()
    do throws(PublishRefusal) {
      let isOfService = try state.pointee.orientation.heard(
        domain: domain, intervalMilliseconds: intervalMilliseconds, now: now)
      if isOfService { try tellService(now: now) }
      return LTP_OK
    } catch {
      return error.status
    }
  }

  /// Outages that end or begin with time. The clock's thread, with each tick.
  func stepDomains(now: UInt64) {
    let orientation = state.pointee.orientation
    let hasEnded = orientation.endDomainOutages(now: now)
    let hasBegun = orientation.findSilentDomains(now: now)
    guard hasEnded || hasBegun else { return }
    // Refused: the service stays in its state, until the next report.
    try? tellService(now: now)
  }

  /// A core that orients itself has a signal for it; one that its host orients is told that it is UNSTABLE, and led back by the host.
  private func tellService(now: UInt64) throws(PublishRefusal) {
    let orientation = state.pointee.orientation
    let count = orientation.domainsOut
    if let observer = state.pointee.observer {
      observer.push(LTP_SIGNAL_TRANSPORT_DISCONNECTED, Int64(count), now: now)
      observer.step(now: now)
      return
    }
    guard count > 0, !orientation.isFollowing else { return }
    switch orientation.current.state {
    case LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED, LTP_STATE_RECOVERING:
      var fact = ltp_evidence()
      fact.signal = LTP_SIGNAL_TRANSPORT_DISCONNECTED
      fact.value = Int64(count)
      fact.threshold = 1
      _ = try withUnsafePointer(to: fact) { fact throws(PublishRefusal) in
        try orientation.publish(
          TransitionChange(to: LTP_STATE_UNSTABLE, reason: LTP_SIGNAL_TRANSPORT_DISCONNECTED), evidence: fact,
          evidenceCount: 1, now: now)
      }
    default: return
    }
  }
}
