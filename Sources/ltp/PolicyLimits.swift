// SPDX-License-Identifier: Apache-2.0
// A policy's limits as `ltp policy show` prints them: only those that are set.

import CLTP
import LTP
import LTPPolicy

struct PolicyLimits: Encodable {
  struct Rate: Encodable {
    var perSecond: UInt32
    /// 0: a tenth of a second's worth.
    var burst: UInt32

    init?(_ rate: ltp_rate) {
      guard rate.per_second > 0 else { return nil }
      perSecond = rate.per_second
      burst = rate.burst
    }

    var text: String { "\(perSecond.grouped) a second" + (burst > 0 ? ", burst \(burst.grouped)" : "") }
  }

  struct Concurrency: Encodable {
    var algorithm: String
    var initial: UInt32
    var min: UInt32
    var max: UInt32
    var timeoutUs: UInt32
    var permitTtlMs: UInt32
  }

  struct Shedding: Encodable {
    var signal: String?
    var target: Int64
    var decreasePermille: UInt32
    var increasePermille: UInt32
  }

  var total: Rate?
  var tenant: Rate?
  var tenantOnlyWhenContended: Bool
  var recovering: Rate?
  var rampMs: UInt32
  var rampStartPermille: UInt32
  var concurrency: Concurrency?
  var shedding: Shedding?
  var retryHorizonMaxMs: UInt32
  var windowMs: UInt32
  var classes: [String: Rate] = [:]

  init(_ policy: Policy) {
    let limits = policy.fields.limits
    total = Rate(limits.total)
    tenant = Rate(limits.tenant)
    tenantOnlyWhenContended = limits.flags & LTP_LIMITS_TENANT_WHEN_CONTENDED != 0
    recovering = Rate(limits.recovering)
    rampMs = limits.ramp_ms
    rampStartPermille = limits.ramp_start_permille
    retryHorizonMaxMs = limits.retry_horizon_max_ms
    windowMs = limits.window_ms == 0 ? 100 : limits.window_ms
    if let algorithm = Policy.concurrencyAlgorithms.first(where: { $0.value == limits.concurrency }) {
      concurrency = Concurrency(
        algorithm: algorithm.name, initial: limits.concurrency_initial,
        min: limits.concurrency_min, max: limits.concurrency_max, timeoutUs: limits.concurrency_timeout_us,
        permitTtlMs: limits.permit_ttl_ms)
    }
    if limits.flags & LTP_LIMITS_SHED != 0 {
      let isBySignal = limits.shed_signal != LTP_SIGNAL_NONE
      shedding = Shedding(
        signal: isBySignal ? Signal(rawValue: limits.shed_signal).description : nil,
        target: limits.shed_target, decreasePermille: limits.shed_decrease_permille,
        increasePermille: limits.shed_increase_permille)
    }
    for id in 0..<Int(LTP_CLASS_COUNT) {
      if let rate = Rate(policy[rate: id]) { classes[policy.describedClass(id).name] = rate }
    }
  }

  /// Empty when nothing is limited.
  var lines: [String] {
    var lines: [String] = []
    if let total { lines.append("total rate     \(total.text)") }
    if let tenant {
      lines.append(
        "each tenant    \(tenant.text)" + (tenantOnlyWhenContended ? ", only while something is refused" : "")
      )
    }
    if let recovering {
      lines.append(
        "recovering     \(recovering.text), from \(rampStartPermille) permille of it over \(rampMs.grouped) ms"
      )
    }
    if let concurrency {
      lines.append(
        "concurrency    \(concurrency.algorithm), \(concurrency.initial), from \(concurrency.min) to "
          + "\(concurrency.max)"
          + (concurrency.timeoutUs > 0
            ? "; slower than \(concurrency.timeoutUs.grouped) us counts as dropped" : "")
          + "; a permit is taken back after \(concurrency.permitTtlMs.grouped) ms")
    }
    if let shedding {
      let cause = shedding.signal.map { "\($0) is above \(shedding.target.grouped), or " } ?? ""
      lines.append(
        "shedding       while \(cause)the total rate or concurrency refuses over a fifth: each "
          + "\(windowMs.grouped) ms \(shedding.decreasePermille) permille less, else \(shedding.increasePermille) more"
      )
    }
    if retryHorizonMaxMs > 0 {
      lines.append("retry_after    grows with who waits, up to \(retryHorizonMaxMs.grouped) ms")
    }
    for (name, rate) in classes.sorted(by: { $0.key < $1.key }) {
      lines.append("class \(name): \(rate.text)")
    }
    return lines
  }
}
