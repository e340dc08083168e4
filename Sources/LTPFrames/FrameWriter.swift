// SPDX-License-Identifier: Apache-2.0
//
// Writes a frame in place into the caller's buffer.
//
// Invariants: the frame starts zeroed, so reserved bytes and unused entries need no thought; finish() runs
// the check that a reader runs, and a frame that fails it is left without a header, so that nobody sends it.

import CLTP

/// An encoder of one frame. Set the fields, then `finish()`.
public struct FrameWriter<View: TypedFrameView> {
  public let bytes: UnsafeMutableRawPointer
  public let sizeBytes: Int

  /// Zeroes the frame and writes its header.
  ///
  /// - Throws: `LTP_ERROR_NULL_ARGUMENT`, `LTP_ERROR_FRAME_FLAGS` for flags that the type does not know,
  ///   `LTP_ERROR_BUFFER_TOO_SMALL`.
  public init(
    into bytes: UnsafeMutableRawPointer?, capacity: Int, flags: UInt16 = 0
  ) throws(FrameError) {
    guard let bytes else { throw .nullArgument }
    let status = frameInit(bytes, capacity: capacity, type: View.type, flags: flags)
    let check = FrameCheck(ltp_frame_header(), base: 0)
    switch status {
    case LTP_OK: break
    case LTP_ERROR_FRAME_FLAGS: throw check.error(status, "header.flags") { address(&$0.flags) }
    case LTP_ERROR_FRAME_TYPE: throw check.error(status, "header.type") { address(&$0.type) }
    default: throw check.error(status, "header.size_bytes") { address(&$0.size_bytes) }
    }
    self.bytes = bytes
    self.sizeBytes = Int(bytes.loadUnaligned(as: ltp_frame_header.self).size_bytes)
  }

  /// Sets all fields of the frame but those of the line that flags add. The header stays as it is.
  public func set(_ fields: View.Fields) {
    let header = bytes.loadUnaligned(as: ltp_frame_header.self)
    bytes.storeBytes(of: fields, as: View.Fields.self)
    bytes.storeBytes(of: header, as: ltp_frame_header.self)
  }

  /// Sets a part of the line that flags add. Traps when the flags did not ask for that line.
  func set<Part: BitwiseCopyable>(_ part: Part, lastLineOffset: Int) {
    let offset = MemoryLayout<View.Fields>.size + lastLineOffset
    precondition(offset + MemoryLayout<Part>.size <= sizeBytes, "the frame has no such line")
    bytes.storeBytes(of: part, toByteOffset: offset, as: Part.self)
  }

  /// Checks the frame as its reader will. When that fails, the header is zeroed.
  @discardableResult
  public func finish() throws(FrameError) -> View {
    do {
      return try View(checking: bytes, available: sizeBytes)
    } catch {
      bytes.storeBytes(of: ltp_frame_header(), as: ltp_frame_header.self)
      throw error
    }
  }
}
