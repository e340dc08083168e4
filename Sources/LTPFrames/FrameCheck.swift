// SPDX-License-Identifier: Apache-2.0
//
// The tests that a frame's fields must pass. Each names the field, as in ltp.h, and where it lies.
//
// Invariants: a check works on one copy of the structure. Offsets are measured in the C structure itself,
// when a field is refused: no layout is written twice. (`MemoryLayout.offset(of:)` would say the same, but
// Embedded Swift refuses its key paths in the Swift 6 language mode.)

import CLTP
import LTPRecords

/// The place of a field in a copy of its structure. Only good for its distance from the copy's start.
func address<Value>(_ value: inout Value) -> UnsafeRawPointer {
  withUnsafeMutablePointer(to: &value) { UnsafeRawPointer($0) }
}

/// Checks one structure of a frame: a line of it, or an array's entry.
struct FrameCheck<Part: BitwiseCopyable> {
  typealias Place = (inout Part) -> UnsafeRawPointer

  let part: Part
  /// Bytes from the frame's first byte to the structure.
  let base: Int

  init(_ part: Part, base: Int) {
    self.part = part
    self.base = base
  }

  /// Bytes from the frame's first byte to the field at `place`.
  func offset(_ place: Place) -> Int {
    var copy = part
    return withUnsafeMutablePointer(to: &copy) { start in
      base + (place(&start.pointee) - UnsafeRawPointer(start))
    }
  }

  @inline(never)
  func error(_ status: Int32, _ field: StaticString, _ place: Place) -> FrameError {
    FrameError(status: status, offset: UInt32(offset(place)), field: field)
  }

  func require(
    _ condition: Bool, _ field: @autoclosure () -> StaticString, _ place: Place
  ) throws(FrameError) {
    if !condition { throw error(LTP_ERROR_FRAME_RANGE, field(), place) }
  }

  /// `value` is reserved bytes, or an entry of an array beyond its count.
  func requireZero<Value: BitwiseCopyable>(
    _ value: Value, _ field: @autoclosure () -> StaticString, _ place: Place
  ) throws(FrameError) {
    var seen: UInt8 = 0
    withUnsafeBytes(of: value) { bytes in
      for byte in bytes { seen |= byte }
    }
    if seen != 0 { throw error(LTP_ERROR_FRAME_RESERVED, field(), place) }
  }

  func requireState(
    _ state: UInt8, _ field: @autoclosure () -> StaticString, _ place: Place
  ) throws(FrameError) {
    try require(state < UInt8(LTP_STATE_COUNT), field(), place)
  }

  func requireSignal(
    _ signal: UInt8, _ field: @autoclosure () -> StaticString, _ place: Place
  ) throws(FrameError) {
    try require(isSignal(signal), field(), place)
  }
}
