// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's target for the deferral log (fault 27): records in blocks whose hashes are right, and whose contents may be anything, as recovery
// reads them. Built by scripts/fuzz with the address sanitizer.
//
// For every input: no trap, no over-read, and a table that either is refused or keeps all that it promises; and what recovery would tell the trace names
// no place twice. FUZZ_CANARY_PAYLOAD plants a bug that the fuzzer must find: a payload's length that is believed.

import CLTP
import LTPRecords
import LTPStorage

@testable import LTPDeferral

/// Called by libFuzzer with each input. Traps on a finding.
@c(LLVMFuzzerTestOneInput)
public func fuzzDeferral(_ input: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var next = UnsafeRawBufferPointer(start: input, count: count)[...]
  guard let table = IntentTable(capacity: 64, secret: SipKey(low: 1, high: 2)), let news = DeferralNews()
  else {
    fatalError("no memory")
  }
  var standing = TraceStanding()
  standing.blocks = 1000
  var reader = DeferralReader(table: table, news: news, trace: standing)
  var sequences: [UInt64] = [0, 0]
  var index: UInt64 = 0
  while next.count >= 34, index < 24 {
    let first = next.removeFirst()
    let wanted = Int(next.removeFirst()) + 1
    let lane = UInt32(first & 1)
    if first & 2 != 0 { reader.beginSegment(isLast: true) }
    let slotCount = min(wanted, next.count / 32)
    let size = BlockHeader.sizeBytes(slotCount: slotCount)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
    defer { memory.deallocate() }
    UnsafeMutableRawBufferPointer(start: memory + 256, count: slotCount * 32)
      .copyBytes(from: next.prefix(slotCount * 32))
    next = next.dropFirst(slotCount * 32)
    let seal = BlockSeal(
      logID: LogID(low: 1, high: 2), laneID: lane, blockIndex: index, segmentIndex: index / 4,
      firstSequence: sequences[Int(lane)], slotCount: slotCount, baseMonotonicNanoseconds: 1,
      baseUnixNanoseconds: 1, orientationWord: UInt64(first), durableBlocks: 0, previousHash: Digest())
    guard seal.seal(memory) != nil else { fatalError("no memory") }
    sequences[Int(lane)] += UInt64(slotCount)
    #if FUZZ_CANARY_PAYLOAD
      let intent = (memory + 256).assumingMemoryBound(to: ltp_deferral_intent.self)
      if intent.pointee.kind == LTP_DEFERRAL_INTENT, slotCount >= 5 {
        _ = firstNonZero(memory + 256, from: 160, to: 160 + Int(intent.pointee.payload_bytes))
      }
    #endif
    _ = reader.read(BlockHeader(memory))
    index += 1
  }
  if reader.fault(LogID(low: 1, high: 2)) == nil, let broken = reader.table.checkInvariants() {
    fatalError("\(broken)")
  }
  var last: UInt64 = 0
  while let record = reader.news.next(durable: .max) {
    let view = RecordView(record)
    let sequence = view.kind == .intent ? view.intent.pointee.sequence : view.step.pointee.sequence
    guard sequence > last else { fatalError("told out of order") }
    last = sequence
    reader.news.isTold()
  }
  reader.releaseMemory()
  return 0
}
