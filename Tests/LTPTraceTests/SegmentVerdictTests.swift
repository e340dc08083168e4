// SPDX-License-Identifier: Apache-2.0
// The table of verdicts, over everything that can be found: what must hold of every line. Its lines one by one, over real
// directories, are LTPInspectTests' (VerdictTests).

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPStorage
@testable import LTPTrace

@Suite("The table of verdicts", .guarded)
struct SegmentVerdictTests {
  private static let kinds: [BlockFault.Kind] = [
    .short, .magic, .version, .hashID, .shape, .reserved, .padding, .bodyHash, .blockHash, .log, .blockIndex,
    .segmentIndex, .previousHash, .durableBlocks, .hashing,
  ]

  /// Every combination, with the next block below, at and above what was acknowledged or claimed.
  private static func everything(_ body: (SegmentFindings) -> Void) {
    let ends = [SegmentEnd.zeros, .bytes] + kinds.map { .fault($0) }
    let watermarks: [WatermarkReading] = [
      .absent, .damaged, .ofAnotherLog, .blocks(0), .blocks(5), .blocks(6),
    ]
    for end in ends {
      for bits in 0..<16 {
        for evidence in [VersionEvidence.none, .shape, .hash] {
          for watermark in watermarks {
            for claimed in [UInt64(0), 5, 6] {
              for next in [UInt64?.none, 0, 5] {
                body(
                  SegmentFindings(
                    end: end, hasBlocks: bits & 1 != 0, isSealed: bits & 2 != 0, isLast: bits & 4 != 0,
                    isFirstBlock: bits & 8 != 0, versionEvidence: evidence, nextBlock: next,
                    watermark: watermark, claimedBlocks: claimed))
              }
            }
          }
        }
      }
    }
  }

  @Test("nothing is cut, and the log does not go on, where records were acknowledged")
  func acknowledged() {
    Self.everything { found in
      let verdict = SegmentVerdict.of(found)
      guard found.isLast, found.wasDurable else { return }
      #expect(verdict.status != LTP_OK, "\(found)")
    }
  }

  @Test("a segment before the last one is sealed and ends there, or the log is refused")
  func earlier() {
    Self.everything { found in
      guard !found.isLast else { return }
      let isWhole = found.isSealed && found.end == .zeros
      #expect((SegmentVerdict.of(found) == .goesOn) == isWhole, "\(found)")
      #expect(SegmentVerdict.of(found) != .tornTail, "\(found)")
    }
  }

  @Test("only what somebody knows to be of this log is gone on with, or cut")
  func named() {
    Self.everything { found in
      guard found.isLast, found.nextBlock == nil || found.watermark == .ofAnotherLog else { return }
      #expect(SegmentVerdict.of(found).status != LTP_OK, "\(found)")
    }
  }

  @Test("a log goes on over zeros alone; a block that could not be hashed is never cut")
  func ends() {
    Self.everything { found in
      let verdict = SegmentVerdict.of(found)
      #expect(verdict != .goesOn || found.end == .zeros, "\(found)")
      #expect(verdict != .tornTail || (found.end != .zeros && found.end != .fault(.hashing)), "\(found)")
      #expect(verdict != .version || (found.end == .fault(.version) && found.isFirstBlock), "\(found)")
    }
  }

  @Test("no segments: what the watermark says decides")
  func withoutSegments() {
    #expect(SegmentVerdict.withoutSegments(.absent) == .goesOn)
    #expect(SegmentVerdict.withoutSegments(.blocks(0)) == .goesOn)
    #expect(SegmentVerdict.withoutSegments(.blocks(1)) == .lost)
    #expect(SegmentVerdict.withoutSegments(.damaged) == .corrupt)
  }
}
