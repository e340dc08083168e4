// SPDX-License-Identifier: Apache-2.0
// What a trace says of continuity domains is checked: transitions, segments' starts, hellos, decisions.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("Domains in a trace", .guarded)
struct DomainViolationTests {
  private static func open() -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    trace.publish(domain: 3, state: LTP_STATE_UNSTABLE)
    return trace
  }

  private func decision(_ domain: UInt8, isOut: Bool, _ actionClass: UInt8 = 48) -> [UInt8] {
    // order_place and its like: DENY in UNSTABLE; needs no token in HEALTHY.
    let outcome =
      isOut ? (LTP_VERDICT_DENY, LTP_REASON_SYSTEM_UNSTABLE) : (LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED)
    let rule = Records.with(Records.defaultPolicy()) {
      RecordedPolicy($0, generation: 1, slot: 0, digest: Digest(), run: 1)
        .rule(state: isOut ? LTP_STATE_UNSTABLE : LTP_STATE_HEALTHY, column: Int(actionClass))
    }
    let retry = isOut ? UInt32(truncatingIfNeeded: rule.spreadRetryAfter(sessionID: 7)) : 0
    return Records.decision(
      outcome.0, outcome.1, actionClass: actionClass, domain: domain, priority: 255, retry: retry)
  }

  private func report(_ trace: TraceBuilder) throws -> RedecideReport {
    let directory = TemporaryDirectory()
    trace.write(to: directory)
    return try Inspector(directory.path).redecide()
  }

  @Test(
    "a request of a domain that is out is decided as in UNSTABLE, one of another as ever; also by a lane that lags"
  )
  func redecides() throws {
    let trace = Self.open()
    let word = trace.word
    trace.lane(1, decision(3, isOut: true), decision(4, isOut: false))
    trace.publish(domain: 3, state: 0, moves: false)
    trace.lane(2, decision(3, isOut: false))
    trace.block(lane: 1, decision(3, isOut: true), word: word.rawValue)
    let good = try report(trace)
    #expect(good.mismatches == 0 && good.inspection.violations == [])
    for wrong in [decision(3, isOut: false), decision(4, isOut: true)] {
      let trace = Self.open()
      trace.lane(1, wrong)
      #expect(try report(trace).mismatches == 1)
    }
  }

  @Test("a hello is of its domain's epoch")
  func hellos() throws {
    let trace = Self.open()
    let moved = trace.word.continuityEpoch
    trace.publish(domain: 3, state: 0, moves: false)
    trace.lane(
      1, Records.hello(session: 5, epoch: moved, domain: 3),
      Records.hello(session: 5, epoch: moved - 1, domain: 4))
    #expect(try report(trace).inspection.violations == [])
    for (domain, epoch) in [(UInt8(3), moved - 1), (4, moved), (3, moved + 65536)] {
      let trace = Self.open()
      trace.lane(1, Records.hello(session: 5, epoch: epoch, domain: domain))
      #expect(try report(trace).inspection.violations.map(\.kind) == [.record])
    }
  }

  @Test("a segment's start says where domains stand; after retention it is believed")
  func segments() throws {
    func trace() -> TraceBuilder {
      let trace = Self.open()
      trace.publish(domain: 9, state: LTP_STATE_UNSTABLE)
      trace.lane(1, decision(3, isOut: true))
      trace.rotate()
      trace.lane(1, decision(3, isOut: true), decision(9, isOut: true), decision(8, isOut: false))
      return trace
    }
    #expect(try report(trace()).inspection.violations == [])
    let directory = TemporaryDirectory()
    let late = trace()
    late.write(to: directory)
    directory.remove(TraceBuilder.name(0))
    let alone = try Inspector(directory.path).redecide()
    #expect(alone.mismatches == 0 && alone.inspection.violations == [])
  }

  @Test(
    "a segment's start that says something else than the transitions, and a transition that does what it does not say"
  )
  func contradictions() throws {
    let wrong = Self.open()
    let number = UInt64(wrong.word.continuityEpoch)
    wrong.rotate(domains: Records.domains([(3, number, LTP_STATE_UNSTABLE), (7, number, 0)]))
    #expect(
      try report(wrong).inspection.violations.contains {
        $0.kind == .transition && $0.message.contains("domain 7")
      })
    let missing = Self.open()
    missing.rotate(domains: [])
    #expect(
      try report(missing).inspection.violations.contains {
        $0.kind == .transition && $0.message.contains("domain 3")
      })
    let stray = Self.open()
    stray.control(Records.domains([(3, 1, 0)]))
    #expect(try report(stray).inspection.violations.map(\.kind) == [.record])
    let before = Self.open()
    let odd = OrientationWord(
      state: LTP_STATE_DEGRADED, policySlot: 0, threshold: before.word.threshold,
      continuityEpoch: before.word.continuityEpoch, epoch: before.word.epoch + 1, scope: LTP_SCOPE_DOMAIN)
    before.control(
      Records.transition(from: before.word, to: odd, reason: LTP_SIGNAL_OPERATOR, generation: 1, domain: 1))
    #expect(try report(before).inspection.violations.contains { $0.message.contains("scope 2") })
  }
}
