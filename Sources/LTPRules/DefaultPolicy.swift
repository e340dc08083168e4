// SPDX-License-Identifier: Apache-2.0
// The built-in policy: the protocol's state table over the action classes that a service usually needs.
// Priorities run from 0 (shed first) to 255; 128 is ordinary traffic.

public import CLTP

public enum DefaultPolicy {
  /// Fills in the whole policy. It passes `PolicyCheck`.
  public static func write(to policy: UnsafeMutablePointer<ltp_policy>) {
    let raw = UnsafeMutableRawPointer(policy)
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<ltp_policy>.size)
    policy.pointee.struct_size = UInt32(MemoryLayout<ltp_policy>.size)
    policy.pointee.version = UInt32(LTP_POLICY_VERSION)
    // Under saturation only requests above the ordinary; while recovering the lower half waits.
    policy.pointee.priority_threshold.3 = 129
    policy.pointee.priority_threshold.6 = 64
    let recovery = LTP_CLASS_RECOVERY | LTP_CLASS_EXEMPT
    let critical = LTP_CLASS_CRITICAL | LTP_CLASS_MUTATING | LTP_CLASS_REQUIRES_CONTINUITY
    let existing = LTP_CLASS_MUTATING | LTP_CLASS_REQUIRES_CONTINUITY
    let fresh = LTP_CLASS_MUTATING | LTP_CLASS_DEFERRABLE
    // Recovery and status actions: always let in, or nobody could see the patient.
    define(policy, 0, "ping", recovery)
    define(policy, 1, "status", recovery)
    define(policy, 2, "handshake", recovery)
    define(policy, 3, "emergency_stop", recovery | LTP_CLASS_MUTATING)
    define(policy, 4, "recover", recovery)
    // Reading.
    define(policy, 8, "read", 0)
    define(policy, 9, "list", 0)
    define(policy, 10, "search", 0)
    define(policy, 11, "subscribe", 0)
    define(policy, 12, "unsubscribe", 0)
    define(policy, 13, "connect", 0)
    define(policy, 14, "route", 0)
    define(policy, 15, "cache_fill", 0, priorityMin: 96)
    // Changing something new: can wait, so it is deferred while the state is unreliable.
    define(policy, 24, "create", fresh)
    define(policy, 25, "order_create", fresh)
    define(policy, 26, "append", fresh)
    define(policy, 27, "publish", fresh)
    define(policy, 28, "batch", fresh, priorityMin: 96)
    // Changing what exists: a zombie order is one of these sent across an outage.
    define(policy, 40, "modify", existing)
    define(policy, 41, "cancel", existing)
    define(policy, 42, "delete", existing)
    define(policy, 43, "order_modify", existing)
    define(policy, 44, "order_cancel", existing)
    // Bids and quotes are worthless later: never deferred.
    define(policy, 48, "bid", LTP_CLASS_MUTATING)
    define(policy, 49, "quote", LTP_CLASS_MUTATING)
    // Critical.
    define(policy, 56, "payment", critical)
    define(policy, 57, "transfer", critical)
    define(policy, 58, "failover", critical)
    define(policy, 59, "configure", critical)
  }

  private static func define(
    _ policy: UnsafeMutablePointer<ltp_policy>, _ actionClass: Int, _ name: StaticString,
    _ attributes: UInt32, priorityMin: UInt8 = 0
  ) {
    var described = ltp_policy_class()
    described.attributes = attributes
    withUnsafeMutableBytes(of: &described.name) { bytes in
      for index in 0..<name.utf8CodeUnitCount { bytes[index] = name.utf8Start[index] }
    }
    policy.setClass(actionClass, described)
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      var rule = self.rule(state: state, attributes: attributes)
      // A class that yields early does so from DEGRADED on.
      if state != LTP_STATE_HEALTHY { rule.priority_min = priorityMin }
      policy.setRule(state: state, actionClass: actionClass, rule)
    }
  }

  /// The protocol's state table for a class with these attributes.
  public static func rule(state: UInt8, attributes: UInt32) -> ltp_policy_rule {
    let recovery = attributes & LTP_CLASS_RECOVERY != 0
    let deferrable = attributes & LTP_CLASS_DEFERRABLE != 0
    let mutating = attributes & (LTP_CLASS_MUTATING | LTP_CLASS_CRITICAL) != 0
    let execute = (LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED)
    let answer: (verdict: UInt8, reason: UInt8) =
      switch state {
      case LTP_STATE_UNKNOWN:
        recovery ? execute : (LTP_VERDICT_DENY, LTP_REASON_ORIENTATION_UNKNOWN)
      case LTP_STATE_UNSTABLE:
        recovery || !mutating
          ? execute
          : (deferrable ? LTP_VERDICT_DEFER : LTP_VERDICT_DENY, LTP_REASON_SYSTEM_UNSTABLE)
      case LTP_STATE_FAILED:
        recovery ? execute : (LTP_VERDICT_DENY, LTP_REASON_SYSTEM_FAILED)
      default: execute
      }
    let sheds = state == LTP_STATE_SATURATED || state == LTP_STATE_RECOVERING
    let retryAfterMilliseconds: UInt32 =
      switch state {
      case LTP_STATE_FAILED: 5000
      case LTP_STATE_UNSTABLE, LTP_STATE_UNKNOWN: 1000
      default: 250
      }
    return ltp_policy_rule(
      verdict: answer.verdict, reason: answer.reason, priority_min: 0,
      flags: sheds && deferrable ? LTP_RULE_DEFER_WHEN_BELOW : 0,
      retry_after_ms: retryAfterMilliseconds)
  }
}
