// SPDX-License-Identifier: Apache-2.0
// Reads a segment block by block through the storage seam, for recovery. Memory: one buffer of 4 MiB.

import CLTP
import CLTPSystem
import LTPRecords

struct SegmentReader: ~Copyable {
  static let bufferBytes = 4 << 20

  let handle: Int32
  let size: UInt64
  private let buffer: UnsafeMutableRawPointer
  private var bufferStart: UInt64 = 0
  private var bufferCount = 0

  /// Nil when there is no memory.
  init?(handle: Int32, size: UInt64) {
    guard let memory = ltp_system_map(Self.bufferBytes, 0) else { return nil }
    self.handle = handle
    self.size = size
    buffer = memory
  }

  deinit { ltp_system_unmap(buffer, Self.bufferBytes) }

  /// The bytes from `offset` (a multiple of a page) on: at least `wanted` of them unless the file ends before.
  mutating func bytes<Device: StorageDevice & ~Copyable>(
    at offset: UInt64, wanted: Int, _ device: inout Device
  ) throws(StorageFault) -> (base: UnsafeRawPointer, count: Int) {
    let here = Int(bitPattern: UInt(truncatingIfNeeded: offset &- bufferStart))
    let left = offset >= bufferStart && here <= bufferCount ? bufferCount - here : -1
    let toEnd = offset < size ? size - offset : 0
    if left < 0 || (left < wanted && UInt64(left) < toEnd) {
      bufferStart = offset
      bufferCount = try device.read(handle, into: buffer, count: Self.bufferBytes, offset: offset)
      return (UnsafeRawPointer(buffer), bufferCount)
    }
    return (UnsafeRawPointer(buffer + here), left)
  }

  /// Offset of the first byte at or after `offset` that is not zero.
  mutating func firstNonZeroByte<Device: StorageDevice & ~Copyable>(
    from offset: UInt64, _ device: inout Device
  ) throws(StorageFault) -> UInt64? {
    var at = offset
    while at < size {
      let (base, count) = try bytes(at: at, wanted: Self.bufferBytes, &device)
      guard count > 0 else { return nil }
      if let found = firstNonZero(base, from: 0, to: count) { return at + UInt64(found) }
      at += UInt64(count)
      // Direct reads start on page boundaries; only the last piece of a file may be shorter.
      if at % UInt64(LTP_TRACE_PAGE_BYTES) != 0 { return nil }
    }
    return nil
  }
}
