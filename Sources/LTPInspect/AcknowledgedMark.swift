// SPDX-License-Identifier: Apache-2.0
// The file "durable": how many blocks the writer has acknowledged. Read before the segments, so that a writer at
// work can only have put more there than it says.

import CLTP
import CLTPSystem
import LTPTrace

struct AcknowledgedMark: Equatable {
  var logID: LogID
  var durableBlocks: UInt64

  enum Reading: Equatable {
    case absent
    case damaged(String)
    case read(AcknowledgedMark)
  }

  static func read(in directory: TraceDirectory) -> Reading {
    let name = LTP_WATERMARK_NAME
    let regular = ltp_system_is_regular_at(directory.descriptor, name)
    if regular == -LTP_SYSTEM_ENOENT { return .absent }
    guard regular == 1 else {
      return .damaged(regular < 0 ? errorText(regular) : "it is not a regular file")
    }
    let descriptor = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
    guard descriptor >= 0 else { return .damaged(errorText(descriptor)) }
    defer { _ = ltp_system_close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: Watermark.bytes, alignment: 8) { bytes in
      let base = bytes.baseAddress!
      let got = ltp_system_read_at(descriptor, base, Watermark.bytes, 0)
      guard let mark = Watermark.read(base, count: Int(got)) else {
        return .damaged(got < 0 ? errorText(Int32(truncatingIfNeeded: got)) : "its magic or its size differs")
      }
      return .read(AcknowledgedMark(logID: mark.logID, durableBlocks: mark.durableBlocks))
    }
  }
}
