// SPDX-License-Identifier: Apache-2.0
// The file "durable": how many blocks the writer has acknowledged. Read before the segments, so that a writer at
// work can only have put more there than it says.

import CLTP
import CLTPSystem
import LTPRecords

struct AcknowledgedMark: Equatable {
  var logID: LogID
  var durableBlocks: UInt64

  private static let triesMax = 3

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
      for _ in 0..<triesMax {
        let got = ltp_system_read_at(descriptor, base, Watermark.bytes, 0)
        if got < 0 { return .damaged(errorText(Int32(truncatingIfNeeded: got))) }
        if let mark = Watermark.read(base, count: Int(got)) {
          return .read(AcknowledgedMark(logID: mark.logID, durableBlocks: mark.durableBlocks))
        }
        // A writer at work may have been half way through it.
        ltp_system_sleep_ns(1_000_000)
      }
      return .damaged("its size, magic or hash differs")
    }
  }
}
