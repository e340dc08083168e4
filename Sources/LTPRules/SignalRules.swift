// SPDX-License-Identifier: Apache-2.0
// ltp_signal_rules: the built-in ones, and what is wrong with a host's or a policy's.

public import CLTP
import LTPRecords

/// A mistake in signal rules. `signal` is LTP_SIGNAL_NONE when no signal is to blame.
public struct SignalRulesFault: Error {
  public let signal: UInt8
  public let text: StaticString
}

extension ltp_signal_rules {
  /// The rule of an observation, 1 to LTP_OBSERVATION_COUNT.
  public func rule(_ signal: Int) -> ltp_signal_rule {
    withUnsafeBytes(of: rules) {
      $0.loadUnaligned(
        fromByteOffset: signal * MemoryLayout<ltp_signal_rule>.stride, as: ltp_signal_rule.self)
    }
  }

  public mutating func setRule(_ signal: UInt8, _ rule: ltp_signal_rule) {
    withUnsafeMutableBytes(of: &rules) {
      $0.storeBytes(
        of: rule, toByteOffset: Int(signal) * MemoryLayout<ltp_signal_rule>.stride, as: ltp_signal_rule.self)
    }
  }

  /// Every observation, quiet until the host pushes one or the system's pressure is read. Units are in ltp.h.
  public static func builtIn() -> ltp_signal_rules {
    var rules = ltp_signal_rules()
    rules.struct_size = UInt32(MemoryLayout<ltp_signal_rules>.size)
    rules.state_dwell_ns = 1_000_000_000
    rules.recovering_ns = 5_000_000_000
    rules.observe_interval_ns = 100_000_000
    func rule(_ condition: UInt8, enter: Int64, exit: Int64, milliseconds: UInt64) -> ltp_signal_rule {
      var rule = ltp_signal_rule()
      rule.enter = enter
      rule.exit = exit
      rule.enter_dwell_ns = milliseconds * 1_000_000
      rule.exit_dwell_ns = 1_000_000_000
      rule.weight = UInt32(LTP_WEIGHT_FULL)
      rule.condition = condition
      return rule
    }
    let (strained, saturated) = (LTP_CONDITION_STRAINED, LTP_CONDITION_SATURATED)
    let (unstable, failed) = (LTP_CONDITION_UNSTABLE, LTP_CONDITION_FAILED)
    rules.setRule(
      LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, rule(saturated, enter: 1000, exit: 500, milliseconds: 100))
    rules.setRule(
      LTP_SIGNAL_WS_RECONNECT_STORM, rule(saturated, enter: 1000, exit: 200, milliseconds: 100))
    rules.setRule(
      LTP_SIGNAL_QUEUE_LATENCY_SPIKE, rule(saturated, enter: 20_000, exit: 10_000, milliseconds: 100))
    rules.setRule(
      LTP_SIGNAL_MEMORY_PRESSURE, rule(saturated, enter: 2000, exit: 500, milliseconds: 500))
    rules.setRule(LTP_SIGNAL_CPU_PRESSURE, rule(strained, enter: 6000, exit: 4000, milliseconds: 1000))
    rules.setRule(LTP_SIGNAL_IO_PRESSURE, rule(strained, enter: 4000, exit: 2000, milliseconds: 1000))
    rules.setRule(
      LTP_SIGNAL_DB_WRITE_LATENCY, rule(unstable, enter: 5_000_000, exit: 1_000_000, milliseconds: 0))
    rules.setRule(LTP_SIGNAL_TRANSPORT_DISCONNECTED, rule(unstable, enter: 1, exit: 1, milliseconds: 0))
    rules.setRule(LTP_SIGNAL_HEARTBEAT_TIMEOUT, rule(unstable, enter: 1, exit: 1, milliseconds: 0))
    rules.setRule(LTP_SIGNAL_PARTIAL_OUTAGE, rule(strained, enter: 1, exit: 1, milliseconds: 0))
    rules.setRule(LTP_SIGNAL_LINK_LOSS, rule(strained, enter: 50_000, exit: 20_000, milliseconds: 1000))
    rules.setRule(LTP_SIGNAL_LINK_LATENCY, rule(strained, enter: 140_000, exit: 120_000, milliseconds: 1000))
    rules.setRule(LTP_SIGNAL_CACHE_STALE, rule(strained, enter: 300, exit: 60, milliseconds: 0))
    rules.setRule(LTP_SIGNAL_QUORUM_LOST, rule(failed, enter: 1, exit: 1, milliseconds: 0))
    return rules
  }

  /// Whether the core pushes the signal itself, as `flags` (LTP_OBSERVE_*) ask.
  public static func isFed(_ signal: Int, by flags: UInt32) -> Bool {
    switch UInt8(signal) {
    case LTP_SIGNAL_MEMORY_PRESSURE: flags & (LTP_OBSERVE_PRESSURE | LTP_OBSERVE_MEMORY_LIMIT) != 0
    case LTP_SIGNAL_CPU_PRESSURE, LTP_SIGNAL_IO_PRESSURE: flags & LTP_OBSERVE_PRESSURE != 0
    case LTP_SIGNAL_WS_RECONNECT_STORM: flags & LTP_OBSERVE_HELLOS != 0
    default: false
    }
  }

  /// Pressure that the core is to read, and cannot any more, is not observed: then it is UNKNOWN, not quiet.
  public func withWatchedPressure(clockInterval: UInt64) -> ltp_signal_rules {
    var watched = self
    for signal in LTP_SIGNAL_MEMORY_PRESSURE...LTP_SIGNAL_IO_PRESSURE
    where Self.isFed(Int(signal), by: flags) {
      var rule = rule(Int(signal))
      guard rule.condition != LTP_CONDITION_NONE, rule.stale_ns == 0 else { continue }
      rule.stale_ns = max(10 * observe_interval_ns, 3 * clockInterval, 1_000_000_000)
      watched.setRule(signal, rule)
    }
    return watched
  }

  /// Throws what is wrong.
  public func check() throws(SignalRulesFault) {
    let hour: UInt64 = 3_600_000_000_000
    guard state_dwell_ns <= hour, recovering_ns <= hour else {
      throw SignalRulesFault(
        signal: LTP_SIGNAL_NONE, text: "state_dwell_ns or recovering_ns is more than an hour")
    }
    guard (1_000_000...hour).contains(observe_interval_ns) else {
      throw SignalRulesFault(signal: LTP_SIGNAL_NONE, text: "observe_interval_ns is not from 1 ms to 1 h")
    }
    guard flags & ~LTP_OBSERVE_ALL == 0, withUnsafeBytes(of: reserved, { $0.allSatisfy { $0 == 0 } }) else {
      throw SignalRulesFault(signal: LTP_SIGNAL_NONE, text: "unknown bit in flags, or reserved is not 0")
    }
    var watched = 0
    for signal in 0...Int(LTP_OBSERVATION_MAX) {
      let rule = rule(signal)
      guard let fault = Self.fault(of: rule, signal: signal, longest: hour) ?? staleFault(rule, signal) else {
        watched += rule.condition == LTP_CONDITION_NONE ? 0 : 1
        continue
      }
      throw SignalRulesFault(signal: UInt8(signal), text: fault)
    }
    try checkWeights()
    guard watched > 0 else {
      throw SignalRulesFault(
        signal: LTP_SIGNAL_NONE, text: "no signal has a condition: nothing could be observed")
    }
  }

  /// A signal that the core reads is as old as the last reading.
  private func staleFault(_ rule: ltp_signal_rule, _ signal: Int) -> StaticString? {
    guard Self.isFed(signal, by: flags), rule.stale_ns > 0, rule.stale_ns < 3 * observe_interval_ns else {
      return nil
    }
    return "a stale_ns of less than three observe_interval_ns, at which the core reads it"
  }

  /// Signals that could never weigh enough would be watched for nothing.
  private func checkWeights() throws(SignalRulesFault) {
    var weight: UInt32 = 0
    for condition in (LTP_CONDITION_STRAINED...LTP_CONDITION_FAILED).reversed() {
      var first: UInt8 = LTP_SIGNAL_NONE
      for signal in 1...Int(LTP_OBSERVATION_COUNT) where rule(signal).condition == condition {
        weight += rule(signal).weight
        if first == LTP_SIGNAL_NONE { first = UInt8(signal) }
      }
      if first != LTP_SIGNAL_NONE, weight < UInt32(LTP_WEIGHT_FULL) {
        throw SignalRulesFault(
          signal: first, text: "its condition's signals, and those of worse ones, do not weigh 100 together")
      }
    }
  }

  private static func fault(of rule: ltp_signal_rule, signal: Int, longest: UInt64) -> StaticString? {
    if rule.condition == LTP_CONDITION_NONE {
      let isEmpty = withUnsafeBytes(of: rule) { $0.allSatisfy { $0 == 0 } }
      return isEmpty ? nil : "a rule without a condition"
    }
    if UInt8(signal) == LTP_SIGNAL_WS_RECONNECT_STORM, rule.condition >= LTP_CONDITION_UNSTABLE {
      return
        "a reconnect storm that is an outage: an outage voids tokens, sessions greet again, and that is the storm; it would never end"
    }
    if !isObservation(UInt8(signal)) { return "a rule for what is no observation" }
    if rule.condition > LTP_CONDITION_FAILED { return "a condition that does not exist" }
    if rule.flags & ~LTP_SIGNAL_RULE_BELOW != 0 || rule.reserved.0 | rule.reserved.1 != 0 {
      return "an unknown flag, or reserved is not 0"
    }
    if rule.weight == 0 || rule.weight > UInt32(LTP_WEIGHT_FULL) {
      return "a weight that is not from 1 to 100"
    }
    if rule.enter < 0 || rule.exit < 0 { return "a negative threshold" }
    let isBelow = rule.flags & LTP_SIGNAL_RULE_BELOW != 0
    if isBelow ? rule.exit < rule.enter : rule.exit > rule.enter { return "an exit beyond the entrance" }
    if isBelow ? rule.exit == Int64.max : rule.exit == 0 {
      return "an exit that no value is beyond: it would never be quiet"
    }
    if rule.enter_dwell_ns > longest || rule.exit_dwell_ns > longest || rule.stale_ns > 24 * longest {
      return "a dwell of more than an hour, or a stale_ns of more than a day"
    }
    return nil
  }
}
