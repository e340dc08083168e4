// SPDX-License-Identifier: Apache-2.0
// Random courses of values: what must never come of any of them.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPOrientation
@testable import LTPRules

@Suite("Random observations", .guarded)
struct HistoryTests {
  /// 100,000 of them with LTP_LONG_TESTS=1.
  @Test(
    "random histories, rules loaded in the middle of some: no flapping, no failure masked, no recovery skipped, nothing EXECUTEd that never may be; each comes out the same again"
  )
  func histories() {
    for seed in TestSeed.each(0...(TestSeed.isLong ? 99_999 : 4_999)) {
      var random = TestSeed.random(seed)
      let history = History(&random)
      let transitions = history.play(checking: true, seed: seed)
      if seed % 100 == 0 { #expect(transitions == history.play(checking: false, seed: seed)) }
    }
  }
}

/// A random course of values, with times between steps from nothing to seconds.
private struct History {
  struct Step {
    var wait: UInt64
    var signal: Int
    var value: Int64
  }

  struct Transition: Equatable {
    var at: UInt64
    var to: UInt8
    var reason: UInt8
  }

  private let rules: ltp_signal_rules
  /// Loaded before this step.
  private let other: (rules: ltp_signal_rules, step: Int)?
  private var steps: [Step] = []

  init(_ random: inout SplitMix64) {
    rules = Self.anyRules(&random)
    other =
      Bool.random(using: &random) ? (Self.anyRules(&random), Int.random(in: 1..<40, using: &random)) : nil
    for _ in 0..<40 {
      steps.append(
        Step(
          wait: UInt64.random(in: 0...6, using: &random) * 25 * millisecond,
          signal: Int.random(in: 1...Int(LTP_OBSERVATION_COUNT), using: &random),
          value: Int64.random(in: 0...10, using: &random)))
    }
  }

  private static func anyRules(_ random: inout SplitMix64) -> ltp_signal_rules {
    var rules = ltp_signal_rules.builtIn()
    for signal in 1...Int(LTP_OBSERVATION_COUNT) {
      var rule = ltp_signal_rule()
      rule.condition = UInt8.random(in: 0...4, using: &random)
      if rule.condition != LTP_CONDITION_NONE {
        rule.enter = Int64.random(in: 2...9, using: &random)
        rule.exit = Int64.random(in: 1...rule.enter, using: &random)
        rule.enter_dwell_ns = UInt64.random(in: 0...3, using: &random) * 50 * millisecond
        rule.exit_dwell_ns = UInt64.random(in: 0...3, using: &random) * 50 * millisecond
        rule.stale_ns = Bool.random(using: &random) ? 0 : 800 * millisecond
        rule.weight = [100, 50, 34].randomElement(using: &random)!
      }
      rules.setRule(UInt8(signal), rule)
    }
    rules.state_dwell_ns = UInt64.random(in: 0...4, using: &random) * 100 * millisecond
    rules.recovering_ns = UInt64.random(in: 0...4, using: &random) * 100 * millisecond
    return rules
  }

  func play(checking: Bool, seed: UInt64) -> [Transition] {
    var rules = rules
    var driven = Driven(rules)
    var overSince = [UInt64?](repeating: nil, count: Int(LTP_OBSERVATION_COUNT) + 1)
    var owesRecovery = true
    for (place, step) in steps.enumerated() {
      driven.now += step.wait
      if let other, other.step == place {
        rules = other.rules
        driven.adopt(rules)
        for signal in 1...Int(LTP_OBSERVATION_COUNT) {
          let isOver = Self.isOver(rules.rule(signal), driven.values[signal]?.value)
          overSince[signal] = isOver ? driven.now : nil
        }
      }
      driven.push(UInt8(step.signal), step.value)
      let (before, since) = (driven.state, driven.transitions.last?.at ?? 100 * second)
      let changed = driven.step()
      guard checking else { continue }
      let isOver = Self.isOver(rules.rule(step.signal), step.value)
      overSince[step.signal] = isOver ? overSince[step.signal] ?? driven.now : nil
      if let changed, StateTable.severity(changed.to) < StateTable.severity(before) {
        #expect(driven.now - since >= rules.state_dwell_ns, "flaps")
      }
      for signal in 1...Int(LTP_OBSERVATION_COUNT) where overSince[signal] != nil {
        if driven.now - overSince[signal]! >= rules.rule(signal).enter_dwell_ns {
          #expect(driven.state == LTP_STATE_FAILED, "masks a failure")
        }
      }
      switch driven.state {
      case LTP_STATE_UNKNOWN, LTP_STATE_UNSTABLE, LTP_STATE_FAILED: owesRecovery = true
      case LTP_STATE_RECOVERING: owesRecovery = false
      default: #expect(!owesRecovery, "skips RECOVERING")
      }
      LoosestPolicy.shared.expectNever(state: driven.state, seed: seed, step: UInt64(driven.now))
    }
    return driven.transitions.map { Transition(at: $0.at, to: $0.to, reason: $0.reason) }
  }
}

extension History {
  /// By itself the value says that a critical part is lost.
  private static func isOver(_ rule: ltp_signal_rule, _ value: Int64?) -> Bool {
    guard let value else { return false }
    return value >= rule.enter && rule.condition == LTP_CONDITION_FAILED && rule.weight == 100
  }
}

/// The policy that EXECUTEs whatever any policy that loads may: what it does not, none does.
private final class LoosestPolicy: @unchecked Sendable {
  static let shared = LoosestPolicy()
  private let policy = UnsafeMutablePointer<ltp_policy>.allocate(capacity: 1)

  private init() {
    DefaultPolicy.write(to: policy)
    let source = UnsafePointer(policy)
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      for actionClass in 0..<PolicyTable.classCount where source.classDescription(actionClass).name.0 != 0 {
        let before = source.rule(state: state, actionClass: actionClass)
        for flags in [LTP_RULE_WAIVE_CONTINUITY, 0] {
          policy.setRule(
            state: state, actionClass: actionClass,
            ltp_policy_rule(
              verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED, priority_min: 0, flags: flags,
              retry_after_ms: 0))
          if (try? PolicyCheck.check(source)) != nil { break }
          policy.setRule(state: state, actionClass: actionClass, before)
        }
      }
    }
  }

  /// Two of the classes decide, with every set of facts.
  func expectNever(state: UInt8, seed: UInt64, step: UInt64) {
    for offset in 0..<UInt64(2) {
      let actionClass = Int(
        (seed &* 31 &+ step / millisecond &+ offset * 61) % UInt64(PolicyTable.classCount))
      let attributes = UnsafePointer(policy).classDescription(actionClass).attributes
      let rule = PolicyTable.compile(policy, state: state, actionClass: actionClass)
      for inputs in 0..<UInt16(16) {
        let decision = rule.decide(threshold: 0, priority: 255, inputs: inputs, sessionID: 1)
        guard decision.outcome.isExecute else { continue }
        let isForbidden =
          switch state {
          case LTP_STATE_FAILED: attributes & LTP_CLASS_CRITICAL != 0
          case LTP_STATE_RECOVERING: inputs & LTP_CONTINUITY_VALID == 0
          case LTP_STATE_UNKNOWN: attributes & LTP_CLASS_RECOVERY == 0
          default: false
          }
        #expect(!isForbidden, "class \(actionClass) in state \(state), inputs \(inputs)")
      }
    }
  }
}
