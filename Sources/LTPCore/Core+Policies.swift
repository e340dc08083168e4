// SPDX-License-Identifier: Apache-2.0
// Policies of a running core: put in force, and beside the one in force.

package import CLTP
import CLTPSystem
import LTPAdmission
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

extension Core {
  /// Four policies can be on their way into the trace at once; the writer makes room within a commit.
  package func loadPatiently(_ load: () -> Int32) -> Int32 {
    let deadline = ltp_system_monotonic_ns() &+ 100_000_000
    var status = load()
    while status == LTP_ERROR_BACKPRESSURE, ltp_system_monotonic_ns() < deadline {
      defer { status = load() }
      if driveWhileWaiting() { continue }
      wakeWriter()
      ltp_system_sleep_ns(1_000_000)
    }
    return status
  }

  /// What keeps a policy's signal rules from being followed here; nil: nothing, or it has none.
  package func refusal(ofSignals policy: UnsafePointer<ltp_policy>) -> Int32? {
    guard policy.hasSignals, state.pointee.page == nil else { return nil }
    guard state.pointee.observer != nil else { return LTP_ERROR_NOT_OBSERVING }
    return SystemObserver.canRead(policy.pointee.signals.flags) ? nil : LTP_ERROR_PRESSURE
  }

  /// The policy in force; the one beside it stays. `loaded` gets the pair's number; under the mutex, or a load by another
  /// thread could take its place.
  package func load(
    _ policy: UnsafePointer<ltp_policy>, loaded: UnsafeMutablePointer<UInt32>?
  ) -> Int32 {
    withControlMutex {
      let orientation = state.pointee.orientation
      // What follows is to be undone as seldom as can be: limits lose by it what they have learnt.
      do throws(PublishRefusal) { try orientation.expectRoomForPolicy() } catch { return error.status }
      let current = orientation.policySlot(orientation.current.policySlot)
      let hasShadow = current.pointee.hasShadow.load(ordering: .acquiring) != 0
      let shadow = hasShadow ? UnsafePointer(current.pointee.shadowSource) : nil
      let now = ltp_system_monotonic_ns()
      let regulator = state.pointee.regulator
      // First: a gate that lanes find must have its rate and its permits behind it.
      regulator.configure(policy, now: now)
      let status =
        if let observer = state.pointee.observer, policy.hasSignals {
          observer.adopt(
            policy.pointee.signals.withWatchedPressure(
              clockInterval: state.pointee.options.clockIntervalNanoseconds), now: now
          ) { loadPair(policy, shadow: shadow, loaded) }
        } else {
          loadPair(policy, shadow: shadow, loaded)
        }
      if status != LTP_OK { regulator.configure(UnsafePointer(current.pointee.source), now: now) }
      if status == LTP_OK { regulator.shared.hellos.reset() }
      return status
    }
  }

  /// The policy beside the one in force, which stays.
  package func load(
    shadow: UnsafePointer<ltp_policy>?, loaded: UnsafeMutablePointer<UInt32>?
  ) -> Int32 {
    withControlMutex {
      let current = state.pointee.orientation.policySlot(state.pointee.orientation.current.policySlot)
      return loadPair(UnsafePointer(current.pointee.source), shadow: shadow, loaded)
    }
  }

  private func loadPair(
    _ policy: UnsafePointer<ltp_policy>, shadow: UnsafePointer<ltp_policy>?,
    _ loaded: UnsafeMutablePointer<UInt32>?
  ) -> Int32 {
    guard state.pointee.policyGeneration < UInt32.max else { return LTP_ERROR_EXHAUSTED }
    let next = state.pointee.policyGeneration + 1
    do throws(PublishRefusal) {
      try state.pointee.orientation.load(
        policy, shadow: shadow, generation: next, starting: false, now: ltp_system_monotonic_ns())
    } catch {
      return error.status
    }
    state.pointee.policyGeneration = next
    if let loaded { loaded.pointee = next }
    return LTP_OK
  }
}
