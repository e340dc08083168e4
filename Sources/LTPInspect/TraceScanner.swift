// SPDX-License-Identifier: Apache-2.0
// From a directory to checked blocks, in log order: each block's own bytes, its place in the chain, and what
// follows the last one. What the blocks hold is the visitor's business. Streams: memory does not grow.

import CLTP
import CLTPSystem
import LTPTrace

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
}

/// What a scan came to, beside what the visitor made of it.
public struct ScanResult: Sendable {
  public var segmentCount: UInt64 = 0
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
  private var stream: SegmentStream
  private var position: ChainPosition?
  private var watermark: Watermark.Reading = .absent
  private var log: LogID?
  private var stopped = false
  /// The segment before this one ended without its SEALED record, here.
  private var unsealed: Place?

  init(
    _ directory: TraceDirectory, findings: Findings, salvages: Bool, direct: Bool,
    progress: ((ScanProgress) -> Void)?
  ) throws(InspectFailure) {
    self.directory = directory
    self.findings = findings
    self.salvages = salvages
    self.progress = progress
    reader = try ReadAhead(directory, direct: direct)
    stream = SegmentStream(reader)
  }

  func scan<Visitor: BlockVisitor>(_ visitor: inout Visitor) throws(InspectFailure) -> ScanResult {
    // The watermark and the lock first: a writer at work only adds.
    watermark = Watermark.read(in: directory)
    result.isLive = directory.isLocked(segment: directory.segments[directory.segments.count - 1])
    result.firstSegment = directory.segments[0]
    try reader.start()
    defer { reader.stop() }
    for ordinal in directory.segments.indices {
      let segment = directory.segments[ordinal]
      if ordinal > 0 { checkNeighbours(directory.segments[ordinal - 1], segment, &visitor) }
      if stopped { break }
      stream.beginSegment()
      try checkReadable(segment)
      visitor.segmentBegins(segment)
      result.segmentCount += 1
      result.lastSegment = segment
      try scanSegment(segment, isLast: ordinal == directory.segments.count - 1, &visitor)
      result.bytesRead += UInt64(stream.offset + stream.count)
      if stopped { break }
    }
    if result.blockCount == 0, findings.violationCount == 0 {
      throw InspectFailure("\(directory.path) holds no block: there is nothing to inspect in it yet")
    }
    if !result.isCutShort { checkWatermark() }
    return result
  }

  // MARK: One segment

  private func scanSegment<Visitor: BlockVisitor>(
    _ segment: UInt64, isLast: Bool, _ visitor: inout Visitor
  ) throws(InspectFailure) {
    var used = 0
    var blocksHere: UInt64 = 0
    while true {
      if stream.count - used < Int(LTP_TRACE_PAGE_BYTES), !stream.isAtEnd { try advance(&used, segment) }
      let available = stream.count - used
      let offset = UInt64(stream.offset + used)
      if available == 0 || isZeroHere(used) {
        let dirty = try firstNonZeroToEnd(&used, segment)
        try endSegment(
          segment, at: offset, dirty: dirty, used: &used, isLast: isLast, isEmpty: blocksHere == 0, &visitor)
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
        try breakChain(fault, segment: segment, offset: offset, used: &used, isLast: isLast, &visitor)
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
    try header.checkContent(available: available)
    var expected: ChainPosition
    if let position {
      expected = position
    } else {
      // The first block that is retained: what came before it is its own word, except at the log's beginning.
      expected = ChainPosition(
        logID: log ?? header.logID, segmentIndex: segment, blockIndex: header.blockIndex,
        previousHash: header.previousHash)
      if segment == 0 && result.isWhole {
        expected.blockIndex = 0
        expected.previousHash = Digest()
      }
    }
    expected.segmentIndex = segment
    try header.checkPlace(expected)
  }

  private func accept<Visitor: BlockVisitor>(
    _ header: BlockHeader, _ segment: UInt64, _ offset: UInt64, _ visitor: inout Visitor
  ) {
    if let place = unsealed {
      unsealed = nil
      findings.add(.segment, at: place, "the segment is not sealed, but the next one has blocks")
    }
    if log == nil {
      log = header.logID
      result.logID = hexadecimal(header.logID)
    }
    visitor.block(header, segment: segment, offset: offset)
    position = ChainPosition(
      logID: header.logID, segmentIndex: segment, blockIndex: header.blockIndex &+ 1,
      previousHash: header.blockHash)
    result.blockCount += 1
    result.blockBytes += UInt64(header.sizeBytes)
    result.endOffset = offset + UInt64(header.sizeBytes)
  }

  // MARK: Moving on

  private func advance(_ used: inout Int, _ segment: UInt64) throws(InspectFailure) {
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
    if stream.failure == -2 {
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

// MARK: What is wrong

extension TraceScanner {
  private func checkNeighbours<Visitor: BlockVisitor>(
    _ before: UInt64, _ segment: UInt64, _ visitor: inout Visitor
  ) {
    guard segment != before &+ 1 else { return }
    findings.add(
      .segment, at: Place(segment: before &+ 1, offset: 0),
      "the segment is missing: the next file is \(SegmentName.text(segment))")
    result.isWhole = false
    guard salvages else {
      stopped = true
      return
    }
    position = nil
    unsealed = nil
    visitor.chainResumes()
  }

  /// The blocks of a segment are over, and zeros begin; `dirty` is where something else follows them.
  private func endSegment<Visitor: BlockVisitor>(
    _ segment: UInt64, at offset: UInt64, dirty: UInt64?, used: inout Int, isLast: Bool, isEmpty: Bool,
    _ visitor: inout Visitor
  ) throws(InspectFailure) {
    let block = position?.blockIndex
    if let dirty {
      if visitor.isSealed {
        findings.add(
          .chain, at: Place(segment: segment, offset: dirty, block: block),
          "the segment is sealed, but a byte after its last block is not zero")
        giveUp()
      } else {
        let text = "no block starts here, but there are other bytes from offset \(dirty) on"
        try breakTail(segment, offset, text, used: &used, isLast: isLast)
      }
      return
    }
    if visitor.isSealed || !result.isWhole { return }
    if isEmpty {
      findings.note("segment \(SegmentName.text(segment)) was prepared, and nothing was written to it")
    } else {
      unsealed = Place(segment: segment, offset: offset, block: block)
    }
  }

  /// The block at `offset` is not the one that belongs there.
  private func breakChain<Visitor: BlockVisitor>(
    _ fault: BlockFault, segment: UInt64, offset: UInt64, used: inout Int, isLast: Bool,
    _ visitor: inout Visitor
  ) throws(InspectFailure) {
    let header = BlockHeader(stream.base + used)
    if fault.kind == .version, result.blockCount == 0,
      Digest(of: header.base, count: Int(LTP_BLOCK_HASHED_BYTES)) == header.blockHash
    {
      throw InspectFailure(
        "\(directory.path) was written in version \(header.version) of the format, and this tool knows version "
          + "\(LTP_TRACE_VERSION); use the tool that came with the writer")
    }
    let text = "\(fault.text)\(difference(fault, header, used: used, segment))"
    let place = Place(segment: segment, offset: offset + UInt64(fault.offset), block: position?.blockIndex)
    // A whole block of another log or segment has been put there; no crash leaves it.
    let isPlanted = fault.kind == .log || fault.kind == .segmentIndex && offset == 0
    if isLast, !isPlanted, !visitor.isSealed, position != nil {
      let detail = "\(text) (at offset \(place.offset))"
      try breakTail(segment, offset, detail, used: &used, isLast: isLast)
    } else {
      findings.add(.chain, at: place, text)
      giveUp()
    }
  }

  /// Something that is not the next block follows in an unsealed segment: a write under way, a torn tail, or
  /// damage to what was durable.
  private func breakTail(
    _ segment: UInt64, _ offset: UInt64, _ text: String, used: inout Int, isLast: Bool
  ) throws(InspectFailure) {
    let place = Place(segment: segment, offset: offset, block: position?.blockIndex)
    if !result.isLive, isLast { result.isLive = directory.isLocked(segment: segment) }
    let next = position?.blockIndex ?? 0
    var isDurable = acknowledged > next
    if isLast, !isDurable, !result.isLive, !salvages {
      isDurable = try durableBlocksBehind(&used, from: offset, segment) > next
    }
    if isLast, result.isLive, !isDurable {
      findings.note("\(place.text): a write is in progress (the log is open in another process)")
      stopped = true
      return
    }
    if isDurable {
      findings.add(.lost, at: place, "\(text), where the trace was durable")
    } else if isLast {
      result.hasTornTail = true
      findings.add(
        .tornTail, at: place,
        "torn tail: \(text); the next open for writing will cut it here and keep a copy beside it")
    } else {
      findings.add(.chain, at: place, text)
    }
    giveUp()
  }

  /// The most that a later block of this log, right by its own hash, says was durable when it was sealed. Reads
  /// the segment to its end.
  private func durableBlocksBehind(
    _ used: inout Int, from: UInt64, _ segment: UInt64
  ) throws(InspectFailure) -> UInt64 {
    let page = Int(LTP_TRACE_PAGE_BYTES)
    var most: UInt64 = 0
    used = max(0, (Int(from) + page) / page * page - stream.offset)
    while true {
      while used + page <= stream.count {
        let header = BlockHeader(stream.base + used)
        if header.magic == LTP_BLOCK_MAGIC, header.logID == log, header.segmentIndex == segment,
          (try? header.checkShape()) != nil,
          Digest(of: header.base, count: Int(LTP_BLOCK_HASHED_BYTES)) == header.blockHash
        {
          most = max(most, header.durableBlocks)
        }
        used += page
      }
      if stream.isAtEnd { return most }
      var all = stream.count
      let beyond = max(0, used - stream.count)
      try advance(&all, segment)
      used = beyond
    }
  }

  private func giveUp() {
    result.isWhole = false
    if !salvages { stopped = true }
  }

  /// Blocks that the watermark says are durable; 0 when it says nothing about this log.
  private var acknowledged: UInt64 {
    guard case .read(let mark) = watermark, mark.logID == log else { return 0 }
    return mark.durableBlocks
  }

  private func checkWatermark() {
    switch watermark {
    case .absent:
      findings.note("there is no file \"\(LTP_WATERMARK_NAME)\": loss of acknowledged records cannot be told")
    case .unusable(let why):
      findings.note(
        "the file \"\(LTP_WATERMARK_NAME)\" is not a watermark (\(why)): loss of acknowledged records cannot "
          + "be told")
    case .read(let mark):
      guard mark.logID == log else {
        findings.note(
          "the file \"\(LTP_WATERMARK_NAME)\" is of log \(hexadecimal(mark.logID)), not of this one: loss of "
            + "acknowledged records cannot be told")
        return
      }
      result.acknowledgedBlocks = mark.durableBlocks
      let next = position?.blockIndex ?? 0
      guard result.isWhole, next < mark.durableBlocks else { return }
      findings.add(
        .lost, at: Place(segment: result.lastSegment, offset: result.endOffset, block: next),
        "blocks \(next) to \(mark.durableBlocks - 1) were acknowledged as durable and are not there")
      result.isWhole = false
    }
  }

  /// " (expected ..., found ...)" for the faults where that says more.
  private func difference(_ fault: BlockFault, _ header: BlockHeader, used: Int, _ segment: UInt64) -> String {
    guard stream.count - used >= Int(LTP_BLOCK_HEADER_BYTES) else { return "" }
    switch fault.kind {
    case .version: return " (found \(header.version), this tool knows \(LTP_TRACE_VERSION))"
    case .log: return " (expected \(log.map(hexadecimal) ?? "?"), found \(hexadecimal(header.logID)))"
    case .segmentIndex: return " (expected \(segment), found \(header.segmentIndex))"
    case .blockIndex:
      return " (expected \(position?.blockIndex ?? 0), found \(header.blockIndex))"
    default: return ""
    }
  }
}

private func hexadecimal(_ log: LogID) -> String {
  var text = ""
  for word in [log.low, log.high] {
    for index in 0..<8 {
      let byte = UInt8(truncatingIfNeeded: word >> (8 * UInt64(index)))
      text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
  }
  return text
}
