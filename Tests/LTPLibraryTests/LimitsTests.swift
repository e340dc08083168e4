// SPDX-License-Identifier: Apache-2.0
// Limits in a real core: lanes that share them, policies that come and go, permits released by other threads; and a trace
// that proves every refusal.

import CLTP
import Foundation
import LTPInspect
import LTPLibrary
import LTPTestSupport
import Testing

/// The built-in policy under every limit at once; class 8 ("read") takes permits.
private func limited(_ change: (inout ltp_policy) -> Void = { _ in }) -> ltp_policy {
  var policy = ltp_policy()
  _ = ltp_policy_default(&policy)
  policy.classes.8.attributes |= LTP_CLASS_PERMIT
  policy.limits.concurrency = LTP_CONCURRENCY_AIMD
  policy.limits.concurrency_min = 4
  policy.limits.concurrency_initial = 16
  policy.limits.concurrency_max = 64
  policy.limits.concurrency_timeout_us = 100
  policy.limits.permit_ttl_ms = 50
  policy.limits.window_ms = 5
  policy.limits.total = ltp_rate(per_second: 200_000, burst: 5000)
  policy.limits.tenant = ltp_rate(per_second: 20_000, burst: 500)
  policy.limits.flags = LTP_LIMITS_SHED | LTP_LIMITS_TENANT_WHEN_CONTENDED
  policy.limits.shed_decrease_permille = 50
  policy.limits.shed_increase_permille = 100
  policy.limits.retry_horizon_max_ms = 10_000
  policy.limits.recovering = ltp_rate(per_second: 50_000, burst: 100)
  policy.limits.ramp_ms = 20
  policy.limits.ramp_start_permille = 100
  policy.limits.classes.9 = ltp_rate(per_second: 1000, burst: 50)
  change(&policy)
  return policy
}

/// What one thread saw.
private struct Seen: Sendable {
  var byReason = [Int](repeating: 0, count: Int(LTP_REASON_COUNT))
  var permits = 0
  var unrecorded = 0
}

private final class PermitQueue: Sendable {
  private let permits = Locked<[UInt32]>([])

  func add(_ permit: UInt32) { permits.with { $0.append(permit) } }
  func take() -> [UInt32] {
    permits.with { waiting in
      defer { waiting = [] }
      return waiting
    }
  }
}

@Suite("Limits in a core", .guarded)
struct LimitsTests {
  private func decide(
    _ core: CoreHandle, _ index: Int, _ random: SplitMix64, _ shared: Shared, _ permits: PermitQueue
  ) -> Seen {
    var lane: OpaquePointer?
    var seen = Seen()
    guard ltp_lane_open(core.pointer, &lane, nil) == LTP_OK, let lane else { return seen }
    shared.lanes.with { $0[index] = UInt(bitPattern: lane) }
    var random = random
    var asked = ltp_route_request()
    _ = ltp_frame_init(&asked, 64, LTP_FRAME_ROUTE_REQUEST, 0)
    var number: UInt64 = 0
    while !shared.stop.isSet {
      number += 1
      asked.frame_id = number
      asked.session_id = 1 + UInt64(random.below(50))
      asked.action_class = [8, 8, 8, 9, 24, 40, 0, 99][random.below(8)]
      asked.priority = UInt8(random.below(256))
      asked.cohort = UInt8(random.below(256))
      asked.tenant_id = UInt32(random.below(4))
      let verdict = ltp_admit(lane, &asked, 64)
      seen.byReason[Int(verdict.reason)] += 1
      if verdict.reason == LTP_REASON_TRACE_BACKPRESSURE { seen.unrecorded += 1 }
      let permit = verdict.verdict == LTP_VERDICT_EXECUTE ? verdict.retry_after_ms : 0
      if permit != 0 {
        seen.permits += 1
        permits.add(permit)
      }
      if number % 64 == 0 { usleep(200) }
    }
    // Nobody releases while it is closed.
    shared.lanes.with {
      $0[index] = 0
      _ = ltp_lane_close(lane)
    }
    return seen
  }

  @Test(
    "three lanes under every limit, policies and shadows swapped meanwhile: the trace proves each decision")
  func everyLimitAtOnce() async throws {
    let scratch = TemporaryDirectory()
    let core = try openCore(scratch.path, storage: LTP_STORAGE_AUTO, wait: 1_000_000_000)
    var policy = limited()
    try #require(ltp_policy_load(core.pointer, &policy, nil, nil) == LTP_OK)
    try #require(publish(core, LTP_STATE_HEALTHY) == LTP_OK)
    let queues = (0..<3).map { _ in PermitQueue() }
    let shared = Shared()
    let seed = TestSeed.value(1)
    let threads = TestThreads()
    for index in 0..<3 {
      threads.start { [self] in
        let seen = decide(core, index, SplitMix64(seed: seed &+ UInt64(index)), shared, queues[index])
        shared.results.with { $0.append(seen) }
      }
    }
    let states = [LTP_STATE_HEALTHY, LTP_STATE_SATURATED, LTP_STATE_UNSTABLE, LTP_STATE_RECOVERING]
    var (released, expired) = (0, 0)
    let end = Date().addingTimeInterval(1.5)
    var round = 0
    // Rounds, too: on a slow machine each state must have come with a shadow beside it, and without one.
    while Date() < end || round < 250 {
      round += 1
      for index in 0..<3 {
        let (done, late) = shared.lanes.with { lanes in
          release(queues[index].take(), in: OpaquePointer(bitPattern: lanes[index]), round)
        }
        released += done
        expired += late
      }
      if round % 20 == 0 { _ = publish(core, states[round / 20 % 4]) }
      if round % 30 == 0 {
        var next = limited { $0.priority_threshold.3 = UInt8(round % 256) }
        #expect(patiently { ltp_policy_load(core.pointer, &next, nil, nil) } == LTP_OK)
      }
      if round % 50 == 0 {
        var shadow = limited { $0.priority_threshold.1 = 99 }
        let status = patiently {
          round % 100 == 0
            ? ltp_policy_shadow(core.pointer, nil, nil, nil)
            : ltp_policy_shadow(core.pointer, &shadow, nil, nil)
        }
        #expect(status == LTP_OK)
      }
      usleep(1000)
    }
    shared.stop.set()
    threads.join()
    let status = statusOf(core)
    #expect(status.concurrency_limit >= 4 && status.concurrency_limit <= 64)
    #expect(status.permits_expired > 0, "some were never released")
    #expect(ltp_core_close(core.pointer, 10_000_000_000, nil) == LTP_OK)

    var seen = Seen()
    for each in shared.results.with({ $0 }) {
      for reason in each.byReason.indices { seen.byReason[reason] += each.byReason[reason] }
      seen.permits += each.permits
      seen.unrecorded += each.unrecorded
    }
    for reason in [
      LTP_REASON_ADMITTED, LTP_REASON_RATE_LIMITED, LTP_REASON_CONCURRENCY_LIMITED,
      LTP_REASON_PRIORITY_BELOW_THRESHOLD,
    ] { #expect(seen.byReason[Int(reason)] > 0, "reason \(reason)") }
    #expect(released > 0 && released + expired <= seen.permits)
    let inspector = Inspector(scratch.path)
    let verified = try inspector.verify()
    #expect(verified.violations.isEmpty, "\(verified.violations.prefix(3))")
    #expect(Int(verified.totals.decisions) == seen.byReason.reduce(0, +) - seen.unrecorded)
    let redecided = try inspector.redecide()
    #expect(redecided.mismatches == 0, "\(redecided.inspection.violations.prefix(3))")
    let summary = try inspector.summary()
    for (reason, count) in seen.byReason.enumerated() where reason != Int(LTP_REASON_TRACE_BACKPRESSURE) {
      let name = String(cString: ltp_reason_name(UInt8(reason)))
      #expect(
        summary.counters.filter { $0.reason == name }.reduce(0) { $0 + Int($1.count) } == count, "\(name)")
    }
    // What a limit refused stands by that limit's name, and nothing else does.
    let byLimits = summary.counters.filter { $0.limit != nil }
    let names = [
      "by-shedding", "by-class-rate", "by-tenant-rate", "by-total-rate", "by-ramp", "by-concurrency",
    ]
    #expect(byLimits.allSatisfy { names.contains($0.limit ?? "") })
    let named = [LTP_REASON_RATE_LIMITED, LTP_REASON_CONCURRENCY_LIMITED].map { seen.byReason[Int($0)] }
    let rated = byLimits.filter { $0.reason == "RATE_LIMITED" || $0.reason == "CONCURRENCY_LIMITED" }
    #expect(rated.reduce(0) { $0 + Int($1.count) } == named.reduce(0, +))
    #expect(!byLimits.contains { $0.verdict == "EXECUTE" })
    let compared = try inspector.compare(nil)
    #expect(compared.different > 0 && compared.withoutShadow > 0)
  }

  /// On a slow machine the trace may take longer for policies than a load waits.
  private func patiently(_ load: () -> Int32) -> Int32 {
    var status = load()
    _ = eventually {
      if status == LTP_ERROR_BACKPRESSURE { status = load() }
      return status != LTP_ERROR_BACKPRESSURE
    }
    return status
  }

  /// Some of them: the others leak. Returns how many were released, and how many came too late.
  private func release(_ permits: [UInt32], in lane: OpaquePointer?, _ round: Int) -> (Int, Int) {
    guard let lane else { return (0, 0) }
    var (done, late) = (0, 0)
    for permit in permits where permit % 8 != 0 {
      let status = ltp_permit_release(lane, permit, LTP_OUTCOME_SUCCESS, UInt64(round % 200) * 1000)
      done += status == LTP_OK ? 1 : 0
      late += status == LTP_ERROR_PERMIT ? 1 : 0
    }
    return (done, late)
  }

  /// What threads and test share.
  private final class Shared: Sendable {
    let stop = Flag()
    let results = Locked<[Seen]>([])
    /// Addresses of lanes that are open.
    let lanes = Locked<[UInt]>([0, 0, 0])
  }

  private func statusOf(_ core: CoreHandle) -> ltp_status {
    var status = ltp_status()
    _ = ltp_core_status(core.pointer, &status, MemoryLayout<ltp_status>.size)
    return status
  }
}
