// SPDX-License-Identifier: Apache-2.0
// Files changed behind the writer's back: bytes, lengths, whole segments. Every change is found and named.

import CLTP
import Foundation
import LTPRecords
import LTPStorage
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("tampered traces", .guarded)
struct TamperTests {
  /// Long tests look at every byte; short ones at every header byte and a stride of the rest.

  @Test("fault 17: a byte changed anywhere is found, in the segment where it is", arguments: [0, 1])
  func flips(segment: UInt64) throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory)
    let name = TraceBuilder.name(segment)
    let used = trace.segments[Int(segment)].bytes.count
    let starts = trace.blockPlaces.filter { $0.segment == segment }.map(\.offset)
    for offset in 0..<(used + 8192) {
      let inHeader = starts.contains { offset >= $0 && offset < $0 + 288 }
      guard TestSeed.isLong || (inHeader && offset % 3 == 0) || offset % 197 == 0 else { continue }
      let bit = UInt8(1) << UInt8(offset % 8)
      directory.patch(name, at: offset) { $0 ^ bit }
      let report = try Inspector(directory.path).verify()
      directory.patch(name, at: offset) { $0 ^ bit }
      let first = try #require(report.violations.first, "offset \(offset)")
      #expect(first.place.segment == segment, "offset \(offset): \(first.text)")
      let block = starts.last { $0 <= offset } ?? 0
      #expect(first.place.offset >= UInt64(min(block, used)), "offset \(offset): \(first.text)")
    }
    #expect(try Inspector(directory.path).verify().violations == [])
  }

  @Test("fault 18: the last segment cut at every 512 bytes is a loss where it was acknowledged")
  func cuts() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory, fill: false)
    let name = TraceBuilder.name(1)
    let bytes = directory.read(name)
    let ends = trace.blockPlaces.filter { $0.segment == 1 }.map { $0.offset + $0.size }
    for length in stride(from: 0, to: bytes.count, by: 512) {
      directory.write(Array(bytes[..<length]), to: name)
      let report = try Inspector(directory.path).verify()
      #expect(report.violations.map(\.kind) == [.lost], "length \(length)")
      #expect(report.violations[0].place.segment == 1)
    }
    // Not acknowledged: what is left is whole, or ends in a torn tail.
    directory.write(Records.watermark(trace.logID, 0), to: LTP_WATERMARK_NAME)
    for length in stride(from: 0, through: bytes.count, by: 512) {
      directory.write(Array(bytes[..<length]), to: name)
      let report = try Inspector(directory.path).verify()
      let isWhole = length == 0 || ends.contains(length)
      #expect(report.violations.map(\.kind) == (isWhole ? [] : [.tornTail]), "length \(length)")
      if !isWhole { #expect(report.violations[0].message.contains("will cut it here")) }
    }
  }

  @Test("fault 18: a hole that a later block calls durable is damage, without the watermark")
  func durableHole() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    for _ in 0..<6 { trace.lane(1, trace.decide(8)) }
    trace.write(to: directory, durable: 0)
    let hole = trace.blockPlaces.first { $0.segment == 1 && $0.lane == 1 }!
    directory.patch(TraceBuilder.name(1), at: hole.offset + 300) { $0 ^ 1 }
    let report = try Inspector(directory.path).verify()
    // As opening says: the bytes are there, and they are not the block.
    #expect(report.violations.map(\.kind) == [.chain])
    #expect(report.violations[0].message.contains("where the trace was durable"))
    #expect(report.violations[0].place.offset == UInt64(hole.offset + 300))
  }

  @Test("fault 19: a segment that is missing is named")
  func missing() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    directory.remove(TraceBuilder.name(1))
    let report = try Inspector(directory.path).verify()
    #expect(report.violations.map(\.kind) == [.segment])
    #expect(report.violations[0].place.segment == 1)
    #expect(report.totals.decisions == 8)
  }

  @Test("fault 19: segments swapped, doubled, or from another log are refused where they lie")
  func misplaced() throws {
    func violation(_ change: (TemporaryDirectory) -> Void) throws -> Violation {
      let directory = TemporaryDirectory()
      // The last segment is sealed too, so that another one may follow.
      let trace = GoodTraces.rich()
      trace.seal()
      trace.write(to: directory)
      change(directory)
      return try #require(try Inspector(directory.path).verify().violations.first)
    }
    let swapped = try violation { directory in
      directory.rename(TraceBuilder.name(0), "other")
      directory.rename(TraceBuilder.name(1), TraceBuilder.name(0))
      directory.rename("other", TraceBuilder.name(1))
    }
    #expect(swapped.place.segment == 0 && swapped.message.contains("another segment"))
    let doubled = try violation { $0.copy(TraceBuilder.name(2), TraceBuilder.name(3)) }
    #expect(doubled.place.segment == 3 && doubled.message.contains("another segment"))
    let behindUse = try violation {
      $0.write(GoodTraces.rich().segments[2].bytes, to: TraceBuilder.name(2))
      $0.copy(TraceBuilder.name(2), TraceBuilder.name(3))
    }
    #expect(behindUse.place.segment == 2 && behindUse.message.contains("not sealed"))
    let overwritten = try violation { $0.copy(TraceBuilder.name(0), TraceBuilder.name(1)) }
    #expect(overwritten.place.segment == 1 && overwritten.message.contains("another segment"))
    for index in [1, 2] {
      let foreign = try violation { directory in
        let other = TraceBuilder()
        other.logID = LogID(low: 1, high: 2)
        other.open()
        other.rotate()
        other.rotate()
        let bytes = other.segments[index].bytes
        directory.write(bytes, to: TraceBuilder.name(UInt64(index)))
      }
      #expect(foreign.place.segment == UInt64(index) && foreign.message.contains("another log"))
    }
  }

  @Test("fault 20: stale blocks behind the end are never taken in")
  func stale() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory)
    // A block of the same log, right by itself, where the next one would come.
    let old = trace.blockPlaces.last { $0.segment == 0 }!
    let block = Array(trace.segments[0].bytes[old.offset..<old.offset + old.size])
    var bytes = directory.read(TraceBuilder.name(1))
    let end = trace.segments[1].bytes.count
    bytes.replaceSubrange(end..<end + block.count, with: block)
    directory.write(bytes, to: TraceBuilder.name(1))
    let report = try Inspector(directory.path).verify()
    #expect(report.violations.map(\.kind) == [.tornTail])
    #expect(report.violations[0].place.offset == UInt64(end))
    #expect(report.totals.decisions == 4)
    // In a sealed segment nothing may follow.
    var sealed = directory.read(TraceBuilder.name(0))
    let sealedEnd = trace.segments[0].bytes.count
    sealed.replaceSubrange(sealedEnd..<sealedEnd + block.count, with: block)
    directory.write(sealed, to: TraceBuilder.name(0))
    let second = try Inspector(directory.path).verify()
    #expect(second.violations.first?.place.segment == 0)
  }

  @Test("a watermark ahead of the log says which blocks are lost; a foreign one is a violation")
  func watermark() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory, durable: trace.blockIndex + 3)
    let ahead = try Inspector(directory.path).verify()
    #expect(ahead.violations.map(\.kind) == [.lost])
    #expect(ahead.violations[0].message.contains("\(trace.blockIndex) to \(trace.blockIndex + 2)"))
    directory.write(Records.watermark(LogID(low: 5, high: 5), 1), to: LTP_WATERMARK_NAME)
    #expect(try Inspector(directory.path).verify().violations.map(\.kind) == [.watermark])
    // A power loss may damage it or take it away: then it says nothing.
    for damaged in [[1, 2, 3], [UInt8](repeating: 7, count: 64), nil] {
      if let damaged {
        directory.write(damaged, to: LTP_WATERMARK_NAME)
      } else {
        directory.remove(LTP_WATERMARK_NAME)
      }
      let report = try Inspector(directory.path).verify()
      #expect(report.violations == [])
      #expect(report.notes.contains { $0.contains("cannot be told") })
    }
  }

  @Test("a segment that is not sealed, with another after it, is named")
  func unsealed() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder()
    trace.open()
    trace.beginSegment()
    trace.write(to: directory)
    let report = try Inspector(directory.path).verify()
    #expect(report.violations.map(\.kind) == [.segment])
    #expect(report.violations[0].place.segment == 0)
  }

  @Test("summary and show go on behind a broken block; verify stops there and says how much was good")
  func salvage() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.rich()
    trace.write(to: directory)
    let broken = trace.blockPlaces.first { $0.lane == 1 && $0.segment == 0 }!
    directory.patch(TraceBuilder.name(0), at: broken.offset + 300) { $0 ^ 1 }
    let verified = try Inspector(directory.path).verify()
    #expect(verified.totals.decisions == 0)
    #expect(verified.violationCount == 1)
    let summary = try Inspector(directory.path).summary()
    #expect(!summary.inspection.isGood)
    #expect(summary.inspection.totals.decisions == 17)
    #expect(summary.inspection.violations[0].place.segment == 0)
    #expect(summary.inspection.violations[0].kind == .chain)
    #expect(summary.inspection.violations.count == 1)
  }
}
