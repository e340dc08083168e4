// SPDX-License-Identifier: Apache-2.0
// The file "durable": how many blocks the writer has acknowledged. Read before the segments, so that a writer at
// work can only have put more there than it says.

import CLTP
import CLTPSystem
import LTPTrace

struct Watermark: Equatable {
  var logID: LogID
  var durableBlocks: UInt64

  enum Reading: Equatable {
    case absent
    case unusable(String)
    case read(Watermark)
  }

  static func read(in directory: TraceDirectory) -> Reading {
    let name = LTP_WATERMARK_NAME
    let regular = ltp_system_is_regular_at(directory.descriptor, name)
    if regular == -2 { return .absent }  // ENOENT
    guard regular == 1 else {
      return .unusable(regular < 0 ? errorText(regular) : "it is not a regular file")
    }
    let descriptor = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
    guard descriptor >= 0 else { return .unusable(errorText(descriptor)) }
    defer { _ = ltp_system_close(descriptor) }
    let size = MemoryLayout<ltp_watermark>.size
    return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { bytes in
      let base = bytes.baseAddress!
      let got = ltp_system_read_at(descriptor, base, size, 0)
      guard got == Int64(size) else { return .unusable("it is shorter than \(size) bytes") }
      guard base.load(as: UInt64.self) == LTP_WATERMARK_MAGIC else { return .unusable("its magic differs") }
      return .read(
        Watermark(
          logID: LogID(
            low: base.load(fromByteOffset: 8, as: UInt64.self),
            high: base.load(fromByteOffset: 16, as: UInt64.self)),
          durableBlocks: base.load(fromByteOffset: 24, as: UInt64.self)))
    }
  }
}
