// SPDX-License-Identifier: Apache-2.0
//
// Every field of every type: which values are refused, with which status, name and offset; or that any value
// passes. The two tables together cover every byte of every frame, and a test says so.

import CLTP
import LTPFrames
import LTPTestSupport
import Testing

/// One value that spoils a valid frame.
struct Spoiler: CustomStringConvertible, Sendable {
  let base: BaseFrame
  let offset: Int
  let width: Int
  let value: UInt64
  let expected: (status: Int32, field: String, offset: Int)

  /// The refused field is the spoiled one, unless `refused` names another's offset.
  init(
    _ base: BaseFrame, _ offset: Int, _ width: Int, _ value: UInt64, _ status: Int32, _ field: String,
    refused: Int? = nil
  ) {
    self.base = base
    self.offset = offset
    self.width = width
    self.value = value
    self.expected = (status, field, refused ?? offset)
  }

  var description: String { "\(base): \(value) at \(offset) spoils \(expected.field)" }

  var bytes: [UInt8] {
    var frame = base.bytes
    for index in 0..<width { frame[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
    return frame
  }

  /// One row for each byte of a reserved field.
  static func reserved(_ base: BaseFrame, _ range: Range<Int>, _ field: String) -> [Spoiler] {
    range.map { .init(base, $0, 1, 0x80, LTP_ERROR_FRAME_RESERVED, field, refused: range.lowerBound) }
  }
}

@Suite("fault 26: malformed frames, every field", .guarded)
struct RejectionTests {
  @Test("fault 26: the valid frames that the tables start from", arguments: BaseFrame.allCases)
  func baseFramesPass(base: BaseFrame) {
    #expect(refusal(base.bytes) == nil)
  }

  @Test("fault 26: each wrong field is refused by name and offset", arguments: RejectionTable.all)
  func refused(row: Spoiler) {
    let expected = Refusal(
      status: row.expected.status, offset: row.expected.offset, field: row.expected.field)
    #expect(refusal(row.bytes) == expected)
  }

  @Test("fields without a rule take every value", arguments: RejectionTable.free)
  func accepted(row: FreeField) {
    for offset in row.range {
      for value in UInt8.min...UInt8.max {
        #expect(refusal(row.base.bytes.setting(value, at: offset)) == nil, "\(value) at \(offset)")
      }
    }
  }

  @Test("the tables cover every byte", arguments: BaseFrame.allCases)
  func complete(base: BaseFrame) {
    var covered = Set<Int>()
    for row in RejectionTable.all where row.base.type == base.type {
      covered.formUnion(row.offset..<row.offset + row.width)
    }
    for row in RejectionTable.free where row.base.type == base.type { covered.formUnion(row.range) }
    #expect(covered.isSuperset(of: base.bytes.indices))
  }

  @Test("a null pointer is refused")
  func null() {
    let error = #expect(throws: FrameError.self) { try FrameView(checking: nil, available: 64) }
    #expect(error.map(Refusal.init) == Refusal(status: LTP_ERROR_NULL_ARGUMENT, offset: 0, field: "frame"))
  }
}
