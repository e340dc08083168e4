// SPDX-License-Identifier: Apache-2.0
// `ltp inspect violations` and `explain`: a blocked request that is changed into an EXECUTE, with its facts, and the whole chain sealed
// again, is found and named.

import CLTP
import LTPLibrary
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("ltp inspect violations, explain", .guarded)
struct ViolationsTests {
  private static let modify: UInt8 = 40

  /// An outage in which session 7 was blocked, and shook hands afterwards; session 8 never did. `change`: what a forger makes of the
  /// one blocked record.
  private func trace(_ change: (inout ltp_decision_record) -> Void = { _ in }) -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    trace.lane(1, trace.decide(8, session: 8), Records.hello(session: 7, epoch: trace.word.continuityEpoch))
    trace.lane(1, trace.decide(Self.modify, session: 7, frame: 100))
    trace.publish(LTP_STATE_UNSTABLE, evidence: [Records.evidence(LTP_SIGNAL_DB_WRITE_LATENCY, 9000, 5000)])
    trace.lane(1, trace.decide(Self.modify, session: 8, frame: 4710))
    trace.publish(LTP_STATE_HEALTHY)
    let epoch = trace.word.continuityEpoch
    // Blocked, where the class may run with a token.
    var forged = trace.decide(Self.modify, session: 8, frame: 4711, token: false)
    forged.withUnsafeMutableBytes { change(&$0.bindMemory(to: ltp_decision_record.self)[0]) }
    // The decision comes before its hello, as it may: lanes' blocks are sealed in any order.
    trace.lane(2, trace.decide(Self.modify, session: 7, frame: 101), forged)
    trace.lane(1, Records.hello(session: 7, epoch: epoch))
    trace.close()
    return trace
  }

  private func inspector(_ trace: TraceBuilder) -> (Inspector, TemporaryDirectory) {
    let directory = TemporaryDirectory()
    // As a core leaves full segments: what they do not use is cut.
    trace.write(to: directory, fill: false)
    return (Inspector(directory.path), directory)
  }

  @Test("nothing to find in what a core leaves, a hello after its decision included")
  func good() throws {
    let (inspector, directory) = inspector(trace())
    let report = try inspector.violations()
    #expect(report.inspection.violations == [])
    #expect(report.acts == 2 && report.unknownActs == 0)
    let outcome = try Tool.run(["inspect", "violations", directory.path])
    #expect(outcome.status == 0 && outcome.output.contains("no violation"))
  }

  @Test("one blocked response that is flipped to EXECUTE is named by its frame, whatever is changed with it")
  func flipped() throws {
    let execute = LTP_VERDICT_EXECUTE << UInt8(LTP_OUTCOME_VERDICT_SHIFT) | LTP_REASON_ADMITTED
    let plain = trace {
      $0.outcome = execute
      $0.retry_and_shadow = 0
    }
    let careful = trace {
      $0.outcome = execute
      $0.retry_and_shadow = 0
      $0.inputs = LTP_CONTINUITY_VALID
    }
    for (trace, kind) in [(plain, Violation.Kind.redecide), (careful, .continuity)] {
      let (inspector, directory) = inspector(trace)
      let report = try inspector.violations()
      let named = report.inspection.violations.filter { $0.message.contains("frame 4711") }
      #expect(named.count == 1 && named[0].kind == kind, "\(report.inspection.violations)")
      #expect(report.inspection.violationCount == 1)
      #expect(named.first?.place.sequence != nil)
      let outcome = try Tool.run(["inspect", "violations", directory.path, "--json"])
      #expect(outcome.status == 1 && outcome.output.contains("frame 4711"))
    }
    // What is changed with its facts passes the others: they take the facts as recorded.
    let (other, directory) = inspector(careful)
    #expect(try other.redecide().inspection.isGood)
    withExtendedLifetime(directory) {}
  }

  @Test("a hello that retention took away is not missed, one of a later epoch is")
  func retention() throws {
    func trace(moves: Bool) -> TraceBuilder {
      let trace = TraceBuilder()
      trace.open()
      trace.publish(LTP_STATE_HEALTHY)
      trace.lane(1, Records.hello(session: 7, epoch: trace.word.continuityEpoch))
      trace.rotate()
      if moves {
        trace.publish(LTP_STATE_UNSTABLE)
        trace.publish(LTP_STATE_HEALTHY)
      }
      trace.lane(1, trace.decide(Self.modify, session: 7, frame: 5))
      trace.close()
      return trace
    }
    for moves in [false, true] {
      let (inspector, directory) = inspector(trace(moves: moves))
      #expect(try inspector.violations().inspection.violationCount == (moves ? 1 : 0))
      directory.remove(TraceBuilder.name(0))
      let late = try inspector.violations()
      #expect(late.inspection.violationCount == (moves ? 1 : 0))
      #expect(late.unknownActs == (moves ? 0 : 1))
    }
  }

  @Test("count is exact, by each of its filters, whether by summaries or slot by slot")
  func counts() throws {
    var random = TestSeed.random(9)
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    var made: [(session: UInt64, actionClass: UInt8, domain: UInt8)] = []
    for segment in 0..<4 {
      for _ in 0..<6 {
        var slots: [UInt8] = []
        for _ in 0..<20 {
          let one = (
            session: UInt64(1 + random.below(3)),
            actionClass: UInt8([8, 9, 48].randomElement(using: &random)!),
            domain: UInt8(random.below(2))
          )
          made.append(one)
          slots += Records.decision(
            LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, actionClass: one.actionClass, domain: one.domain,
            session: one.session)
        }
        trace.lane(1, slots)
      }
      if segment < 3 { trace.rotate() }
    }
    let (inspector, directory) = inspector(trace)
    func count(_ change: (inout CountFilter) -> Void) throws -> UInt64 {
      var filter = CountFilter()
      change(&filter)
      let report = try inspector.count(in: SummaryWindow(), of: filter)
      #expect(report.inspection.isGood && (filter.session != nil || report.segments.bySummary == 3))
      return report.inspection.totals.decisions
    }
    #expect(try count { _ in } == 480)
    #expect(try count { $0.domain = 1 } == UInt64(made.count { $0.domain == 1 }))
    #expect(try count { $0.session = 2 } == UInt64(made.count { $0.session == 2 }))
    #expect(
      try count { ($0.session, $0.domain, $0.actionClass) = (3, 0, "bid") }
        == UInt64(made.count { $0.session == 3 && $0.domain == 0 && $0.actionClass == 48 }))
    #expect(try count { $0.verdict = LTP_VERDICT_DENY } == 0)
    #expect(try count { ($0.state, $0.reason) = (LTP_STATE_HEALTHY, LTP_REASON_ADMITTED) } == 480)
    let outcome = try Tool.run(
      ["inspect", "count", directory.path, "--class", "read", "--state", "healthy", "--verdict", "execute"])
    #expect(outcome.status == 0)
    #expect(outcome.output.hasPrefix("\(made.count { $0.actionClass == 8 })\n"))
    #expect(try Tool.run(["inspect", "count", directory.path, "--reason", "because"]).status != 0)
  }

  @Test("explain tells state, evidence, rule and token, each time that the frame was asked")
  func explains() throws {
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    trace.publish(
      LTP_STATE_UNSTABLE, reason: LTP_SIGNAL_DB_WRITE_LATENCY,
      evidence: [Records.evidence(LTP_SIGNAL_DB_WRITE_LATENCY, 9000, 5000)])
    trace.lane(1, trace.decide(Self.modify, session: 8, frame: 4711))
    trace.publish(LTP_STATE_HEALTHY)
    trace.lane(
      1, trace.decide(Self.modify, session: 8, frame: 4711, token: false),
      trace.decide(8, session: 9, frame: 4711))
    trace.close()
    let (inspector, directory) = inspector(trace)
    let report = try inspector.explain(frame: 4711)
    #expect(report.decisions == 3 && report.inspection.isGood)
    let first = report.explanations[0]
    #expect(
      first.reason == "SYSTEM_UNSTABLE" && first.state == "UNSTABLE" && first.rule == "DENY SYSTEM_UNSTABLE")
    #expect(first.transition?.reason == "DB_WRITE_LATENCY" && first.transition?.evidence.first?.value == 9000)
    let second = report.explanations[1]
    #expect(
      second.reason == "REHANDSHAKE_REQUIRED" && second.continuity == "none" && second.needsContinuity == true
    )
    #expect(try inspector.explain(frame: 4711, session: 9).decisions == 1)
    let text = try Tool.run(["inspect", "explain", directory.path, "--frame", "0x1267"])
    #expect(text.status == 0)
    #expect(text.output.contains("DB_WRITE_LATENCY 9000 (threshold 5000)"))
    #expect(text.output.contains("policy 1 says EXECUTE ADMITTED"))
    #expect(try Tool.run(["inspect", "explain", directory.path, "--frame", "1"]).status == 1)
    #expect(try Tool.run(["inspect", "explain", directory.path, "--frame", "x"]).status != 0)
    #expect(
      try Tool.run(["inspect", "explain", directory.path, "--frame", "4711", "--json"]).output
        .contains("\"SYSTEM_UNSTABLE\""))
  }
}
