// SPDX-License-Identifier: Apache-2.0
// A checked policy compiled into rows: one row a state, one CompiledRule a class. What the never list demands
// of every policy (continuity while RECOVERING) is built in here, not left to the rules.

public import CLTP
import LTPRecords

public enum PolicyTable {
  public static let classCount = Int(LTP_CLASS_COUNT)
  public static let stateCount = Int(LTP_STATE_COUNT)
  public static let ruleCount = classCount * stateCount

  /// The rule of `actionClass` in `state`. The policy must have passed `PolicyCheck`.
  public static func compile(
    _ policy: UnsafePointer<ltp_policy>, state: UInt8, actionClass: Int
  ) -> CompiledRule {
    let described = policy.classDescription(actionClass)
    if described.name.0 == 0 { return .unknownClass }
    let rule = policy.rule(state: state, actionClass: actionClass)
    // Lanes index their tables by outcomes and look at none again. A policy that passed the check has no other.
    guard rule.verdict < LTP_VERDICT_COUNT, rule.reason < LTP_REASON_COUNT else { return .impossible }
    let attributes = described.attributes
    let waived = rule.flags & LTP_RULE_WAIVE_CONTINUITY != 0
    let requires = attributes & LTP_CLASS_REQUIRES_CONTINUITY != 0 && !waived
    let belowVerdict =
      rule.flags & LTP_RULE_DEFER_WHEN_BELOW != 0 ? LTP_VERDICT_DEFER : LTP_VERDICT_DENY
    return CompiledRule(
      outcome: Outcome(verdict: rule.verdict, reason: rule.reason),
      below: Outcome(verdict: belowVerdict, reason: LTP_REASON_PRIORITY_BELOW_THRESHOLD),
      priorityMin: rule.priority_min,
      needsContinuity: requires || NeverRule(state: state, attributes: attributes).demand == .continuity,
      exempt: attributes & LTP_CLASS_EXEMPT != 0,
      retryAfterMilliseconds: rule.retry_after_ms)
  }

  /// The limits that concern `actionClass` in `state`.
  public static func gates(
    _ policy: UnsafePointer<ltp_policy>, state: UInt8, actionClass: Int
  ) -> Gates {
    let described = policy.classDescription(actionClass)
    if described.name.0 == 0 { return [] }
    return Gates(
      limits: policy.pointee.limits, classRate: policy.classRate(actionClass),
      attributes: described.attributes, state: state)
  }
}

extension UnsafePointer<ltp_policy> {
  /// The policy says what makes the states, and not only what happens in them.
  public var hasSignals: Bool { pointee.signals.struct_size != 0 }

  /// The class's description. `actionClass` is 0 to LTP_CLASS_COUNT - 1.
  public func classDescription(_ actionClass: Int) -> ltp_policy_class {
    UnsafeRawPointer(self).load(
      fromByteOffset: LTP_AT_policy_classes
        + actionClass * MemoryLayout<ltp_policy_class>.stride, as: ltp_policy_class.self)
  }

  public func rule(state: UInt8, actionClass: Int) -> ltp_policy_rule {
    UnsafeRawPointer(self).load(
      fromByteOffset: LTP_AT_policy_rules
        + (Int(state) * PolicyTable.classCount + actionClass) * MemoryLayout<ltp_policy_rule>.stride,
      as: ltp_policy_rule.self)
  }

  public func classRate(_ actionClass: Int) -> ltp_rate {
    UnsafeRawPointer(self).load(
      fromByteOffset: LTP_AT_policy_limits + LTP_AT_policy_limits_classes
        + actionClass * MemoryLayout<ltp_rate>.stride, as: ltp_rate.self)
  }

  public func threshold(state: UInt8) -> UInt8 {
    UnsafeRawPointer(self).load(
      fromByteOffset: LTP_AT_policy_priority_threshold + Int(state),
      as: UInt8.self)
  }
}

extension UnsafeMutablePointer<ltp_policy> {
  func setClass(_ actionClass: Int, _ value: ltp_policy_class) {
    UnsafeMutableRawPointer(self).storeBytes(
      of: value,
      toByteOffset: LTP_AT_policy_classes
        + actionClass * MemoryLayout<ltp_policy_class>.stride, as: ltp_policy_class.self)
  }

  package func setRule(state: UInt8, actionClass: Int, _ value: ltp_policy_rule) {
    UnsafeMutableRawPointer(self).storeBytes(
      of: value,
      toByteOffset: LTP_AT_policy_rules
        + (Int(state) * PolicyTable.classCount + actionClass) * MemoryLayout<ltp_policy_rule>.stride,
      as: ltp_policy_rule.self)
  }
}
