// SPDX-License-Identifier: Apache-2.0
// A right trace is good, and says what was put into it.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("good traces", .guarded)
struct GoodTraceTests {
  @Test("verify finds nothing in a trace with every kind of record", arguments: [true, false])
  func verifies(direct: Bool) throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    var options = InspectOptions()
    options.readsDirect = direct
    let report = try Inspector(directory.path, options: options).verify()
    #expect(report.violations == [])
    #expect(report.notes == [])
    #expect(report.scan.segmentCount == 3)
    #expect(report.totals.decisions == 19)
    #expect(report.totals.transitions == 7)
    #expect(report.totals.runs == 2)
    #expect(report.totals.policies == 3)
    #expect(report.totals.unrecorded == 5)
    #expect(report.totals.hellos == 1)
    #expect(report.totals.replays == 1)
    #expect(report.totals.tornTailsCut == 1)
    #expect(report.totals.isClosed)
  }

  @Test(
    "a crash between the log's first block, which names run 1, and the opening of that run",
    arguments: [0, 1, 2])
  func lostOpening(_ lostRuns: UInt32) throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder()
    trace.beginSegment()
    trace.open(lostRuns: lostRuns)
    trace.publish(LTP_STATE_HEALTHY)
    trace.write(to: directory)
    // Of two that crashed so, the second one has the number of the first.
    #expect(try Inspector(directory.path).verify().violations.isEmpty == (lostRuns < 2))
  }

  @Test("redecide comes to the same decisions")
  func redecides() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    let report = try Inspector(directory.path).redecide()
    #expect(report.inspection.violations == [])
    #expect(report.redecided == 19)
    #expect(report.mismatches == 0)
    #expect(report.withoutPolicy == 0)
  }

  @Test("summary counts by state, class, verdict and reason, and names the evidence")
  func summarizes() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    let summary = try Inspector(directory.path).summary()
    #expect(summary.counters.reduce(0) { $0 + $1.count } == 19)
    let denied = summary.counters.first { $0.actionClass == "payment" && $0.state == "FAILED" }
    #expect(denied?.verdict == "DENY")
    #expect(denied?.reason == "SYSTEM_FAILED")
    #expect(summary.counters.contains { $0.actionClass == "(malformed)" && $0.reason == "MALFORMED_FRAME" })
    #expect(
      summary.counters.contains { $0.actionClass == "(unknown)" && $0.reason == "UNKNOWN_ACTION_CLASS" })
    let last = try Inspector(directory.path).summary(transitionsMax: 3).transitions
    #expect(last.count == 3 && last.map(\.epoch) == summary.transitions.suffix(3).map(\.epoch))
    let saturated = summary.transitions[2]
    #expect(
      saturated.line
        == "HEALTHY -> SATURATED  QUEUE_LATENCY_SPIKE  queue_depth 5000 (threshold 1000)  "
        + "CPU_PRESSURE 95 (threshold 80)  \"the queue is long\"")
    #expect(summary.inspection.totals.firstUnixNanoseconds! < summary.inspection.totals.lastUnixNanoseconds!)
  }

  @Test("a trace whose oldest segments were dropped by retention is good")
  func retention() throws {
    for dropped in 1...2 {
      let directory = TemporaryDirectory()
      GoodTraces.rich().write(to: directory)
      for index in 0..<dropped { directory.remove(TraceBuilder.name(UInt64(index))) }
      let report = try Inspector(directory.path).redecide()
      #expect(report.inspection.violations == [])
      #expect(report.inspection.notes.contains { $0.contains("retention") })
      #expect(report.withoutPolicy == 0)
    }
  }

  @Test("a log that was not closed is good, and the note says so")
  func notClosed() throws {
    let directory = TemporaryDirectory()
    GoodTraces.small().write(to: directory)
    let report = try Inspector(directory.path).verify()
    #expect(report.violations == [])
    #expect(report.notes.contains { $0.contains("not closed") })
  }

  @Test("a prepared segment, a torn copy and a stranger's file are named and not read")
  func otherFiles() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.seal()
    trace.write(to: directory)
    directory.write([1, 2, 3], to: "0000000000000002.tmp")
    directory.write([1, 2, 3], to: "torn-0000000000000001-0000000000003000.bin")
    directory.write([1, 2, 3], to: "README\u{1B}[31m")
    let report = try Inspector(directory.path).verify()
    #expect(report.violations == [])
    #expect(
      report.notes.filter { $0.contains(".tmp") || $0.contains("torn-*") || $0.contains("README?") }.count
        == 3)
    // A segment that got its name and nothing else.
    directory.write([UInt8](repeating: 0, count: 1 << 18), to: TraceBuilder.name(2))
    let next = try Inspector(directory.path).verify()
    #expect(next.violations == [])
    #expect(next.notes.contains { $0.contains("was prepared") })
  }

  @Test("a trace open in another process is in progress, torn or not")
  func live() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory, durable: 4)
    let place = trace.blockPlaces.last!
    directory.patch(TraceBuilder.name(1), at: place.offset + 300) { $0 ^ 1 }
    let torn = try Inspector(directory.path).verify()
    #expect(torn.violations.map(\.kind) == [.tornTail])
    // Another open file description counts as another process for flock.
    let descriptor = open("\(directory.path)/\(TraceBuilder.name(1))", O_RDWR)
    defer { close(descriptor) }
    #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
    let report = try Inspector(directory.path).verify()
    #expect(report.violations == [])
    #expect(report.scan.isLive)
    #expect(report.notes.contains { $0.contains("in progress") })
  }

  @Test("show prints a line for each decision, with transitions between them")
  func shows() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    let lines = try show(directory) { _ in }
    #expect(lines.first?.hasPrefix("TIME (UTC)") == true)
    #expect(lines.count { $0.contains(" EXECUTE ") || $0.contains(" DENY ") || $0.contains(" DEFER ") } == 19)
    #expect(
      lines.contains {
        $0.contains("== epoch 3  HEALTHY -> SATURATED  QUEUE_LATENCY_SPIKE  queue_depth 5000")
      })
    #expect(lines.contains { $0.contains("-- opened  run 2") })
    let payment = lines.first { $0.contains("payment") }
    #expect(payment?.hasPrefix("2026-03-01T09:05:07.") == true)
  }

  @Test("show keeps to session, verdict, time and limit")
  func filters() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    #expect(try decisions(directory) { $0.session = 9 }.count == 1)
    #expect(
      try decisions(directory) { $0.verdict = LTP_VERDICT_EXECUTE }.allSatisfy { $0.contains("EXECUTE") })
    #expect(try decisions(directory) { $0.limit = 4 }.count == 3)
    #expect(try decisions(directory) { $0.to = TraceBuilder.firstTime }.isEmpty)
    #expect(try decisions(directory) { $0.from = TraceBuilder.firstTime }.count == 19)
    #expect(try decisions(directory) { $0.from = UInt64.max }.isEmpty)
  }

  @Test("show prints JSON that parses, one object a line")
  func json() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    let lines = try show(directory) { $0.json = true }
    var kinds: [String: Int] = [:]
    for line in lines {
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      kinds[object?["kind"] as? String ?? "", default: 0] += 1
    }
    #expect(
      kinds == [
        "decision": 19, "transition": 7, "hello": 1, "unrecorded": 1, "opened": 2, "closed": 2, "policy": 3,
      ])
  }

  private func show(_ directory: TemporaryDirectory, _ set: (inout ShowFilter) -> Void) throws -> [String] {
    var filter = ShowFilter()
    set(&filter)
    nonisolated(unsafe) var text: [UInt8] = []
    _ = try Inspector(directory.path).show(filter) { text += $0 }
    return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private func decisions(
    _ directory: TemporaryDirectory, _ set: (inout ShowFilter) -> Void
  ) throws -> [String] {
    try show(directory, set).filter {
      $0.contains(" EXECUTE ") || $0.contains(" DENY ") || $0.contains(" DEFER ")
    }
  }
}
