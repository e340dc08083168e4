// SPDX-License-Identifier: Apache-2.0
// The Swift API on real components: cores, traces, pages.

import CLTP
import Foundation
import LTP
import LTPInspect
import LTPTestSupport
import Testing

extension TemporaryDirectory {
  fileprivate func options() -> Core.Options {
    var options = Core.Options(traceDirectory: path)
    options.fields.segment_bytes = 1 << 20
    options.fields.block_bytes = 16 << 10
    return options
  }
}

@Suite("The Swift API", .guarded)
struct SwiftAPITests {
  private let directory = TemporaryDirectory()
  private let orderCreate: UInt8 = 25

  private func healthyCore() throws -> Core {
    let core = try Core(directory.options())
    try core.publish(
      Transition(
        to: .healthy, because: .metricsStabilized,
        evidence: [Evidence(.cpuPressure, value: 20, threshold: 90)], text: "all is well"))
    return core
  }

  @Test("requests, spans and batches are decided alike, and the trace proves them")
  func decides() throws {
    let core = try healthyCore()
    do {
      var lane = try core.openLane()
      let request = RouteRequest(id: 1, session: 42, actionClass: orderCreate)
      let verdict = lane.admit(request)
      #expect(verdict.isExecute && verdict.decision == .execute && verdict.reason == .admitted)
      #expect(verdict.state == .healthy && verdict.epoch == 2 && verdict.description == "EXECUTE: ADMITTED")
      let bytes = withUnsafeBytes(of: request.fields) { Array($0) }
      let whole = lane.admit(bytes.span.bytes)
      let short = lane.admit(bytes.span.bytes.extracting(first: 63))
      #expect(whole.isExecute && short.reason == .malformedFrame)
      let requests = (0..<100).map {
        RouteRequest(id: UInt64($0), session: 7, actionClass: $0 % 2 == 0 ? orderCreate : 127)
      }
      var verdicts = [Verdict](repeating: Verdict(ltp_verdict()), count: 101)
      var answers = verdicts.mutableSpan
      let executed = lane.admit(requests.span, into: &answers)
      #expect(executed == 50)
      #expect(verdicts[1].reason == .unknownActionClass && verdicts[98].isExecute && !verdicts[100].isExecute)
      #expect(lane.sequence >= 103)
      try lane.waitDurable()
    }
    let total = try core.counters().reduce(0) { $0 + $1.count }
    #expect(total == 103)
    try core.close()
    let report = try Inspector(directory.path).redecide()
    #expect(report.inspection.isGood && report.redecided == 103 && report.mismatches == 0)
  }

  @Test("tasks wait for the disk without holding a thread")
  func durable() async throws {
    let core = try healthyCore()
    var marks: [DurabilityMark] = []
    do {
      var lane = try core.openLane()
      for id in 0..<200 {
        _ = lane.admit(RouteRequest(id: UInt64(id), session: 1, actionClass: orderCreate))
        marks.append(lane.mark)
      }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for mark in marks { group.addTask { try await mark.durable() } }
      try await group.waitForAll()
    }
    let isDurable = marks.allSatisfy(\.isDurable)
    #expect(isDurable)
    marks = []
    try core.close()
  }

  @Test("a wait ends when its task is cancelled, and when its time is up")
  func cancelled() async throws {
    var options = directory.options()
    // Nobody drives this core: nothing becomes durable by itself.
    options.isHostDriven = true
    let core = try Core(options)
    // Another thread is the one that polls, so that waiting does not drive either.
    try await Task.detached { try core.poll() }.value
    var lane = try core.openLane()
    _ = lane.admit(RouteRequest(id: 1, session: 1, actionClass: 0))
    let mark = lane.mark
    func status(waiting limit: Duration) async -> Int32 {
      do throws(LTPError) {
        try await mark.durable(atMost: limit)
        return LTP_OK
      } catch {
        return error.status
      }
    }
    let task = Task { await status(waiting: .seconds(3600)) }
    try await Task.sleep(for: .milliseconds(5))
    task.cancel()
    #expect(await task.value == LTPError.cancelled)
    let early = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return await status(waiting: .seconds(3600))
    }
    #expect(await early.value == LTPError.cancelled)
    #expect(await status(waiting: .milliseconds(1)) == LTP_ERROR_TIMED_OUT)
  }

  @Test("errors are typed and say what to do")
  func errors() throws {
    do throws(LTPError) {
      _ = try Core(traceDirectory: "/nonexistent/trace")
      Issue.record("opened")
    } catch {
      #expect(error.status == LTP_ERROR_TRACE_DIRECTORY && error.systemError == ENOENT)
      #expect(error.description.contains("create it first"))
    }
    var options = directory.options()
    options.continuityKey = [1, 2, 3]
    #expect(throws: LTPError.self) { try Core(options) }
    let core = try healthyCore()
    #expect(throws: LTPError.self) {
      try core.publish(
        Transition(
          to: .failed, because: .operator,
          evidence: Array(repeating: Evidence(.cpuPressure, value: 1, threshold: 1), count: 300)))
    }
    #expect(throws: LTPError.self) { try core.publish(Transition(to: .failed, because: .coreStarted)) }
    do {
      let lane = try core.openLane()
      #expect(lane.sequence == 0)
      do throws(LTPError) {
        try core.close(waitingForLanes: .zero)
        Issue.record("closed under a lane")
      } catch {
        #expect(error.status == LTP_ERROR_LANES_OPEN)
      }
    }
    try core.close()
    #expect(throws: LTPError.self) { try core.close() }
    #expect(throws: LTPError.self) { _ = try core.openLane() }
    // Another core may have its address now.
    let other = try healthyCore()
    #expect(throws: LTPError.self) { try core.publish(Transition(to: .failed, because: .operator)) }
    #expect(try other.orientation().to == LTP_STATE_HEALTHY)
    try other.close()
  }

  @Test("policies: a rule is changed, the never list is kept")
  func policies() throws {
    let core = try healthyCore()
    var policy = Policy.builtIn
    policy[.healthy, Int(orderCreate)] = ltp_policy_rule(
      verdict: LTP_VERDICT_DENY, reason: LTP_REASON_POLICY_FORBIDS, priority_min: 0, flags: 0,
      retry_after_ms: 50)
    #expect(try core.load(policy) == 2)
    do {
      var lane = try core.openLane()
      let verdict = lane.admit(RouteRequest(id: 1, session: 1, actionClass: orderCreate))
      #expect(verdict.decision == .deny && verdict.reason == .policyForbids)
      #expect(verdict.retryAfter >= .milliseconds(50) && verdict.retryAfter <= .milliseconds(100))
    }
    policy[.failed, 56].verdict = LTP_VERDICT_EXECUTE
    policy[.failed, 56].reason = LTP_REASON_ADMITTED
    do throws(LTPError) {
      try policy.check()
      Issue.record("the never list was not kept")
    } catch {
      #expect(error.status == LTP_ERROR_POLICY_NEVER_1)
    }
    try core.close()
  }

  @Test("sessions: a token is good until continuity is lost")
  func continuity() throws {
    let core = try healthyCore()
    do {
      var lane = try core.openLane()
      let hello = try lane.answer(hello: 1, session: 9)
      var cancel = RouteRequest(
        id: 2, session: 9, actionClass: 44, continuity: Continuity(hello))
      #expect(lane.admit(cancel).isExecute)
      cancel.deadline = 1
      #expect(lane.admit(cancel).reason == .deadlineExceeded)
      cancel.deadline = nil
      #expect(lane.admit(ReplayRequest(cancel, of: 2)).isExecute)
      #expect(lane.admit(ReplayRequest(cancel, of: 0)).reason == .malformedFrame)
      try core.publish(
        Transition(to: .healthy, because: .transportDisconnected, advancesContinuity: true))
      let verdict = lane.admit(cancel)
      #expect(verdict.reason == .rehandshakeRequired)
      #expect(try cancel.response(verdict).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    }
    try core.close()
  }

  @Test("a connection speaks for one life; a lost domain is lost alone")
  func connections() throws {
    let core = try healthyCore()
    do {
      var lane = try core.openLane()
      var connection = Connection()
      let first = try lane.answer(hello: 1, session: 9, domain: 3)
      let second = try lane.answer(hello: 2, session: 9, domain: 3)
      func cancel(_ life: ltp_hello) -> RouteRequest {
        RouteRequest(id: 3, session: 9, actionClass: 44, continuity: Continuity(life))
      }
      #expect(lane.admit(cancel(first), from: connection).reason == .otherIncarnation)
      try connection.bind(second)
      #expect(lane.admit(cancel(first), from: connection).reason == .otherIncarnation)
      #expect(lane.admit(cancel(second), from: connection).isExecute)
      let other = try lane.answer(hello: 4, session: 10, domain: 4)
      try core.report(.restarted, domain: 3)
      #expect(lane.admit(cancel(second), from: connection).reason == .systemUnstable)
      let create = RouteRequest(id: 5, session: 10, actionClass: 44, continuity: Continuity(other))
      #expect(lane.admit(create).isExecute)
      #expect(throws: LTPError.self) { try lane.answer(hello: 6, session: 9, domain: 3) }
      // As a frame it has an answer, which is to be sent.
      var hello = try Session(id: 9, domain: 3)
      let asked = try hello.hello()
      let later = try withUnsafeBytes(of: asked) { try lane.answer(hello: Array($0).span.bytes) }
      #expect(later.isPutOff && later.retry_after_ms > 0 && later.continuity_token == 0)
      #expect(!other.isPutOff)
    }
    try core.close()
  }

  @Test("a fencing number grows with an outage, and with that of its domain alone")
  func fencing() throws {
    let core = try healthyCore()
    do {
      var lane = try core.openLane()
      let look = RouteRequest(RouteRequest(id: 1, session: 9, actionClass: 8).fields)
      func fences() throws -> (UInt64, UInt64) {
        let verdict = lane.admit(look)
        let (own, other) = (lane.fence(of: verdict), lane.fence(of: verdict, domain: 3))
        return (try #require(own), try #require(other))
      }
      let before = try fences()
      try core.report(.restarted, domain: 3)
      let after = try fences()
      #expect(after.0 == before.0)
      #expect(after.1 > before.1)
      let mark = lane.mark
      try mark.waitDurable()
      #expect(mark.isDurable)
    }
    try core.close()
  }

  @Test("a session holds, shakes hands, looks, and asks anew")
  func sessions() throws {
    let core = try healthyCore()
    do {
      var lane = try core.openLane()
      var session = try Session(id: 9, domain: 1)
      func greet(now: UInt64) throws {
        let hello = try session.hello(now: now)
        try session.greeted(
          withUnsafeBytes(of: hello) { try lane.answer(hello: Array($0).span.bytes) }, now: now)
        try session.resynced()
      }
      try greet(now: 1)
      var order = RouteRequest(id: 1, session: 9, actionClass: 44)
      try session.stamp(&order)
      try session.carry(&order, now: 1)
      #expect(lane.admit(order).isExecute)
      try core.publish(Transition(to: .healthy, because: .transportDisconnected, advancesContinuity: true))
      #expect(try session.told(try order.response(lane.admit(order)), to: order, now: 1) == .rehandshake)
      #expect(session.phase == .new && session.notBefore > 1)
      let later = session.notBefore
      try greet(now: later)
      do throws(LTPError) {
        try session.carry(&order, now: later)
        Issue.record("an intent of the life before was sent")
      } catch {
        #expect(error.status == LTP_ERROR_INTENT_STALE)
      }
      try session.lost(spreadMilliseconds: 100, now: later)
      #expect(session.phase == .new && throwsHeld(session))
    }
    try core.close()
  }

  private func throwsHeld(_ session: Session) -> Bool {
    var session = session
    var order = RouteRequest(id: 1, session: 9, actionClass: 44)
    do throws(LTPError) {
      try session.stamp(&order)
      return false
    } catch {
      return error.status == LTP_ERROR_SESSION_HELD
    }
  }

  @Test("a malformed frame is named by field and offset")
  func frames() throws {
    var request = RouteRequest(id: 1, session: 1, actionClass: 1)
    request.fields.reserved.2 = 1
    let bytes = withUnsafeBytes(of: request.fields) { Array($0) }
    do throws(FrameError) {
      _ = try Frame.check(bytes.span.bytes)
      Issue.record("accepted")
    } catch {
      #expect(error.offset == 60 && error.field == "route_request.reserved")
    }
    let good = withUnsafeBytes(of: RouteRequest(id: 1, session: 1, actionClass: 1).fields) { Array($0) }
    let size = try Frame.check(good.span.bytes)
    #expect(size == 64)
  }

  @Test("one publishes a page, another follows it")
  func pages() throws {
    let path = directory.path + "/page"
    let publisher = try PagePublisher(path: path, lease: .seconds(60))
    try publisher.publish(Transition(to: .degraded, because: .dbWriteLatency, text: "slow"))
    try publisher.renew()
    let reader = try PageReader(path: path)
    let reading = try reader.read()
    #expect(reading.state == .degraded && reading.text == "slow" && reading.epoch == 1)
    #expect(reading.leaseLeft > .seconds(1))
    #expect(try !reader.wait(after: reading, atMost: .zero))
    let trace = TemporaryDirectory()
    var options = trace.options()
    options.orientationPage = path
    let core = try Core(options)
    do {
      var lane = try core.openLane()
      #expect(lane.admit(RouteRequest(id: 1, session: 1, actionClass: 0)).state == .degraded)
      try publisher.publish(Transition(to: .failed, because: .partialOutage))
      #expect(lane.admit(RouteRequest(id: 1, session: 1, actionClass: 0)).state == .failed)
    }
    #expect(try reader.wait(after: reading, atMost: .seconds(10)))
    #expect(throws: LTPError.self) { try PagePublisher(path: path, lease: .seconds(1)) }
    try core.close()
  }

  @Test("a core orients itself by what is pushed")
  func signals() throws {
    var options = directory.options()
    var rules = SignalRules.builtIn
    rules.fields.state_dwell_ns = 0
    rules.fields.recovering_ns = 0
    rules[.dbWriteLatency].exit_dwell_ns = 0
    options.signalRules = rules
    let core = try Core(options)
    do {
      var lane = try core.openLane()
      let ping = RouteRequest(id: 1, session: 1, actionClass: 0)
      try core.push(.dbWriteLatency, 6_200_000, now: true)
      #expect(lane.admit(ping).state == .unstable)
      try core.force(Transition(to: .failed, because: .operator))
      try core.push(.dbWriteLatency, 0, now: true)
      #expect(lane.admit(ping).state == .failed)
      try core.release()
      try core.push(.dbWriteLatency, 0, now: true)
      #expect([State.recovering, .healthy].contains(lane.admit(ping).state))
      #expect(throws: LTPError.self) { try core.push(.operator, 1) }
      #expect(throws: LTPError.self) { try core.push(.cpuPressure, -1) }
    }
    try core.close()
  }

  @Test("names are the protocol's, both ways")
  func names() {
    #expect(
      State.allCases.map(\.description).first == "UNKNOWN" && State.recovering.description == "RECOVERING")
    #expect(Signal(name: "DB_WRITE_LATENCY") == .dbWriteLatency && Signal(name: "NONE") == nil)
    #expect(Reason.admitted.description == "ADMITTED" && Decision.defer.description == "DEFER")
  }

  @Test("work takes a permit and gives it back from elsewhere; a shadow policy decides beside")
  func permitsAndShadows() async throws {
    let core = try healthyCore()
    var policy = Policy.builtIn
    policy.fields.classes.25.attributes |= LTP_CLASS_PERMIT
    policy.fields.limits.concurrency = LTP_CONCURRENCY_FIXED
    policy.fields.limits.concurrency_min = 1
    policy.fields.limits.concurrency_initial = 1
    policy.fields.limits.concurrency_max = 1
    policy.fields.limits.permit_ttl_ms = 3_600_000
    try core.load(policy)
    var strict = Policy.builtIn
    strict.fields.priority_threshold.1 = 255
    try core.shadow(strict)
    do {
      var lane = try core.openLane()
      let request = RouteRequest(id: 1, session: 42, actionClass: orderCreate)
      let permit = try #require(lane.admit(request).permit)
      let refused = lane.admit(request)
      #expect(refused.reason == .concurrencyLimited && refused.permit == nil && refused.retryAfter > .zero)
      let permits = lane.permits
      try await Task { try permits.release(permit, .success, latency: .milliseconds(3)) }.value
      #expect(throws: LTPError.self) { try permits.release(permit) }
      #expect(lane.admit(request).isExecute)
    }
    try core.shadow(nil)
    try core.close()
    let compared = try Inspector(directory.path).compare(nil)
    // What the limit refused, the shadow is taken to refuse as well: its verdict would be another one.
    #expect(compared.same + compared.different == 3 && compared.executedRecorded == 2)
    #expect(compared.executedCompared == 0)
    #expect(try Inspector(directory.path).redecide().mismatches == 0)
  }
}
