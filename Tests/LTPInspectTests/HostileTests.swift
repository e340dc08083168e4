// SPDX-License-Identifier: Apache-2.0
// Directories and files that are no trace at all: an answer every time, never a trap.

import CLTP
import Foundation
import LTPRecords
import LTPStorage
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("hostile input", .guarded)
struct HostileTests {
  private func failure(_ path: String) -> String? {
    do {
      _ = try Inspector(path).verify()
      return nil
    } catch {
      return error.message
    }
  }

  @Test("what is no trace is refused with what to do")
  func unusable() throws {
    let directory = TemporaryDirectory()
    #expect(failure("\(directory.path)/none")?.contains("cannot read the directory") == true)
    #expect(failure(directory.path)?.contains("holds no segments") == true)
    directory.write([1], to: "file")
    #expect(failure("\(directory.path)/file")?.contains("cannot read the directory") == true)
    directory.write([], to: TraceBuilder.name(0))
    #expect(failure(directory.path)?.contains("holds no block") == true)
    directory.write([UInt8](repeating: 0, count: 9000), to: TraceBuilder.name(0))
    #expect(failure(directory.path)?.contains("holds no block") == true)
  }

  @Test(
    "an entry that is not a regular file is refused by its name", arguments: ["directory", "link", "fifo"])
  func irregular(kind: String) throws {
    let directory = TemporaryDirectory()
    GoodTraces.small().write(to: directory)
    let path = "\(directory.path)/\(TraceBuilder.name(1))"
    directory.rename(TraceBuilder.name(1), "elsewhere")
    switch kind {
    case "directory": #expect(mkdir(path, 0o755) == 0)
    case "link": #expect(symlink("elsewhere", path) == 0)
    default: #expect(mkfifo(path, 0o644) == 0)
    }
    #expect(failure(directory.path)?.contains("not a regular file") == true)
  }

  @Test("an unknown version is told from a damaged one")
  func version() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory)
    directory.patch(TraceBuilder.name(0), at: LTP_AT_block_header_version) { _ in 99 }
    #expect(try Inspector(directory.path).verify().violations.map(\.kind) == [.chain])
    // Hashed as version 99: another format, not damage.
    var bytes = directory.read(TraceBuilder.name(0))
    bytes.withUnsafeMutableBytes { raw in
      let hash = raw.baseAddress! + LTP_AT_block_header_block_hash
      Digest(of: raw.baseAddress!, count: LTP_AT_block_header_block_hash)!.store(to: hash)
    }
    directory.write(bytes, to: TraceBuilder.name(0))
    #expect(failure(directory.path)?.contains("version 99") == true)
  }

  @Test(
    "fault 27: random bytes in place of segments give an answer", arguments: TestSeed.each(1...40))
  func garbage(seed: UInt64) throws {
    var random = TestSeed.random(seed)
    let directory = TemporaryDirectory()
    for index in 0..<UInt64.random(in: 1...3, using: &random) {
      let count = Int.random(in: 1...70000, using: &random)
      var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      if Bool.random(using: &random), count > 8 {
        withUnsafeBytes(of: LTP_BLOCK_MAGIC) { bytes.replaceSubrange(0..<8, with: $0) }
      }
      directory.write(bytes, to: TraceBuilder.name(index))
    }
    #expect(try !Inspector(directory.path).verify().isGood)
    #expect(try !Inspector(directory.path).summary().inspection.isGood)
    var filter = ShowFilter()
    filter.json = seed % 2 == 0
    _ = try Inspector(directory.path).show(filter) { _ in }
  }

  @Test(
    "fault 27: random records under right hashes give an answer", arguments: TestSeed.each(1...60))
  func garbageRecords(seed: UInt64) throws {
    var random = TestSeed.random(seed)
    let directory = TemporaryDirectory()
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    for _ in 0..<12 {
      let slots = Int.random(in: 1...400, using: &random)
      var bytes = (0..<slots * 32).map { _ in UInt8.random(in: 0...255, using: &random) }
      let lane = UInt32.random(in: 0...3, using: &random)
      for slot in stride(from: 0, to: bytes.count, by: 32) where Int.random(in: 0..<8, using: &random) > 0 {
        bytes[slot] =
          lane == 0 ? UInt8.random(in: 16...22, using: &random) : UInt8.random(in: 1...6, using: &random)
        if lane == 0 { bytes[slot + 2] = [4, 4, 8, 100, 4, 2, 2][Int(bytes[slot]) - 16] }
        if lane == 0 { bytes[slot + 3] = bytes[slot] == LTP_RECORD_POLICY ? 1 : 0 }
      }
      let isRight = Bool.random(using: &random)
      trace.block(
        lane: lane, bytes,
        word: isRight ? trace.word.rawValue : UInt64.random(in: 0...UInt64.max, using: &random))
    }
    trace.write(to: directory)
    #expect(try !Inspector(directory.path).verify().isGood)
    #expect(try !Inspector(directory.path).redecide().inspection.isGood)
    _ = try Inspector(directory.path).summary()
    nonisolated(unsafe) var bytes = 0
    _ = try Inspector(directory.path).show(ShowFilter()) { bytes += $0.count }
    #expect(bytes > 0)
  }

  @Test("violations beyond the limit are counted, not kept")
  func flood() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder()
    trace.open()
    let wrong = Records.decision(0, 31, actionClass: 3)
    trace.lane(1, Array(repeatElement(wrong, count: 500).joined()))
    trace.write(to: directory)
    let report = try Inspector(directory.path).verify()
    #expect(report.violationCount == 500)
    #expect(report.violations.count == Findings.violationsMax)
    #expect(report.totals.decisions == 500)
  }
}
