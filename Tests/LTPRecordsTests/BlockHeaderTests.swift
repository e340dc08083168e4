// SPDX-License-Identifier: Apache-2.0
// Block headers: what Swift writes and reads is what the C structure says.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPRecords

@Suite("Block headers", .guarded)
struct BlockHeaderTests {
  /// A block whose header fields all differ, sealed by the writer and read as the C structure.
  @Test("what BlockSeal writes is what ltp_block_header says")
  func sealedHeader() {
    let block = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
    defer { block.deallocate() }
    block.initializeMemory(as: UInt8.self, repeating: 0xEE, count: 8192)
    let previous = Digest(of: block, count: 17)!
    let hash = BlockSeal(
      logID: LogID(low: 0x0807_0605_0403_0201, high: 0x100F_0E0D_0C0B_0A09), laneID: 21, blockIndex: 22,
      segmentIndex: 23, firstSequence: 24, slotCount: 121, baseMonotonicNanoseconds: 26,
      baseUnixNanoseconds: 27, orientationWord: 28, durableBlocks: 20, previousHash: previous
    ).seal(block)!
    let header = block.load(as: ltp_block_header.self)
    #expect(header.magic == LTP_BLOCK_MAGIC && header.version == 3 && header.hash_id == LTP_HASH_SHA256)
    #expect(header.header_bytes == 256 && header.lane_id == 21)
    withUnsafeBytes(of: header.log_id) { #expect($0.elementsEqual(1...16)) }
    #expect(header.block_index == 22 && header.segment_index == 23 && header.first_sequence == 24)
    #expect(header.slot_count == 121 && header.size_bytes == 8192)
    #expect(header.base_monotonic_ns == 26 && header.base_unix_ns == 27)
    #expect(header.orientation_word == 28 && header.durable_blocks == 20)
    withUnsafeBytes(of: header.reserved) { #expect($0.allSatisfy { $0 == 0 }) }
    withUnsafeBytes(of: header.previous_hash) { #expect(Digest(from: $0.baseAddress!) == previous) }
    withUnsafeBytes(of: header.body_hash) {
      #expect(Digest(from: $0.baseAddress!) == Digest(of: block + 256, count: 121 * 32))
    }
    withUnsafeBytes(of: header.block_hash) { #expect(Digest(from: $0.baseAddress!) == hash) }
    #expect(firstNonZero(block, from: 256 + 121 * 32, to: 8192) == nil)
    #expect((block + 256).load(as: UInt8.self) == 0xEE)
  }

  @Test("what BlockHeader reads is what ltp_block_header says")
  func readHeader() {
    var header = ltp_block_header()
    withUnsafeMutableBytes(of: &header) { for index in $0.indices { $0[index] = UInt8(index) } }
    withUnsafeBytes(of: header) { bytes in
      let view = BlockHeader(bytes.baseAddress!)
      #expect(view.magic == header.magic && view.version == header.version && view.hashID == header.hash_id)
      #expect(view.headerBytes == header.header_bytes && view.laneID == header.lane_id)
      #expect(view.blockIndex == header.block_index && view.segmentIndex == header.segment_index)
      #expect(view.firstSequence == header.first_sequence && view.slotCount == Int(header.slot_count))
      #expect(view.sizeBytes == Int(header.size_bytes))
      #expect(view.baseMonotonicNanoseconds == header.base_monotonic_ns)
      #expect(view.baseUnixNanoseconds == header.base_unix_ns)
      #expect(view.orientationWord == header.orientation_word && view.durableBlocks == header.durable_blocks)
      func at(_ path: PartialKeyPath<ltp_block_header>) -> UnsafeRawPointer {
        bytes.baseAddress! + MemoryLayout<ltp_block_header>.offset(of: path)!
      }
      #expect(view.logID.low == at(\.log_id).loadUnaligned(as: UInt64.self))
      #expect(view.logID.high == (at(\.log_id) + 8).loadUnaligned(as: UInt64.self))
      #expect(view.previousHash == Digest(from: at(\.previous_hash)))
      #expect(view.bodyHash == Digest(from: at(\.body_hash)))
      #expect(view.blockHash == Digest(from: at(\.block_hash)))
    }
  }

  @Test("offsets as numbers, so that a change of ltp_trace.h shows here")
  func offsets() {
    typealias Header = ltp_block_header
    let expected: [(PartialKeyPath<Header>, Int)] = [
      (\.magic, 0), (\.version, 8), (\.hash_id, 9), (\.header_bytes, 10), (\.lane_id, 12), (\.log_id, 16),
      (\.block_index, 32), (\.segment_index, 40), (\.first_sequence, 48), (\.slot_count, 56),
      (\.size_bytes, 60), (\.base_monotonic_ns, 64), (\.base_unix_ns, 72), (\.orientation_word, 80),
      (\.durable_blocks, 88), (\.limits_word, 96), (\.reserved, 104), (\.previous_hash, 160),
      (\.body_hash, 192),
      (\.block_hash, 224),
    ]
    for (path, offset) in expected { #expect(MemoryLayout<Header>.offset(of: path) == offset) }
    #expect(MemoryLayout<Header>.size == 256)
    #expect(MemoryLayout<ltp_watermark>.offset(of: \.log_id) == 16)
    #expect(MemoryLayout<ltp_watermark>.offset(of: \.durable_blocks) == 32)
    #expect(MemoryLayout<ltp_watermark>.offset(of: \.hash) == 96)
    #expect(MemoryLayout<ltp_watermark>.size == 128)
    #expect(MemoryLayout<ltp_control_header>.offset(of: \.slot_count) == 2)
    #expect(MemoryLayout<ltp_observed_record>.offset(of: \.orientation_word) == 16)
    #expect(MemoryLayout<ltp_unrecorded_record>.offset(of: \.denied_count) == 16)
    #expect(MemoryLayout<ltp_policy_record>.offset(of: \.policy) == 64)
    #expect(MemoryLayout<ltp_text_record>.offset(of: \.text) == 12)
  }
}
