// SPDX-License-Identifier: Apache-2.0
// What is wrong with signal rules, by themselves and in a policy.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPRules

@Suite("Signal rules", .guarded)
struct SignalRulesTests {
  @Test("what is wrong with rules is said, and whose rule it is")
  func checks() throws {
    try ltp_signal_rules.builtIn().check()
    func fault(_ change: (inout ltp_signal_rules) -> Void) -> SignalRulesFault? {
      var rules = ltp_signal_rules.builtIn()
      change(&rules)
      do throws(SignalRulesFault) { try rules.check() } catch { return error }
      return nil
    }
    func rule(_ signal: UInt8, _ change: @escaping (inout ltp_signal_rule) -> Void) -> SignalRulesFault? {
      fault {
        var rule = $0.rule(Int(signal))
        change(&rule)
        $0.setRule(signal, rule)
      }
    }
    #expect(rule(LTP_SIGNAL_IO_PRESSURE) { $0.exit = $0.enter + 1 }?.signal == LTP_SIGNAL_IO_PRESSURE)
    #expect(
      rule(LTP_SIGNAL_IO_PRESSURE) { $0.flags = LTP_SIGNAL_RULE_BELOW }?.signal == LTP_SIGNAL_IO_PRESSURE)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.enter = -1 }?.signal == LTP_SIGNAL_CPU_PRESSURE)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.weight = 0 } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.weight = 101 } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.condition = 5 } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.condition = LTP_CONDITION_NONE } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.enter_dwell_ns = .max } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.stale_ns = .max } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.reserved.1 = 1 } != nil)
    #expect(rule(LTP_SIGNAL_CPU_PRESSURE) { $0.exit = 0 } != nil)
    #expect(rule(LTP_SIGNAL_QUORUM_LOST) { ($0.flags, $0.exit) = (LTP_SIGNAL_RULE_BELOW, .max) } != nil)
    #expect(rule(LTP_SIGNAL_QUORUM_LOST) { $0.weight = 99 }?.signal == LTP_SIGNAL_QUORUM_LOST)
    #expect(rule(LTP_SIGNAL_METRICS_STABILIZED) { $0.stale_ns = 1 } != nil)
    for signal in [LTP_SIGNAL_NONE, UInt8(LTP_OBSERVATION_COUNT) + 1, UInt8(LTP_OBSERVATION_MAX)] {
      #expect(rule(signal) { $0.condition = LTP_CONDITION_FAILED } != nil, "no observation has this number")
    }
    #expect(fault { $0.observe_interval_ns = 0 } != nil)
    #expect(fault { $0.state_dwell_ns = .max } != nil)
    #expect(fault { $0.flags = 8 } != nil)
    func stale(_ signal: UInt8, _ flags: UInt32, intervals: UInt64) -> SignalRulesFault? {
      fault {
        $0.flags = flags
        var rule = $0.rule(Int(signal))
        rule.stale_ns = intervals * $0.observe_interval_ns
        $0.setRule(signal, rule)
      }
    }
    #expect(
      stale(LTP_SIGNAL_CPU_PRESSURE, LTP_OBSERVE_PRESSURE, intervals: 2)?.signal == LTP_SIGNAL_CPU_PRESSURE)
    #expect(stale(LTP_SIGNAL_WS_RECONNECT_STORM, LTP_OBSERVE_HELLOS, intervals: 2) != nil)
    #expect(stale(LTP_SIGNAL_CPU_PRESSURE, LTP_OBSERVE_PRESSURE, intervals: 3) == nil)
    #expect(
      stale(LTP_SIGNAL_CPU_PRESSURE, LTP_OBSERVE_MEMORY_LIMIT, intervals: 2) == nil, "the host pushes it")
    #expect(
      fault { for signal in 0...UInt8(LTP_OBSERVATION_MAX) { $0.setRule(signal, ltp_signal_rule()) } } != nil)
  }

  @Test("a policy has whole rules or none")
  func inPolicies() {
    func refusal(_ change: (inout ltp_policy) -> Void) -> PolicyRefusal? {
      var policy = builtInPolicy()
      change(&policy)
      do throws(PolicyRefusal) { try PolicyCheck.check(&policy) } catch { return error }
      return nil
    }
    #expect(refusal { _ in } == nil)
    #expect(refusal { $0.signals = ltp_signal_rules.builtIn() } == nil)
    #expect(refusal { $0.signals.recovering_ns = 1 }?.status == LTP_ERROR_SIGNAL_RULES, "without its size")
    #expect(refusal { $0.signals.struct_size = 8 }?.status == LTP_ERROR_STRUCT_SIZE)
    let wrong = refusal {
      $0.signals = ltp_signal_rules.builtIn()
      $0.signals.rules.6.exit = $0.signals.rules.6.enter + 1
    }
    #expect(wrong?.status == LTP_ERROR_SIGNAL_RULES && wrong?.signal == LTP_SIGNAL_IO_PRESSURE)
    #expect(refusal { $0.reserved_2.7 = 1 }?.status == LTP_ERROR_POLICY_RULE)
  }
}
