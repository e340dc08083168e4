// SPDX-License-Identifier: Apache-2.0
// ltp.h: policies. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

@c @implementation
public func ltp_policy_default(_ policy: UnsafeMutablePointer<ltp_policy>!) -> Int32 {
  guard let policy else { return LTP_ERROR_NULL_ARGUMENT }
  DefaultPolicy.write(to: policy)
  return LTP_OK
}

@c @implementation
public func ltp_policy_check(
  _ policy: UnsafePointer<ltp_policy>!, _ details: UnsafeMutablePointer<ltp_policy_error>!
) -> Int32 {
  guard let policy else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  return withChecked(policy, details) { _ in report(details, LTP_OK) }
}

/// Calls `body` with a copy of the caller's policy that has passed the check, or says why there is none.
private func withChecked(
  _ policy: UnsafePointer<ltp_policy>, _ details: UnsafeMutablePointer<ltp_policy_error>?,
  _ body: (UnsafePointer<ltp_policy>) -> Int32
) -> Int32 {
  withCopy(of: policy, details) { policy in
    do throws(PolicyRefusal) { try PolicyCheck.check(policy) } catch {
      return report(details, refusal: error, policy: policy)
    }
    return body(policy)
  }
}

@c @implementation
public func ltp_policy_load(
  _ core: OpaquePointer!, _ policy: UnsafePointer<ltp_policy>!, _ generation: UnsafeMutablePointer<UInt32>!,
  _ details: UnsafeMutablePointer<ltp_policy_error>!
) -> Int32 {
  withCore(core, details) { core in
    guard let policy else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
    return withChecked(policy, details) { policy in
      if let status = core.refusal(ofSignals: policy) { return report(details, status) }
      return report(details, core.loadPatiently { core.load(policy, loaded: generation) })
    }
  }
}

@c @implementation
public func ltp_policy_shadow(
  _ core: OpaquePointer!, _ policy: UnsafePointer<ltp_policy>!, _ generation: UnsafeMutablePointer<UInt32>!,
  _ details: UnsafeMutablePointer<ltp_policy_error>!
) -> Int32 {
  withCore(core, details) { core in
    guard let policy else {
      return report(details, core.loadPatiently { core.load(shadow: nil, loaded: generation) })
    }
    return withChecked(policy, details) { policy in
      report(details, core.loadPatiently { core.load(shadow: policy, loaded: generation) })
    }
  }
}
