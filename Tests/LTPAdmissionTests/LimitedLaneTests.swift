// SPDX-License-Identifier: Apache-2.0
// A lane under limits, and under a shadow policy: what is decided, what is recorded, and that both can be told again
// from the record.

import CLTP
import CLTPSystem
import LTPLimits
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPOrientation
@testable import LTPRules

/// The built-in policy with limits; classes 8 ("read") and 24 ("create") take permits when `takesPermits`.
func limitedPolicy(takesPermits: Bool = false, _ change: (inout ltp_policy_limits) -> Void) -> ltp_policy {
  var policy = builtInPolicy()
  change(&policy.limits)
  if takesPermits {
    withUnsafeMutablePointer(to: &policy) { pointer in
      for actionClass in [8, 24] {
        var described = UnsafePointer(pointer).classDescription(actionClass)
        described.attributes |= LTP_CLASS_PERMIT
        pointer.setClass(actionClass, described)
      }
    }
  }
  return policy
}

extension LaneHarness {
  /// Puts a policy with limits in force, as the regulator would.
  func limit(_ policy: ltp_policy, permits: Int64 = 0) {
    load(policy, generation: 2)
    withUnsafePointer(to: policy) {
      limits.rates.set(RateTable.totalIndex, $0.pointee.limits.total)
      limits.rates.set(RateTable.tenantIndex, $0.pointee.limits.tenant)
      limits.rates.set(RateTable.rampIndex, $0.pointee.limits.recovering)
      for actionClass in 0..<PolicyTable.classCount {
        limits.rates.set(actionClass, $0.classRate(actionClass))
      }
    }
    limits.pool.release(permits)
  }

  /// What the regulator would say, with the next tick.
  func say(_ word: LimitsWord, at now: UInt64) {
    orientation.line.pointee.limits.store(word.rawValue, ordering: .releasing)
    tick(to: now)
  }
}

@Suite("A lane under limits", .guarded)
struct LimitedLaneTests {
  private func gate(_ record: ltp_decision_record) -> UInt8 { gateOf(inputs: record.inputs) }

  @Test("the total rate refuses with its reason, and its record says which limit it was")
  func totalRate() {
    let harness = LaneHarness()
    harness.limit(limitedPolicy { $0.total = ltp_rate(per_second: 100, burst: 5) })
    let lane = harness.lane()
    for _ in 0..<5 { #expect(lane.admit(request()).verdict == LTP_VERDICT_EXECUTE) }
    let refused = lane.admit(request())
    #expect(refused.verdict == LTP_VERDICT_DENY && refused.reason == LTP_REASON_RATE_LIMITED)
    #expect((250...500).contains(refused.retry_after_ms), "as the policy says: longer than the rate's 10 ms")
    let record = lane.decision(5)
    #expect(gate(record) == LTP_GATE_TOTAL_RATE && record.reason == LTP_REASON_RATE_LIMITED)
    #expect(record.retryAfterMilliseconds == refused.retry_after_ms)
    // Recovery actions are never held up, and exempt classes only by their own rate.
    #expect(lane.admit(request(0)).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.admit(request(3, priority: 0)).verdict == LTP_VERDICT_EXECUTE)
    harness.tick(to: 1_020_000_000)
    #expect(lane.admit(request()).verdict == LTP_VERDICT_EXECUTE)
  }

  @Test("a caller is not told to come back before its rate has room")
  func waitsForItsRate() {
    let harness = LaneHarness()
    var policy = limitedPolicy { _ in }
    policy.limits.classes.8 = ltp_rate(per_second: 1, burst: 60)
    harness.limit(policy)
    let lane = harness.lane()
    var costly = request()
    costly.cost = 60
    #expect(lane.admit(costly).verdict == LTP_VERDICT_EXECUTE)
    let refused = lane.admit(costly)
    #expect(refused.reason == LTP_REASON_RATE_LIMITED && refused.retry_after_ms == 60_000)
    #expect(gate(lane.decision(1)) == LTP_GATE_CLASS_RATE)
  }

  @Test("tenants keep to their rate, always or only while something is refused; others go on")
  func tenants() {
    for isSoft in [false, true] {
      let harness = LaneHarness()
      harness.limit(
        limitedPolicy {
          $0.tenant = ltp_rate(per_second: 100, burst: 3)
          if isSoft { $0.flags = LTP_LIMITS_TENANT_WHEN_CONTENDED }
        })
      let lane = harness.lane()
      func executed(_ tenant: UInt32, of count: Int) -> Int {
        (0..<count).count { _ in
          var asked = request()
          asked.tenant_id = tenant
          return lane.admit(asked).verdict == LTP_VERDICT_EXECUTE
        }
      }
      #expect(executed(7, of: 10) == (isSoft ? 10 : 3))
      harness.say(
        LimitsWord(shedLevel: 0, retryFloorMilliseconds: 0, concurrency: 0, isContended: true),
        at: 1_001_000_000)
      #expect(executed(8, of: 10) == 3, "another tenant has its own")
      #expect(executed(0, of: 10) == 10, "no tenant")
      // Below the ten: whose request it was, and before that the decision.
      let whose = lane.slot(lane.issued - 11).load(as: ltp_tenant_record.self)
      #expect(whose.kind == LTP_RECORD_TENANT && whose.tenant_id == 8 && whose.frame_id == 1)
      let last = lane.decision(lane.issued - 12)
      #expect(last.inputs & LTP_INPUT_TENANT != 0)
      #expect(gate(last) == LTP_GATE_TENANT_RATE && last.reason == LTP_REASON_RATE_LIMITED)
    }
  }

  @Test("an EXECUTE takes a permit, which is in the verdict and not in the record, until there is none")
  func permits() {
    let harness = LaneHarness()
    harness.limit(
      limitedPolicy(takesPermits: true) {
        $0.concurrency = LTP_CONCURRENCY_FIXED
        ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (2, 2, 2)
        $0.permit_ttl_ms = 1000
      }, permits: 2)
    let lane = harness.lane()
    let first = lane.admit(request())
    #expect(first.verdict == LTP_VERDICT_EXECUTE && first.retry_after_ms != 0)
    #expect(lane.decision(0).retryAfterMilliseconds == 0)
    #expect(lane.admit(request(9)).retry_after_ms == 0, "a class that takes none")
    let second = lane.admit(request(24))
    #expect(second.verdict == LTP_VERDICT_EXECUTE && second.retry_after_ms != first.retry_after_ms)
    let refused = lane.admit(request())
    #expect(refused.verdict == LTP_VERDICT_DENY && refused.reason == LTP_REASON_CONCURRENCY_LIMITED)
    #expect(gate(lane.decision(3)) == LTP_GATE_CONCURRENCY)
    let permits = lane.state.pointee.limits.permits
    #expect(permits.release(first.retry_after_ms, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 0))
    #expect(lane.admit(request()).verdict == LTP_VERDICT_EXECUTE)
    // What the table refuses takes none.
    harness.publish(LTP_STATE_FAILED)
    #expect(lane.admit(request()).reason == LTP_REASON_SYSTEM_FAILED)
  }

  @Test("what a later limit refuses takes nothing of an earlier one")
  func takesNothingForNothing() {
    let harness = LaneHarness()
    harness.limit(
      limitedPolicy(takesPermits: true) {
        $0.total = ltp_rate(per_second: 100, burst: 3)
        $0.tenant = ltp_rate(per_second: 100, burst: 3)
        $0.concurrency = LTP_CONCURRENCY_FIXED
        ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (1, 1, 1)
        $0.permit_ttl_ms = 1000
      }, permits: 1)
    let lane = harness.lane()
    var asked = request()
    asked.tenant_id = 5
    let first = lane.admit(asked)
    for _ in 0..<20 { #expect(lane.admit(asked).reason == LTP_REASON_CONCURRENCY_LIMITED) }
    let permits = lane.state.pointee.limits.permits
    #expect(permits.release(first.retry_after_ms, outcome: LTP_OUTCOME_SUCCESS, latency: nil, now: 0))
    #expect(lane.admit(asked).verdict == LTP_VERDICT_EXECUTE, "two of the rates' three are left")
  }

  @Test("shedding goes by priority and then by cohort, and lanes pick the level up with the clock")
  func sheds() {
    let harness = LaneHarness()
    harness.limit(
      limitedPolicy {
        $0.flags = LTP_LIMITS_SHED
        ($0.shed_decrease_permille, $0.shed_increase_permille) = (50, 10)
      })
    let lane = harness.lane()
    func admits(_ priority: UInt8, _ cohort: UInt8) -> Bool {
      var asked = request(priority: priority)
      asked.cohort = cohort
      return lane.admit(asked).verdict == LTP_VERDICT_EXECUTE
    }
    #expect(admits(0, 0))
    harness.say(
      LimitsWord(shedLevel: 100 << 8 | 128, retryFloorMilliseconds: 700, concurrency: 0, isContended: false),
      at: 1_001_000_000)
    #expect(!admits(99, 255) && !admits(100, 127) && admits(100, 128) && admits(101, 0))
    let observed = lane.slot(1).loadUnaligned(as: ltp_observed_record.self)
    #expect(
      observed.kind == LTP_RECORD_OBSERVED && LimitsWord(rawValue: observed.limits_word).shedLevel == 25_728)
    let shed = lane.decision(2)
    #expect(gate(shed) == LTP_GATE_SHED && shed.reason == LTP_REASON_PRIORITY_BELOW_THRESHOLD)
    #expect(
      (700...1400).contains(shed.retryAfterMilliseconds), "the floor counts where it is above the policy's")
    let (offered, counts) = counts(lane)
    #expect(offered[100] == 2 && offered[0] == 1 && counts.admitted == 3 && counts.refused == 2)
  }

  @Test("what a lane has leased is void when the lease has ended, whoever looks at the clock")
  func leasesEnd() {
    let harness = LaneHarness()
    // Chunks of ten.
    var policy = limitedPolicy { $0.total = ltp_rate(per_second: 40_960, burst: 800) }
    policy.limits.classes.8 = ltp_rate(per_second: 40_960, burst: 800)
    harness.limit(policy)
    let idle = harness.lane(id: 1)
    let busy = harness.lane(id: 2, blockBytes: 65_536)
    #expect(idle.admit(request()).verdict == LTP_VERDICT_EXECUTE, "nine more are leased")
    harness.tick(to: 1_004_000_000)
    let burst = (0..<1000).count { _ in busy.admit(request()).verdict == LTP_VERDICT_EXECUTE }
    #expect((790...800).contains(burst), "each chunk is rounded up, to the disadvantage of who asks")
    #expect(idle.admit(request()).reason == LTP_REASON_RATE_LIMITED, "the whole burst went to the other lane")
  }

  @Test("a class that nothing adapts to is not counted, whatever its own rate says of it")
  func countsWhoIsConcerned() {
    let harness = LaneHarness()
    var policy = limitedPolicy {
      $0.flags = LTP_LIMITS_SHED
      ($0.shed_decrease_permille, $0.shed_increase_permille) = (50, 10)
    }
    // Shedding does not concern an exempt class.
    policy.limits.classes.24 = ltp_rate(per_second: 100, burst: 2)
    withUnsafeMutablePointer(to: &policy) {
      var described = UnsafePointer($0).classDescription(24)
      described.attributes |= LTP_CLASS_EXEMPT
      $0.setClass(24, described)
    }
    harness.limit(policy)
    let lane = harness.lane()
    let verdicts = (0..<3).map { _ in lane.admit(request(24, priority: 9)).verdict }
    #expect(verdicts == [LTP_VERDICT_EXECUTE, LTP_VERDICT_EXECUTE, LTP_VERDICT_DENY])
    #expect(lane.admit(request(8, priority: 9)).verdict == LTP_VERDICT_EXECUTE)
    harness.publish(LTP_STATE_UNSTABLE)
    #expect(lane.admit(request(25, priority: 9)).verdict != LTP_VERDICT_EXECUTE, "the table refuses it")
    let counts = counts(lane)
    #expect(counts.offered[9] == 1 && counts.offered.reduce(0, +) == 1, "what the table refuses is no offer")
    #expect(counts.total.admitted == 1 && counts.total.refused == 1)
  }

  private func counts(_ lane: Lane) -> (offered: [UInt64], total: LaneCounts) {
    var total = LaneCounts()
    let offered = UnsafeMutablePointer<UInt64>.allocate(capacity: 256)
    defer { offered.deallocate() }
    offered.initialize(repeating: 0, count: 256)
    lane.state.pointee.limits.collectCounts(offered: offered, into: &total)
    return (Array(UnsafeBufferPointer(start: offered, count: 256)), total)
  }

  @Test("a limit defers what may be deferred, where the policy says so")
  func defers() {
    let harness = LaneHarness(state: LTP_STATE_SATURATED)
    harness.limit(limitedPolicy { $0.total = ltp_rate(per_second: 100, burst: 1) })
    let lane = harness.lane()
    #expect(lane.admit(request(24)).verdict == LTP_VERDICT_EXECUTE)
    let deferred = lane.admit(request(24))
    #expect(deferred.verdict == LTP_VERDICT_DEFER && deferred.reason == LTP_REASON_RATE_LIMITED)
    #expect(deferred.commitment == LTP_COMMITMENT_WHEN_STABLE)
  }

  @Test("the ramp limits RECOVERING, and nothing else")
  func ramps() {
    let harness = LaneHarness(state: LTP_STATE_RECOVERING)
    harness.limit(
      limitedPolicy {
        $0.recovering = ltp_rate(per_second: 100, burst: 2)
        ($0.ramp_ms, $0.ramp_start_permille) = (1000, 100)
      })
    let lane = harness.lane()
    let asked = request(life: harness.life(of: 2))
    let verdicts = (0..<10).map { _ in lane.admit(asked) }
    #expect(verdicts.count { $0.verdict == LTP_VERDICT_EXECUTE } == 2)
    #expect(verdicts.last!.reason == LTP_REASON_SYSTEM_RECOVERING)
    // The never list holds whatever limits say.
    #expect(lane.admit(request()).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    harness.publish(LTP_STATE_HEALTHY)
    #expect(lane.admit(asked).verdict == LTP_VERDICT_EXECUTE)
  }

  @Test("one at a time or in a batch, fast path or not: the same verdicts under limits")
  func batchIsTheSame() {
    let policy = limitedPolicy(takesPermits: true) {
      $0.total = ltp_rate(per_second: 1000, burst: 40)
      $0.tenant = ltp_rate(per_second: 100, burst: 10)
      $0.flags = LTP_LIMITS_SHED
      ($0.shed_decrease_permille, $0.shed_increase_permille) = (50, 10)
      $0.concurrency = LTP_CONCURRENCY_FIXED
      ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (20, 20, 20)
      $0.permit_ttl_ms = 1000
    }
    var random = TestSeed.random(4)
    let requests = (0..<100).map { index in
      var asked = request(
        [8, 9, 24, 40, 0, 200][Int.random(in: 0..<6, using: &random)], frameID: UInt64(index),
        priority: UInt8.random(in: 60...180, using: &random),
        deadline: Bool.random(using: &random) ? UInt64.random(in: 1...2_000_000_000, using: &random) : nil)
      asked.tenant_id = UInt32.random(in: 0...3, using: &random)
      asked.cohort = UInt8.random(in: 0...255, using: &random)
      return asked
    }
    func scene() -> (LaneHarness, Lane) {
      let harness = LaneHarness()
      harness.limit(policy, permits: 20)
      harness.say(
        LimitsWord(shedLevel: 100 << 8, retryFloorMilliseconds: 300, concurrency: 20, isContended: true),
        at: 1_001_000_000)
      return (harness, harness.lane(blockBytes: 16_384))
    }
    let (one, two) = (scene(), scene())
    let single = requests.map { one.1.admit($0) }
    var batch = [ltp_verdict](repeating: ltp_verdict(), count: requests.count)
    let executed = requests.withUnsafeBytes { frames in
      batch.withUnsafeMutableBufferPointer {
        two.1.admitBatch(frames.baseAddress!, stride: 64, count: requests.count, into: $0.baseAddress!)
      }
    }
    #expect(executed == single.count { $0.verdict == LTP_VERDICT_EXECUTE })
    #expect(zip(single, batch).allSatisfy { Verdict($0) == Verdict($1) })
    #expect(Set(single.map(\.reason)).count >= 5, "the mix has every kind of refusal")
  }

  @Test("a shadow policy's verdict stands beside the one in force, and changes nothing")
  func shadow() {
    let harness = LaneHarness()
    var strict = builtInPolicy()
    strict.priority_threshold.1 = 150
    harness.load(builtInPolicy(), shadow: strict, generation: 2)
    let lane = harness.lane()
    let below = Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_PRIORITY_BELOW_THRESHOLD)
    let admitted = Outcome(verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED)
    #expect(lane.admit(request(priority: 149)).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.decision(0).shadow.rawValue == below.rawValue)
    #expect(lane.admit(request(priority: 150)).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.decision(1).shadow.rawValue == admitted.rawValue)
    // A class that neither knows, and a malformed frame.
    #expect(lane.admit(request(99)).reason == LTP_REASON_UNKNOWN_ACTION_CLASS)
    #expect(lane.decision(2).shadow.rawValue == LTP_REASON_UNKNOWN_ACTION_CLASS)
    #expect(lane.admit(nil, available: 0).cValue.reason == LTP_REASON_MALFORMED_FRAME)
    #expect(lane.decision(3).shadow.rawValue == 0)
    harness.load(builtInPolicy(), generation: 3)
    #expect(lane.admit(request(priority: 149)).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.decision(5).shadow.rawValue == 0)
  }

  @Test(
    "a policy whose limits are out of range or contradict one another is refused, and the reason names them")
  func checksLimits() {
    func refusal(_ change: (inout ltp_policy_limits) -> Void) -> Int32? {
      var policy = builtInPolicy()
      change(&policy.limits)
      do throws(PolicyRefusal) {
        try withUnsafePointer(to: policy) { (pointer) throws(PolicyRefusal) in try PolicyCheck.check(pointer)
        }
        return nil
      } catch { return error.status }
    }
    #expect(refusal { _ in } == nil)
    let faults: [(inout ltp_policy_limits) -> Void] = [
      { $0.total.burst = 5 }, { $0.tenant.burst = 1 }, { $0.reserved = 1 }, { $0.reserved_2.15 = 1 },
      { $0.flags = 4 }, { $0.window_ms = 10_001 }, { $0.ramp_ms = 5 },
      { $0.recovering.per_second = 5 },
      { ($0.recovering.per_second, $0.ramp_ms, $0.ramp_start_permille) = (5, 5, 1001) },
      { $0.concurrency = UInt8(LTP_CONCURRENCY_COUNT) }, { $0.concurrency_max = 5 },
      { $0.concurrency = LTP_CONCURRENCY_AIMD },
      {
        $0.concurrency = LTP_CONCURRENCY_AIMD
        ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (5, 4, 10)
        $0.permit_ttl_ms = 1000
      },
      {
        $0.concurrency = LTP_CONCURRENCY_VEGAS
        ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (1, 4, 65_536)
        $0.permit_ttl_ms = 1000
      },
      {
        $0.concurrency = LTP_CONCURRENCY_VEGAS
        ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (1, 4, 10)
        $0.permit_ttl_ms = 9
      },
      { $0.shed_signal = 3 }, { $0.flags = LTP_LIMITS_SHED },
      {
        $0.flags = LTP_LIMITS_SHED
        ($0.shed_decrease_permille, $0.shed_increase_permille, $0.shed_signal) = (50, 10, 17)
      },
      {
        $0.concurrency = LTP_CONCURRENCY_FIXED
        ($0.concurrency_min, $0.concurrency_initial, $0.concurrency_max) = (1, 4, 10)
        $0.permit_ttl_ms = 1000
      },
      {
        $0.flags = LTP_LIMITS_SHED
        ($0.shed_decrease_permille, $0.shed_increase_permille) = (50, 10)
        ($0.recovering.per_second, $0.ramp_ms, $0.ramp_start_permille) = (5, 5, 100)
      },
      {
        $0.flags = LTP_LIMITS_TENANT_WHEN_CONTENDED
        $0.total.per_second = 5
      },
      { $0.retry_horizon_max_ms = 3_600_001 }, { $0.retry_horizon_max_ms = 99 },
      { $0.flags = LTP_LIMITS_TENANT_WHEN_CONTENDED },
      {
        $0.flags = LTP_LIMITS_SHED
        ($0.shed_decrease_permille, $0.shed_increase_permille) = (50, 10)
      }, { $0.classes.0.per_second = 5 },
      { $0.classes.100.per_second = 5 }, { $0.classes.8.burst = 5 },
    ]
    for (place, fault) in faults.enumerated() {
      #expect(refusal(fault) == LTP_ERROR_POLICY_LIMITS, "fault \(place)")
    }
  }
}

extension Verdict {
  init(_ fields: ltp_verdict) { self = unsafeBitCast(fields, to: Verdict.self) }
}
