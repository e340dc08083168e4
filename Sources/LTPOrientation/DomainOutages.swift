// SPDX-License-Identifier: Apache-2.0
// What the host reports of each domain's transport, and what follows: the outage of one domain begins, its sessions' continuity moves,
// and it ends when the domain has been back for its stay.
//
//   report        | domain is well                          | domain is in an outage
//   --------------|-----------------------------------------|--------------------------------------------------
//   disconnected  | outage begins, epoch moves, a return     | is down (again): its stay begins anew when it is back
//                 | more is counted                          |
//   connected     | nothing                                  | its stay begins, if it has not; when it is over, the outage ends
//   restarted     | as disconnected, then connected          | its stay begins anew
//
// A link that flaps is damped as routes are (RFC 2439): the stay doubles with each return, up to a bound, and what is counted halves
// with time. No hello of the domain is answered during an outage of its own, so that nothing is granted which the next report would void: each
// outage moves the epoch once, whatever the link does meanwhile.

package import CLTP
import CLTPSystem
import LTPRecords
import Synchronization

extension ltp_policy_domains {
  static var stayDefault: UInt32 { 1000 }
  static var stayMaxDefault: UInt32 { 60_000 }
  static var halfLifeDefault: UInt32 { 60_000 }

  /// How long a domain stays in its outage after so many returns, in nanoseconds.
  package func stay(returns: UInt32) -> UInt64 {
    let least = UInt64(stay_ms == 0 ? Self.stayDefault : stay_ms)
    let most = max(least, UInt64(stay_ms_max == 0 ? Self.stayMaxDefault : stay_ms_max))
    // Twenty doublings are more than an hour for the least stay.
    return min(most, least << UInt64(min(max(returns, 1), 21) - 1)) * 1_000_000
  }

  fileprivate var halfLifeNanoseconds: UInt64 {
    UInt64(half_life_ms == 0 ? Self.halfLifeDefault : half_life_ms) * 1_000_000
  }
}

/// One domain's. Under the domains' mutex.
struct DomainOutage {
  /// Outages counted, halved with each half-life of calm.
  var returns: UInt32 = 0
  /// When the last outage ended.
  var calmSince: UInt64 = 0
  /// When the stay of a domain that is back is over; 0: it is down, or well.
  var staysUntil: UInt64 = 0
  var isOut = false
  /// Its requests are decided as in UNSTABLE, which has been published.
  var isOwn = false
  /// It went out because it had not been heard.
  var isSilent = false

  mutating func countReturn(now: UInt64, halfLife: UInt64) {
    let halvings = min((now &- min(calmSince, now)) / halfLife, 31)
    returns = min((returns >> UInt32(halvings)) + 1, 1 << 20)
  }
}

extension Orientation {
  /// Takes what the host reports: LTP_TRANSPORT_*. True: an outage has begun. Refused: nothing has changed. Any thread.
  package func report(
    _ event: UInt8, of domain: UInt8, now: UInt64
  ) throws(PublishRefusal) -> Bool {
    ltp_system_mutex_lock(domains.mutex)
    defer { ltp_system_mutex_unlock(domains.mutex) }
    let outage = domains.outages + Int(domain)
    let rules = domainRules
    var hasBegun = false
    if event != LTP_TRANSPORT_CONNECTED {
      hasBegun = try beginOutage(of: domain, reason: LTP_SIGNAL_TRANSPORT_DISCONNECTED, now: now)
    }
    guard outage.pointee.isOut else { return false }
    switch event {
    case LTP_TRANSPORT_DISCONNECTED: outage.pointee.staysUntil = 0
    // Said again, it is no longer back than before.
    case LTP_TRANSPORT_CONNECTED where outage.pointee.staysUntil != 0: break
    default: outage.pointee.staysUntil = now &+ rules.stay(returns: outage.pointee.returns)
    }
    domains.findNextEnd()
    return hasBegun
  }

  /// Begins an outage; false: the domain is in one. Caller holds the domains' mutex.
  func beginOutage(
    of domain: UInt8, reason: UInt8, value: Int64? = nil, threshold: Int64? = nil, now: UInt64
  ) throws(PublishRefusal) -> Bool {
    let rules = domainRules
    let outage = domains.outages + Int(domain)
    guard !outage.pointee.isOut else { return false }
    var next = outage.pointee
    next.countReturn(now: now, halfLife: rules.halfLifeNanoseconds)
    next.isOut = true
    // Where the service is the page's to judge, nobody else would hear of it.
    next.isOwn = rules.outage != LTP_OUTAGE_OF_SERVICE || isFollowing
    try publish(
      DomainChange(domain: domain, state: next.isOwn ? LTP_STATE_UNSTABLE : 0), moves: true, reason: reason,
      returns: next.returns, rules, value: value, threshold: threshold, now: now)
    outage.pointee = next
    domains.outOrTold.pointee.store(1, ordering: .releasing)
    domains.stays[Int(domain)].store(rules.stay(returns: next.returns) / 1_000_000, ordering: .relaxed)
    return true
  }

  /// By the policy in force, the outage of a domain is the service's.
  package var isOutageOfService: Bool { domainRules.outage != LTP_OUTAGE_OF_DOMAIN }

  /// Tells how many domains are out, as far as they concern the service, when that is another number than was told last. False: it is not.
  package func tellDomainsOut(_ tell: (Int64) -> Void) -> Bool {
    // Nothing is out, and nothing else was told: every tick of nearly every core.
    guard domains.outOrTold.pointee.load(ordering: .acquiring) != 0 else { return false }
    ltp_system_mutex_lock(domains.mutex)
    defer { ltp_system_mutex_unlock(domains.mutex) }
    let count = isOutageOfService ? UInt64(domains.outCount) : 0
    let told = domains.told.pointee
    domains.outOrTold.pointee.store(UInt64(domains.outCount) | count, ordering: .releasing)
    guard count != told else { return false }
    domains.told.pointee = count
    // Under the mutex, so that an older number does not come after a newer one.
    tell(Int64(count))
    return true
  }

  /// How many domains are lost.
  package var domainsOut: Int {
    ltp_system_mutex_lock(domains.mutex)
    defer { ltp_system_mutex_unlock(domains.mutex) }
    return domains.outCount
  }

  /// Ends the outages whose domains have been back for their stay. The clock's thread, with each tick.
  package func endDomainOutages(now: UInt64) {
    guard now >= domains.nextEnd.pointee.load(ordering: .relaxed) else { return }
    ltp_system_mutex_lock(domains.mutex)
    defer { ltp_system_mutex_unlock(domains.mutex) }
    for domain in UInt8.min...UInt8.max {
      let outage = domains.outages + Int(domain)
      guard outage.pointee.staysUntil != 0, now >= outage.pointee.staysUntil else { continue }
      do throws(PublishRefusal) {
        if outage.pointee.isOwn {
          try publish(
            DomainChange(domain: domain, state: 0), moves: false, reason: LTP_SIGNAL_RECOVERY_COMPLETE,
            returns: outage.pointee.returns, domainRules, now: now)
        }
      } catch {
        // The trace can take no transition now: with the next tick.
        return
      }
      outage.pointee.isOut = false
      outage.pointee.isOwn = false
      outage.pointee.staysUntil = 0
      outage.pointee.calmSince = now
    }
    domains.findNextEnd()
  }

  /// Evidence: how often the domain has gone and come back, and its stay in milliseconds.
  private func publish(
    _ domain: DomainChange, moves: Bool, reason: UInt8, returns: UInt32, _ rules: ltp_policy_domains,
    value: Int64? = nil, threshold: Int64? = nil, now: UInt64
  ) throws(PublishRefusal) {
    var change = TransitionChange(to: current.state, reason: reason)
    change.domain = domain
    change.advancesContinuity = moves
    var fact = ltp_evidence()
    fact.signal = reason
    fact.value = value ?? Int64(returns)
    fact.threshold = threshold ?? Int64(rules.stay(returns: returns) / 1_000_000)
    _ = try withUnsafePointer(to: fact) { fact throws(PublishRefusal) in
      try publish(change, evidence: fact, evidenceCount: 1, now: now)
    }
  }

  /// Of the policy in force.
  private var domainRules: ltp_policy_domains {
    ltp_system_mutex_lock(controlMutex)
    defer { ltp_system_mutex_unlock(controlMutex) }
    return slots[Int(current.policySlot)].source.pointee.domains
  }
}

extension Domains {
  /// What a client whose domain is out is told to wait for, at least: its stay, once it is back.
  package func stayMilliseconds(of domain: UInt8) -> UInt64 {
    max(1, stays[Int(domain)].load(ordering: .relaxed))
  }

  /// Caller holds the mutex.
  var outCount: Int {
    var count = 0
    for domain in 0..<Int(LTP_DOMAIN_COUNT) where outages[domain].isOut { count += 1 }
    return count
  }

  /// Caller holds the mutex.
  fileprivate func findNextEnd() {
    var next = UInt64.max
    for domain in 0..<Int(LTP_DOMAIN_COUNT) where outages[domain].staysUntil != 0 {
      next = min(next, outages[domain].staysUntil)
    }
    nextEnd.pointee.store(next, ordering: .relaxed)
  }
}
