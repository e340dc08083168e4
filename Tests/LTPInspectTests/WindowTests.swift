// SPDX-License-Identifier: Apache-2.0
// Counts of a time window: by summaries they are what they are by slots, and what `show` prints.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("counts of a time window", .guarded)
struct WindowTests {
  /// A log of some segments, several states, two lanes and random classes.
  private func random(_ random: inout SplitMix64, segments: Int) -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    for segment in 1...segments {
      for _ in 0..<random.below(8) {
        if random.oneIn(3) { trace.publish(UInt8(random.below(7))) }
        var records: [UInt8] = []
        for _ in 0..<(1 + random.below(6)) {
          records += trace.decide(
            UInt8(random.below(140)), priority: UInt8(random.below(256)), token: random.oneIn(2),
            late: random.oneIn(5), time: UInt32(random.below(4000)))
        }
        if random.oneIn(4) {
          records += Records.time(
            monotonic: TraceBuilder.startMonotonic,
            unix: TraceBuilder.firstTime + UInt64(random.below(60_000_000)))
          records += trace.decide(8, time: UInt32(random.below(4000)))
        }
        trace.lane(1 + UInt32(random.below(2)), records)
      }
      if segment < segments || random.oneIn(2) { trace.seal() }
      if segment < segments { trace.beginSegment() }
    }
    return trace
  }

  /// Decisions that `show` prints for the window.
  private func shown(_ directory: TemporaryDirectory, _ window: SummaryWindow) throws -> UInt64 {
    var filter = ShowFilter()
    filter.from = window.from
    filter.to = window.to
    filter.json = true
    nonisolated(unsafe) var count: UInt64 = 0
    _ = try Inspector(directory.path).show(filter) { bytes in
      let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
      count += UInt64(lines.count { $0.contains("\"kind\":\"decision\"") })
    }
    return count
  }

  @Test("by summaries as by slots, for random logs and windows", arguments: TestSeed.each(1...12))
  func random(_ seed: UInt64) throws {
    var numbers = SplitMix64(seed: TestSeed.value(seed))
    let directory = TemporaryDirectory()
    random(&numbers, segments: 6).write(to: directory, fill: false)
    let inspector = Inspector(directory.path)
    #expect(try inspector.verify().violations.isEmpty)
    var bySummary: UInt64 = 0
    var byEnds: UInt64 = 0
    for _ in 0..<12 {
      let span = 60_000_000
      let from = TraceBuilder.firstTime + UInt64(numbers.below(span))
      let window = SummaryWindow(
        from: numbers.oneIn(3) ? 0 : from, to: numbers.oneIn(3) ? .max : from + UInt64(numbers.below(span)))
      let fast = try inspector.summary(in: window, transitionsMax: 100, usesSummaries: true)
      let slow = try inspector.summary(in: window, transitionsMax: 100, usesSummaries: false)
      #expect(fast.counters == slow.counters)
      #expect(fast.transitions == slow.transitions)
      #expect(fast.inspection.violations.isEmpty && slow.inspection.violations.isEmpty)
      #expect(fast.inspection.totals.decisions == (try shown(directory, window)))
      #expect(slow.segments.bySummary == 0 && slow.segments.outside == 0)
      bySummary += fast.segments.bySummary
      // A number alone is had from the ends.
      let count = try inspector.count(in: window, of: CountFilter())
      #expect(count.counters == slow.counters)
      #expect(count.inspection.violations.isEmpty && count.segments == fast.segments)
      // The last one is read in any case, and the first one: a policy is loaded in it.
      let spared = count.segments.bySummary + count.segments.outside
      #expect([spared, spared &- 1, spared &- 2].contains(count.inspection.scan.segmentsByEnds))
      byEnds += count.inspection.scan.segmentsByEnds
    }
    #expect(bySummary > 0 && byEnds > 0)
  }

  @Test("classes that a policy names no more are counted by the name that they had")
  func namesOfBefore() throws {
    let trace = TraceBuilder()
    trace.open()
    var canary = builtInPolicy()
    withUnsafeMutableBytes(of: &canary.classes.100.name) { $0.copyBytes(from: Array("canary".utf8)) }
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      setRule(&canary, state: state, 100) { $0.reason = LTP_REASON_POLICY_FORBIDS }
    }
    trace.load(Records.bytes(canary))
    trace.publish(LTP_STATE_HEALTHY)
    for _ in 0..<3 {
      trace.lane(1, trace.decide(100))
      trace.rotate()
    }
    trace.load(Records.bytes(builtInPolicy()))
    for _ in 0..<3 {
      trace.lane(1, trace.decide(8))
      trace.rotate()
    }
    let directory = TemporaryDirectory()
    trace.write(to: directory, fill: false)
    var filter = CountFilter()
    filter.actionClass = "canary"
    let report = try Inspector(directory.path).count(in: SummaryWindow(), of: filter)
    #expect(report.inspection.totals.decisions == 3)
    #expect(report.inspection.scan.segmentsByEnds > 0)
    // The last segment was begun, and holds nothing yet.
    directory.write([], to: TraceBuilder.name(trace.segments.last!.index))
    #expect(
      try Inspector(directory.path).count(in: SummaryWindow(), of: filter).inspection.totals.decisions == 3)
  }

  @Test("count reads the ends of what a summary answers for, and checks them against their neighbours")
  func countsByEnds() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder.healthy(segments: 4, blocks: 3)
    trace.write(to: directory, fill: false)
    let inspector = Inspector(directory.path)
    func count() throws -> WindowReport { try inspector.count(in: SummaryWindow(), of: CountFilter()) }
    let good = try count()
    #expect(good.inspection.isGood && good.inspection.scan.segmentsByEnds == 2)
    let decisions = good.inspection.totals.decisions
    let name = TraceBuilder.name(1)
    let whole = directory.read(name)
    let blocks = trace.blockPlaces.filter { $0.segment == 1 }
    #expect(blocks.count > 3)

    // Between the ends nothing is read: that is for verify to find.
    directory.patch(name, at: blocks[2].offset + 300) { $0 ^ 1 }
    let inner = try count()
    #expect(inner.inspection.isGood && inner.inspection.totals.decisions == decisions)
    #expect(try !inspector.verify().violations.isEmpty)

    // What is wrong with an end has the segment walked, which says so.
    for block in [blocks.first!, blocks.last!] {
      directory.write(whole, to: name)
      directory.patch(name, at: block.offset + 300) { $0 ^ 1 }
      let report = try count()
      #expect(!report.inspection.isGood && report.inspection.scan.segmentsByEnds <= 1)
    }

    // Good ends, and not those of this log; or not in their place.
    let other = TemporaryDirectory()
    TraceBuilder.healthy(segments: 4, blocks: 4).write(to: other, fill: false)
    directory.write(other.read(name), to: name)
    let foreign = try count()
    #expect(foreign.inspection.scan.segmentsByEnds == 2)
    #expect(foreign.inspection.violations.contains { $0.kind == .chain && $0.text.contains(name) })
    directory.write(directory.read(TraceBuilder.name(2)), to: name)
    #expect(try !count().inspection.isGood)
  }

  @Test("all of a trace is what the summary without a window says")
  func all() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory, fill: false)
    let inspector = Inspector(directory.path)
    let whole = try inspector.summary()
    let window = try inspector.summary(in: SummaryWindow())
    #expect(window.counters == whole.counters)
    #expect(window.transitions == whole.transitions)
    #expect(window.segments == WindowSegments(bySummary: 2, bySlots: 1, outside: 0))
    #expect(window.inspection.totals.transitions == whole.inspection.totals.transitions)
  }

  @Test(
    "a segment inside the window is counted by its summary alone, and verify is who says that it is wrong")
  func believesSummaries() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder.healthy(segments: 1, blocks: 3)
    trace.seal { counts, sealed in
      counts[0].entries.0.count += 5
      sealed.decision_count += 5
    }
    trace.beginSegment()
    trace.write(to: directory, fill: false)
    let inspector = Inspector(directory.path)
    #expect(try inspector.summary(in: SummaryWindow()).inspection.totals.decisions == 11)
    #expect(try inspector.verify().violations.map(\.kind) == [.count, .count])
  }

  @Test("a summary that contradicts itself, and an end that is not the SEALED record's, are violations")
  func contradictions() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder.healthy(segments: 1, blocks: 3)
    trace.seal { $1.decision_count += 1 }
    trace.write(to: directory, fill: false)
    let report = try Inspector(directory.path).summary(in: SummaryWindow())
    #expect(report.inspection.violations.map(\.kind) == [.count])
    // Times in the file's last block that the chain does not hold.
    let place = trace.blockPlaces.last!
    let slots = (place.size - 256) / 32
    #expect(slots > 10)
    let sealed = place.offset + 256 + 8 * 32 + 24
    directory.patch(TraceBuilder.name(0), at: sealed) { $0 ^ 1 }
    let patched = try Inspector(directory.path).summary(in: SummaryWindow())
    #expect(patched.inspection.violations.contains { $0.kind == .tornTail || $0.kind == .chain })
  }

  @Test("ends of files that are no summaries are not believed")
  func hostileEnds() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder.healthy(segments: 3, blocks: 3)
    trace.write(to: directory, fill: false)
    let window = SummaryWindow()
    let good = try Inspector(directory.path).summary(in: window)
    #expect(good.segments == WindowSegments(bySummary: 2, bySlots: 1, outside: 0))
    // Zeros behind the seal: the writer has not cut the file yet.
    let whole = directory.read(TraceBuilder.name(1))
    directory.write(whole + [UInt8](repeating: 0, count: 8192), to: TraceBuilder.name(1))
    let uncut = try Inspector(directory.path).summary(in: window)
    #expect(uncut.segments == WindowSegments(bySummary: 1, bySlots: 2, outside: 0))
    #expect(uncut.counters == good.counters && uncut.inspection.violations.isEmpty)
    var numbers = TestSeed.random(5)
    for _ in 0..<60 {
      var bytes = whole
      for _ in 0..<(1 + numbers.below(4)) {
        let place = bytes.count - 1 - numbers.below(4096)
        bytes[place] = UInt8(truncatingIfNeeded: numbers.next())
      }
      if numbers.oneIn(4) { bytes.removeLast(numbers.below(5000)) }
      directory.write(bytes, to: TraceBuilder.name(1))
      _ = try Inspector(directory.path).summary(in: window)
    }
  }

  @Test("ltp inspect summary --from --to")
  func command() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory, fill: false)
    func run(_ arguments: String...) throws -> Tool.Outcome {
      try Tool.run(["inspect", "summary", directory.path] + arguments)
    }
    let all = try run("--from", "2026-03-01T09:05:07Z")
    #expect(all.status == 0)
    #expect(all.output.contains("segments     2 by their summaries, 1 by their slots, 0 outside"))
    #expect(all.output.contains("decisions    19"))
    #expect(all.output.contains("queue_depth 5000 (threshold 1000)"))
    let none = try run("--to", "2026-03-01T09:05:07Z", "--json")
    #expect(none.status == 0)
    let object = try JSONSerialization.jsonObject(with: Data(none.output.utf8)) as? [String: Any]
    #expect(object?["decisions"] as? Int == 0)
    #expect((object?["segments"] as? [String: Any])?["outside"] as? Int == 2)
    #expect(try run("--from", "yesterday").errors.contains("--from is a time with its zone"))
    #expect(try run("--from", "9", "--to", "9").errors.contains("--from is before --to"))
    #expect(try Tool.run(["inspect", "summary", "--help"]).output.contains("each decision is looked at"))
  }
}
