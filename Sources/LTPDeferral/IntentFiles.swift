// SPDX-License-Identifier: Apache-2.0
// Reading kept intents back from the segments that hold them, for whoever replays: in the order of the log for the most part, so a piece of it is
// read at once.

import CLTP
import CLTPSystem
package import LTPStorage

/// A piece of one file. Memory that is the owner's to give back (`releaseMemory`).
struct FileWindow {
  private let memory: UnsafeMutableRawPointer
  private let capacity: Int
  private var start: UInt64 = 0
  private var count = 0

  /// nil: no memory. It is taken as it is used.
  init?(capacity: Int) {
    guard let memory = ltp_system_map(capacity, 0) else { return nil }
    self.memory = memory
    self.capacity = capacity
  }

  func releaseMemory() { ltp_system_unmap(memory, capacity) }

  /// What was read is of another file, or may have been written over since.
  mutating func forget() { count = 0 }

  /// So many bytes of the file, which stay until the next call; nil: there are not so many.
  mutating func read<Device: StorageDevice & ~Copyable>(
    _ handle: Int32, offset: UInt64, count wanted: Int, _ device: inout Device
  ) throws(StorageFault) -> UnsafeRawPointer? {
    guard wanted <= capacity else { return nil }
    if offset < start || offset + UInt64(wanted) > start + UInt64(count) {
      // More than is asked for only where the last piece was used up: records by themselves are read by themselves.
      let isNext = count > 0 && offset >= start && offset < start + UInt64(count) + UInt64(wanted)
      let ahead = isNext ? min(max(wanted, 4 * count), capacity) : max(wanted, 4096)
      // Records are aligned to 32 bytes in their segment; keep them so.
      start = offset
      count = 0
      count = try device.read(handle, into: memory, count: min(ahead, capacity), offset: offset)
    }
    return offset + UInt64(wanted) <= start + UInt64(count)
      ? UnsafeRawPointer(memory + Int(offset - start)) : nil
  }
}

/// The segment that was read last, and a piece of it. Memory that is the owner's to give back (`releaseMemory`).
package struct IntentFiles<Device: StorageDevice & ~Copyable>: ~Copyable {
  package var device: Device
  private var window: FileWindow
  private var segment = UInt64.max
  private var handle: Int32 = -1

  /// nil: no memory. It is taken as it is used.
  package init?(_ device: consuming Device) {
    // No record is longer: it lies in one block.
    guard let window = FileWindow(capacity: 2 << 20) else { return nil }
    self.device = device
    self.window = window
  }

  package mutating func releaseMemory() {
    close()
    window.releaseMemory()
  }

  private mutating func close() {
    if handle >= 0 { device.close(handle) }
    (handle, segment) = (-1, .max)
    window.forget()
  }

  /// So many bytes of a segment, which stay until the next call; nil: they cannot be read. What was read before is not read again, though it may not
  /// have been on disk then: whoever finds it wrong calls `forget`, and reads once more.
  package mutating func read(
    _ segment: UInt64, _ naming: ChainNaming, offset: UInt64, count: Int
  ) -> UnsafeRawPointer? {
    do throws(StorageFault) {
      if segment != self.segment {
        close()
        handle = try device.open(naming.name(of: .segment(segment)), OpenMode())
        self.segment = segment
      }
      return try window.read(handle, offset: offset, count: count, &device)
    } catch {
      close()
      return nil
    }
  }

  /// What was read may have been written over since.
  package mutating func forget() { window.forget() }
}
