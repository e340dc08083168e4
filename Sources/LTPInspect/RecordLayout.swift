// SPDX-License-Identifier: Apache-2.0
// Which record kinds there are, how many slots each takes, and which bytes of it must be zero. From
// ltp_trace.h; the tests compare it with the C structures.

import CLTP
import LTPTrace

enum RecordLayout {
  static let slotBytes = Int(LTP_SLOT_BYTES)

  /// How many slots a record of this kind takes in a control block; 0 for kinds that do not belong there.
  static func controlSlotCount(_ kind: UInt8) -> Int {
    switch kind {
    case LTP_RECORD_OPENED, LTP_RECORD_SEGMENT, LTP_RECORD_TEXT: 4
    case LTP_RECORD_TRANSITION: 8
    case LTP_RECORD_POLICY: 504
    case LTP_RECORD_SEALED, LTP_RECORD_CLOSED: 2
    default: 0
    }
  }

  /// Offset of the first reserved byte that is not zero.
  static func reservedFault(_ kind: UInt8, _ record: UnsafeRawPointer) -> Int? {
    switch kind {
    case LTP_RECORD_REPLAY:
      firstNonZero(record, from: 1, to: 8) ?? firstNonZero(record, from: 24, to: 32)
    case LTP_RECORD_OBSERVED: firstNonZero(record, from: 1, to: 8)
    case LTP_RECORD_UNRECORDED:
      firstNonZero(record, from: 1, to: 8) ?? firstNonZero(record, from: 12, to: 16)
        ?? firstNonZero(record, from: 24, to: 32)
    case LTP_RECORD_HELLO: firstNonZero(record, from: 1, to: 4)
    case LTP_RECORD_TIME:
      firstNonZero(record, from: 1, to: 8) ?? firstNonZero(record, from: 24, to: 32)
    case LTP_RECORD_OPENED: controlFault(record, from: 48, to: 128)
    case LTP_RECORD_SEGMENT: controlFault(record, from: 40, to: 128)
    case LTP_RECORD_TRANSITION:
      controlFault(record, from: 39, to: 40) ?? firstNonZero(record, from: 112, to: 136)
    case LTP_RECORD_POLICY: controlFault(record, from: 48, to: 64)
    case LTP_RECORD_SEALED, LTP_RECORD_CLOSED: controlFault(record, from: 24, to: 64)
    case LTP_RECORD_TEXT: controlFault(record, from: 1, to: 2)
    default: nil
    }
  }

  private static func controlFault(_ record: UnsafeRawPointer, from: Int, to: Int) -> Int? {
    firstNonZero(record, from: 1, to: 2) ?? firstNonZero(record, from: from, to: to)
  }

  /// The text in a zero-padded field; nil when a byte follows the first zero, or when no zero ends it.
  static func text(_ field: UnsafeRawPointer, count: Int) -> String? {
    let bytes = UnsafeRawBufferPointer(start: field, count: count)
    guard let end = bytes.firstIndex(of: 0), firstNonZero(field, from: end, to: count) == nil else {
      return nil
    }
    return String(decoding: bytes[..<end], as: UTF8.self)
  }
}

/// Field reads at an offset of a record.
extension UnsafeRawPointer {
  @inline(__always)
  func u8(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
  @inline(__always)
  func u16(_ offset: Int) -> UInt16 { loadUnaligned(fromByteOffset: offset, as: UInt16.self) }
  @inline(__always)
  func u32(_ offset: Int) -> UInt32 { loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
  @inline(__always)
  func u64(_ offset: Int) -> UInt64 { loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
}
