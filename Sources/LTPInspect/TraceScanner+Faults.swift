// SPDX-License-Identifier: Apache-2.0
// What it means when the next block is not there: the end of the log, a write under way, a torn tail, damage, loss. The
// verdict is from the table that recovery asks too; here it is put into words, and nothing is touched.

import CLTP
import CLTPSystem
import LTPRecords
import LTPStorage

extension TraceScanner {
  func checkNeighbours<Visitor: BlockVisitor>(
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
    visitor.chainResumes()
  }

  /// The blocks of a segment are over at `offset`, and zeros follow, or the seal says so; `dirty` is where something else
  /// follows.
  func endSegment<Visitor: BlockVisitor>(
    _ segment: UInt64, at offset: UInt64, dirty: UInt64?, used: inout Int, isLast: Bool, hasBlocks: Bool,
    _ visitor: inout Visitor
  ) throws(InspectFailure) {
    var found = findings(
      dirty == nil ? .zeros : .bytes, segment, isSealed: visitor.isSealed, isLast: isLast,
      hasBlocks: hasBlocks)
    if let dirty {
      let isBlock = dirty == offset && startsBlock(used)
      let text =
        if isBlock {
          "a block follows the segment's SEALED record"
        } else if visitor.isSealed {
          "the segment is sealed, but a byte after its last block is not zero"
        } else {
          "no block starts here, but there are other bytes from offset \(dirty) on"
        }
      let place = Place(
        segment: segment, offset: visitor.isSealed ? dirty : offset, block: position?.blockIndex)
      _ = try breakOff(&found, isBlock ? .segment : .chain, text, at: place, from: offset, used: &used)
      return
    }
    // Behind a broken place the end says nothing new.
    guard result.isWhole else { return }
    let place = Place(segment: segment, offset: offset, block: position?.blockIndex)
    switch SegmentVerdict.of(found) {
    case .goesOn:
      if !hasBlocks {
        findings.note("segment \(SegmentName.text(segment)) was prepared, and nothing was written to it")
      }
    case .lost: loseEnd(found, isLast: isLast, at: place)
    case .foreign: addForeignWatermark()
    case .corrupt, .tornTail, .version:
      // Where nothing names the log, there is nothing to judge, and `scan` says so.
      if isLast { return }
      findings.add(
        .segment, at: place,
        hasBlocks
          ? "the segment is not sealed, but there is a next one"
          : "the segment is empty, but there is a next one")
      giveUp()
    }
  }

  /// The block at `offset` is not the one that belongs there.
  func breakChain<Visitor: BlockVisitor>(
    _ fault: BlockFault, segment: UInt64, offset: UInt64, used: inout Int, isLast: Bool, hasBlocks: Bool,
    _ visitor: inout Visitor
  ) throws(InspectFailure) {
    let header = BlockHeader(stream.base + used)
    let version = header.version
    if fault.kind == .hashing { throw InspectFailure("no memory to hash the blocks of \(directory.path)") }
    var found = findings(
      .fault(fault.kind), segment, isSealed: visitor.isSealed, isLast: isLast, hasBlocks: hasBlocks)
    if fault.kind == .version { found.versionEvidence = header.versionEvidence }
    let text = "\(fault.text)\(difference(fault, header, used: used, segment))"
    let place = Place(segment: segment, offset: offset + UInt64(fault.offset), block: position?.blockIndex)
    let verdict = try breakOff(&found, .chain, text, at: place, from: offset, used: &used)
    guard verdict != .version else {
      throw InspectFailure(
        "\(directory.path) was written in version \(version) of the format, and this tool knows version "
          + "\(LTP_TRACE_VERSION); use the tool that came with the writer")
    }
  }

  private func startsBlock(_ used: Int) -> Bool {
    stream.count - used >= Int(LTP_BLOCK_HEADER_BYTES)
      && (try? BlockHeader(stream.base + used).checkShape()) != nil
  }

  /// What the table asks. A lone first segment that holds no block of the log may still be named by the watermark.
  private func findings(
    _ end: SegmentEnd, _ segment: UInt64, isSealed: Bool, isLast: Bool, hasBlocks: Bool
  ) -> SegmentFindings {
    var next = position?.blockIndex
    if next == nil, isLast, segment == 0, result.isWhole, case .read = watermark { next = 0 }
    return SegmentFindings(
      end: end, hasBlocks: hasBlocks, isSealed: isSealed, isLast: isLast,
      isFirstBlock: result.blockCount == 0, nextBlock: next, watermark: reading)
  }

  /// Something that is not the next block follows: a write under way, a torn tail, or damage to what was durable.
  private func breakOff(
    _ found: inout SegmentFindings, _ kind: Violation.Kind, _ text: String, at place: Place,
    from offset: UInt64, used: inout Int
  ) throws(InspectFailure) -> SegmentVerdict {
    let segment = place.segment
    if !result.isLive, found.isLast { result.isLive = directory.isLocked(segment: segment) }
    // Behind a place where the tool goes on, it comes by those blocks anyway.
    if found.isLast, !found.wasDurable, !result.isLive, !salvages, let next = found.nextBlock {
      found.claimedBlocks = try durableBlocksBehind(&used, from: offset, segment, hole: next)
    }
    let verdict = SegmentVerdict.of(found)
    if verdict == .tornTail, result.isLive {
      findings.note("\(place.text): a write is in progress (the log is open in another process)")
      stopped = true
      return verdict
    }
    switch verdict {
    case .version: return verdict
    case .tornTail:
      result.hasTornTail = true
      let detail = place.offset == offset ? text : "\(text) (at offset \(place.offset))"
      findings.add(
        .tornTail, at: Place(segment: segment, offset: offset, block: place.block),
        "torn tail: \(detail); the next open for writing will cut it here and keep a copy beside it")
    case .lost: findings.add(.lost, at: place, "\(text), where the trace was durable")
    case .foreign where found.watermark == .ofAnotherLog: addForeignWatermark()
    case .goesOn, .corrupt, .foreign:
      findings.add(
        kind, at: place, found.wasDurable && found.isLast ? "\(text), where the trace was durable" : text)
    }
    giveUp()
    return verdict
  }

  private func loseEnd(_ found: SegmentFindings, isLast: Bool, at place: Place) {
    guard case .blocks(let acknowledged) = found.watermark else { return }
    let next = found.nextBlock ?? 0
    findings.add(
      .lost, at: Place(segment: place.segment, offset: place.offset, block: next),
      isLast
        ? "blocks \(next) to \(acknowledged - 1) were acknowledged as durable and are not there"
        : "the segment is empty, but there is a next one, and blocks up to \(acknowledged - 1) were acknowledged as "
          + "durable")
    result.isWhole = false
    if !isLast { giveUp() }
  }

  /// The most that a later block of this log, right by its own hash, says was durable when it was sealed. Reads
  /// the segment to its end.
  private func durableBlocksBehind(
    _ used: inout Int, from: UInt64, _ segment: UInt64, hole: UInt64
  ) throws(InspectFailure) -> UInt64 {
    let page = Int(LTP_TRACE_PAGE_BYTES)
    guard let log = name else { return 0 }
    var most: UInt64 = 0
    used = max(0, (Int(from) + page) / page * page - stream.offset)
    while true {
      while used + Int(LTP_BLOCK_HEADER_BYTES) <= stream.count {
        let header = BlockHeader(stream.base + used)
        most = max(most, header.durableClaim(log: log, segment: segment, hole: hole))
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

  /// The log's name, by a block or else by the watermark.
  private var name: LogID? {
    if let log { return log }
    guard case .read(let mark) = watermark else { return nil }
    return mark.logID
  }

  private var reading: WatermarkReading {
    switch watermark {
    case .absent: .absent
    case .damaged: .damaged
    case .read(let mark): log == nil || mark.logID == log ? .blocks(mark.durableBlocks) : .ofAnotherLog
    }
  }

  /// A directory without segments, but with a watermark.
  func judgeNoSegments() throws(InspectFailure) {
    let place = Place(segment: 0, offset: 0, block: 0)
    switch SegmentVerdict.withoutSegments(reading) {
    case .lost:
      guard case .blocks(let acknowledged) = reading else { return }
      findings.add(
        .lost, at: place,
        "no segment is left, and blocks 0 to \(acknowledged - 1) were acknowledged as durable")
    case .corrupt, .foreign, .version, .tornTail:
      findings.add(
        .watermark, at: place, "the file \"\(LTP_WATERMARK_NAME)\" is damaged, and no segment is left")
    case .goesOn: throw directory.holdsNoSegments
    }
    result.isWhole = false
  }

  private func addForeignWatermark() {
    guard case .read(let mark) = watermark, !isForeignWatermarkKnown else { return }
    isForeignWatermarkKnown = true
    findings.add(
      .watermark, at: Place(segment: result.lastSegment, offset: result.endOffset),
      "the file \"\(LTP_WATERMARK_NAME)\" is of log \(hexadecimal(mark.logID)), not of this one")
  }

  func noteWatermark() {
    switch reading {
    case .absent:
      findings.note("there is no file \"\(LTP_WATERMARK_NAME)\": loss of acknowledged records cannot be told")
    case .damaged:
      guard case .damaged(let why) = watermark else { return }
      // A power loss while it was written can leave that, and recovery goes on without its word.
      findings.note(
        "the file \"\(LTP_WATERMARK_NAME)\" is damaged (\(why)): loss of acknowledged records cannot be told")
    case .ofAnotherLog: if salvages { addForeignWatermark() }
    case .blocks(let acknowledged): result.acknowledgedBlocks = acknowledged
    }
  }

  /// " (expected ..., found ...)" for the faults where that says more.
  private func difference(_ fault: BlockFault, _ header: BlockHeader, used: Int, _ segment: UInt64) -> String
  {
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

func hexadecimal(_ log: LogID) -> String {
  hexadecimal(
    [log.low, log.high].flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
    })
}

func hexadecimal(_ digest: Digest) -> String {
  withUnsafeBytes(of: digest.words) { hexadecimal($0) }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  bytes.reduce(into: "") { text, byte in text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
}
