// SPDX-License-Identifier: Apache-2.0
// Whether a policy may be loaded: its shape first, then the never list. A refusal names class, state and rule.

public import CLTP
import LTPRecords

/// Why a policy is refused. `actionClass`, `state` and `signal` are LTP_CLASS_NONE, LTP_STATE_COUNT and LTP_SIGNAL_NONE when
/// none is to blame.
public struct PolicyRefusal: Error, Equatable {
  public let status: Int32
  public let actionClass: UInt16
  public let state: UInt8
  public let signal: UInt8
  let text: StaticString

  init(
    _ status: Int32, _ text: StaticString, actionClass: Int? = nil, state: UInt8 = UInt8(LTP_STATE_COUNT),
    signal: UInt8 = LTP_SIGNAL_NONE
  ) {
    self.status = status
    self.text = text
    self.actionClass = actionClass.map { UInt16($0) } ?? UInt16(LTP_CLASS_NONE)
    self.state = state
    self.signal = signal
  }

  public static func == (one: PolicyRefusal, other: PolicyRefusal) -> Bool {
    one.status == other.status && one.actionClass == other.actionClass && one.state == other.state
      && one.signal == other.signal
  }

  /// "class 12 ("payment") in FAILED: ..."
  public func describe(in message: inout MessageBuffer, policy: UnsafePointer<ltp_policy>?) {
    if actionClass != UInt16(LTP_CLASS_NONE) {
      message.append("class ")
      message.append(UInt64(actionClass))
      if let policy {
        message.append(" (\"")
        withUnsafePointer(to: policy.classDescription(Int(actionClass)).name) { name in
          name.withMemoryRebound(to: CChar.self, capacity: Int(LTP_CLASS_NAME_BYTES)) { characters in
            message.append(characters, limit: Int(LTP_CLASS_NAME_BYTES))
          }
        }
        message.append("\")")
      }
      if state < LTP_STATE_COUNT {
        message.append(" in ")
        message.append(stateName(state))
      }
      message.append(": ")
    }
    if signal != LTP_SIGNAL_NONE {
      message.append("signal ")
      message.append(signalName(signal))
      message.append(": ")
    }
    message.append(text)
  }
}

public enum PolicyCheck {
  /// Throws the first fault found; a policy that passes can be compiled and loaded.
  public static func check(_ policy: UnsafePointer<ltp_policy>) throws(PolicyRefusal) {
    try checkEnvelope(policy)
    try checkLimits(policy)
    try checkSignals(policy)
    try checkDomains(policy.pointee.domains)
    try checkOutageIsHeard(policy)
    for actionClass in 0..<PolicyTable.classCount {
      let described = policy.classDescription(actionClass)
      try checkClass(policy, actionClass, described)
      for state in 0..<UInt8(LTP_STATE_COUNT) {
        let rule = policy.rule(state: state, actionClass: actionClass)
        if described.name.0 == 0 {
          try checkUnnamed(rule, actionClass, state)
        } else {
          try checkRule(rule, described, actionClass, state)
          try checkNever(rule, described, actionClass, state)
        }
      }
    }
  }

  private static func checkEnvelope(_ policy: UnsafePointer<ltp_policy>) throws(PolicyRefusal) {
    guard Int(policy.pointee.struct_size) == MemoryLayout<ltp_policy>.size else {
      throw PolicyRefusal(LTP_ERROR_STRUCT_SIZE, "struct_size is not sizeof(ltp_policy)")
    }
    guard policy.pointee.version == LTP_POLICY_VERSION else {
      throw PolicyRefusal(LTP_ERROR_POLICY_VERSION, "version is not LTP_POLICY_VERSION")
    }
    guard isZero(policy, LTP_AT_policy_reserved..<LTP_END_policy_reserved),
      isZero(policy, LTP_AT_policy_reserved_2..<LTP_END_policy_reserved_2)
    else {
      throw PolicyRefusal(LTP_ERROR_POLICY_RULE, "reserved bytes are not zero")
    }
    guard policy.threshold(state: UInt8(LTP_STATE_COUNT)) == 0 else {
      throw PolicyRefusal(LTP_ERROR_POLICY_RULE, "priority_threshold[7] is not zero")
    }
  }

  private static func isZero(_ bytes: UnsafeRawPointer, _ range: Range<Int>) -> Bool {
    range.allSatisfy { bytes.load(fromByteOffset: $0, as: UInt8.self) == 0 }
  }

  private static func checkClass(
    _ policy: UnsafePointer<ltp_policy>, _ actionClass: Int, _ described: ltp_policy_class
  ) throws(PolicyRefusal) {
    guard described.attributes & ~LTP_CLASS_ATTRIBUTES_ALL == 0 else {
      throw PolicyRefusal(LTP_ERROR_POLICY_CLASS, "unknown attribute", actionClass: actionClass)
    }
    guard
      described.attributes & LTP_CLASS_STATELESS == 0 || described.attributes & NeverRule.notStateless == 0
    else {
      throw PolicyRefusal(
        LTP_ERROR_POLICY_CLASS,
        "a stateless class acts for no session: it is not critical, mutating, requires_continuity, deferrable or recovery",
        actionClass: actionClass)
    }
    var name = described.name
    let wellNamed = withUnsafeBytes(of: &name) { bytes in isWellNamed(bytes) }
    guard wellNamed else {
      throw PolicyRefusal(
        LTP_ERROR_POLICY_CLASS,
        "a name is up to 28 lower-case letters, digits, '_', '-' or '.', padded with zeros",
        actionClass: actionClass)
    }
    guard described.name.0 != 0 || described.attributes == 0 else {
      throw PolicyRefusal(
        LTP_ERROR_POLICY_CLASS, "attributes without a name", actionClass: actionClass)
    }
    guard described.name.0 != 0 else { return }
    for other in 0..<actionClass {
      var otherName = policy.classDescription(other).name
      let same = withUnsafeBytes(of: &name) { one in
        withUnsafeBytes(of: &otherName) { two in one.elementsEqual(two) }
      }
      if same {
        throw PolicyRefusal(
          LTP_ERROR_POLICY_CLASS, "the name is taken by a class before it", actionClass: actionClass)
      }
    }
  }

  private static func isWellNamed(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var ended = false
    for byte in bytes {
      if byte == 0 {
        ended = true
        continue
      }
      let allowed =
        (97...122).contains(byte) || (48...57).contains(byte) || byte == 95 || byte == 45 || byte == 46
      if ended || !allowed { return false }
    }
    return true
  }

  private static func checkUnnamed(
    _ rule: ltp_policy_rule, _ actionClass: Int, _ state: UInt8
  ) throws(PolicyRefusal) {
    let empty =
      rule.verdict == 0 && rule.reason == 0 && rule.priority_min == 0 && rule.flags == 0
      && rule.retry_after_ms == 0
    guard empty else {
      throw PolicyRefusal(
        LTP_ERROR_POLICY_RULE, "a rule for a class without a name", actionClass: actionClass, state: state)
    }
  }

  private static func checkRule(
    _ rule: ltp_policy_rule, _ described: ltp_policy_class, _ actionClass: Int, _ state: UInt8
  ) throws(PolicyRefusal) {
    func refuse(_ text: StaticString) -> PolicyRefusal {
      PolicyRefusal(LTP_ERROR_POLICY_RULE, text, actionClass: actionClass, state: state)
    }
    guard rule.verdict < LTP_VERDICT_COUNT else { throw refuse("unknown verdict") }
    guard rule.reason > LTP_REASON_NONE, rule.reason < LTP_REASON_COUNT else {
      throw refuse("unknown reason")
    }
    guard (rule.verdict == LTP_VERDICT_EXECUTE) == (rule.reason == LTP_REASON_ADMITTED) else {
      throw refuse("the reason ADMITTED goes with EXECUTE, and with nothing else")
    }
    guard rule.flags & ~(LTP_RULE_WAIVE_CONTINUITY | LTP_RULE_DEFER_WHEN_BELOW) == 0 else {
      throw refuse("unknown flag")
    }
    let defers = rule.verdict == LTP_VERDICT_DEFER || rule.flags & LTP_RULE_DEFER_WHEN_BELOW != 0
    guard !defers || described.attributes & LTP_CLASS_DEFERRABLE != 0 else {
      throw refuse("DEFER for a class without the attribute deferrable")
    }
    guard rule.retry_after_ms <= LTP_RETRY_AFTER_MS_MAX else {
      throw refuse("retry_after_ms is more than an hour (LTP_RETRY_AFTER_MS_MAX)")
    }
  }

  private static func checkNever(
    _ rule: ltp_policy_rule, _ described: ltp_policy_class, _ actionClass: Int, _ state: UInt8
  ) throws(PolicyRefusal) {
    guard rule.verdict == LTP_VERDICT_EXECUTE else { return }
    let never = NeverRule(state: state, attributes: described.attributes)
    let breaks =
      switch never.demand {
      case .nothing: false
      // The compiler asks for it whatever the rule says; a rule may not say the contrary.
      case .continuity: rule.flags & LTP_RULE_WAIVE_CONTINUITY != 0
      case .noExecute: true
      }
    guard !breaks else {
      throw PolicyRefusal(never.status, never.text, actionClass: actionClass, state: state)
    }
  }

  /// An outage that is the service's alone is none when the service does not hear of it.
  private static func checkOutageIsHeard(_ policy: UnsafePointer<ltp_policy>) throws(PolicyRefusal) {
    guard policy.pointee.domains.outage == LTP_OUTAGE_OF_SERVICE, policy.hasSignals else { return }
    let rule = policy.pointee.signals.rule(Int(LTP_SIGNAL_TRANSPORT_DISCONNECTED))
    guard rule.condition == LTP_CONDITION_UNSTABLE || rule.condition == LTP_CONDITION_FAILED else {
      throw PolicyRefusal(
        LTP_ERROR_POLICY_RULE,
        "domains.outage is the service's, and no signal rule makes TRANSPORT_DISCONNECTED one",
        signal: LTP_SIGNAL_TRANSPORT_DISCONNECTED)
    }
  }

  private static func checkDomains(_ domains: ltp_policy_domains) throws(PolicyRefusal) {
    var reserved = (domains.reserved, domains.reserved_2)
    let isZero = withUnsafeBytes(of: &reserved) { bytes in bytes.allSatisfy { $0 == 0 } }
    guard domains.hellos.per_second > 0 || domains.hellos.burst == 0 else {
      throw PolicyRefusal(LTP_ERROR_POLICY_RULE, "domains.hellos has a burst without a rate")
    }
    guard isZero else { throw PolicyRefusal(LTP_ERROR_POLICY_RULE, "reserved bytes of domains are not zero") }
    guard domains.stay_ms <= 3_600_000, domains.stay_ms_max <= 3_600_000, domains.half_life_ms <= 86_400_000
    else {
      throw PolicyRefusal(
        LTP_ERROR_POLICY_RULE,
        "domains.stay_ms or stay_ms_max is more than an hour, or half_life_ms more than a day")
    }
    guard domains.stay_ms_max == 0 || domains.stay_ms_max >= domains.stay_ms else {
      throw PolicyRefusal(LTP_ERROR_POLICY_RULE, "domains.stay_ms_max is less than stay_ms")
    }
    guard domains.outage < LTP_OUTAGE_COUNT else {
      throw PolicyRefusal(LTP_ERROR_POLICY_RULE, "domains.outage is not one of LTP_OUTAGE_*")
    }
  }

  /// None, or whole ones.
  private static func checkSignals(_ policy: UnsafePointer<ltp_policy>) throws(PolicyRefusal) {
    guard policy.hasSignals else {
      guard isZero(policy, LTP_AT_policy_signals..<LTP_END_policy_signals) else {
        throw PolicyRefusal(LTP_ERROR_SIGNAL_RULES, "signal rules whose struct_size is 0")
      }
      return
    }
    guard Int(policy.pointee.signals.struct_size) == MemoryLayout<ltp_signal_rules>.size else {
      throw PolicyRefusal(LTP_ERROR_STRUCT_SIZE, "signals.struct_size is not sizeof(ltp_signal_rules)")
    }
    do throws(SignalRulesFault) { try policy.pointee.signals.check() } catch {
      throw PolicyRefusal(LTP_ERROR_SIGNAL_RULES, error.text, signal: error.signal)
    }
  }
}
