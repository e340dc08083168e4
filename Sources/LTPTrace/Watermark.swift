// SPDX-License-Identifier: Apache-2.0
// The file "durable": how many blocks have been acknowledged. It tells a log that was cut by somebody from one
// whose last, unacknowledged blocks a crash took. Written through the page cache: it survives the process at
// once and a power loss later, and it never says more than is on disk. A power loss while it is written may leave
// anything in it, so it carries its hash; one that does not agree with it says nothing.

import CLTP
import CLTPSystem

public enum Watermark {
  public static let bytes = MemoryLayout<ltp_watermark>.size
  static let hashedBytes = bytes - Int(LTP_HASH_BYTES)

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
    guard seal(&mark) else { throw StorageFault(.write, code: LTP_SYSTEM_ENOMEM) }
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

  /// Fills in the hash. False: there is no memory.
  static func seal(_ mark: inout ltp_watermark) -> Bool {
    withUnsafeMutableBytes(of: &mark) { bytes in
      let base = bytes.baseAddress!
      guard let hash = Digest(of: base, count: hashedBytes) else { return false }
      hash.store(to: base + hashedBytes)
      return true
    }
  }

  /// The log and the count in these bytes, or nil when they are not a whole watermark.
  public static func read(
    _ bytes: UnsafeRawPointer, count: Int
  ) -> (logID: LogID, durableBlocks: UInt64)? {
    guard count >= Self.bytes, bytes.loadUnaligned(as: UInt64.self) == LTP_WATERMARK_MAGIC,
      Digest(of: bytes, count: hashedBytes) == Digest(from: bytes + hashedBytes)
    else { return nil }
    return (
      LogID(
        low: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
        high: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
      bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    )
  }
}
