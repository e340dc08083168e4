// SPDX-License-Identifier: Apache-2.0
// From a directory to checked blocks, in log order: each block's own bytes, its place in the chain, and what
// follows the last one. What the blocks hold is the visitor's business. Streams: memory does not grow.

import CLTP
import CLTPSystem
import LTPRecords

/// Takes the blocks of a log, each checked by itself and in its place.
protocol BlockVisitor {
  mutating func segmentBegins(_ segment: UInt64)
  mutating func block(_ header: BlockHeader, segment: UInt64, offset: UInt64)
  /// The chain broke and goes on somewhere behind: what was remembered may not fit what comes.
  mutating func chainResumes()
  /// The segment's last record said that it is full.
  var isSealed: Bool { get }
  /// Nothing more is wanted.
  var isDone: Bool { get }
  /// The ends of the segment at hand are enough.
  var isCountedByEnds: Bool { get }
}

extension BlockVisitor {
  var isCountedByEnds: Bool { false }
}

/// What a scan came to, beside what the visitor made of it.
public struct ScanResult: Sendable {
  public var segmentCount: UInt64 = 0
  /// Of these, the ones whose first and last block alone were read.
  public var segmentsByEnds: UInt64 = 0
  public var blockCount: UInt64 = 0
  /// Bytes of whole, checked blocks.
  public var blockBytes: UInt64 = 0
  public var bytesRead: UInt64 = 0
  /// The log's 128-bit name, as 32 hexadecimal digits; empty when there is no block.
  public var logID = ""
  public var firstSegment: UInt64 = 0
  public var lastSegment: UInt64 = 0
  /// Where the last checked block ends.
  public var endOffset: UInt64 = 0
  /// The chain holds from the first block to the last.
  public var isWhole = true
  /// The visitor had enough before the end.
  public var isCutShort = false
  /// Another process has the log open for writing.
  public var isLive = false
  /// The last segment holds bytes that no checked block explains.
  public var hasTornTail = false
  public var acknowledgedBlocks: UInt64?
  var lastHash = Digest()

  /// The hash of the last checked block, which all before it went into: 64 hexadecimal digits.
  public var hashRoot: String { hexadecimal(lastHash) }
}

/// How far a scan has come.
public struct ScanProgress: Sendable {
  public var segmentsDone: UInt64
  public var segmentCount: UInt64
  public var bytes: UInt64
}

final class TraceScanner {
  let directory: TraceDirectory
  let findings: Findings
  /// Go on behind a broken place (summary, show) instead of stopping there (verify, redecide).
  let salvages: Bool
  let progress: ((ScanProgress) -> Void)?
  var result = ScanResult()

  private let reader: ReadAhead
  private let ends: SegmentEnds
  /// Segments of which the first and the last block are enough.
  private let byEnds: Set<UInt64>
  private let hasher = BodyHasher()
  var stream: SegmentStream
  var position: ChainPosition?
  var watermark: AcknowledgedMark.Reading = .absent
  var log: LogID?
  var stopped = false
  var isForeignWatermarkKnown = false

  /// `byEnds`: sealed segments of which only the first and the last block are visited, and the rest is not read.
  init(
    _ directory: TraceDirectory, findings: Findings, salvages: Bool, direct: Bool,
    byEnds: Set<UInt64> = [], progress: ((ScanProgress) -> Void)?
  ) throws(InspectFailure) {
    self.directory = directory
    self.findings = findings
    self.salvages = salvages
    self.progress = progress
    self.byEnds = byEnds
    ends = SegmentEnds(directory)
    reader = try ReadAhead(
      directory, segments: directory.segments.filter { !byEnds.contains($0) }, direct: direct)
    stream = SegmentStream(reader)
  }

  func scan<Visitor: BlockVisitor>(_ visitor: inout Visitor) throws(InspectFailure) -> ScanResult {
    // The watermark and the lock first: a writer at work only adds.
    watermark = AcknowledgedMark.read(in: directory)
    guard let first = directory.segments.first, let last = directory.segments.last else {
      try judgeNoSegments()
      return result
    }
    result.isLive = directory.isLocked(segment: last)
    result.firstSegment = first
    try reader.start()
    defer { reader.stop() }
    hasher.start()
    defer { hasher.stop() }
    for ordinal in directory.segments.indices {
      let segment = directory.segments[ordinal]
      if ordinal > 0 { checkNeighbours(directory.segments[ordinal - 1], segment, &visitor) }
      if stopped { break }
      hasher.cancel()
      result.segmentCount += 1
      result.lastSegment = segment
      if byEnds.contains(segment) {
        visitor.segmentBegins(segment)
        try visitEnds(segment, &visitor)
        continue
      }
      stream.beginSegment()
      try checkReadable(segment)
      visitor.segmentBegins(segment)
      try scanSegment(segment, isLast: segment == last, &visitor)
      result.bytesRead += UInt64(stream.offset + stream.count)
      if stopped { break }
    }
    if result.blockCount == 0, findings.violationCount == 0 {
      throw InspectFailure("\(directory.path) holds no block: there is nothing to inspect in it yet")
    }
    if !result.isCutShort { noteWatermark() }
    return result
  }

  // MARK: One segment

  /// The first block must follow what came before the segment, the last one be in this log.
  private func visitEnds<Visitor: BlockVisitor>(
    _ segment: UInt64, _ visitor: inout Visitor
  ) throws(InspectFailure) {
    let isThere: Void? = ends.withBlocks(of: segment) { first, last, offset in
      let expected = expectedPlace(of: first, segment)
      var fault: BlockFault?
      do throws(BlockFault) {
        try first.checkPlace(expected)
        guard last.logID == first.logID else { throw BlockFault(.log, at: LTP_AT_block_header_log_id) }
        let sealed = RecordView(last.body, slot: last.slotCount - RecordKind.sealed.slotCount).sealed
        guard last.blockIndex == first.blockIndex &+ sealed.pointee.block_count &- 1 else {
          throw BlockFault(.blockIndex, at: LTP_AT_block_header_block_index)
        }
      } catch { fault = error }
      if let fault {
        findings.add(
          .chain, at: Place(segment: segment, offset: UInt64(fault.offset), block: nil), "\(fault.text)")
        result.isWhole = false
        visitor.chainResumes()
      }
      accept(first, segment, 0, &visitor)
      if offset > 0 { accept(last, segment, offset, &visitor) }
    }
    guard isThere != nil, visitor.isCountedByEnds else {
      throw InspectFailure(
        "\(directory.path)/\(SegmentName.text(segment)) was changed or went away while the trace was read; run the "
          + "command again")
    }
    result.segmentsByEnds += 1
  }

  private func scanSegment<Visitor: BlockVisitor>(
    _ segment: UInt64, isLast: Bool, _ visitor: inout Visitor
  ) throws(InspectFailure) {
    var used = 0
    var blocksHere: UInt64 = 0
    while true {
      if stream.count - used < Int(LTP_TRACE_PAGE_BYTES), !stream.isAtEnd { try advance(&used, segment) }
      let available = stream.count - used
      let offset = UInt64(stream.offset + used)
      // A seal ends the segment, whatever follows; behind a broken place, blocks are shown all the same.
      if available == 0 || isZeroHere(used) || (visitor.isSealed && result.isWhole) {
        let dirty = try firstNonZeroToEnd(&used, segment)
        try endSegment(
          segment, at: offset, dirty: dirty, used: &used, isLast: isLast, hasBlocks: blocksHere > 0, &visitor)
        guard let dirty, !stopped else { return }
        try salvage(&used, from: dirty, segment)
        visitor.chainResumes()
        continue
      }
      let header = BlockHeader(stream.base + used)
      if available >= Int(LTP_BLOCK_HEADER_BYTES), !stream.isAtEnd, (try? header.checkShape()) != nil,
        header.sizeBytes > available
      {
        try advance(&used, segment)
        continue
      }
      do {
        try check(BlockHeader(stream.base + used), available: stream.count - used, segment)
      } catch {
        let fault = error
        try breakChain(
          fault, segment: segment, offset: offset, used: &used, isLast: isLast, hasBlocks: blocksHere > 0,
          &visitor)
        if stopped { return }
        try salvage(&used, from: offset + UInt64(LTP_TRACE_PAGE_BYTES), segment)
        visitor.chainResumes()
        continue
      }
      accept(BlockHeader(stream.base + used), segment, offset, &visitor)
      used += BlockHeader(stream.base + used).sizeBytes
      blocksHere += 1
      if visitor.isDone {
        stopped = true
        result.isCutShort = true
        return
      }
    }
  }

  private func check(
    _ header: BlockHeader, available: Int, _ segment: UInt64
  ) throws(BlockFault) {
    let digest = hasher.digest(header.base, available: available)
    try header.checkContent(available: available, bodyDigest: digest)
    try header.checkPlace(expectedPlace(of: header, segment))
  }

  /// Where the chain says that the next block is; for the first one that is retained, its own word, except at the log's beginning.
  private func expectedPlace(of header: BlockHeader, _ segment: UInt64) -> ChainPosition {
    if var position {
      position.segmentIndex = segment
      return position
    }
    var expected = ChainPosition(
      logID: log ?? header.logID, segmentIndex: segment, blockIndex: header.blockIndex,
      previousHash: header.previousHash)
    if segment == 0 && result.isWhole {
      expected.blockIndex = 0
      expected.previousHash = Digest()
    }
    return expected
  }

  private func accept<Visitor: BlockVisitor>(
    _ header: BlockHeader, _ segment: UInt64, _ offset: UInt64, _ visitor: inout Visitor
  ) {
    if log == nil {
      log = header.logID
      result.logID = hexadecimal(header.logID)
    }
    visitor.block(header, segment: segment, offset: offset)
    position = ChainPosition(
      logID: header.logID, segmentIndex: segment, blockIndex: header.blockIndex &+ 1,
      previousHash: header.blockHash)
    result.lastHash = header.blockHash
    result.blockCount += 1
    result.blockBytes += UInt64(header.sizeBytes)
    result.endOffset = offset + UInt64(header.sizeBytes)
  }

  // MARK: Moving on

  func advance(_ used: inout Int, _ segment: UInt64) throws(InspectFailure) {
    hasher.cancel()
    stream.advance(used: used)
    used = 0
    try checkReadable(segment)
    progress?(
      ScanProgress(
        segmentsDone: result.segmentCount - 1, segmentCount: UInt64(directory.segments.count),
        bytes: UInt64(stream.offset) + result.bytesRead))
  }

  private func checkReadable(_ segment: UInt64) throws(InspectFailure) {
    let path = "\(directory.path)/\(SegmentName.text(segment))"
    if stream.isForeign {
      throw InspectFailure("\(path) is not a regular file; put the segment itself there, not a link to it")
    }
    guard stream.failure != 0 else { return }
    if stream.failure == -LTP_SYSTEM_ENOENT {
      throw InspectFailure(
        "\(path) went away while the trace was read (retention deletes the oldest segments); run the command "
          + "again")
    }
    throw InspectFailure("cannot read \(path): \(errorText(stream.failure)); make it readable and run again")
  }

  private func isZeroHere(_ used: Int) -> Bool {
    firstNonZero(stream.base, from: used, to: min(used + 8, stream.count)) == nil
  }

  /// Offset in the segment of the first byte from here on that is not zero.
  private func firstNonZeroToEnd(_ used: inout Int, _ segment: UInt64) throws(InspectFailure) -> UInt64? {
    while true {
      if let dirty = firstNonZero(stream.base, from: used, to: stream.count) {
        used = dirty
        return UInt64(stream.offset + dirty)
      }
      used = stream.count
      if stream.isAtEnd { return nil }
      try advance(&used, segment)
    }
  }

  /// Moves to the next page, from `from` on, that starts a block of this log which is whole; or to the end.
  private func salvage(_ used: inout Int, from: UInt64, _ segment: UInt64) throws(InspectFailure) {
    let page = Int(LTP_TRACE_PAGE_BYTES)
    used = (Int(from) + page - 1) / page * page - stream.offset
    position = nil
    while true {
      if used >= stream.count, !stream.isAtEnd {
        let beyond = used - stream.count
        var all = stream.count
        try advance(&all, segment)
        used = beyond
        continue
      }
      if used >= stream.count {
        used = stream.count
        return
      }
      let header = BlockHeader(stream.base + used)
      if stream.count - used >= page, (try? header.checkShape()) != nil {
        if header.sizeBytes > stream.count - used, !stream.isAtEnd {
          try advance(&used, segment)
          continue
        }
        if (try? check(header, available: stream.count - used, segment)) != nil { return }
      }
      used += page
    }
  }
}
