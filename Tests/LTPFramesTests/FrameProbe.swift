// SPDX-License-Identifier: Apache-2.0
//
// What the tests ask of a frame: what a check says of it, and what writing it again gives.

import CLTP
import LTPFrames

/// What is wrong with a frame, in a form that can be compared and printed.
struct Refusal: Equatable, CustomStringConvertible {
  let status: Int32
  let offset: Int
  let field: String

  init(status: Int32, offset: Int, field: String) {
    self.status = status
    self.offset = offset
    self.field = field
  }

  init(_ error: FrameError) {
    self.init(status: error.status, offset: Int(error.offset), field: "\(error.field)")
  }

  var description: String { "status \(status), \(field) at \(offset)" }
}

/// Why the frame is refused, or nil.
func refusal(_ frame: [UInt8], available: Int? = nil) -> Refusal? {
  do throws(FrameError) {
    _ = try FrameView(checking: frame, available: available ?? frame.count)
    return nil
  } catch {
    return Refusal(error)
  }
}

/// The outcome of checking a frame and, if it passes, writing it again.
enum Outcome: Equatable {
  case refused
  case same
  case different
}

/// Checks the frame at `bytes` and writes it again into `target`, which has room for any frame.
func outcome(of bytes: UnsafeRawPointer, available: Int, into target: UnsafeMutableRawPointer) -> Outcome {
  guard let frame = try? FrameView(checking: bytes, available: available) else { return .refused }
  do {
    try frame.write(into: target, capacity: Int(LTP_FRAME_BYTES_MAX))
  } catch {
    return .different
  }
  for index in 0..<frame.sizeBytes
  where bytes.load(fromByteOffset: index, as: UInt8.self)
    != target.load(fromByteOffset: index, as: UInt8.self)
  {
    return .different
  }
  return .same
}

extension Array where Element == UInt8 {
  /// The same bytes with `value` written at `offset`.
  func setting<Value: BitwiseCopyable>(_ value: Value, at offset: Int) -> [UInt8] {
    var copy = self
    copy.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: Value.self) }
    return copy
  }
}
