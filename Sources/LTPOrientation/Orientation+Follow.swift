// SPDX-License-Identifier: Apache-2.0
// Following a page: what another process publishes there becomes this core's own transition, with its evidence, before
// anything is decided under it. Lanes load the page's word with each decision, and come here when it has changed; the
// clock's thread comes with each tick, for leases that have ended, or run again.

import CLTP
import CLTPSystem
import LTPRecords
import Synchronization

/// Where a core stands with the page that it follows. In the core's memory.
struct PageFollower: ~Copyable {
  /// nil: the host publishes.
  let page: OrientationPage?
  /// The page's word that was last looked at.
  let followed = Atomic<UInt64>(UInt64.max)
  /// 1: the core's orientation is the one of `followed`; 0: it is UNKNOWN, because the page did not hold.
  let isHeld = Atomic<UInt32>(0)
  /// Of the page, when it last held; under the mutex.
  var continuityEpoch: UInt32?

  init(page: OrientationPage?) { self.page = page }
}

extension Orientation {
  public var isFollowing: Bool { follower.pointee.page != nil }

  /// A lane saw the word change, or the time. `now` may be late by a tick, so it revives no lease.
  package func follow(now: UInt64) { follow(now: now, isClock: false) }

  /// The clock's thread, before each tick. `now` is the time.
  public func followPage(now: UInt64) { follow(now: now, isClock: true) }

  private func follow(now: UInt64, isClock: Bool) {
    guard let page = follower.pointee.page, !isUpToDate(page, now: now, isClock: isClock) else { return }
    ltp_system_mutex_lock(followMutex)
    defer { ltp_system_mutex_unlock(followMutex) }
    if !isUpToDate(page, now: now, isClock: isClock) { adopt(page.read(now: now), now: now) }
  }

  private func isUpToDate(_ page: OrientationPage, now: UInt64, isClock: Bool) -> Bool {
    let word = page.word.pointee.load(ordering: .acquiring)
    guard word == follower.pointee.followed.load(ordering: .acquiring) else { return false }
    let hasLease = page.leaseLeft(of: word, now: now) > 0
    return follower.pointee.isHeld.load(ordering: .acquiring) == 1 ? hasLease : !(hasLease && isClock)
  }

  /// Publishes what the page says. Refused: the next look tries again, and the core is UNKNOWN or closed meanwhile.
  private func adopt(_ reading: PageContent, now: UInt64) {
    let wasHeld = follower.pointee.isHeld.load(ordering: .relaxed) == 1
    do throws(PublishRefusal) {
      if reading.isHeld {
        _ = try publish(held: reading, now: now)
        follower.pointee.continuityEpoch = reading.word.continuityEpoch
      } else if wasHeld {
        _ = try publish(lost: reading, now: now)
      }
    } catch {
      // The core is UNKNOWN, because its transitions outran the trace, or closed.
      follower.pointee.isHeld.store(0, ordering: .releasing)
      return
    }
    follower.pointee.isHeld.store(reading.isHeld ? 1 : 0, ordering: .releasing)
    follower.pointee.followed.store(reading.word.rawValue, ordering: .releasing)
  }

  private func publish(held reading: PageContent, now: UInt64) throws(PublishRefusal) -> OrientationWord {
    var change = TransitionChange(to: reading.word.state, reason: reading.entry.reason)
    change.threshold = reading.setsThreshold ? reading.word.threshold : nil
    // Whatever the page went through since: tokens from before it are no longer good.
    change.advancesContinuity =
      reading.word.continuityEpoch != follower.pointee.continuityEpoch ?? reading.word.continuityEpoch
    return try withUnsafePointer(to: reading.entry) { pointer throws(PublishRefusal) in
      let bytes = UnsafeRawPointer(pointer)
      return try publish(
        change, evidence: (bytes + LTP_AT_page_entry_evidence).assumingMemoryBound(to: ltp_evidence.self),
        evidenceCount: Int(reading.entry.evidence_count),
        text: (bytes + LTP_AT_page_entry_text).assumingMemoryBound(to: CChar.self),
        now: now)
    }
  }

  private func publish(lost reading: PageContent, now: UInt64) throws(PublishRefusal) -> OrientationWord {
    let change = TransitionChange(to: LTP_STATE_UNKNOWN, reason: LTP_SIGNAL_ORIENTATION_LOST)
    let text: StaticString =
      switch reading.standing {
      case .ended: "the orientation page's lease has ended: nobody renews it"
      case .unpublished: "the orientation page says nothing any more"
      case .invalid, .held: "the orientation page holds what no publisher writes"
      }
    // How many milliseconds ago it was published or renewed, against its lease.
    var fact = ltp_evidence()
    fact.signal = LTP_SIGNAL_HEARTBEAT_TIMEOUT
    let ended = reading.entry.lease_until_ns
    let age = now &- min(ended, now) &+ reading.entry.lease_ns
    fact.value = Int64(clamping: age / 1_000_000)
    fact.threshold = Int64(clamping: reading.entry.lease_ns / 1_000_000)
    return try withUnsafePointer(to: fact) { pointer throws(PublishRefusal) in
      try publish(
        change, evidence: pointer, evidenceCount: reading.standing == .ended ? 1 : 0,
        text: UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self), now: now)
    }
  }

  /// The threshold that the followed page asks for, if it does and holds: a policy that is loaded does not undo it.
  var followedThreshold: UInt8? {
    guard isFollowing, follower.pointee.isHeld.load(ordering: .acquiring) == 1 else { return nil }
    let word = OrientationWord(rawValue: follower.pointee.followed.load(ordering: .acquiring))
    return word.policySlot & 1 != 0 ? word.threshold : nil
  }

  /// Lanes that watch a page's word do not load the core's own with each decision: a change of that, which is a policy,
  /// a lease's end, or the core's own end, reaches them by the clock.
  func nudgeLanes() {
    if isFollowing { line.pointee.nudge() }
  }
}
