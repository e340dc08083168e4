// SPDX-License-Identifier: Apache-2.0
// The file "durable": how many blocks have been acknowledged. It tells a log that was cut by somebody from one
// whose last, unacknowledged blocks a crash took. Written through the page cache: it survives the process at
// once and a power loss later, and it never says more than is on disk.

import CLTP

public enum Watermark {
  public static let bytes = MemoryLayout<ltp_watermark>.size

  static func write<Storage: TraceStorage & ~Copyable>(
    _ storage: inout Storage, handle: Int32, logID: LogID, durableBlocks: UInt64
  ) throws(StorageFault) {
    var mark = ltp_watermark()
    mark.magic = LTP_WATERMARK_MAGIC
    withUnsafeMutableBytes(of: &mark.log_id) { bytes in
      bytes.storeBytes(of: logID.low, toByteOffset: 0, as: UInt64.self)
      bytes.storeBytes(of: logID.high, toByteOffset: 8, as: UInt64.self)
    }
    mark.durable_blocks = durableBlocks
    let result: Result<Void, StorageFault> = withUnsafeBytes(of: &mark) { bytes in
      do throws(StorageFault) {
        try storage.write(handle, from: bytes.baseAddress!, count: bytes.count, offset: 0)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  /// The log and the count in these bytes, or nil when they are not a watermark.
  public static func read(
    _ bytes: UnsafeRawPointer, count: Int
  ) -> (logID: LogID, durableBlocks: UInt64)? {
    guard count >= Self.bytes, bytes.loadUnaligned(as: UInt64.self) == LTP_WATERMARK_MAGIC else {
      return nil
    }
    return (
      LogID(
        low: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
        high: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
      bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    )
  }
}
