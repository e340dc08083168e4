// SPDX-License-Identifier: Apache-2.0
// What a policy may say: the built-in one against the protocol's table, and each refusal.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPRules

@Suite(.guarded) struct PolicyTests {
  static func refusal(_ change: (inout ltp_policy) -> Void) -> PolicyRefusal? {
    var policy = builtInPolicy()
    change(&policy)
    return withUnsafePointer(to: policy) { pointer in
      do throws(PolicyRefusal) {
        try PolicyCheck.check(pointer)
        return nil
      } catch {
        return error
      }
    }
  }

  static func execute(_ rule: inout ltp_policy_rule) {
    rule.verdict = LTP_VERDICT_EXECUTE
    rule.reason = LTP_REASON_ADMITTED
  }

  @Test func builtInPolicyIsAccepted() { #expect(Self.refusal { _ in } == nil) }

  @Test("never list, 1: no policy EXECUTEs a critical class while FAILED")
  func neverOne() {
    let refusal = Self.refusal { policy in
      setRule(&policy, state: LTP_STATE_FAILED, 56) { Self.execute(&$0) }
    }
    #expect(refusal?.status == LTP_ERROR_POLICY_NEVER_1)
    #expect(refusal?.actionClass == 56)
    #expect(refusal?.state == LTP_STATE_FAILED)
  }

  @Test("never list, 2: no policy waives continuity while RECOVERING, whatever the class")
  func neverTwo() {
    for actionClass in [0, 3, 8, 24, 40, 56] {
      let refusal = Self.refusal { policy in
        setRule(&policy, state: LTP_STATE_RECOVERING, actionClass) {
          Self.execute(&$0)
          $0.flags |= LTP_RULE_WAIVE_CONTINUITY
        }
      }
      #expect(refusal?.status == LTP_ERROR_POLICY_NEVER_2)
      #expect(refusal?.actionClass == UInt16(actionClass))
    }
    withUnsafePointer(to: builtInPolicy()) { policy in
      for actionClass in 0..<PolicyTable.classCount
      where policy.classDescription(actionClass).name.0 != 0 {
        let rule = PolicyTable.compile(policy, state: LTP_STATE_RECOVERING, actionClass: actionClass)
        #expect(rule.needsContinuity)
      }
    }
  }

  @Test("never list, 3: UNKNOWN lets only recovery classes in")
  func neverThree() {
    for actionClass in [8, 24, 40, 56] {
      let refusal = Self.refusal { policy in
        setRule(&policy, state: LTP_STATE_UNKNOWN, actionClass) { Self.execute(&$0) }
      }
      #expect(refusal?.status == LTP_ERROR_POLICY_NEVER_3)
      #expect(refusal?.state == LTP_STATE_UNKNOWN)
    }
  }

  @Test("the never list's table, state by state and attribute by attribute")
  func neverTable() {
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      for attributes in 0...LTP_CLASS_ATTRIBUTES_ALL {
        let isCritical = attributes & LTP_CLASS_CRITICAL != 0
        let isRecovery = attributes & LTP_CLASS_RECOVERY != 0
        var expected = NeverRule.Demand.nothing
        if state == LTP_STATE_FAILED && isCritical { expected = .noExecute }
        if state == LTP_STATE_UNKNOWN && !isRecovery { expected = .noExecute }
        let acting =
          LTP_CLASS_CRITICAL | LTP_CLASS_MUTATING | LTP_CLASS_REQUIRES_CONTINUITY | LTP_CLASS_DEFERRABLE
          | LTP_CLASS_RECOVERY
        let acts = attributes & acting != 0
        let isStateless = attributes & LTP_CLASS_STATELESS != 0 && !acts
        if state == LTP_STATE_RECOVERING, !isStateless { expected = .continuity }
        let rule = NeverRule(state: state, attributes: attributes)
        #expect(rule.demand == expected && (rule.number == 0) == (expected == .nothing))
        if rule.number > 0 { #expect("\(rule.text)".hasPrefix("never list, \(rule.number):")) }
      }
    }
  }

  @Test func malformedPoliciesAreRefusedByName() {
    let cases: [(Int32, (inout ltp_policy) -> Void)] = [
      (LTP_ERROR_STRUCT_SIZE, { $0.struct_size = 8 }),
      (LTP_ERROR_POLICY_VERSION, { $0.version = 1 }),
      (LTP_ERROR_POLICY_VERSION, { $0.version = 3 }),
      (LTP_ERROR_POLICY_RULE, { $0.reserved.5 = 1 }),
      (LTP_ERROR_POLICY_RULE, { $0.reserved_2.0 = 1 }),
      (LTP_ERROR_POLICY_RULE, { $0.reserved_2.399 = 1 }),
      (LTP_ERROR_SIGNAL_RULES, { $0.signals.reserved.5 = 1 }),
      (LTP_ERROR_POLICY_RULE, { $0.priority_threshold.7 = 1 }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.8.attributes = 1 << 9 }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.24.attributes = LTP_CLASS_STATELESS | LTP_CLASS_MUTATING }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.58.attributes = LTP_CLASS_STATELESS | LTP_CLASS_CRITICAL }),
      (
        LTP_ERROR_POLICY_CLASS,
        { $0.classes.8.attributes = LTP_CLASS_STATELESS | LTP_CLASS_REQUIRES_CONTINUITY }
      ),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.8.attributes = LTP_CLASS_STATELESS | LTP_CLASS_DEFERRABLE }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.0.attributes |= LTP_CLASS_STATELESS }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.8.name.0 = 65 }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.9.name = $0.classes.8.name }),
      (LTP_ERROR_POLICY_CLASS, { $0.classes.127.attributes = 1 }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 127) { $0.priority_min = 1 } }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 8) { $0.verdict = 3 } }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 8) { $0.reason = 20 } }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 8) { $0.verdict = LTP_VERDICT_DENY } }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 8) { $0.flags = 128 } }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 8) { $0.flags = LTP_RULE_DEFER_WHEN_BELOW } }),
      (LTP_ERROR_POLICY_RULE, { setRule(&$0, state: 1, 8) { $0.retry_after_ms = 3_600_001 } }),
    ]
    for (index, (status, change)) in cases.enumerated() {
      #expect(Self.refusal(change)?.status == status, "case \(index)")
    }
  }

  @Test("whatever a rule's bytes say, what is compiled of them indexes no table from outside")
  func outOfRangeRulesCompile() {
    var policy = builtInPolicy()
    for verdict in UInt8.min...UInt8.max {
      for reason in UInt8.min...UInt8.max {
        setRule(&policy, state: LTP_STATE_HEALTHY, 8) {
          $0 = ltp_policy_rule(
            verdict: verdict, reason: reason, priority_min: verdict, flags: reason, retry_after_ms: UInt32.max
          )
        }
        let rule = withUnsafePointer(to: policy) {
          PolicyTable.compile($0, state: LTP_STATE_HEALTHY, actionClass: 8)
        }
        let outcomes = (0..<4).map { Int(rule.rawValue >> (8 * UInt64($0)) & 0xFF) }
        guard outcomes.allSatisfy({ $0 < Outcome.count }) else {
          Issue.record("verdict \(verdict), reason \(reason): \(outcomes)")
          return
        }
        if verdict >= LTP_VERDICT_COUNT || reason >= LTP_REASON_COUNT {
          #expect(outcomes.allSatisfy { Outcome(rawValue: UInt8($0)).verdict == LTP_VERDICT_DENY })
        }
      }
    }
  }

  @Test("the built-in policy is the protocol's state table")
  func stateTable() {
    let recovery = [0, 1, 2, 3, 4]
    let reading = [8, 9, 10, 11, 12, 13, 14, 15]
    withUnsafePointer(to: builtInPolicy()) { policy in
      func verdict(_ state: UInt8, _ actionClass: Int) -> UInt8 {
        policy.rule(state: state, actionClass: actionClass).verdict
      }
      for actionClass in 0..<PolicyTable.classCount
      where policy.classDescription(actionClass).name.0 != 0 {
        let isRecovery = recovery.contains(actionClass)
        #expect(verdict(LTP_STATE_HEALTHY, actionClass) == LTP_VERDICT_EXECUTE)
        #expect((verdict(LTP_STATE_UNKNOWN, actionClass) == LTP_VERDICT_EXECUTE) == isRecovery)
        #expect((verdict(LTP_STATE_FAILED, actionClass) == LTP_VERDICT_EXECUTE) == isRecovery)
        let readsOn = isRecovery || reading.contains(actionClass)
        #expect((verdict(LTP_STATE_UNSTABLE, actionClass) == LTP_VERDICT_EXECUTE) == readsOn)
      }
      #expect(verdict(LTP_STATE_UNSTABLE, 25) == LTP_VERDICT_DEFER)
      #expect(verdict(LTP_STATE_UNSTABLE, 43) == LTP_VERDICT_DENY)
    }
  }
}
