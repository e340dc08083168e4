// SPDX-License-Identifier: Apache-2.0
//
// What the views of the six types share: reading the fields in place, checking, and writing again.
//
// Invariants: a view never outlives the bytes it looks at, and those bytes do not change under it; that is
// the caller's part. Offsets are the C structure's: a property loads the structure and takes its field, which
// the optimizer turns into one load of that field.

public import CLTP

/// A view of a frame of one type. It looks at the caller's bytes, which may be unaligned, and keeps no copy.
public protocol TypedFrameView {
  /// The C structure of the frame; of its first line, where a flag adds a second one.
  associatedtype Fields
  /// `LTP_FRAME_*`
  static var type: UInt8 { get }
  var bytes: UnsafeRawPointer { get }
  /// All fields, copied.
  var fields: Fields { get }
  /// Looks at bytes that were found to be a frame of this type before.
  init(checked bytes: UnsafeRawPointer)
  /// Checks all that follows the header, in offset order.
  func checkBody() throws(FrameError)
  /// Sets every field of the writer's frame, which has the same flags, to this frame's.
  func copyFields(to writer: FrameWriter<Self>)
}

extension TypedFrameView {
  /// Checks the frame at `bytes`, of which `available` bytes can be read, and that it is of this type.
  public init(checking bytes: UnsafeRawPointer?, available: Int) throws(FrameError) {
    let frame = try FrameView(checking: bytes, available: available)
    guard frame.type == Self.type else {
      let header = FrameCheck(frame.bytes.loadUnaligned(as: ltp_frame_header.self), base: 0)
      throw header.error(LTP_ERROR_FRAME_TYPE, "header.type") { address(&$0.type) }
    }
    self.init(checked: frame.bytes)
  }

  @inlinable
  public var flags: UInt16 { bytes.loadUnaligned(as: ltp_frame_header.self).flags }

  /// Writes a frame with these fields and checks it. The header is written here: `fields.header` is ignored.
  ///
  /// - Throws: what `FrameWriter.init` and `FrameWriter.finish` throw.
  @discardableResult
  public static func write(
    _ fields: Fields, flags: UInt16 = 0, into target: UnsafeMutableRawPointer?, capacity: Int
  ) throws(FrameError) -> Self {
    let writer = try FrameWriter<Self>(into: target, capacity: capacity, flags: flags)
    writer.set(fields)
    return try writer.finish()
  }

  /// Writes the same frame again, field by field, into memory zeroed first: only fields are carried over.
  ///
  /// - Throws: `LTP_ERROR_NULL_ARGUMENT` or `LTP_ERROR_BUFFER_TOO_SMALL`.
  @discardableResult
  public func write(
    into target: UnsafeMutableRawPointer?, capacity: Int
  ) throws(FrameError) -> Self {
    let writer = try FrameWriter<Self>(into: target, capacity: capacity, flags: flags)
    copyFields(to: writer)
    return try writer.finish()
  }
}
