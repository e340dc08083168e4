// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's target for blocks (fault 27): the bytes of a segment, and the records in blocks whose hashes are
// right. Built by scripts/fuzz with the address sanitizer.
//
// The first byte of an input says how the rest is used: as raw pages for the block check, or as bodies that are
// sealed into a chain and walked with the audit, the counters, the second decision and the printer. For every
// input: no trap, no over-read, and the three walks agree on how many decisions there are.
// FUZZ_CANARY_SLOTS plants a bug that the fuzzer must find: a walk that believes a block's slot count unchecked.

import CLTP
import LTPRecords
import LTPStorage

@testable import LTPInspect

/// Called by libFuzzer with each input. Traps on a finding.
@c(LLVMFuzzerTestOneInput)
public func fuzzBlocks(_ input: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = UnsafeRawBufferPointer(start: input, count: count)
  guard let mode = bytes.first else { return 0 }
  let rest = UnsafeRawBufferPointer(rebasing: bytes[1...])
  if mode & 1 == 0 { checkRaw(rest) } else { walkSealed(rest) }
  return 0
}

/// The block check over memory that ends where the input ends.
private func checkRaw(_ bytes: UnsafeRawBufferPointer) {
  let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
  defer { memory.deallocate() }
  memory.copyMemory(from: bytes)
  let header = BlockHeader(UnsafeRawPointer(memory.baseAddress!))
  #if FUZZ_CANARY_SLOTS
    if memory.count >= 256, header.magic == LTP_BLOCK_MAGIC {
      _ = firstNonZero(header.body, from: 0, to: header.bodyBytes)
    }
  #endif
  do throws(BlockFault) {
    try header.checkContent(available: memory.count)
    walk(header)
  } catch {
    guard error.offset >= 0, error.offset <= BlockHeader.bytesMax else {
      fatalError("a fault outside the block")
    }
  }
}

/// Bodies of fuzzed slots under right hashes. Each starts with a byte for the lane, two for its slots, and the word.
private func walkSealed(_ bytes: UnsafeRawBufferPointer) {
  var audits = Audits()
  var next = bytes[...]
  var index: UInt64 = 0
  while next.count >= 43, index < 16 {
    let lane = UInt32(next.removeFirst() & 3)
    let wanted = Int(next.removeFirst()) + Int(next.removeFirst() & 3) << 8 + 1
    let word = next.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    next = next.dropFirst(8)
    let slotCount = min(wanted, next.count / 32)
    guard slotCount > 0 else { return }
    let size = BlockHeader.sizeBytes(slotCount: slotCount)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
    defer { memory.deallocate() }
    UnsafeMutableRawBufferPointer(start: memory + 256, count: slotCount * 32)
      .copyBytes(from: next.prefix(slotCount * 32))
    next = next.dropFirst(slotCount * 32)
    let seal = BlockSeal(
      logID: LogID(low: 1, high: 2), laneID: lane, blockIndex: index, segmentIndex: 0, firstSequence: 0,
      slotCount: slotCount, baseMonotonicNanoseconds: word, baseUnixNanoseconds: word,
      orientationWord: lane == 0 ? 0 : word, durableBlocks: 0, previousHash: Digest())
    guard seal.seal(memory) != nil else { fatalError("no memory") }
    audits.block(BlockHeader(memory), offset: index * UInt64(BlockHeader.bytesMax))
    index += 1
  }
  audits.compare()
}

private func walk(_ header: BlockHeader) {
  var audits = Audits()
  audits.block(header, offset: 0)
  audits.compare()
}

/// The same blocks through every sink.
private struct Audits {
  private var counting = TraceAudit(log: Self.log, sink: SummarySink(transitionsMax: 8))
  private var redeciding = TraceAudit(log: Self.log, sink: RedecideSink())
  private var windows = WindowVisitor(
    SummaryWindow(from: 1 << 40), log: Self.log, ends: nil, transitionsMax: 8, counts: Self.noCounts)
  private var showing = TraceAudit(log: Self.log, sink: ShowSink(ShowFilter()) { _ in })

  /// A short memory, so that inputs are many and lags beyond it happen.
  private static var log: LogState { LogState(findings: Findings(), epochsMax: 16) }

  nonisolated(unsafe) private static let counts = SegmentCounts()!
  /// The same memory for each input.
  private static var noCounts: SegmentCounts {
    counts.removeAll()
    return counts
  }

  mutating func block(_ header: BlockHeader, offset: UInt64) {
    counting.block(header, segment: 0, offset: offset)
    redeciding.block(header, segment: 0, offset: offset)
    showing.block(header, segment: 0, offset: offset)
    windows.block(header, segment: 0, offset: offset)
  }

  func compare() {
    let decisions = counting.log.totals.decisions
    let again = redeciding.sink.redecided + redeciding.sink.withoutPolicy
    guard decisions == again, decisions == redeciding.log.totals.decisions,
      decisions == showing.log.totals.decisions,
      counting.sink.counters.reduce(0, { $0 + $1.count }) == decisions
    else { fatalError("the walks disagree on how many decisions there are") }
  }
}
