// SPDX-License-Identifier: Apache-2.0
// What opening a directory for writing says of it, and what `verify` says: the same, over the table of verdicts. Each
// directory is built once, byte by byte, read by the tool, and then opened.

import CLTP
import Foundation
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPInspect
@testable import LTPStorage
@testable import LTPTrace

/// The files of a trace's directory, to be spoilt.
struct Files {
  var segments: [[UInt8]?]
  var mark: [UInt8]?
  let trace: TraceBuilder

  init(_ trace: TraceBuilder, fill: Int = 0) {
    self.trace = trace
    segments = trace.segments.map { $0.bytes + [UInt8](repeating: 0, count: fill) }
    mark = Records.watermark(trace.logID, trace.blockIndex)
  }

  /// Offsets and sizes of a segment's blocks.
  func blocks(_ segment: Int) -> [(offset: Int, size: Int)] {
    trace.blockPlaces.filter { $0.segment == UInt64(segment) }.map { ($0.offset, $0.size) }
  }

  func write(to directory: TemporaryDirectory) {
    for (index, bytes) in segments.enumerated() {
      if let bytes { directory.write(bytes, to: TraceBuilder.name(UInt64(index))) }
    }
    if let mark { directory.write(mark, to: LTP_WATERMARK_NAME) }
  }

  func with(_ change: (inout Files) -> Void) -> Files {
    var changed = self
    change(&changed)
    return changed
  }
}

/// What a caller says of a directory.
enum Answer: Equatable, CustomStringConvertible {
  case status(Int32)
  case tornTail
  /// The tool cannot judge it, because there is no block in it.
  case nothing

  var description: String {
    switch self {
    case .status(let status): String(cString: ltp_status_text(status))
    case .tornTail: "a torn tail"
    case .nothing: "nothing to judge"
    }
  }

  static let good = Answer.status(LTP_OK)
  static let lost = Answer.status(LTP_ERROR_TRACE_LOST)
  static let corrupt = Answer.status(LTP_ERROR_TRACE_CORRUPT)
  static let foreign = Answer.status(LTP_ERROR_TRACE_FOREIGN)
  static let version = Answer.status(LTP_ERROR_TRACE_VERSION)

  /// Opens the directory for writing and lets it go again.
  static func opening(_ path: String, tailOnly: Bool = false) throws -> (answer: Answer, block: UInt64) {
    var configuration = TraceConfiguration()
    configuration.chain.verifiesTailOnly = tailOnly
    var storage = try SystemStorage(
      path: path, storage: LTP_STORAGE_PWRITEV, queueDepth: 2, bufferCount: TraceConfiguration.bufferCount)
    do throws(OpenFault) {
      let log = try RecoveredTrace.open(&storage, configuration: configuration)
      log.abandon(&storage)
      return (log.chain.cutBytes > 0 ? .tornTail : .good, log.chain.position.blockIndex)
    } catch {
      return (.status(error.status), error.block)
    }
  }

  /// By the one violation that there may be.
  static func verifying(_ path: String) throws -> Answer {
    let report: InspectReport
    do throws(InspectFailure) { report = try Inspector(path).verify() } catch {
      if error.message.contains("of the format") { return .version }
      #expect(error.message.contains("holds no block") || error.message.contains("holds no segments"))
      return .nothing
    }
    guard let first = report.violations.first else { return .good }
    #expect(report.violationCount == 1, "\(report.violations.map(\.text))")
    switch first.kind {
    case .tornTail: return .tornTail
    case .lost: return .lost
    case .chain where first.message.contains("of another log"): return .foreign
    case .watermark where first.message.contains("is of log"): return .foreign
    case .chain, .segment, .watermark: return .corrupt
    default: throw InspectFailure("an unexpected violation: \(first.text)")
    }
  }
}

@Suite("one table for opening and for verify", .guarded)
struct VerdictTests {
  /// Four segments of several blocks each; the last is in use. Every block of a lane calls those up to two before it
  /// durable.
  private static func fourSegments() -> TraceBuilder { .healthy(segments: 4, blocks: 5) }

  private static func oneSegment() -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    for _ in 0..<4 { trace.lane(1, trace.decide(8)) }
    return trace
  }

  private static func anotherLog() -> TraceBuilder {
    let trace = fourSegments()
    let other = TraceBuilder()
    other.logID = LogID(low: 5, high: 6)
    other.open()
    for segment in 0..<4 {
      for _ in 0..<5 { other.lane(1, other.decide(8)) }
      if segment < 3 { other.rotate() }
    }
    precondition(other.logID != trace.logID)
    return other
  }

  private static let page = Int(LTP_TRACE_PAGE_BYTES)

  enum Mark: CaseIterable {
    case all, zero, absent, damaged, foreign

    func bytes(_ trace: TraceBuilder) -> [UInt8]? {
      switch self {
      case .all: Records.watermark(trace.logID, trace.blockIndex)
      case .zero: Records.watermark(trace.logID, 0)
      case .absent: nil
      case .damaged: [UInt8](repeating: 3, count: 64)
      case .foreign: Records.watermark(LogID(low: 8, high: 9), 1)
      }
    }
  }

  /// Asks both, with each watermark, and compares. `expected`: with the whole watermark, and with one of 0.
  private func ask(
    _ name: String, _ files: Files, all: Answer? = nil, zero: Answer? = nil, marks: [Mark] = Mark.allCases,
    at location: SourceLocation = #_sourceLocation
  ) throws {
    for mark in marks {
      let directory = TemporaryDirectory()
      files.with { $0.mark = mark.bytes(files.trace) }.write(to: directory)
      let verified = try Answer.verifying(directory.path)
      let opened = try Answer.opening(directory.path)
      let comment: Comment = "\(name), watermark \(mark): verify says \(verified), opening \(opened.answer)"
      if verified == .nothing {
        // Neither has seen a block, and nobody says that there should be one.
        let isRefused = opened.answer == .corrupt && (mark == .absent || mark == .damaged)
        #expect(
          opened.block == 0 && mark != .all && (opened.answer == .good || isRefused), comment,
          sourceLocation: location)
      } else {
        #expect(verified == opened.answer, comment, sourceLocation: location)
      }
      if mark == .all, let all { #expect(verified == all, comment, sourceLocation: location) }
      if mark == .zero, let zero { #expect(verified == zero, comment, sourceLocation: location) }
    }
  }

  @Test("a whole log, and one without its last segment")
  func whole() throws {
    for fill in [0, 5 * Self.page] {
      let files = Files(Self.fourSegments(), fill: fill)
      try ask("whole", files, all: .good, zero: .good)
      try ask("last missing", files.with { $0.segments[3] = nil }, all: .lost, zero: .good)
      try ask("third missing", files.with { $0.segments[2] = nil }, all: .corrupt, zero: .corrupt)
      try ask("one segment", Files(Self.oneSegment(), fill: fill), all: .good, zero: .good)
    }
  }

  @Test("segments zeroed or emptied: one anywhere, the first ones, all of them", arguments: [true, false])
  func zeroed(isEmptied: Bool) throws {
    func spoil(_ bytes: inout [UInt8]?) {
      bytes = isEmptied ? [] : [UInt8](repeating: 0, count: bytes!.count)
    }
    let files = Files(Self.fourSegments())
    for index in 0..<4 {
      try ask(
        "segment \(index)", files.with { spoil(&$0.segments[index]) }, all: .lost,
        zero: index < 3 ? .corrupt : .good)
    }
    for count in 1...4 {
      let spoilt = files.with { files in for index in 0..<count { spoil(&files.segments[index]) } }
      try ask("the first \(count)", spoilt, all: .lost, zero: .corrupt)
    }
    for count in 1...3 {
      let spoilt = files.with { files in for index in 4 - count..<4 { spoil(&files.segments[index]) } }
      try ask("the last \(count)", spoilt, all: .lost, zero: count == 1 ? .good : .corrupt)
    }
    let one = Files(Self.oneSegment()).with { spoil(&$0.segments[0]) }
    try ask("the only one", one, all: .lost, zero: .nothing)
  }

  @Test("only the watermark is left, or nothing")
  func withoutSegments() throws {
    let files = Files(Self.fourSegments()).with { $0.segments = [] }
    for (mark, expected) in [
      (Mark.all, Answer.lost), (.zero, .nothing), (.absent, .nothing), (.damaged, .corrupt),
    ] {
      let directory = TemporaryDirectory()
      files.with { $0.mark = mark.bytes(files.trace) }.write(to: directory)
      #expect(try Answer.verifying(directory.path) == expected)
      let opened = try Answer.opening(directory.path).answer
      #expect(opened == (expected == .nothing ? .good : expected))
    }
  }

  @Test("files cut at every page, the last one and earlier ones", arguments: 0..<4)
  func cut(segment: Int) throws {
    let files = Files(Self.fourSegments())
    let blocks = files.blocks(segment)
    for length in stride(from: 0, to: files.segments[segment]!.count, by: Self.page) {
      let isBetween = length == 0 || blocks.contains { $0.offset + $0.size == length }
      let isEmpty = length == 0
      let isLast = segment == 3
      try ask(
        "segment \(segment) cut at \(length)", files.with { $0.segments[segment]!.removeSubrange(length...) },
        all: isLast || isEmpty ? .lost : .corrupt,
        zero: !isLast ? .corrupt : isBetween ? .good : .tornTail)
    }
  }

  @Test("the only segment cut at every page and at odd lengths")
  func cutOnly() throws {
    let files = Files(Self.oneSegment())
    let count = files.segments[0]!.count
    for length in Array(stride(from: 0, to: count, by: Self.page)) + [1, 8, 255, 256, 4095, count - 1] {
      try ask(
        "cut at \(length)", files.with { $0.segments[0]!.removeSubrange(length...) }, all: .lost)
    }
  }

  @Test("a byte changed in each block")
  func changed() throws {
    for trace in [Self.fourSegments(), Self.oneSegment()] {
      let files = Files(trace, fill: Self.page)
      for block in trace.blockPlaces {
        for offset in [0, 9, 40, 57, 110, 170, 230, 260] {
          let spoilt = files.with { $0.segments[Int(block.segment)]![block.offset + offset] ^= 0x40 }
          try ask(
            "byte \(offset) of the block at \(block.segment):\(block.offset)", spoilt, all: .corrupt,
            marks: [.all, .zero, .foreign])
        }
      }
    }
  }

  @Test("a hole of zeros where a block was, with blocks behind it that call it durable")
  func hole() throws {
    let files = Files(Self.fourSegments())
    for block in files.trace.blockPlaces
    where block.offset + block.size < files.segments[Int(block.segment)]!.count {
      let spoilt = files.with { files in
        for index in block.offset..<block.offset + block.size {
          files.segments[Int(block.segment)]![index] = 0
        }
      }
      // The builder's blocks call those up to two before them durable.
      let isKnown = block.segment < 3 || files.blocks(3).count { $0.offset > block.offset } >= 3
      try ask(
        "hole at \(block.segment):\(block.offset)", spoilt, all: .corrupt,
        zero: isKnown ? .corrupt : .tornTail)
    }
  }

  @Test("something behind the end, behind a seal, or no seal")
  func behind() throws {
    let trace = Self.fourSegments()
    let files = Files(trace)
    let other = Self.anotherLog()
    let stale = Array(files.segments[2]!.suffix(files.blocks(2).last!.size))
    let foreign = Array(other.segments[2].bytes.suffix(Self.page))
    for gap in [0, Self.page] {
      for plant in [[UInt8](repeating: 9, count: 700), stale, foreign] {
        let bytes = [UInt8](repeating: 0, count: gap) + plant
        try ask("last, gap \(gap)", files.with { $0.segments[3]! += bytes }, all: .tornTail, zero: .tornTail)
        try ask("earlier, gap \(gap)", files.with { $0.segments[1]! += bytes }, all: .corrupt, zero: .corrupt)
        let sealed = files.with {
          $0.segments[3] = nil
          $0.segments[2]! += bytes
        }
        try ask("a sealed last one, gap \(gap)", sealed, all: .corrupt, zero: .tornTail)
      }
    }
    let unsealed = files.with { $0.segments[1]!.removeLast($0.blocks(1).last!.size) }
    try ask("no seal", unsealed, all: .corrupt, zero: .corrupt)
  }

  @Test("segments swapped, doubled, of another log, or without their first blocks")
  func misplaced() throws {
    let files = Files(Self.fourSegments())
    let other = Self.anotherLog().segments.map(\.bytes)
    for index in 0..<4 {
      try ask("another log's \(index)", files.with { $0.segments[index] = other[index] })
      try ask(
        "another index in \(index)", files.with { $0.segments[index] = $0.segments[(index + 1) % 4] },
        all: .corrupt)
      let blocks = files.blocks(index)
      for count in 1..<blocks.count {
        let shifted = files.with { $0.segments[index]!.removeFirst(blocks[count].offset) }
        try ask("segment \(index) without its first \(count) blocks", shifted, all: .corrupt, zero: .corrupt)
      }
    }
    for index in 1..<4 {
      try ask(
        "another log's \(index)", files.with { $0.segments[index] = other[index] }, all: .foreign,
        zero: .foreign)
    }
    try ask(
      "the last one doubled", files.with { $0.segments.append($0.segments[3]) }, all: .corrupt, zero: .corrupt
    )
    try ask("another log's added", files.with { $0.segments.append(other[3]) }, all: .corrupt, zero: .corrupt)
    let one = Files(Self.oneSegment())
    try ask(
      "the only one's first block gone", one.with { $0.segments[0]!.removeFirst($0.blocks(0)[1].offset) },
      all: .corrupt, zero: .corrupt)
  }

  @Test("another version, told by the first block")
  func version() throws {
    func another(_ bytes: inout [UInt8], at offset: Int, isHashed: Bool) {
      bytes[offset + 8] = 77
      guard isHashed else { return }
      bytes.withUnsafeMutableBytes { raw in
        let block = raw.baseAddress! + offset
        Digest(of: block, count: Int(LTP_BLOCK_HASHED_BYTES))!.store(to: block + Int(LTP_BLOCK_HASHED_BYTES))
      }
    }
    let four = Files(Self.fourSegments())
    let one = Files(Self.oneSegment())
    try ask(
      "hashed, four", four.with { another(&$0.segments[0]!, at: 0, isHashed: true) }, all: .version,
      zero: .version)
    try ask(
      "changed, four", four.with { another(&$0.segments[0]!, at: 0, isHashed: false) }, all: .corrupt,
      zero: .corrupt)
    try ask(
      "hashed, one", one.with { another(&$0.segments[0]!, at: 0, isHashed: true) }, all: .version,
      zero: .version)
    try ask("changed, one", one.with { another(&$0.segments[0]!, at: 0, isHashed: false) }, all: .version)
    let inside = four.blocks(3)[1].offset
    try ask(
      "hashed, further on", four.with { another(&$0.segments[3]!, at: inside, isHashed: true) }, all: .corrupt
    )
    try ask(
      "hashed, a later segment", four.with { another(&$0.segments[3]!, at: 0, isHashed: true) }, all: .corrupt
    )
  }
}
