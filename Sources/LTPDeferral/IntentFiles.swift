// SPDX-License-Identifier: Apache-2.0
// Reading kept intents back from the segments that hold them, for whoever replays: in the order of the log for the most part, so a piece of it is
// read at once.

import CLTP
import CLTPSystem
package import LTPStorage

/// The segment that was read last, and a piece of it. Memory that is the owner's to give back (`releaseMemory`).
package struct IntentFiles<Device: StorageDevice & ~Copyable>: ~Copyable {
  /// No record is longer: it lies in one block.
  private static var windowBytes: Int { 2 << 20 }

  package var device: Device
  private let window: UnsafeMutableRawPointer
  private var segment = UInt64.max
  private var handle: Int32 = -1
  private var start: UInt64 = 0
  private var count = 0

  /// nil: no memory. It is taken as it is used.
  package init?(_ device: consuming Device) {
    guard let window = ltp_system_map(Self.windowBytes, 0) else { return nil }
    self.device = device
    self.window = window
  }

  package mutating func releaseMemory() {
    close()
    ltp_system_unmap(window, Self.windowBytes)
  }

  private mutating func close() {
    if handle >= 0 { device.close(handle) }
    (handle, segment, count) = (-1, .max, 0)
  }

  /// So many bytes of a segment, which stay until the next call; nil: they cannot be read. What was read before is not read again, though it may not
  /// have been on disk then: whoever finds it wrong calls `forget`, and reads once more.
  package mutating func read(
    _ name: FileName, _ segment: UInt64, offset: UInt64, count: Int
  ) -> UnsafeRawPointer? {
    guard count <= Self.windowBytes else { return nil }
    if segment == self.segment, offset >= start, offset + UInt64(count) <= start + UInt64(self.count) {
      return UnsafeRawPointer(window + Int(offset - start))
    }
    do throws(StorageFault) {
      if segment != self.segment {
        close()
        handle = try device.open(name, OpenMode())
        self.segment = segment
      }
      // More than is asked for only where the last piece was used up: intents by themselves are read by themselves.
      let isNext = offset >= start && offset < start + UInt64(self.count) + UInt64(count) && self.count > 0
      let wanted = isNext ? min(max(count, 4 * self.count), Self.windowBytes) : max(count, 4096)
      // Records are aligned to 32 bytes in their segment; keep them so.
      start = offset
      self.count = 0
      self.count = try device.read(handle, into: window, count: wanted, offset: offset)
    } catch {
      close()
      return nil
    }
    return self.count >= count ? UnsafeRawPointer(window) : nil
  }

  /// What was read may have been written over since.
  package mutating func forget() { count = 0 }
}
