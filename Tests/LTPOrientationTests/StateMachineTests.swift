// SPDX-License-Identifier: Apache-2.0
// Values at given times, and the transitions that they make.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPOrientation
@testable import LTPRules

/// A machine and the state that it drives, with time in the test's hands.
struct Driven: ~Copyable {
  var machine: StateMachine
  private var rules: ltp_signal_rules
  var state = LTP_STATE_UNKNOWN
  var now: UInt64
  var values: [Int: (value: Int64, time: UInt64)] = [:]
  var transitions: [(at: UInt64, from: UInt8, to: UInt8, reason: UInt8)] = []

  init(_ rules: ltp_signal_rules, now: UInt64 = 100 * second) {
    self.rules = rules
    machine = StateMachine(rules: rules, now: now)
    self.now = now
  }

  mutating func push(_ signal: UInt8, _ value: Int64) { values[Int(signal)] = (value, now) }

  mutating func adopt(_ next: ltp_signal_rules) {
    rules = next
    machine.adopt(next, now: now)
  }

  /// The rules that it has, with one of them changed.
  mutating func adopt(_ signal: Int, _ change: (inout ltp_signal_rule) -> Void) {
    var rule = rules.rule(signal)
    change(&rule)
    var next = rules
    next.setRule(UInt8(signal), rule)
    adopt(next)
  }

  @discardableResult
  mutating func step(after nanoseconds: UInt64 = 0) -> Finding? {
    now += nanoseconds
    for (signal, last) in values { machine.observe(signal, value: last.value, time: last.time) }
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

@Suite("From values to transitions", .guarded)
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

  @Test("other rules: what is active stays so until it is quiet by them, and a dwell begins anew")
  func adopts() {
    var driven = Driven(rules())
    driven.settle()
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 30_000)
    driven.run(101)
    #expect(driven.state == LTP_STATE_SATURATED)
    // Beyond the old entrance, and before the new exit: quiet after its dwell, not at once.
    let queue = Int(LTP_SIGNAL_QUEUE_LATENCY_SPIKE)
    driven.adopt(queue) { ($0.enter, $0.exit, $0.exit_dwell_ns) = (50_000, 40_000, 500 * millisecond) }
    driven.run(500)
    #expect(driven.state == LTP_STATE_SATURATED)
    driven.run(1000)
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 49_999)
    driven.run(200)
    #expect(driven.state == LTP_STATE_HEALTHY)
    // A dwell that had nearly passed under other rules.
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 60_000)
    driven.run(99)
    driven.adopt(queue) { $0.enter = 60_000 }
    driven.run(99)
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.run(3)
    #expect(driven.state == LTP_STATE_SATURATED)
    // Rules that are the same interrupt nothing.
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 6_000_000)
    driven.run(1)
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 0)
    driven.run(600)
    driven.adopt(queue) { $0.enter = 60_000 }
    driven.run(402)
    #expect(driven.state == LTP_STATE_RECOVERING, "still saturated, and no longer unstable")
  }

  @Test("other rules: what is not watched any more says nothing, and what is watched must be observed")
  func adoptsFewer() {
    var driven = Driven(rules())
    driven.settle()
    driven.push(LTP_SIGNAL_QUORUM_LOST, 1)
    driven.run(1)
    #expect(driven.state == LTP_STATE_FAILED)
    driven.adopt(Int(LTP_SIGNAL_QUORUM_LOST)) { $0 = ltp_signal_rule() }
    driven.run(1001)
    #expect(driven.state == LTP_STATE_RECOVERING)
    driven.adopt(
      rules {
        for signal in 1...UInt8(LTP_OBSERVATION_COUNT) where signal != LTP_SIGNAL_HEARTBEAT_TIMEOUT {
          $0.setRule(signal, ltp_signal_rule())
        }
      })
    driven.run(1)
    #expect(driven.state == LTP_STATE_UNKNOWN, "of the one signal that is left nothing is known")
    driven.push(LTP_SIGNAL_HEARTBEAT_TIMEOUT, 0)
    driven.run(6100)
    #expect(driven.state == LTP_STATE_HEALTHY)
  }

  @Test("other rules: what the core reads from now on has its time to be read, and then it must have been")
  func feeds() {
    var driven = Driven(rules())
    driven.settle()
    let pressure = rules { $0.flags = LTP_OBSERVE_PRESSURE }.withWatchedPressure(clockInterval: millisecond)
    driven.adopt(pressure)
    driven.run(999)
    #expect(driven.transitions.isEmpty, "healthy throughout")
    driven.run(2)
    #expect(driven.state == LTP_STATE_UNKNOWN, "nothing was read in a second")
    // Active, and then not read any more: nobody would ever say that it is quiet.
    for _ in 0..<80 {
      for signal in [LTP_SIGNAL_MEMORY_PRESSURE, LTP_SIGNAL_CPU_PRESSURE, LTP_SIGNAL_IO_PRESSURE] {
        driven.push(signal, signal == LTP_SIGNAL_MEMORY_PRESSURE ? 9000 : 0)
      }
      driven.run(100)
    }
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 0)
    #expect(driven.state == LTP_STATE_RECOVERING)
    driven.adopt(rules())
    driven.values = driven.values.filter { $0.key == Int(LTP_SIGNAL_QUEUE_LATENCY_SPIKE) }
    driven.run(5001)
    #expect(driven.state == LTP_STATE_HEALTHY)
  }

  @Test("other rules: quiet is counted by them, and evidence is theirs")
  func adoptsFromTheBeginning() {
    var driven = Driven(rules { $0.recovering_ns = 60 * second })
    driven.push(LTP_SIGNAL_CPU_PRESSURE, 9000)
    driven.run(2000)
    driven.push(LTP_SIGNAL_CPU_PRESSURE, 0)
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 15_000)
    driven.run(6000)
    #expect(driven.state == LTP_STATE_RECOVERING)
    // Beyond its new threshold already, within its dwell.
    driven.adopt(
      rules {
        var queue = $0.rule(Int(LTP_SIGNAL_QUEUE_LATENCY_SPIKE))
        (queue.enter, queue.enter_dwell_ns) = (15_000, second)
        $0.setRule(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, queue)
      })
    driven.run(4999)
    #expect(driven.state == LTP_STATE_RECOVERING, "it has not been quiet by these")
    driven.push(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, 0)
    driven.run(7000)
    #expect(driven.state == LTP_STATE_HEALTHY)
    // What was unstable is not watched any more: no other signal is the reason that it is better.
    driven.push(LTP_SIGNAL_DB_WRITE_LATENCY, 9_000_000)
    driven.run(1500)
    driven.adopt(Int(LTP_SIGNAL_DB_WRITE_LATENCY)) { $0 = ltp_signal_rule() }
    let finding = driven.step(after: millisecond)!
    #expect(finding.to == LTP_STATE_RECOVERING && finding.evidenceCount == 0)
  }
}
