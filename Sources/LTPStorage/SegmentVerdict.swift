// SPDX-License-Identifier: Apache-2.0
// What is found where a segment's blocks end, and what it means for the log. Recovery and `ltp inspect` both ask this
// table, so that a directory which the one calls good is one that the other opens.
//
//   any but the last segment       sealed, then nothing but zeros     goes on
//                                  no block at all                    lost where it was durable, else corrupt
//                                  not sealed, or anything behind     corrupt; foreign for another log's block
//   the last one                   the watermark is another log's     foreign
//                                  nothing but zeros                  goes on; lost where it was durable
//                                  begins with a whole block that     corrupt; foreign for another log's
//                                  belongs elsewhere
//                                  the file ends within a block       a torn tail; lost where it was durable
//                                  anything else                      a torn tail; corrupt where it was durable
//   the first block at hand is of another version                     version
//   no segment                     a watermark above 0                lost
//                                  a damaged watermark                corrupt
//
// "Where it was durable": below the watermark, or below what a later block of the segment calls durable.

import CLTP
package import LTPRecords

/// What follows a segment's last whole block.
package enum SegmentEnd: Equatable, Sendable {
  /// Nothing, or nothing but zeros.
  case zeros
  /// Something that is not looked at as a block: zeros come before it, or the segment is sealed.
  case bytes
  /// Something that is not the block that belongs there.
  case fault(BlockFault.Kind)
}

/// What the file "durable" says.
package enum WatermarkReading: Equatable, Sendable {
  case absent
  /// It says nothing.
  case damaged
  case ofAnotherLog
  /// So many blocks were acknowledged.
  case blocks(UInt64)
}

/// Why a block may be one of another version, and not damage.
package enum VersionEvidence: Equatable, Sendable {
  case none
  /// Its header has the shape of one.
  case shape
  /// It agrees with its own hash.
  case hash
}

/// A segment, as far as its blocks are whole and in their place.
package struct SegmentFindings: Equatable, Sendable {
  package var end: SegmentEnd
  /// There is a whole block before the end.
  package var hasBlocks: Bool
  /// The last whole block says that the segment is full.
  package var isSealed: Bool
  package var isLast: Bool
  /// No block of this log has been read before, in this segment or in an earlier one.
  package var isFirstBlock: Bool
  /// With `.fault(.version)`.
  package var versionEvidence: VersionEvidence
  /// Index of the block that belongs at the end. nil: neither a block nor the watermark says which log this is.
  package var nextBlock: UInt64?
  package var watermark: WatermarkReading
  /// The most that a block of this log behind the end calls durable.
  package var claimedBlocks: UInt64

  package init(
    end: SegmentEnd, hasBlocks: Bool, isSealed: Bool, isLast: Bool, isFirstBlock: Bool,
    versionEvidence: VersionEvidence = .none, nextBlock: UInt64?, watermark: WatermarkReading,
    claimedBlocks: UInt64 = 0
  ) {
    self.end = end
    self.hasBlocks = hasBlocks
    self.isSealed = isSealed
    self.isLast = isLast
    self.isFirstBlock = isFirstBlock
    self.versionEvidence = versionEvidence
    self.nextBlock = nextBlock
    self.watermark = watermark
    self.claimedBlocks = claimedBlocks
  }

  /// The block that belongs at the end was on disk once.
  package var wasDurable: Bool {
    let next = nextBlock ?? 0
    if case .blocks(let acknowledged) = watermark, next < acknowledged { return true }
    return next < claimedBlocks
  }
}

package enum SegmentVerdict: Equatable, Sendable {
  /// The log goes on after the segment's last block.
  case goesOn
  /// What follows was never acknowledged: a copy is kept, and it is cut.
  case tornTail
  /// Records that were acknowledged are not there.
  case lost
  case corrupt
  /// Of another log.
  case foreign
  /// Of a version of the format that is not known.
  case version

  /// What opening such a log gives.
  package var status: Int32 {
    switch self {
    case .goesOn, .tornTail: LTP_OK
    case .lost: LTP_ERROR_TRACE_LOST
    case .corrupt: LTP_ERROR_TRACE_CORRUPT
    case .foreign: LTP_ERROR_TRACE_FOREIGN
    case .version: LTP_ERROR_TRACE_VERSION
    }
  }

  package static func of(_ found: SegmentFindings) -> SegmentVerdict {
    // Only the last segment: a fault in an earlier one says more, and comes first.
    if found.isLast, found.watermark == .ofAnotherLog { return .foreign }
    if isOfAnotherVersion(found) { return .version }
    return found.isLast ? ofLast(found) : ofEarlier(found)
  }

  /// Of a directory without segments.
  package static func withoutSegments(_ watermark: WatermarkReading) -> SegmentVerdict {
    switch watermark {
    case .absent, .blocks(0): .goesOn
    case .blocks: .lost
    case .damaged: .corrupt
    // There is no block whose log it could differ from.
    case .ofAnotherLog: .foreign
    }
  }

  private static func isOfAnotherVersion(_ found: SegmentFindings) -> Bool {
    guard found.end == .fault(.version), found.isFirstBlock else { return false }
    switch found.versionEvidence {
    case .none: return false
    case .hash: return true
    case .shape:
      // Another version may hash in another way. But a torn block can look like that, and so can a changed byte: the rest
      // of such a log would tell, if there were more of it than one segment.
      guard found.isLast else { return false }
      if case .blocks = found.watermark { return found.wasDurable }
      return true
    }
  }

  private static func ofEarlier(_ found: SegmentFindings) -> SegmentVerdict {
    switch found.end {
    case .zeros:
      if found.isSealed { return .goesOn }
      return !found.hasBlocks && found.wasDurable ? .lost : .corrupt
    case .bytes: return .corrupt
    case .fault(let kind): return kind == .log ? .foreign : .corrupt
    }
  }

  private static func ofLast(_ found: SegmentFindings) -> SegmentVerdict {
    let isNameless = found.nextBlock == nil
    switch found.end {
    case .zeros:
      if found.wasDurable { return .lost }
      return isNameless ? .corrupt : .goesOn
    case .bytes: return found.wasDurable || isNameless ? .corrupt : .tornTail
    case .fault(let kind):
      switch kind {
      case .log, .segmentIndex, .blockIndex, .previousHash:
        // A segment begins with zeros, so somebody put a file with this block there. Further on a stale one may lie.
        if !found.hasBlocks { return kind == .log ? .foreign : .corrupt }
      case .short:
        if found.wasDurable { return .lost }
      case .hashing:
        // Nothing is known of the block, so nothing may be cut.
        return .corrupt
      case .magic, .version, .hashID, .shape, .reserved, .padding, .bodyHash, .blockHash, .durableBlocks:
        break
      }
      return found.wasDurable || isNameless ? .corrupt : .tornTail
    }
  }
}

extension BlockHeader {
  /// The header agrees with its own hash, whatever else is wrong with it. Needs 256 readable bytes.
  package var agreesWithHash: Bool {
    Digest(of: base, count: LTP_AT_block_header_block_hash) == blockHash
  }

  /// Of a header whose version is not known.
  package var versionEvidence: VersionEvidence {
    if agreesWithHash { return .hash }
    let hasShape =
      headerBytes == UInt16(LTP_BLOCK_HEADER_BYTES) && sizeBytes == Self.sizeBytes(slotCount: slotCount)
    return hasShape ? .shape : .none
  }

  /// How many blocks this one calls durable, when it lies behind a hole: 0 unless it is whole by its header's hash, of this
  /// log and segment, and comes after the hole. Needs 256 readable bytes.
  package func durableClaim(log: LogID, segment: UInt64, hole: UInt64) -> UInt64 {
    guard magic == LTP_BLOCK_MAGIC, logID == log, segmentIndex == segment, blockIndex >= hole else {
      return 0
    }
    do throws(BlockFault) { try checkShape() } catch { return 0 }
    return agreesWithHash ? durableBlocks : 0
  }
}
