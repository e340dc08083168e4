// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a frame: one status, and the field that it is about.
//
// Invariant: `field` is a literal, so that C callers can keep a pointer to it for ever.

public import CLTP

/// Why a frame was refused.
public struct FrameError: Error, Sendable {
  /// `LTP_ERROR_FRAME_*`, `LTP_ERROR_NULL_ARGUMENT`, or, from an encoder, `LTP_ERROR_BUFFER_TOO_SMALL`.
  public let status: Int32
  /// Bytes from the frame's first byte to the field.
  public let offset: UInt32
  /// The field's name, such as "route_request.reserved" or "orientation.evidence[1].signal".
  public let field: StaticString

  public init(status: Int32, offset: UInt32, field: StaticString) {
    self.status = status
    self.offset = offset
    self.field = field
  }

  /// No frame at all: a null pointer.
  static var nullArgument: FrameError {
    FrameError(status: LTP_ERROR_NULL_ARGUMENT, offset: 0, field: "frame")
  }

  /// The same as the C structure. Its `field` points to static, zero-terminated storage.
  public var cValue: ltp_frame_error {
    ltp_frame_error(status: status, offset: offset, field: Self.cString(field), reserved: (0, 0))
  }

  static func cString(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
