// SPDX-License-Identifier: Apache-2.0
// Times as text, both ways, against Foundation's calendar.

import CLTP
import Foundation
import Testing

@testable import LTPInspect

@Suite("timestamps")
struct TimestampTests {
  @Test("RFC 3339 agrees with the calendar from 1970 to 2554")
  func calendar() throws {
    let formatter = ISO8601DateFormatter()
    for step in 0..<4000 as Range<UInt64> {
      let seconds = step * 4_611_686 + step % 86_400
      let expected = formatter.string(from: Date(timeIntervalSince1970: Double(seconds)))
      let nanoseconds = seconds * 1_000_000_000
      #expect(Timestamp.text(nanoseconds + 42_000) == expected.dropLast() + ".000042Z")
      #expect(Timestamp.parse(expected) == nanoseconds)
    }
  }

  @Test("forms that are taken, and forms that are not")
  func forms() {
    #expect(Timestamp.parse("1970-01-01T00:00:00Z") == 0)
    #expect(Timestamp.parse("1970-01-01T02:00:00.5+01:00") == 3_600_500_000_000)
    #expect(Timestamp.parse("1970-01-01 00:00:01z") == 1_000_000_000)
    #expect(Timestamp.parse("17") == 17)
    #expect(Timestamp.parse("2024-02-29T00:00:00Z") != nil)
    for wrong in [
      "", "x", "2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T00:00:00", "2023-01-01T24:00:00Z",
      "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00Z ", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "-1",
    ] {
      #expect(Timestamp.parse(wrong) == nil, "\(wrong)")
    }
  }
}

@Suite("record layout")
struct RecordLayoutTests {
  @Test("slot counts and offsets are those of the contract")
  func layout() {
    #expect(RecordLayout.controlSlotCount(LTP_RECORD_OPENED) * 32 == MemoryLayout<ltp_opened_record>.size)
    #expect(RecordLayout.controlSlotCount(LTP_RECORD_SEGMENT) * 32 == MemoryLayout<ltp_segment_record>.size)
    #expect(
      RecordLayout.controlSlotCount(LTP_RECORD_TRANSITION) * 32 == MemoryLayout<ltp_transition_record>.size)
    #expect(RecordLayout.controlSlotCount(LTP_RECORD_POLICY) * 32 == MemoryLayout<ltp_policy_record>.size)
    #expect(RecordLayout.controlSlotCount(LTP_RECORD_TEXT) * 32 == MemoryLayout<ltp_text_record>.size)
    #expect(RecordLayout.controlSlotCount(LTP_RECORD_SEALED) * 32 == MemoryLayout<ltp_sealed_record>.size)
    #expect(RecordLayout.controlSlotCount(LTP_RECORD_CLOSED) * 32 == MemoryLayout<ltp_closed_record>.size)
    #expect(TransitionLayout.wordAfter == MemoryLayout<ltp_transition_record>.offset(of: \.word_after))
    #expect(TransitionLayout.monotonic == MemoryLayout<ltp_transition_record>.offset(of: \.time_monotonic_ns))
    #expect(
      TransitionLayout.generation == MemoryLayout<ltp_transition_record>.offset(of: \.policy_generation))
    #expect(TransitionLayout.flags == MemoryLayout<ltp_transition_record>.offset(of: \.flags))
    #expect(TransitionLayout.evidence == MemoryLayout<ltp_transition_record>.offset(of: \.evidence))
    #expect(TransitionLayout.text == MemoryLayout<ltp_transition_record>.offset(of: \.text))
  }

  @Test("every byte of a record is a field, or is checked to be zero")
  func reserved() {
    let lanes: [(UInt8, [UInt8])] = [
      (LTP_RECORD_REPLAY, Records.replay(original: 0, frame: 0)),
      (LTP_RECORD_UNRECORDED, Records.unrecorded(0)),
      (LTP_RECORD_SEALED, Records.sealed(blocks: 0, decisions: 0)),
      (LTP_RECORD_OPENED, Records.opened(run: 0, nextLane: 0)),
    ]
    let fields: [UInt8: Int] = [
      LTP_RECORD_REPLAY: 17, LTP_RECORD_UNRECORDED: 13, LTP_RECORD_SEALED: 23, LTP_RECORD_OPENED: 47,
    ]
    for (kind, bytes) in lanes {
      var free = 0
      for offset in 0..<bytes.count {
        var changed = bytes
        changed[offset] = 0xFF
        if changed.withUnsafeBytes({ RecordLayout.reservedFault(kind, $0.baseAddress!) }) == nil { free += 1 }
      }
      #expect(free == fields[kind], "kind \(kind)")
    }
  }
}
