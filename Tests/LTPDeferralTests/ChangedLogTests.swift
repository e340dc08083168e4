// SPDX-License-Identifier: Apache-2.0
// Deferral logs that somebody changed: cut, or written with right hashes and wrong contents. Recovery appends to none of what it cannot
// vouch for, and reads nothing behind a block.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPDeferral
@testable import LTPStorage

@Suite("A changed deferral log", .guarded)
struct ChangedLogTests {
  /// What recovery may say of a log that was changed.
  private static let refusals: Set<Int32> = [
    LTP_ERROR_TRACE_CORRUPT, LTP_ERROR_DEFERRAL_APART, LTP_ERROR_EXHAUSTED,
  ]

  @Test("fault 18: the last segment cut at every byte of its last block, and at every 64 bytes before")
  func cutAnywhere() throws {
    let scene = DeferralScene()
    try scene.write(segments: 1)
    let (last, watermark) = (
      DeferralScene.name(.segment(scene.segments.last!)), DeferralScene.name(.watermark)
    )
    let (whole, mark) = (scene.bytes(last), scene.bytes(watermark))
    let told = scene.configuration.trace
    let blocks = DeferralScene.blocks(whole)
    let lastBlock = blocks[blocks.count - 2]
    #expect(blocks.count > 3 && blocks.last == whole.count)
    let used = 256 + 32 * slotCount(whole, lastBlock)
    let lengths =
      Array(stride(from: 0, to: lastBlock, by: 64)) + Array(lastBlock..<lastBlock + used)
      + Array(stride(from: lastBlock + used, to: whole.count, by: 64))
    for length in lengths {
      scene.put([UInt8](whole[..<length]), as: last)
      let end = blocks.last { $0 <= length }!
      // It was all acknowledged: by the watermark's word, or the trace's, the loss is reported.
      scene.put(mark, as: watermark)
      let lost = scene.openStatus()
      let isReported =
        lost.status == LTP_ERROR_TRACE_LOST || lost.status == LTP_ERROR_TRACE_CORRUPT && length != end
      #expect(isReported, "cut at \(length): \(lost)")
      _ = scene.disk.remove(watermark)
      scene.disk.syncDirectory()
      if length % 256 == 0 {
        let apart = scene.openStatus()
        #expect(apart.status == LTP_ERROR_DEFERRAL_APART, "cut at \(length): \(apart)")
        scene.put([UInt8](whole[..<length]), as: last)
        _ = scene.disk.remove(watermark)
        scene.disk.syncDirectory()
      }
      // By nobody's: cut to the last whole block.
      scene.configuration.trace.told = nil
      let opened = scene.openStatus()
      #expect(opened.status == LTP_OK && opened.offset == UInt64(end), "cut at \(length): \(opened)")
      scene.configuration.trace = told
      scene.disk.entries.removeAll {
        if case .torn = DeferralConfiguration.naming.file(named: $0.name) { true } else { false }
      }
    }
    scene.put(whole, as: last)
    scene.put(mark, as: watermark)
    let opened = scene.openStatus()
    #expect(opened.status == LTP_OK && opened.offset == UInt64(whole.count))
    try scene.loseAndReopen()
  }

  private func slotCount(_ content: [UInt8], _ block: Int) -> Int {
    content.withUnsafeBytes { raw in
      Int(BlockHeader(UnsafeMutableRawPointer(mutating: raw.baseAddress! + block)).slotCount)
    }
  }

  /// A log of one segment with an intent that has ended, one that somebody has, and some that wait; its bytes, and its blocks.
  private func log() throws -> (scene: DeferralScene, content: [UInt8], blocks: [Int]) {
    let scene = DeferralScene()
    let run = try scene.openReady()
    run.keep(3)
    run.step(after: 1_000_000)
    #expect(run.commitOne())
    let next = try #require(run.next())
    let now = scene.clock.unix
    #expect(run.log.begin(next, unixNanoseconds: now, leaseUntil: now + second) != nil)
    run.keep(2, payloadBytes: 40)
    #expect(run.runs { run.isSettled })
    run.log.finish(&run.queue)
    scene.disk.losePower()
    scene.calm()
    let content = scene.bytes(DeferralScene.name(.segment(0)))
    return (scene, content, DeferralScene.blocks(content))
  }

  /// Opens the log with its last block changed, and sealed again with right hashes.
  private func open(
    _ scene: DeferralScene, _ content: [UInt8], _ block: Int, _ change: (UnsafeMutableRawPointer) -> Void
  ) -> OpenFault {
    var changed = content
    changed.withUnsafeMutableBytes { raw in
      let header = raw.baseAddress! + block
      change(header + 256)
      let slots = Int(BlockHeader(header).slotCount)
      Digest(of: header + 256, count: slots * 32)!.store(to: header + LTP_AT_block_header_body_hash)
      Digest(of: header, count: LTP_AT_block_header_block_hash)!.store(
        to: header + LTP_AT_block_header_block_hash)
    }
    scene.put(changed, as: DeferralScene.name(.segment(0)))
    return scene.openStatus()
  }

  @Test("fault 27: any byte of records wrong, and the hashes right: refused, or a whole log; never a trap")
  func anyByte() throws {
    let (scene, content, blocks) = try log()
    let last = blocks[blocks.count - 2]
    let used = 32 * slotCount(content, last)
    #expect(used > 300)
    var (refused, opened) = (0, 0)
    for at in 0..<used {
      for value: UInt8 in [0, 1, 0x7F, 0xFF] where content[last + 256 + at] != value {
        let fault = open(scene, content, last) { $0.storeBytes(of: value, toByteOffset: at, as: UInt8.self) }
        if fault.status == LTP_OK {
          opened += 1
        } else {
          refused += 1
          #expect(Self.refusals.contains(fault.status), "byte \(at) is \(value): \(fault)")
        }
      }
    }
    #expect(refused > 50 && opened > 50, "\(refused) refused, \(opened) opened")
  }

  @Test("fault 27: records that contradict each other are refused, each by its name")
  func contradictions() throws {
    let (scene, content, blocks) = try log()
    let last = blocks[blocks.count - 2]
    typealias Change = (UnsafeMutableRawPointer) -> Void
    // The last block: COMMITTED's step and BEGUN's come first, then two intents.
    let steps = 3
    func step(_ number: Int, _ change: @escaping (UnsafeMutablePointer<ltp_deferral_step>) -> Void) -> Change
    {
      { change(($0 + number * 32).assumingMemoryBound(to: ltp_deferral_step.self)) }
    }
    func intent(_ change: @escaping (UnsafeMutablePointer<ltp_deferral_intent>) -> Void) -> Change {
      { change(($0 + steps * 32).assumingMemoryBound(to: ltp_deferral_intent.self)) }
    }
    let first = scene.sent[0].ticket.rawValue
    let cases: [(String, Change, String)] = [
      ("no such kind", step(0) { $0.pointee.kind = 77 }, "made out"),
      ("a mark among them", step(0) { $0.pointee.kind = LTP_DEFERRAL_SEGMENT }, "made out"),
      ("no such step", step(0) { $0.pointee.step = 9 }, "made out"),
      ("no step", step(0) { $0.pointee.step = 0 }, "made out"),
      ("an end of a step that is none", step(0) { $0.pointee.end = LTP_END_EXPIRED }, "made out"),
      ("an end that is none", step(0) { $0.pointee.step = LTP_STEP_ENDED }, "made out"),
      ("a payload longer than the block", intent { $0.pointee.payload_bytes = 5000 }, "made out"),
      ("a payload longer than memory", intent { $0.pointee.payload_bytes = .max }, "made out"),
      ("no payload", intent { $0.pointee.payload_bytes = 0 }, "made out"),
      ("no attempts", intent { $0.pointee.attempts_max = 0 }, "made out"),
      ("a ticket without a number", intent { $0.pointee.ticket = 5 }, "made out"),
      (
        "a place that is taken",
        intent { $0.pointee.ticket = 9 << 24 | (scene.sent[2].ticket.rawValue & 0xFF_FFFF) }, "one place"
      ),
      ("a place beyond the table", intent { $0.pointee.ticket = 9 << 24 | 0xFF_FFFF }, "one place"),
      ("a key that is pending", intent { $0.pointee.request = scene.sent[2].request }, "kept twice"),
      (
        "the copy of one that had ended",
        intent {
          $0.pointee.ticket = first
          $0.pointee.flags = LTP_INTENT_MOVED
        }, "the copy"
      ),
      (
        "the last ticket that there is", intent { $0.pointee.ticket |= 0xFF_FFFF_FFFF << 24 },
        "no number left"
      ),
    ]
    for (name, change, text) in cases {
      let fault = open(scene, content, last, change)
      #expect(Self.refusals.contains(fault.status), "\(name): \(fault)")
      #expect(fault.text.description.contains(text), "\(name): \(fault)")
    }
    // The same of a mark, the first block; what follows it is of another chain then, so the log ends with it.
    let alone = [UInt8](content[..<blocks[1]])
    scene.configuration.trace.told = nil
    _ = scene.disk.remove(DeferralScene.name(.watermark))
    for (name, change, text): (String, Change, String) in [
      (
        "a number that no ticket has", { $0.storeBytes(of: UInt64.max, toByteOffset: 8, as: UInt64.self) },
        "no intent has"
      ),
      ("another version", { $0.storeBytes(of: 9, toByteOffset: 1, as: UInt8.self) }, "made out"),
      (
        "another trace",
        { $0.storeBytes(of: 9, toByteOffset: LTP_AT_deferral_mark_trace_log_id, as: UInt8.self) },
        "another trace"
      ),
      ("an intent in the control lane", { $0.storeBytes(of: LTP_DEFERRAL_STEP, as: UInt8.self) }, "made out"),
    ] {
      let fault = open(scene, alone, 0, change)
      #expect(Self.refusals.contains(fault.status), "\(name): \(fault)")
      #expect(fault.text.description.contains(text), "\(name): \(fault)")
    }
  }
}
