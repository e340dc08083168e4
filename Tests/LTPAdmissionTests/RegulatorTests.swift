// SPDX-License-Identifier: Apache-2.0
// What the regulator makes of what lanes have counted, with time in the test's hands.

import CLTP
import CLTPSystem
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPRules

/// An orientation, a lane, and the regulator of their core.
private final class Regulated {
  let orientation: Orientation
  let regulator: Regulator<LaneTable>
  let lane: Lane
  private(set) var now: UInt64 = second
  private var cohort: UInt8 = 0
  private let table: LaneTable
  private var policy: ltp_policy
  private var mapped: [(UnsafeMutableRawPointer, Int)] = []

  init(state: UInt8 = LTP_STATE_HEALTHY, _ change: (inout ltp_policy) -> Void) {
    policy = ltp_policy()
    DefaultPolicy.write(to: &policy)
    change(&policy)
    var mapped: [(UnsafeMutableRawPointer, Int)] = []
    func map(_ bytes: Int) -> UnsafeMutableRawPointer {
      mapped.append((ltp_system_map(bytes, 0)!, bytes))
      return mapped.last!.0
    }
    orientation = Orientation(memory: map(Orientation.memoryBytes), resuming: OrientationWord(rawValue: 0))
    table = LaneTable(memory: map(LaneTable.memoryBytes))
    regulator = Regulator(
      memory: map(Regulator<LaneTable>.memoryBytes), word: orientation.limitsWord, lanes: table,
      tick: millisecond)
    let configuration = LaneConfiguration(
      id: 1, blockBytes: 1 << 20, blockCount: 4, backpressureWaitNanoseconds: 0,
      runKey: SipKey(low: 1, high: 2),
      voided: VoidedSessions(memory: ltp_system_map(VoidedSessions.memoryBytes, 0)!))
    lane = Lane(
      memory: map(Lane.memoryBytes), ring: map(configuration.ringBytes), orientation: orientation,
      limits: regulator.shared, configuration: configuration, owner: mapped[0].0)
    table.enter(lane, at: 0)
    self.mapped = mapped
    orientation.line.pointee.tick(monotonic: now, unix: now)
    regulator.configure(&policy, now: now)
    try! orientation.load(&policy, generation: 1, starting: true, now: now)
    publish(state)
  }

  deinit { for (base, bytes) in mapped { ltp_system_unmap(base, bytes) } }

  func publish(_ state: UInt8) {
    _ = try! orientation.publish(TransitionChange(to: state, reason: LTP_SIGNAL_OPERATOR), now: now)
  }

  /// A tick of the core's clock.
  func tick(signal: Int64? = nil) {
    now += millisecond
    regulator.step(now: now, serviceState: orientation.current.state) { _ in signal }
    orientation.line.pointee.tick(monotonic: now, unix: now)
  }

  /// As many requests in each of so many ticks. Returns how many were let in.
  @discardableResult
  func run(_ ticks: Int, _ requests: [(request: ltp_route_request, count: Int)] = []) -> Int {
    var admitted = 0
    for _ in 0..<ticks {
      for (request, count) in requests {
        for _ in 0..<count {
          var request = request
          // Users are spread evenly, as shedding takes them to be.
          cohort = cohort &+ 97
          request.cohort = cohort
          admitted += lane.admit(&request, available: 64).isExecute ? 1 : 0
        }
      }
      tick()
    }
    return admitted
  }

  func request(_ actionClass: UInt8 = 8, priority: UInt8 = 128, hasToken: Bool = true) -> ltp_route_request {
    var request = ltp_route_request()
    request.header = ltp_frame_header(
      magic: LTP_FRAME_MAGIC, version: UInt8(LTP_PROTOCOL_VERSION), type: LTP_FRAME_ROUTE_REQUEST,
      size_bytes: 64, flags: 0)
    request.session_id = 9
    request.frame_id = 1
    request.action_class = actionClass
    request.priority = priority
    if hasToken {
      let life = lane.greet(9)
      request.continuity_token = life.continuity_token
      (request.incarnation, request.intent_epoch) = (life.incarnation, life.continuity_epoch)
    }
    return request
  }

  var level: UInt16 { regulator.read().word.shedLevel }
}

private func shedding(_ limits: inout ltp_policy_limits) {
  limits.flags = LTP_LIMITS_SHED
  (limits.shed_decrease_permille, limits.shed_increase_permille) = (50, 10)
  limits.window_ms = 20
}

@Suite("The regulator", .guarded)
struct RegulatorTests {
  @Test("shedding follows what the total rate refuses, and lets go of it when there is nothing to refuse")
  func sheds() {
    let regulated = Regulated {
      shedding(&$0.limits)
      $0.limits.total = ltp_rate(per_second: 10_000, burst: 100)
    }
    let asked = [(regulated.request(priority: 50), 10), (regulated.request(priority: 200), 5)]
    #expect(regulated.level == 0)
    regulated.run(400, asked)
    // Ten of fifteen fit: all of the important ones, and half of the others.
    #expect((50 << 8...51 << 8).contains(regulated.level), "\(regulated.level)")
    regulated.run(3000, [(regulated.request(priority: 50), 1)])
    #expect(regulated.level == 0)
  }

  @Test("what the table refuses takes nobody's place")
  func tableFirst() {
    let regulated = Regulated {
      shedding(&$0.limits)
      $0.limits.total = ltp_rate(per_second: 9000, burst: 100)
    }
    // Nine thousand a second may pass, of thirteen; and ninety that are most important have no token.
    let honest = regulated.request(priority: 128)
    let zombie = regulated.request(43, priority: 255, hasToken: false)
    let admitted = regulated.run(400, [(zombie, 90), (honest, 13)])
    #expect(admitted > 400 * 7, "\(admitted)")
    #expect((128 << 8..<129 << 8).contains(regulated.level), "\(regulated.level)")
  }

  @Test("a window of which a part was RECOVERING teaches nothing")
  func straddles() {
    for isRecovering in [true, false] {
      let regulated = Regulated(state: isRecovering ? LTP_STATE_RECOVERING : LTP_STATE_HEALTHY) {
        shedding(&$0.limits)
        $0.limits.total = ltp_rate(per_second: 1000, burst: 10)
        $0.limits.recovering = ltp_rate(per_second: 1000, burst: 10)
        ($0.limits.ramp_ms, $0.limits.ramp_start_permille) = (60_000, 1)
      }
      let asked = [(regulated.request(), 10)]
      regulated.run(21)
      // Into the middle of a window.
      regulated.run(12, asked)
      regulated.publish(LTP_STATE_HEALTHY)
      regulated.run(8)
      #expect((regulated.level == 0) == isRecovering, "\(regulated.level)")
    }
  }

  @Test("the pool of permits follows the policy, up and down, and what is out counts")
  func permits() {
    var policy = ltp_policy()
    DefaultPolicy.write(to: &policy)
    func limit(_ count: UInt32) {
      policy.limits.concurrency = LTP_CONCURRENCY_FIXED
      (policy.limits.concurrency_min, policy.limits.concurrency_initial) = (count, count)
      (policy.limits.concurrency_max, policy.limits.permit_ttl_ms) = (count, 1000)
      policy.classes.8.attributes |= LTP_CLASS_PERMIT
    }
    limit(10)
    let regulated = Regulated { $0 = policy }
    let asked = [(regulated.request(), 100)]
    #expect(regulated.run(1, asked) == 10 && regulated.regulator.read().permitsOut == 10)
    limit(4)
    regulated.regulator.configure(&policy, now: regulated.now)
    #expect(regulated.run(10, asked) == 0)
    // Nobody gives them back: they expire, and four are there.
    #expect(regulated.run(1200, asked) == 4)
    #expect(regulated.regulator.read().permitsOut == 4 && regulated.regulator.read().permitsExpired == 10)
    limit(20)
    regulated.regulator.configure(&policy, now: regulated.now)
    #expect(regulated.run(10, asked) == 16)
  }
}
