// SPDX-License-Identifier: Apache-2.0
// Records and words: what is written is read again, field by field, through the C structures.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPRecords

@Suite("Records", .guarded)
struct RecordViewTests {
  @Test("four stores are a whole ltp_decision_record, and its words say what the fields say")
  func decision() throws {
    var record = ltp_decision_record()
    let outcome = Outcome(verdict: LTP_VERDICT_DEFER, reason: LTP_REASON_SYSTEM_UNSTABLE)
    let inputs = LTP_CONTINUITY_STALE | LTP_INPUT_REPLAY | 0xB << UInt16(LTP_INPUT_GATE_SHIFT)
    try withUnsafeMutableBytes(of: &record) { bytes in
      DecisionRecord.store(
        outcome: UInt64(outcome.rawValue), inputs: UInt64(inputs), attributes: 0xF1F2_E1E2,
        timeMicroseconds: 0x1112_1314, retryAndShadow: 0xA1B2_B3B4 << 32, frameID: 0x2122_2324_2526_2728,
        sessionID: 0x3132_3334_3536_3738, at: bytes.baseAddress!)
      let word = try #require(DecisionWord(RecordView(bytes.baseAddress!)))
      #expect(word.outcome == outcome && word.inputs == inputs && word.gate == 0xB && word.hasFollowers)
      #expect(
        word.actionClass == 0xE2 && word.domain == 0xE1 && word.priority == 0xF2 && word.level == 0xF2F1)
      #expect(word.shadow.rawValue == 0xA1 && word.retryAfterMilliseconds == 0x32_B3B4 && word.hasOddRetry)
      bytes[0] = LTP_RECORD_REPLAY
      #expect(DecisionWord(RecordView(bytes.baseAddress!)) == nil)
      bytes[0] = LTP_RECORD_DECISION
    }
    #expect(record.kind == LTP_RECORD_DECISION && record.inputs == inputs)
    #expect(record.verdict == outcome.verdict && record.reason == outcome.reason)
    #expect(
      record.action_class == 0xE2 && record.domain == 0xE1 && record.priority == 0xF2 && record.cohort == 0xF1
    )
    #expect(record.time_us == 0x1112_1314 && record.retry_and_shadow == 0xA1B2_B3B4)
    #expect(record.frame_id == 0x2122_2324_2526_2728 && record.session_id == 0x3132_3334_3536_3738)
  }

  @Test("a policy record holds the policy and its digest")
  func policy() {
    var policy = ltp_policy()
    withUnsafeMutableBytes(of: &policy) { for index in $0.indices { $0[index] = UInt8(index & 0xFF) } }
    let memory = UnsafeMutablePointer<ltp_policy_record>.allocate(capacity: 1)
    defer { memory.deallocate() }
    UnsafeMutableRawPointer(memory).initializeMemory(
      as: UInt8.self, repeating: 0xEE, count: MemoryLayout<ltp_policy_record>.size)
    memory.write(&policy, generation: 7, slot: 2, isShadow: true)
    #expect(memory.seal())
    let record = RecordView(memory)
    #expect(record.kind == .policy && Int(record.control.pointee.slot_count) == RecordKind.policy.slotCount)
    #expect(RecordKind.policy.reservedFault(record) == nil)
    #expect(record.policy.pointee.policy_generation == 7 && record.policy.slot == 2 && record.policy.isShadow)
    #expect(record.policy.digest == Digest(of: &policy, count: MemoryLayout<ltp_policy>.size))
    withUnsafeBytes(of: memory.pointee.policy) { written in
      withUnsafeBytes(of: policy) { #expect(written.elementsEqual($0)) }
    }
    memory.write(&policy, generation: 8, slot: 3, isShadow: false)
    #expect(record.policy.slot == 3 && !record.policy.isShadow)
  }

  @Test("a transition's evidence and texts lie where their structures have them")
  func fields() {
    var transition = ltp_transition_record()
    transition.header = ltp_control_header(.transition)
    transition.evidence.0.value = 10
    transition.evidence.1.value = 11
    transition.evidence.2.value = 12
    transition.text.0 = 65
    transition.text.119 = 66
    withUnsafePointer(to: transition) { record in
      #expect((0..<3).map { record.evidence($0).pointee.value } == [10, 11, 12])
      #expect(record.text.count == 120 && record.text.first == 65 && record.text.last == 66)
      #expect(!record.isRepeated)
    }
    var text = ltp_text_record()
    text.text.0 = 67
    text.text.115 = 68
    withUnsafePointer(to: text) { record in
      #expect(record.text.count == 116 && record.text.first == 67 && record.text.last == 68)
    }
  }

  @Test("a watermark says its log and its count, and nothing when a bit of it is another")
  func watermark() throws {
    let log = LogID(low: 0x0102_0304_0506_0708, high: 0x090A_0B0C_0D0E_0F10)
    var mark = try #require(Watermark.sealed(logID: log, durableBlocks: 42))
    #expect(mark.magic == LTP_WATERMARK_MAGIC && mark.durable_blocks == 42)
    withUnsafeMutableBytes(of: &mark) { bytes in
      let base = UnsafeRawPointer(bytes.baseAddress!)
      let read = Watermark.read(base, count: bytes.count)
      #expect(read?.logID == log && read?.durableBlocks == 42)
      #expect(Watermark.read(base, count: bytes.count - 1) == nil)
      for bit in 0..<bytes.count * 8 {
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(Watermark.read(base, count: bytes.count) == nil)
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      }
    }
  }
}
