// SPDX-License-Identifier: Apache-2.0
//
// The first eight bytes of every frame, and the one size that type and flags call for.
//
// Invariant: FrameShape is the only place that says which flags a type knows and how long its frames are.

import CLTP

#if _endian(big)
  #error("Frames are little-endian and read in place: this needs a little-endian processor.")
#endif

/// Which flags a type of frame knows, and its size with and without its last line.
struct FrameShape {
  /// Bytes of a frame without the line that flags add.
  let sizeBytes: Int
  let flagsKnown: UInt16
  /// The flags of which each adds the last line; 0 where none does.
  let lastLineFlags: UInt16
  let lastLineBytes: Int

  private init(
    _ sizeBytes: Int, flags: UInt16 = 0, lastLineFlags: UInt16 = 0, lastLineBytes: Int = 0
  ) {
    self.sizeBytes = sizeBytes
    self.flagsKnown = flags | lastLineFlags
    self.lastLineFlags = lastLineFlags
    self.lastLineBytes = lastLineBytes
  }

  /// Nil for a type that does not exist.
  init?(type: UInt8) {
    switch type {
    case LTP_FRAME_HELLO:
      self.init(MemoryLayout<ltp_hello>.size, flags: LTP_HELLO_ANSWER | LTP_HELLO_LATER)
    case LTP_FRAME_HEARTBEAT:
      self.init(MemoryLayout<ltp_heartbeat>.size)
    case LTP_FRAME_ORIENTATION:
      self.init(
        MemoryLayout<ltp_orientation>.size, lastLineFlags: LTP_ORIENTATION_HAS_PEER,
        lastLineBytes: MemoryLayout<ltp_orientation_peer>.size)
    case LTP_FRAME_ROUTE_REQUEST:
      self.init(
        MemoryLayout<ltp_route_request>.size, flags: LTP_REQUEST_HAS_DEADLINE,
        lastLineFlags: LTP_REQUEST_HAS_GOAL | LTP_REQUEST_REPLAY,
        lastLineBytes: MemoryLayout<ltp_route_goal>.size)
    case LTP_FRAME_ROUTE_RESPONSE:
      self.init(
        MemoryLayout<ltp_route_response>.size, lastLineFlags: LTP_RESPONSE_HAS_BRANCHES,
        lastLineBytes: MemoryLayout<ltp_route_branch>.stride * Int(LTP_BRANCHES_MAX))
    case LTP_FRAME_FOCUS_SNAPSHOT:
      self.init(MemoryLayout<ltp_focus_snapshot>.size)
    default:
      return nil
    }
  }

  /// Bytes of a frame with these flags; unknown flags change nothing.
  func sizeBytes(flags: UInt16) -> Int {
    sizeBytes + (flags & lastLineFlags != 0 ? lastLineBytes : 0)
  }
}

/// A header as it was read.
struct FrameHeader {
  let type: UInt8
  let sizeBytes: Int

  /// Reads and checks the header, and that the whole frame is there. In offset order, except that the flags
  /// come before the size, because the size follows from them.
  init(checking bytes: UnsafeRawPointer, available: Int) throws(FrameError) {
    guard available >= MemoryLayout<ltp_frame_header>.size else {
      throw FrameError(status: LTP_ERROR_FRAME_SHORT, offset: 0, field: "header")
    }
    let header = bytes.loadUnaligned(as: ltp_frame_header.self)
    let check = FrameCheck(header, base: 0)
    guard header.magic == LTP_FRAME_MAGIC else {
      throw check.error(LTP_ERROR_FRAME_MAGIC, "header.magic") { address(&$0.magic) }
    }
    guard header.version == UInt8(LTP_PROTOCOL_VERSION) else {
      throw check.error(LTP_ERROR_FRAME_VERSION, "header.version") { address(&$0.version) }
    }
    guard let shape = FrameShape(type: header.type) else {
      throw check.error(LTP_ERROR_FRAME_TYPE, "header.type") { address(&$0.type) }
    }
    guard header.flags & ~shape.flagsKnown == 0 else {
      throw check.error(LTP_ERROR_FRAME_FLAGS, "header.flags") { address(&$0.flags) }
    }
    let sizeBytes = shape.sizeBytes(flags: header.flags)
    guard Int(header.size_bytes) == sizeBytes else {
      throw check.error(LTP_ERROR_FRAME_SIZE, "header.size_bytes") { address(&$0.size_bytes) }
    }
    guard available >= sizeBytes else {
      throw check.error(LTP_ERROR_FRAME_SHORT, "header.size_bytes") { address(&$0.size_bytes) }
    }
    self.type = header.type
    self.sizeBytes = sizeBytes
  }
}

/// Zeroes the frame of this type and flags at `bytes` and writes its header; the fields are the caller's.
///
/// - Returns: `LTP_OK`, `LTP_ERROR_NULL_ARGUMENT`, `LTP_ERROR_FRAME_TYPE`, `LTP_ERROR_FRAME_FLAGS`, or
///   `LTP_ERROR_BUFFER_TOO_SMALL` when the frame needs more than `capacity` bytes. Nothing is written unless
///   `LTP_OK`.
public func frameInit(
  _ bytes: UnsafeMutableRawPointer?, capacity: Int, type: UInt8, flags: UInt16
) -> Int32 {
  guard let bytes else { return LTP_ERROR_NULL_ARGUMENT }
  guard let shape = FrameShape(type: type) else { return LTP_ERROR_FRAME_TYPE }
  guard flags & ~shape.flagsKnown == 0 else { return LTP_ERROR_FRAME_FLAGS }
  let sizeBytes = shape.sizeBytes(flags: flags)
  guard capacity >= sizeBytes else { return LTP_ERROR_BUFFER_TOO_SMALL }
  bytes.initializeMemory(as: UInt8.self, repeating: 0, count: sizeBytes)
  let header = ltp_frame_header(
    magic: LTP_FRAME_MAGIC, version: UInt8(LTP_PROTOCOL_VERSION), type: type,
    size_bytes: UInt16(sizeBytes), flags: flags)
  bytes.storeBytes(of: header, as: ltp_frame_header.self)
  return LTP_OK
}
