// SPDX-License-Identifier: Apache-2.0
// Whether a policy's limits are whole and within their ranges.

import CLTP
import LTPRecords

extension PolicyCheck {
  static func checkLimits(_ policy: UnsafePointer<ltp_policy>) throws(PolicyRefusal) {
    let limits = policy.pointee.limits
    try checkReserved(limits)
    try checkRate(limits.total)
    try checkRate(limits.tenant)
    try checkRamp(limits)
    try checkConcurrency(limits)
    try checkShedding(limits)
    guard limits.retry_horizon_max_ms == 0 || (100...3_600_000).contains(limits.retry_horizon_max_ms) else {
      throw refusal("retry_horizon_max_ms is neither 0 nor from 100 ms to an hour (LTP_RETRY_AFTER_MS_MAX)")
    }
    // The ramp is none: while RECOVERING there is nothing to learn from.
    let hasCapacity = limits.total.per_second > 0 || limits.concurrency != LTP_CONCURRENCY_NONE
    let sheds = limits.flags & LTP_LIMITS_SHED != 0
    guard !sheds || hasCapacity || limits.shed_signal != LTP_SIGNAL_NONE else {
      throw refusal(
        "shedding follows a signal, the total rate or the concurrency limit: there is none of them")
    }
    if limits.flags & LTP_LIMITS_TENANT_WHEN_CONTENDED != 0 {
      guard limits.tenant.per_second > 0 else {
        throw refusal("tenants are to keep to their rate while something else is refused: they have none")
      }
      guard hasCapacity || sheds || limits.recovering.per_second > 0 else {
        throw refusal("tenants keep to their rate while something else is refused: there is no other limit")
      }
    }
    guard limits.concurrency == LTP_CONCURRENCY_NONE || hasPermitClass(policy) else {
      throw refusal("a concurrency limit, and no class that takes permits (LTP_CLASS_PERMIT)")
    }
    for actionClass in 0..<PolicyTable.classCount { try checkClassLimits(policy, actionClass) }
  }

  private static func hasPermitClass(_ policy: UnsafePointer<ltp_policy>) -> Bool {
    (0..<PolicyTable.classCount).contains {
      policy.classDescription($0).attributes & LTP_CLASS_PERMIT != 0
    }
  }

  private static func refusal(_ text: StaticString, _ actionClass: Int? = nil) -> PolicyRefusal {
    PolicyRefusal(LTP_ERROR_POLICY_LIMITS, text, actionClass: actionClass)
  }

  private static func checkReserved(_ limits: ltp_policy_limits) throws(PolicyRefusal) {
    var reserved = limits.reserved_2
    let isZero = withUnsafeBytes(of: &reserved) { $0.allSatisfy { $0 == 0 } }
    guard isZero, limits.reserved == 0 else { throw refusal("reserved bytes of the limits are not zero") }
    guard limits.flags & ~(LTP_LIMITS_SHED | LTP_LIMITS_TENANT_WHEN_CONTENDED) == 0 else {
      throw refusal("unknown flag of the limits")
    }
    guard limits.window_ms <= 10_000 else { throw refusal("window_ms is more than 10 seconds") }
  }

  private static func checkRate(_ rate: ltp_rate, _ actionClass: Int? = nil) throws(PolicyRefusal) {
    guard rate.per_second > 0 || rate.burst == 0 else {
      throw refusal("a burst without a rate", actionClass)
    }
  }

  private static func checkRamp(_ limits: ltp_policy_limits) throws(PolicyRefusal) {
    try checkRate(limits.recovering)
    guard limits.recovering.per_second > 0 else {
      guard limits.ramp_ms == 0, limits.ramp_start_permille == 0 else {
        throw refusal("a ramp without the rate that it ends at (recovering)")
      }
      return
    }
    guard (1...3_600_000).contains(limits.ramp_ms), (1...1000).contains(limits.ramp_start_permille) else {
      throw refusal("ramp_ms is not from 1 to 3,600,000, or ramp_start_permille not from 1 to 1000")
    }
  }

  private static func checkConcurrency(_ limits: ltp_policy_limits) throws(PolicyRefusal) {
    guard limits.concurrency < LTP_CONCURRENCY_COUNT else { throw refusal("unknown concurrency algorithm") }
    guard limits.concurrency != LTP_CONCURRENCY_NONE else {
      let isEmpty =
        limits.concurrency_initial | limits.concurrency_min | limits.concurrency_max
        | limits.concurrency_timeout_us | limits.permit_ttl_ms == 0
      guard isEmpty else { throw refusal("a concurrency limit's settings without its algorithm") }
      return
    }
    guard limits.concurrency_min >= 1, limits.concurrency_min <= limits.concurrency_initial,
      limits.concurrency_initial <= limits.concurrency_max,
      limits.concurrency_max <= UInt32(LTP_CONCURRENCY_MAX)
    else {
      throw refusal("concurrency is not 1 <= min <= initial <= max <= 65,535")
    }
    guard (10...3_600_000).contains(limits.permit_ttl_ms) else {
      throw refusal("permit_ttl_ms is not from 10 ms to an hour")
    }
  }

  private static func checkShedding(_ limits: ltp_policy_limits) throws(PolicyRefusal) {
    guard limits.flags & LTP_LIMITS_SHED != 0 else {
      guard limits.shed_signal == LTP_SIGNAL_NONE, limits.shed_target == 0,
        limits.shed_decrease_permille | limits.shed_increase_permille == 0
      else { throw refusal("settings of shedding without LTP_LIMITS_SHED") }
      return
    }
    let isFollowable = limits.shed_signal == LTP_SIGNAL_NONE || isObservation(limits.shed_signal)
    guard isFollowable, limits.shed_target >= 0 else {
      throw refusal("shed_signal is no observation, or shed_target is below 0")
    }
    guard (1...500).contains(limits.shed_decrease_permille),
      (1...1000).contains(limits.shed_increase_permille)
    else {
      throw refusal(
        "shed_decrease_permille is not from 1 to 500, or shed_increase_permille not from 1 to 1000")
    }
  }

  private static func checkClassLimits(
    _ policy: UnsafePointer<ltp_policy>, _ actionClass: Int
  ) throws(PolicyRefusal) {
    let described = policy.classDescription(actionClass)
    let rate = policy.classRate(actionClass)
    try checkRate(rate, actionClass)
    guard rate.per_second > 0 || described.attributes & LTP_CLASS_PERMIT != 0 else { return }
    guard described.name.0 != 0 else {
      throw refusal("a rate for a class without a name", actionClass)
    }
    guard described.attributes & LTP_CLASS_RECOVERY == 0 else {
      throw refusal("a limit for a recovery class: nobody could see the patient, or stop it", actionClass)
    }
    guard described.attributes & LTP_CLASS_PERMIT == 0 || described.attributes & LTP_CLASS_EXEMPT == 0 else {
      throw refusal("a class that is exempt takes no permit", actionClass)
    }
  }
}
