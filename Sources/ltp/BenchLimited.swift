// SPDX-License-Identifier: Apache-2.0
// What limits cost the fast path: two cores that differ in nothing but their policy, by turns in one thread. In traces of
// their own beside the bench's, which go again at once.

import CLTP
import CLTPSystem
import LTP

struct BenchLimited: Encodable {
  /// Nanoseconds a decision, without limits.
  var plain = BenchBursts([])
  /// Under a total rate, a class's rate, shedding by priority and cohort, tenants' share and sized retries, none of which
  /// refuses.
  var limited = BenchBursts([])
  /// The same, and one request in eight takes a permit and gives it back.
  var permits = BenchBursts([])

  /// Of the medians.
  var growth: Double { limited.median - plain.median }

  static func measure(beside path: String, storage: UInt32, workload: BenchWorkload, seconds: Double) throws
    -> BenchLimited
  {
    var result = BenchLimited()
    try BenchCores.inScratch("\(path)-plain") { plainPath in
      try BenchCores.inScratch("\(path)-limited") { limitedPath in
        let plain = try BenchCores.open(plainPath, storage: storage)
        let limited = try BenchCores.open(limitedPath, storage: storage)
        try loadLimits(limited)
        let signals = BenchSignals()
        let lanes = try [plain, limited].map {
          try BenchLane(core: $0, number: 0, workload: workload, signals: signals)
        }
        for lane in lanes { lane.greetSessions(atMost: BenchWorkload.frameCount) }
        var samples: [[Double]] = [[], []]
        let end = ltp_system_monotonic_ns() + UInt64(seconds * 1e9)
        repeat {
          for (index, lane) in lanes.enumerated() {
            try lane.waitDurable()
            samples[index].append(
              Double(lane.admitSingly(BenchBurst.decisions)) / Double(BenchBurst.decisions))
          }
        } while ltp_system_monotonic_ns() < end && samples[0].count < 400
        result.plain = BenchBursts(Array(samples[0].dropFirst(samples[0].count / 10)))
        result.limited = BenchBursts(Array(samples[1].dropFirst(samples[1].count / 10)))
        result.permits = try measurePermits(limited, rounds: samples[0].count)
        for lane in lanes { try lane.close() }
        for core in [plain, limited] { try BenchCore.close(core) }
      }
    }
    return result
  }

  /// Takes a permit; of the bench's own, so that the workload's classes take none.
  private static let permitClass = 100

  private static func loadLimits(_ core: OpaquePointer) throws {
    var policy = Policy.builtIn
    let plenty = ltp_rate(per_second: 4_000_000_000, burst: 4_000_000_000)
    policy.fields.limits.total = plenty
    policy.fields.limits.tenant = ltp_rate(per_second: 1_000_000_000, burst: 1_000_000_000)
    policy.fields.limits.flags = LTP_LIMITS_SHED | LTP_LIMITS_TENANT_WHEN_CONTENDED
    policy.fields.limits.shed_decrease_permille = 50
    policy.fields.limits.shed_increase_permille = 10
    policy.fields.limits.retry_horizon_max_ms = 30_000
    policy.fields.limits.classes.8 = plenty
    policy.fields.limits.concurrency = LTP_CONCURRENCY_FIXED
    policy.fields.limits.concurrency_min = 1000
    policy.fields.limits.concurrency_initial = 1000
    policy.fields.limits.concurrency_max = 1000
    policy.fields.limits.permit_ttl_ms = 60_000
    policy.fields.classes.100.attributes = LTP_CLASS_PERMIT
    policy.fields.classes.100.name.0 = CChar(UInt8(ascii: "w"))
    for state in State.allCases {
      policy[state, permitClass] = ltp_policy_rule(
        verdict: LTP_VERDICT_DENY, reason: LTP_REASON_POLICY_FORBIDS, priority_min: 0, flags: 0,
        retry_after_ms: 100)
    }
    policy[.healthy, permitClass] = ltp_policy_rule(
      verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED, priority_min: 0, flags: 0,
      retry_after_ms: 100)
    let status = ltp_policy_load(core, &policy.fields, nil, nil)
    guard status == LTP_OK else { throw BenchFailure("cannot load limits: \(statusText(status))") }
  }

  /// A decision that takes a permit, and the permit's way back, in one thread.
  private static func measurePermits(_ core: OpaquePointer, rounds: Int) throws -> BenchBursts {
    var lane: OpaquePointer?
    guard ltp_lane_open(core, &lane, nil) == LTP_OK else { throw BenchFailure("cannot open a lane") }
    defer { _ = ltp_lane_close(lane) }
    var request = ltp_route_request()
    let size = MemoryLayout<ltp_route_request>.size
    _ = ltp_frame_init(&request, size, LTP_FRAME_ROUTE_REQUEST, 0)
    request.session_id = 1
    request.action_class = UInt8(permitClass)
    request.priority = 200
    var samples: [Double] = []
    for _ in 0..<rounds {
      _ = ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 30_000_000_000)
      let began = ltp_system_monotonic_ns()
      for _ in 0..<BenchBurst.decisions {
        let verdict = ltp_admit(lane, &request, size)
        guard verdict.verdict == LTP_VERDICT_EXECUTE,
          ltp_permit_release(lane, verdict.retry_after_ms, LTP_OUTCOME_SUCCESS, 1000) == LTP_OK
        else { throw BenchFailure("a permit was refused: \(verdict.reason)") }
      }
      samples.append(Double(ltp_system_monotonic_ns() - began) / Double(BenchBurst.decisions))
    }
    return BenchBursts(samples)
  }
}
