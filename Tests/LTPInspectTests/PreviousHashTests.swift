// SPDX-License-Identifier: Apache-2.0
// A block that was changed and hashed again is right by itself: only the next block's previous hash tells. So each check
// of it is looked at by itself: verify's and recovery's, within a segment and from one to the next, and recovery's when it
// reads the tail only.

import CLTP
import LTPRecords
import LTPStorage
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("a block changed and hashed again", .guarded)
struct PreviousHashTests {
  /// A changed block, and the next one, where it shows.
  struct Case: CustomTestStringConvertible {
    var block: Int
    var isAcrossSegments: Bool

    var testDescription: String {
      "block \(block), \(isAcrossSegments ? "the last of its segment" : "and the next in its segment")"
    }
  }

  private static func trace() -> TraceBuilder { .healthy(segments: 3, blocks: 2) }

  /// Every block but the last one.
  static let cases: [Case] = {
    let places = trace().blockPlaces
    return (0..<places.count - 1).map {
      Case(block: $0, isAcrossSegments: places[$0].segment != places[$0 + 1].segment)
    }
  }()

  /// The trace with the block changed, hashed again.
  private func write(_ test: Case, hasWatermark: Bool) -> (TraceBuilder, TemporaryDirectory) {
    let trace = Self.trace()
    let place = trace.blockPlaces[test.block]
    var bytes = trace.segments[Int(place.segment)].bytes
    bytes.withUnsafeMutableBytes { raw in
      let block = raw.baseAddress! + place.offset
      let body = block + Int(LTP_BLOCK_HEADER_BYTES)
      // A frame's id in a lane's first record, the time of a control record: nothing that another record contradicts.
      let offset = place.lane == LTP_CONTROL_LANE ? 4 : 16
      body.storeBytes(
        of: body.load(fromByteOffset: offset, as: UInt8.self) ^ 1, toByteOffset: offset, as: UInt8.self)
      Digest(of: body, count: BlockHeader(block).bodyBytes)!.store(to: block + LTP_AT_block_header_body_hash)
      let hashed = LTP_AT_block_header_block_hash
      Digest(of: block, count: hashed)!.store(to: block + hashed)
    }
    let directory = TemporaryDirectory()
    trace.write(to: directory, fill: false)
    directory.write(bytes, to: TraceBuilder.name(place.segment))
    if !hasWatermark { directory.remove(LTP_WATERMARK_NAME) }
    return (trace, directory)
  }

  @Test("the trace is good before, and there are cases of both kinds")
  func good() throws {
    let directory = TemporaryDirectory()
    Self.trace().write(to: directory, fill: false)
    #expect(try Inspector(directory.path).verify().isGood)
    for tailOnly in [false, true] {
      #expect(try Answer.opening(directory.path, tailOnly: tailOnly).answer == .good)
    }
    #expect(Self.cases.count { $0.isAcrossSegments } == 2)
    #expect(Self.cases.count { !$0.isAcrossSegments } >= 6)
  }

  @Test("verify finds one violation, at the next block", arguments: cases)
  func verify(_ test: Case) throws {
    for hasWatermark in [true, false] {
      let (trace, directory) = write(test, hasWatermark: hasWatermark)
      let report = try Inspector(directory.path).verify()
      let next = trace.blockPlaces[test.block + 1]
      // Without a watermark, and in the last segment, it might be a torn tail if no later block called it durable.
      let isKnown = hasWatermark || next.segment < 2 || test.block + 3 < trace.blockPlaces.count
      #expect(report.violationCount == 1 && report.violations.map(\.kind) == [isKnown ? .chain : .tornTail])
      let found = try #require(report.violations.first)
      #expect(found.message.contains("the previous hash is not the block's before"))
      #expect(found.place.segment == next.segment && found.place.block == UInt64(test.block + 1))
      #expect(found.place.offset == UInt64(next.offset + (isKnown ? LTP_AT_block_header_previous_hash : 0)))
    }
  }

  @Test("opening refuses it as damaged, and names the next block", arguments: cases, [false, true])
  func opening(_ test: Case, tailOnly: Bool) throws {
    let (trace, directory) = write(test, hasWatermark: true)
    let opened = try Answer.opening(directory.path, tailOnly: tailOnly)
    let isRead = !tailOnly || trace.blockPlaces[test.block].segment >= 1
    if isRead {
      #expect(opened.answer == .corrupt && opened.block == UInt64(test.block + 1))
    } else {
      #expect(opened.answer == .good)
    }
  }
}
