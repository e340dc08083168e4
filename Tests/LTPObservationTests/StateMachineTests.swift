// SPDX-License-Identifier: Apache-2.0
// Values at given times, and the transitions that they make.

import CLTP
import Foundation
import Testing

@testable import LTPAdmission
@testable import LTPObservation

let second: UInt64 = 1_000_000_000
let millisecond: UInt64 = 1_000_000

/// A machine and the state that it drives, with time in the test's hands.
struct Driven: ~Copyable {
  var machine: StateMachine
  var state = LTP_STATE_UNKNOWN
  var now: UInt64
  var values: [Int: (value: Int64, time: UInt64)] = [:]
  var transitions: [(at: UInt64, from: UInt8, to: UInt8, reason: UInt8)] = []

  init(_ rules: ltp_signal_rules, now: UInt64 = 100 * second) {
    machine = StateMachine(rules: rules, now: now)
    self.now = now
  }

  mutating func push(_ signal: UInt8, _ value: Int64) { values[Int(signal)] = (value, now) }

  @discardableResult
  mutating func step(after nanoseconds: UInt64 = 0) -> Finding? {
    now += nanoseconds
    for (signal, last) in values { machine.take(signal, value: last.value, time: last.time) }
    guard let finding = machine.step(state: state, now: now) else { return nil }
    transitions.append((now, state, finding.to, finding.reason))
    state = finding.to
    machine.entered(now: now)
    return finding
  }

  /// Steps every millisecond.
  mutating func run(_ milliseconds: Int) { for _ in 0..<milliseconds { step(after: millisecond) } }

  /// HEALTHY, as it is after a quiet start.
  mutating func settle() {
    push(LTP_SIGNAL_CPU_PRESSURE, 0)
    run(6100)
    transitions = []
  }
}

func rules(_ change: (inout ltp_signal_rules) -> Void = { _ in }) -> ltp_signal_rules {
  var rules = ltp_signal_rules.builtIn()
  change(&rules)
  return rules
}

@Suite("From values to transitions")
struct StateMachineTests {
  @Test("a start: UNKNOWN until something is observed, RECOVERING, and HEALTHY when it has been quiet")
  func start() {
    var driven = Driven(rules())
    driven.run(3000)
    #expect(driven.state == LTP_STATE_UNKNOWN && driven.transitions.isEmpty)
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 100)
    driven.step()
    #expect(driven.state == LTP_STATE_RECOVERING)
    driven.run(4999)
    #expect(driven.state == LTP_STATE_RECOVERING)
    driven.run(1)
    #expect(
      driven.state == LTP_STATE_HEALTHY && driven.transitions.last!.reason == LTP_SIGNAL_RECOVERY_COMPLETE)
  }

  @Test("the cascade: a backlog of 5,000 connections is SATURATED, with its evidence")
  func cascade() {
    var driven = Driven(rules())
    driven.settle()
    driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 5000)
    driven.push(LTP_SIGNAL_CPU_PRESSURE, 9500)
    driven.run(100)
    #expect(driven.state == LTP_STATE_HEALTHY)
    let finding = driven.step(after: millisecond)!
    #expect(driven.state == LTP_STATE_SATURATED && finding.reason == LTP_SIGNAL_CONNECTION_BACKLOG_GROWING)
    #expect(finding.evidence[0].value == 5000 && finding.evidence[0].threshold == 1000)
    // The processors' pressure follows with its own dwell, and is less: the state stays.
    driven.run(1000)
    #expect(driven.state == LTP_STATE_SATURATED)
    driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 499)
    driven.run(1001)
    #expect(driven.state == LTP_STATE_DEGRADED && driven.transitions.last!.reason == LTP_SIGNAL_CPU_PRESSURE)
    driven.push(LTP_SIGNAL_CPU_PRESSURE, 3999)
    driven.run(1001)
    #expect(
      driven.state == LTP_STATE_HEALTHY && driven.transitions.last!.reason == LTP_SIGNAL_METRICS_STABILIZED)
  }

  @Test("the flicker: writes over 5 s are UNSTABLE at once, and the way back is RECOVERING")
  func flicker() {
    var driven = Driven(rules())
    driven.settle()
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 6_200_000)
    let finding = driven.step()!
    #expect(finding.to == LTP_STATE_UNSTABLE && finding.reason == LTP_SIGNAL_DB_WRITE_LATENCY)
    #expect(finding.evidenceCount == 1 && finding.evidence[0].value == 6_200_000)
    #expect(finding.evidence[0].threshold == 5_000_000)
    driven.run(45_000)
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 2000)
    driven.run(1001)
    #expect(
      driven.state == LTP_STATE_RECOVERING && driven.transitions.last!.reason == LTP_SIGNAL_METRICS_STABILIZED
    )
    // A relapse: at once again, and the recovery begins anew.
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 5_000_000)
    driven.step(after: millisecond)
    #expect(driven.state == LTP_STATE_UNSTABLE)
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 0)
    driven.run(6010)
    #expect(driven.state == LTP_STATE_HEALTHY)
    #expect(driven.transitions.map(\.to).suffix(2) == [LTP_STATE_RECOVERING, LTP_STATE_HEALTHY])
  }

  @Test("hysteresis: between exit and enter nothing changes, however long")
  func hysteresis() {
    var driven = Driven(rules())
    driven.settle()
    driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 999)
    driven.run(5000)
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 1000)
    driven.run(200)
    driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 500)
    driven.run(5000)
    #expect(driven.state == LTP_STATE_SATURATED)
    // A spike shorter than the dwell is none.
    driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 0)
    driven.run(1100)
    #expect(driven.state == LTP_STATE_HEALTHY)
    for _ in 0..<50 {
      driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 9000)
      driven.run(99)
      driven.push(LTP_SIGNAL_CONNECTION_BACKLOG_GROWING, 0)
      driven.run(1)
    }
    #expect(driven.state == LTP_STATE_HEALTHY)
  }

  @Test("weights: two halves make a whole, and worse signals count for better conditions")
  func weights() {
    var driven = Driven(
      rules {
        for signal in [LTP_SIGNAL_CPU_PRESSURE, LTP_SIGNAL_IO_PRESSURE, LTP_SIGNAL_MEMORY_PRESSURE] {
          var rule = $0.rule(Int(signal))
          (rule.weight, rule.enter_dwell_ns) = (50, 0)
          $0.setRule(signal, rule)
        }
      })
    driven.settle()
    driven.push(LTP_SIGNAL_CPU_PRESSURE, 9000)
    driven.run(100)
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.push(LTP_SIGNAL_MEMORY_PRESSURE, 9000)
    let finding = driven.step()!
    // Memory alone is half of SATURATED; with the processors, whose half is STRAINED, it is all of STRAINED.
    #expect(finding.to == LTP_STATE_DEGRADED && finding.reason == LTP_SIGNAL_CPU_PRESSURE)
    #expect(finding.evidence[0].signal == LTP_SIGNAL_MEMORY_PRESSURE)
    #expect(finding.evidenceCount == 2 && finding.evidence[1].signal == LTP_SIGNAL_CPU_PRESSURE)
  }

  @Test("a signal below its threshold, and one that must be pushed")
  func belowAndStale() {
    var driven = Driven(
      rules {
        var quorum = $0.rule(Int(LTP_SIGNAL_QUORUM_LOST))
        (quorum.enter, quorum.exit, quorum.flags) = (1, 2, LTP_SIGNAL_RULE_BELOW)
        (quorum.stale_ns, quorum.exit_dwell_ns) = (second, 0)
        $0.setRule(LTP_SIGNAL_QUORUM_LOST, quorum)
      })
    driven.push(LTP_SIGNAL_CPU_PRESSURE, 0)
    driven.run(2000)
    #expect(driven.state == LTP_STATE_UNKNOWN)
    for _ in 0..<70 {
      driven.push(LTP_SIGNAL_QUORUM_LOST, 3)
      driven.run(100)
    }
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.run(1001)
    #expect(
      driven.state == LTP_STATE_UNKNOWN && driven.transitions.last!.reason == LTP_SIGNAL_ORIENTATION_LOST)
    driven.push(LTP_SIGNAL_QUORUM_LOST, 1)
    driven.step()
    #expect(driven.state == LTP_STATE_FAILED)
    // Lost in FAILED is FAILED still; at the exit it is not quiet yet.
    driven.run(3000)
    driven.push(LTP_SIGNAL_QUORUM_LOST, 2)
    driven.step()
    #expect(driven.state == LTP_STATE_FAILED)
    driven.push(LTP_SIGNAL_QUORUM_LOST, 3)
    driven.step()
    #expect(driven.state == LTP_STATE_RECOVERING)
  }

  @Test("what is not observed is not outweighed by what is, and an unwatched signal is no observation")
  func unobserved() {
    var driven = Driven(
      rules {
        var quorum = $0.rule(Int(LTP_SIGNAL_QUORUM_LOST))
        quorum.stale_ns = second
        $0.setRule(LTP_SIGNAL_QUORUM_LOST, quorum)
      })
    driven.push(LTP_SIGNAL_PARTIAL_OUTAGE, 1)
    driven.run(3000)
    #expect(driven.state == LTP_STATE_UNKNOWN)
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 9_000_000)
    driven.step()
    #expect(driven.state == LTP_STATE_UNSTABLE)
    var other = Driven(rules())
    other.push(LTP_SIGNAL_METRICS_STABILIZED, 1)
    other.run(9000)
    #expect(other.state == LTP_STATE_UNKNOWN && other.transitions.isEmpty)
  }

  @Test("a clock that goes back is not followed, and one that jumps ahead loses nothing")
  func clocks() {
    var driven = Driven(rules())
    driven.settle()
    let before = driven.now
    driven.now = 5
    driven.push(LTP_SIGNAL_TRANSPORT_DISCONNECTED, 1)
    driven.step()
    #expect(driven.state == LTP_STATE_UNSTABLE)
    driven.now = before
    driven.step(after: 3600 * second)
    #expect(driven.state == LTP_STATE_UNSTABLE)
    driven.push(LTP_SIGNAL_TRANSPORT_DISCONNECTED, 0)
    driven.step()
    driven.step(after: UInt64.max / 2)
    #expect(driven.state == LTP_STATE_RECOVERING)
  }

  /// 100,000 of them with LTP_LONG_TESTS=1.
  @Test(
    "random histories: no flapping, no failure masked, no recovery skipped, nothing EXECUTEd that never may be; each comes out the same again"
  )
  func histories() {
    var random = SeededRandom(state: 7)
    let isLong = ProcessInfo.processInfo.environment["LTP_LONG_TESTS"] == "1"
    for seed in 0..<(isLong ? 100_000 : 5000) {
      let history = History(&random)
      let transitions = history.play(checking: true, seed: seed)
      if seed % 100 == 0 { #expect(transitions == history.play(checking: false, seed: seed)) }
    }
  }

  @Test("what is wrong with rules is said, and whose rule it is")
  func checks() throws {
    try rules().check()
    func fault(_ change: (inout ltp_signal_rules) -> Void) -> SignalRulesFault? {
      do throws(SignalRulesFault) { try rules(change).check() } catch { return error }
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
    #expect(rule(LTP_SIGNAL_OPERATOR) { $0.condition = LTP_CONDITION_FAILED } != nil)
    #expect(fault { $0.observe_interval_ns = 0 } != nil)
    #expect(fault { $0.state_dwell_ns = .max } != nil)
    #expect(fault { $0.flags = 8 } != nil)
    #expect(
      fault { for signal in 0..<UInt8(LTP_SIGNAL_COUNT) { $0.setRule(signal, ltp_signal_rule()) } } != nil)
  }

  @Test("pressure that cannot be read any more is UNKNOWN")
  func vanished() {
    var driven = Driven(
      rules { $0.flags = LTP_OBSERVE_PRESSURE }.withWatchedPressure(clockInterval: millisecond))
    let watched = [LTP_SIGNAL_MEMORY_PRESSURE, LTP_SIGNAL_CPU_PRESSURE, LTP_SIGNAL_IO_PRESSURE]
    for _ in 0..<70 {
      for signal in watched { driven.push(signal, 0) }
      driven.run(100)
    }
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.run(1001)
    #expect(
      driven.state == LTP_STATE_UNKNOWN && driven.transitions.last!.reason == LTP_SIGNAL_ORIENTATION_LOST)
    #expect(
      rules().withWatchedPressure(clockInterval: millisecond).rule(Int(LTP_SIGNAL_CPU_PRESSURE)).stale_ns == 0
    )
  }

  @Test("the control group's memory: where its files are, and how tight it is")
  func memoryLimit() {
    func path(_ text: String, isUnified: Bool) -> String? {
      var text = text
      return text.withUTF8 { bytes in
        let raw = UnsafeRawBufferPointer(bytes)
        return MemoryLimit.groupPath(in: raw, isUnified: isUnified).map {
          String(decoding: raw[$0...].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
      }
    }
    let mixed = "9:name=systemd:/s\n4:cpu,memory:/a:b/c\n3:memoryless:/x\n0::/user.slice\n"
    #expect(path(mixed, isUnified: true) == "/user.slice")
    #expect(path(mixed, isUnified: false) == "/a:b/c")
    #expect(path("3:memoryless:/x\n1:cpu:/memory\n", isUnified: false) == nil)
    #expect(path("", isUnified: true) == nil && path("4:memory", isUnified: false) == nil)
    #expect(path("4:memory:", isUnified: false) == "")
    #expect(MemoryLimit.pressure(used: 5, limit: nil) == 0)
    #expect(MemoryLimit.pressure(used: 900, limit: 1000) == 0)
    #expect(MemoryLimit.pressure(used: 950, limit: 1000) == 5000)
    #expect(MemoryLimit.pressure(used: 2000, limit: 1000) == 10_000)
    #expect(MemoryLimit.pressure(used: .max, limit: 1 << 59) == 10_000)
    #expect(MemoryLimit.pressure(used: 5, limit: 0) == 0)
  }

  @Test("pressure files: the number that counts, and what is none")
  func pressure() {
    func total(_ text: String) -> UInt64? {
      var text = text
      return text.withUTF8 { PressureFile.total(in: UnsafeRawBufferPointer($0)) }
    }
    #expect(total("some avg10=0.12 avg60=0.00 avg300=0.00 total=4711\nfull avg10=0.00 total=9\n") == 4711)
    #expect(total("some total=0") == 0)
    #expect(total("full avg10=0.00 total=9\n") == nil)
    #expect(total("some avg10=0.12\nfull total=9\n") == nil)
    #expect(total("some total=\n") == nil)
    #expect(total("some total=99999999999999999999999\n") == nil)
    #expect(total("") == nil)
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

  private var rules = ltp_signal_rules.builtIn()
  private var steps: [Step] = []

  init(_ random: inout SeededRandom) {
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
    for _ in 0..<40 {
      steps.append(
        Step(
          wait: UInt64.random(in: 0...6, using: &random) * 25 * millisecond,
          signal: Int.random(in: 1...Int(LTP_OBSERVATION_COUNT), using: &random),
          value: Int64.random(in: 0...10, using: &random)))
    }
  }

  func play(checking: Bool, seed: Int) -> [Transition] {
    var driven = Driven(rules)
    var overSince = [UInt64?](repeating: nil, count: 14)
    var owesRecovery = true
    for step in steps {
      driven.now += step.wait
      driven.push(UInt8(step.signal), step.value)
      let (before, since) = (driven.state, driven.transitions.last?.at ?? 100 * second)
      let changed = driven.step()
      guard checking else { continue }
      let rule = rules.rule(step.signal)
      if step.value < rule.enter || rule.condition != LTP_CONDITION_FAILED || rule.weight < 100 {
        overSince[step.signal] = nil
      } else {
        overSince[step.signal] = overSince[step.signal] ?? driven.now
      }
      if let changed, StateTable.severity(changed.to) < StateTable.severity(before) {
        #expect(driven.now - since >= rules.state_dwell_ns, "flaps, seed \(seed)")
      }
      for signal in 1..<14 where overSince[signal] != nil {
        if driven.now - overSince[signal]! >= rules.rule(signal).enter_dwell_ns {
          #expect(driven.state == LTP_STATE_FAILED, "masks a failure, seed \(seed)")
        }
      }
      switch driven.state {
      case LTP_STATE_UNKNOWN, LTP_STATE_UNSTABLE, LTP_STATE_FAILED: owesRecovery = true
      case LTP_STATE_RECOVERING: owesRecovery = false
      default: #expect(!owesRecovery, "skips RECOVERING, seed \(seed)")
      }
      LoosestPolicy.shared.expectNever(state: driven.state, seed: seed, step: UInt64(driven.now))
    }
    return driven.transitions.map { Transition(at: $0.at, to: $0.to, reason: $0.reason) }
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
  func expectNever(state: UInt8, seed: Int, step: UInt64) {
    for offset in 0..<2 {
      let actionClass = (seed &* 31 &+ Int(step / millisecond) &+ offset * 61) % PolicyTable.classCount
      let attributes = UnsafePointer(policy).classDescription(actionClass).attributes
      let rule = PolicyTable.compile(policy, state: state, actionClass: actionClass)
      for inputs in 0..<UInt8(8) {
        let decision = rule.decide(threshold: 0, priority: 255, inputs: inputs, sessionID: 1)
        guard decision.outcome.isExecute else { continue }
        let isForbidden =
          switch state {
          case LTP_STATE_FAILED: attributes & LTP_CLASS_CRITICAL != 0
          case LTP_STATE_RECOVERING: inputs & LTP_INPUT_CONTINUITY_VALID == 0
          case LTP_STATE_UNKNOWN: attributes & LTP_CLASS_RECOVERY == 0
          default: false
          }
        #expect(!isForbidden, "class \(actionClass) in state \(state), inputs \(inputs), seed \(seed)")
      }
    }
  }
}

/// SplitMix64.
private struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
