// SPDX-License-Identifier: Apache-2.0
// What it means when the next block is not there: the end of the log, a write under way, a torn tail, damage, loss.
// The same distinctions as recovery's, without touching anything.

import CLTP
import CLTPSystem
import LTPRecords

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
    unsealed = nil
    visitor.chainResumes()
  }

  /// The blocks of a segment are over, and zeros begin; `dirty` is where something else follows them.
  func endSegment<Visitor: BlockVisitor>(
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
  func breakChain<Visitor: BlockVisitor>(
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

  func checkWatermark() {
    switch watermark {
    case .absent:
      findings.note("there is no file \"\(LTP_WATERMARK_NAME)\": loss of acknowledged records cannot be told")
    case .damaged(let why):
      // A power loss while it was written can leave that, and recovery goes on without its word.
      findings.note(
        "the file \"\(LTP_WATERMARK_NAME)\" is damaged (\(why)): loss of acknowledged records cannot be told")
    case .read(let mark):
      guard let log else { return }
      guard mark.logID == log else {
        findings.add(
          .watermark, at: Place(segment: result.lastSegment, offset: result.endOffset),
          "the file \"\(LTP_WATERMARK_NAME)\" is of log \(hexadecimal(mark.logID)), not of this one")
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
  var text = ""
  for word in [log.low, log.high] {
    for index in 0..<8 {
      let byte = UInt8(truncatingIfNeeded: word >> (8 * UInt64(index)))
      text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
  }
  return text
}
