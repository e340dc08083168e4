// SPDX-License-Identifier: Apache-2.0
// A policy file's limits: "limits", and "rate" of a class.

import CLTP
import LTP

extension PolicyReader {
  private static let most = Int64(UInt32.max)

  mutating func readLimits(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(
      value, path,
      keys: [
        "total", "tenant", "recovering", "concurrency", "shedding", "retry_horizon_max_ms", "window_ms",
      ])
    if let total = members["total"] { policy.fields.limits.total = try readRate(total, path + "total") }
    if let tenant = members["tenant"] { try readTenant(tenant, path + "tenant") }
    if let recovering = members["recovering"] { try readRamp(recovering, path + "recovering") }
    if let concurrency = members["concurrency"] { try readConcurrency(concurrency, path + "concurrency") }
    if let shedding = members["shedding"] { try readShedding(shedding, path + "shedding") }
    if let horizon = members["retry_horizon_max_ms"] {
      policy.fields.limits.retry_horizon_max_ms = UInt32(
        try integer(horizon, path + "retry_horizon_max_ms", 0...Int64(LTP_RETRY_AFTER_MS_MAX)))
    }
    if let window = members["window_ms"] {
      policy.fields.limits.window_ms = UInt32(try integer(window, path + "window_ms", 1...10_000))
    }
  }

  func readRate(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) -> ltp_rate {
    try rate(try object(value, path, keys: ["per_second", "burst"]), path)
  }

  private func rate(_ members: [String: JSONValue], _ path: JSONPath) throws(PolicyFileError) -> ltp_rate {
    guard let perSecond = members["per_second"] else { throw fault(path, "a rate needs \"per_second\"") }
    return ltp_rate(
      per_second: UInt32(try integer(perSecond, path + "per_second", 1...Self.most)),
      burst: try number(members, "burst", path, 1...Self.most) ?? 0)
  }

  /// A whole number under `key`, if it is there.
  private func number(
    _ members: [String: JSONValue], _ key: String, _ path: JSONPath, _ range: ClosedRange<Int64>
  ) throws(PolicyFileError) -> UInt32? {
    guard let value = members[key] else { return nil }
    return UInt32(try integer(value, path + key, range))
  }

  /// Under `path`'s object, which needs it.
  private func neededNumber(
    _ members: [String: JSONValue], _ key: String, _ path: JSONPath, _ range: ClosedRange<Int64>
  ) throws(PolicyFileError) -> UInt32 {
    guard let number = try number(members, key, path, range) else {
      throw fault(path, "\"\(key)\" is missing")
    }
    return number
  }

  private mutating func readTenant(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(value, path, keys: ["per_second", "burst", "only_when_contended"])
    policy.fields.limits.tenant = try rate(members, path)
    guard let soft = members["only_when_contended"] else { return }
    guard case .bool(let isSoft) = soft else {
      throw fault(path + "only_when_contended", "\"only_when_contended\" is true or false")
    }
    if isSoft { policy.fields.limits.flags |= LTP_LIMITS_TENANT_WHEN_CONTENDED }
  }

  private mutating func readRamp(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(value, path, keys: ["per_second", "burst", "ramp_ms", "start_permille"])
    policy.fields.limits.recovering = try rate(members, path)
    policy.fields.limits.ramp_ms = try neededNumber(members, "ramp_ms", path, 1...3_600_000)
    policy.fields.limits.ramp_start_permille =
      try number(members, "start_permille", path, 1...1000) ?? 100
  }

  private mutating func readConcurrency(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(
      value, path, keys: ["algorithm", "initial", "min", "max", "timeout_us", "permit_ttl_ms"])
    guard let named = members["algorithm"] else { throw fault(path, "\"algorithm\" is missing") }
    let name = try text(named, path + "algorithm")
    guard let algorithm = Policy.concurrencyAlgorithms.first(where: { $0.name == name }) else {
      let known = Policy.concurrencyAlgorithms.map(\.name).joined(separator: ", ")
      throw fault(path + "algorithm", "no algorithm is called \"\(name)\"; there are \(known)")
    }
    let range = 1...Int64(LTP_CONCURRENCY_MAX)
    let initial = try neededNumber(members, "initial", path, range)
    policy.fields.limits.concurrency = algorithm.value
    policy.fields.limits.concurrency_initial = initial
    let isFixed = algorithm.value == LTP_CONCURRENCY_FIXED
    policy.fields.limits.concurrency_min = try number(members, "min", path, range) ?? (isFixed ? initial : 1)
    policy.fields.limits.concurrency_max =
      try number(members, "max", path, range) ?? (isFixed ? initial : UInt32(LTP_CONCURRENCY_MAX))
    policy.fields.limits.concurrency_timeout_us = try number(members, "timeout_us", path, 0...Self.most) ?? 0
    policy.fields.limits.permit_ttl_ms =
      try number(members, "permit_ttl_ms", path, 10...3_600_000) ?? 30_000
  }

  private mutating func readShedding(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(
      value, path, keys: ["signal", "target", "decrease_permille", "increase_permille"])
    policy.fields.limits.flags |= LTP_LIMITS_SHED
    if let named = members["signal"] {
      let signal = try observation(try text(named, path + "signal"), path + "signal")
      policy.fields.limits.shed_signal = signal.rawValue
      guard let target = members["target"] else { throw fault(path, "\"target\" is missing") }
      policy.fields.limits.shed_target = try integer(target, path + "target", 0...Int64.max)
    } else if members["target"] != nil {
      throw fault(path + "target", "\"target\" of which \"signal\"?")
    }
    policy.fields.limits.shed_decrease_permille =
      try number(members, "decrease_permille", path, 1...500) ?? 50
    policy.fields.limits.shed_increase_permille =
      try number(members, "increase_permille", path, 1...1000) ?? 10
  }
}
