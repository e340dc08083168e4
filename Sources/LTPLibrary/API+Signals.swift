// SPDX-License-Identifier: Apache-2.0
// ltp.h: signals, and operators. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

@c @implementation
public func ltp_signal_rules_default(
  _ rules: UnsafeMutablePointer<ltp_signal_rules>!, _ structSize: Int
) -> Int32 {
  let least = MemoryLayout<ltp_signal_rules>.size
  return writeSized(ltp_signal_rules.builtIn(), to: rules, size: structSize, least: least)
}

@c @implementation
public func ltp_signal_push(
  _ core: OpaquePointer!, _ signal: UInt8, _ value: Int64, _ flags: UInt32
) -> Int32 {
  withCore(core) { core in
    guard let observer = core.state.pointee.observer else { return LTP_ERROR_NOT_OBSERVING }
    guard isObservation(signal) else {
      return LTP_ERROR_UNKNOWN_SIGNAL
    }
    guard flags & ~LTP_PUSH_NOW == 0 else { return LTP_ERROR_OPTION_RANGE }
    guard value >= 0 else { return LTP_ERROR_SIGNAL_VALUE }
    // The real time: a tick may be longer than a signal may go without a push.
    let now = ltp_system_monotonic_ns()
    observer.push(signal, value, now: now)
    if flags & LTP_PUSH_NOW != 0 { observer.step(now: now) }
    return LTP_OK
  }
}

@c @implementation
public func ltp_orientation_force(
  _ core: OpaquePointer!, _ transition: UnsafePointer<ltp_transition>!, _ epoch: UnsafeMutablePointer<UInt32>!
) -> Int32 {
  withCore(core) { core in
    guard let transition else { return LTP_ERROR_NULL_ARGUMENT }
    guard let observer = core.state.pointee.observer else { return LTP_ERROR_NOT_OBSERVING }
    let given: GivenTransition
    do throws(OptionFault) { given = try GivenTransition(transition) } catch { return error.status }
    let orientation = core.state.pointee.orientation
    return given.publish(epoch: epoch) { evidence, text throws(PublishRefusal) in
      let now = ltp_system_monotonic_ns()
      return try observer.force(now: now) { () throws(PublishRefusal) in
        try orientation.publish(
          given.change, evidence: evidence, evidenceCount: given.evidenceCount, text: text, now: now)
      }
    }
  }
}

@c @implementation
public func ltp_orientation_release(_ core: OpaquePointer!, _ epoch: UnsafeMutablePointer<UInt32>!) -> Int32 {
  withCore(core) { core in
    guard let observer = core.state.pointee.observer else { return LTP_ERROR_NOT_OBSERVING }
    do throws(PublishRefusal) {
      let word = try observer.release(now: ltp_system_monotonic_ns())
      if let epoch { epoch.pointee = word.epoch }
      return LTP_OK
    } catch {
      return error.status
    }
  }
}
