// SPDX-License-Identifier: Apache-2.0
// Heartbeats of continuity domains. A domain that has sent one is watched: silence for three of its intervals is an outage of the
// domain, and the next heartbeat says that it is back. Taking one is two stores; silence is looked for with each tick of the clock.

import CLTP
import CLTPSystem
import LTPRecords
import Synchronization

/// A handle: copies refer to the same watch.
struct Heartbeats {
  private static let count = Int(LTP_DOMAIN_COUNT)
  /// Intervals without a heartbeat that are silence.
  static let intervalsMax: UInt64 = 3

  /// By domain: when it was heard last, monotonic; 0: it is not watched.
  let heard: UnsafeMutablePointer<Atomic<UInt64>>
  /// By domain: how long its silence may last, in nanoseconds.
  let patience: UnsafeMutablePointer<Atomic<UInt64>>
  /// 1: some domain is watched.
  let isWatching: UnsafeMutablePointer<Atomic<UInt64>>
  /// How many domains are out because they were not heard.
  let silent: UnsafeMutablePointer<Atomic<UInt64>>

  static var memoryBytes: Int { (2 * count + 2) * 8 }

  init(memory: UnsafeMutableRawPointer) {
    heard = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 2 * Self.count + 2)
    patience = heard + Self.count
    isWatching = patience + Self.count
    silent = isWatching + 1
  }
}

extension Orientation {
  /// Takes a heartbeat of a domain. `intervalMilliseconds` 0: it will send no more. Any thread.
  package func heard(
    domain: UInt8, intervalMilliseconds: UInt32, now: UInt64
  ) throws(PublishRefusal) {
    let beats = domains.heartbeats
    let patience = UInt64(intervalMilliseconds) * 1_000_000 * Heartbeats.intervalsMax
    beats.patience[Int(domain)].store(patience, ordering: .relaxed)
    beats.heard[Int(domain)].store(patience == 0 ? 0 : max(1, now), ordering: .releasing)
    if beats.isWatching.pointee.load(ordering: .relaxed) == 0 {
      beats.isWatching.pointee.store(1, ordering: .relaxed)
    }
    guard beats.silent.pointee.load(ordering: .acquiring) > 0 else { return }
    ltp_system_mutex_lock(domains.mutex)
    let wasSilent = domains.outages[Int(domain)].isSilent
    if wasSilent {
      domains.outages[Int(domain)].isSilent = false
      beats.silent.pointee.subtract(1, ordering: .acquiringAndReleasing)
    }
    ltp_system_mutex_unlock(domains.mutex)
    if wasSilent { _ = try report(LTP_TRANSPORT_CONNECTED, of: domain, now: now) }
  }

  /// Begins the outages of domains that have been silent; true: there was one. The clock's thread, with each tick.
  package func findSilentDomains(now: UInt64) -> Bool {
    let beats = domains.heartbeats
    guard beats.isWatching.pointee.load(ordering: .relaxed) != 0 else { return false }
    var hasBegun = false
    for domain in UInt8.min...UInt8.max {
      let heard = beats.heard[Int(domain)].load(ordering: .acquiring)
      let patience = beats.patience[Int(domain)].load(ordering: .relaxed)
      guard heard != 0, patience != 0, now > heard, now - heard > patience else { continue }
      do throws(PublishRefusal) {
        hasBegun =
          try beginSilence(of: domain, silence: now - heard, patience: patience, now: now) || hasBegun
      } catch {
        // The trace can take no transition now: with the next tick.
        return hasBegun
      }
    }
    return hasBegun
  }

  /// Evidence: how long the domain was not heard, and how long it may be, in milliseconds.
  private func beginSilence(
    of domain: UInt8, silence: UInt64, patience: UInt64, now: UInt64
  ) throws(PublishRefusal) -> Bool {
    ltp_system_mutex_lock(domains.mutex)
    defer { ltp_system_mutex_unlock(domains.mutex) }
    let outage = domains.outages + Int(domain)
    guard !outage.pointee.isSilent else { return false }
    let hasBegun = try beginOutage(
      of: domain, reason: LTP_SIGNAL_HEARTBEAT_TIMEOUT, value: Int64(clamping: silence / 1_000_000),
      threshold: Int64(clamping: patience / 1_000_000), now: now)
    outage.pointee.isSilent = true
    // One that was back and staying is down again.
    outage.pointee.staysUntil = 0
    domains.heartbeats.silent.pointee.add(1, ordering: .acquiringAndReleasing)
    return hasBegun
  }
}
