// SPDX-License-Identifier: Apache-2.0
// A policy's limits as `ltp policy show` prints them: only those that are set. The JSON is a policy file's "limits".

import CLTP
import LTP
import LTPPolicy

struct PolicyLimits: Encodable {
  struct Rate: Encodable {
    var perSecond: UInt32
    /// Nil: a tenth of a second's worth.
    var burst: UInt32?

    init?(_ rate: ltp_rate) {
      guard rate.per_second > 0 else { return nil }
      perSecond = rate.per_second
      burst = rate.burst > 0 ? rate.burst : nil
    }

    var text: String { "\(perSecond.grouped) a second" + (burst.map { ", burst \($0.grouped)" } ?? "") }
  }

  struct Tenant: Encodable {
    var rate: Rate
    var onlyWhenContended: Bool

    enum CodingKeys: CodingKey { case onlyWhenContended }

    func encode(to encoder: any Encoder) throws {
      try rate.encode(to: encoder)
      var members = encoder.container(keyedBy: CodingKeys.self)
      try members.encode(onlyWhenContended, forKey: .onlyWhenContended)
    }
  }

  struct Ramp: Encodable {
    var rate: Rate
    var rampMs: UInt32
    var startPermille: UInt32

    enum CodingKeys: CodingKey { case rampMs, startPermille }

    func encode(to encoder: any Encoder) throws {
      try rate.encode(to: encoder)
      var members = encoder.container(keyedBy: CodingKeys.self)
      try members.encode(rampMs, forKey: .rampMs)
      try members.encode(startPermille, forKey: .startPermille)
    }
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
    /// Of the signal; nil without one.
    var target: Int64?
    var decreasePermille: UInt32
    var increasePermille: UInt32
  }

  var total: Rate?
  var tenant: Tenant?
  var recovering: Ramp?
  var concurrency: Concurrency?
  var shedding: Shedding?
  var retryHorizonMaxMs: UInt32
  /// Nil: 100.
  var windowMs: UInt32?

  init(_ policy: Policy) {
    let limits = policy.fields.limits
    total = Rate(limits.total)
    tenant = Rate(limits.tenant).map {
      Tenant(rate: $0, onlyWhenContended: limits.flags & LTP_LIMITS_TENANT_WHEN_CONTENDED != 0)
    }
    recovering = Rate(limits.recovering).map {
      Ramp(rate: $0, rampMs: limits.ramp_ms, startPermille: limits.ramp_start_permille)
    }
    retryHorizonMaxMs = limits.retry_horizon_max_ms
    windowMs = limits.window_ms == 0 ? nil : limits.window_ms
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
        target: isBySignal ? limits.shed_target : nil, decreasePermille: limits.shed_decrease_permille,
        increasePermille: limits.shed_increase_permille)
    }
  }

  /// Empty when nothing is limited.
  var lines: [String] {
    var lines: [String] = []
    if let total { lines.append("total rate     \(total.text)") }
    if let tenant {
      let condition = tenant.onlyWhenContended ? ", only while something is refused" : ""
      lines.append("each tenant    \(tenant.rate.text)" + condition)
    }
    if let recovering {
      lines.append(
        "recovering     \(recovering.rate.text), from \(recovering.startPermille) permille of it over "
          + "\(recovering.rampMs.grouped) ms"
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
      let cause = shedding.signal.map { "\($0) is above \((shedding.target ?? 0).grouped), or " } ?? ""
      lines.append(
        "shedding       while \(cause)the total rate or concurrency refuses over a fifth: each "
          + "\((windowMs ?? 100).grouped) ms \(shedding.decreasePermille) permille less, else \(shedding.increasePermille) more"
      )
    }
    if retryHorizonMaxMs > 0 {
      lines.append("retry_after    grows with who waits, up to \(retryHorizonMaxMs.grouped) ms")
    }
    return lines
  }
}
