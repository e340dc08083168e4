// SPDX-License-Identifier: Apache-2.0
// The file "durable": how many blocks have been acknowledged. It tells a log that was cut by somebody from one
// whose last, unacknowledged blocks a crash took. Written through the page cache: it survives the process at
// once and a power loss later, and it never says more than is on disk. A power loss while it is written may leave
// anything in it, so it carries its hash; one that does not agree with it says nothing.

package import CLTP
import CLTPSystem

package enum Watermark {
  package static let bytes = MemoryLayout<ltp_watermark>.size
  private static let hashedBytes = LTP_AT_watermark_hash

  /// A whole watermark; nil when the hash could not be computed (no memory).
  package static func sealed(logID: LogID, durableBlocks: UInt64) -> ltp_watermark? {
    var mark = ltp_watermark()
    mark.magic = LTP_WATERMARK_MAGIC
    mark.version = UInt8(LTP_TRACE_VERSION)
    mark.hash_id = LTP_HASH_SHA256
    withUnsafeMutableBytes(of: &mark) { logID.store(to: $0.baseAddress! + LTP_AT_watermark_log_id) }
    mark.durable_blocks = durableBlocks
    return seal(&mark) ? mark : nil
  }

  /// Fills in the hash. False: there is no memory.
  package static func seal(_ mark: inout ltp_watermark) -> Bool {
    withUnsafeMutableBytes(of: &mark) { bytes in
      let base = bytes.baseAddress!
      guard let hash = Digest(of: base, count: hashedBytes) else { return false }
      hash.store(to: base + hashedBytes)
      return true
    }
  }

  /// The log and the count in these bytes, aligned to 8, or nil when they are not a whole watermark.
  package static func read(
    _ bytes: UnsafeRawPointer, count: Int
  ) -> (logID: LogID, durableBlocks: UInt64)? {
    guard count >= Self.bytes else { return nil }
    let mark = bytes.assumingMemoryBound(to: ltp_watermark.self)
    guard mark.pointee.magic == LTP_WATERMARK_MAGIC, mark.pointee.version == UInt8(LTP_TRACE_VERSION),
      mark.pointee.hash_id == LTP_HASH_SHA256,
      Digest(of: bytes, count: hashedBytes) == Digest(from: bytes + hashedBytes)
    else { return nil }
    return (LogID(from: bytes + LTP_AT_watermark_log_id), mark.pointee.durable_blocks)
  }
}
