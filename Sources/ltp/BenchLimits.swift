// SPDX-License-Identifier: Apache-2.0
// What the machine itself can do, in the same run: SHA-256 on one core, and durable direct writes into space
// that was written before. A trace cannot be faster than the smaller of the two.

import CLTP
import CLTPSystem

struct BenchLimits {
  var sha256BytesPerSecond = 0.0
  var writeBytesPerSecond = 0.0
  /// How the writes were made, in words.
  var writeMethod = ""

  var smallerBytesPerSecond: Double { min(sha256BytesPerSecond, writeBytesPerSecond) }

  private static let hashBytes = 64 << 10
  private static let writeBytes = 256 << 10
  private static let fileBytes: UInt64 = 256 << 20
  private static let depth = 8

  /// Whole buffers of 64 KiB out of 4 MiB, which is what a lane's ring is by default.
  static func measureSHA256(seconds: Double) throws -> Double {
    let buffers = 64
    guard let memory = ltp_system_map(buffers * hashBytes, 0) else { throw BenchFailure("out of memory") }
    defer { ltp_system_unmap(memory, buffers * hashBytes) }
    memory.initializeMemory(as: UInt8.self, repeating: 0x5A, count: buffers * hashBytes)
    var digest = [UInt8](repeating: 0, count: Int(LTP_HASH_BYTES))
    let began = ltp_system_monotonic_ns()
    let end = began + UInt64(seconds * 1e9)
    var count = 0
    while ltp_system_monotonic_ns() < end {
      guard ltp_system_sha256(memory + count % buffers * hashBytes, hashBytes, &digest) == 0 else {
        throw BenchFailure("libcrypto cannot do SHA-256")
      }
      count += 1
    }
    return Double(count * hashBytes) * 1e9 / Double(ltp_system_monotonic_ns() - began)
  }

  /// Blocks of 256 KiB, eight under way, over and over into one file of `directory`.
  mutating func measureWrites(in directory: String, usesRing: Bool, seconds: Double) throws {
    let file = try BenchWriteFile(directory: directory, bytes: Self.fileBytes, blockBytes: Self.writeBytes)
    defer { file.remove() }
    let nanoseconds = UInt64(seconds * 1e9)
    if usesRing, let rate = try file.writeByRing(depth: Self.depth, nanoseconds: nanoseconds) {
      writeBytesPerSecond = rate
      writeMethod = "io_uring, \(Self.depth) writes of 256 KiB under way"
    } else {
      writeBytesPerSecond = try file.writeByCall(nanoseconds: nanoseconds)
      writeMethod = "pwritev2, one write of 256 KiB after the other"
    }
    writeMethod += file.isDirect ? ", O_DIRECT and RWF_DSYNC" : ", RWF_DSYNC through the page cache"
  }
}

/// A file that has been written once already and is then written over again, durably.
private final class BenchWriteFile {
  private static let name = "bench-write-limit.tmp"
  private let directory: Int32
  private var descriptor: Int32 = -1
  private(set) var isDirect = true
  private let bytes: UInt64
  private let blockBytes: Int
  private let memory: UnsafeMutableRawPointer
  private let buffers = 8

  init(directory path: String, bytes: UInt64, blockBytes: Int) throws {
    self.bytes = bytes
    self.blockBytes = blockBytes
    guard let memory = ltp_system_map(buffers * blockBytes, 0) else { throw BenchFailure("out of memory") }
    self.memory = memory
    memory.initializeMemory(as: UInt8.self, repeating: 0xA5, count: buffers * blockBytes)
    directory = ltp_system_open_directory(path)
    guard directory >= 0 else { throw BenchFailure("cannot open \(path): \(systemErrorText(directory))") }
    _ = ltp_system_unlink_at(directory, Self.name)
    descriptor = ltp_system_open_at(directory, Self.name, LTP_SYSTEM_CREATE | LTP_SYSTEM_DIRECT)
    if descriptor == -LTP_SYSTEM_EINVAL {
      // A file system without O_DIRECT may have made the name before it refused.
      _ = ltp_system_unlink_at(directory, Self.name)
      isDirect = false
      descriptor = ltp_system_open_at(directory, Self.name, LTP_SYSTEM_CREATE)
    }
    guard descriptor >= 0 else {
      throw BenchFailure("cannot write to \(path): \(systemErrorText(descriptor))")
    }
    try writeOnce()
  }

  private func writeOnce() throws {
    var offset: UInt64 = 0
    while offset < bytes {
      try write(at: offset, durable: 0)
      offset += UInt64(blockBytes)
    }
    guard ltp_system_sync(descriptor) == 0 else {
      throw BenchFailure("cannot sync the file for the write limit")
    }
  }

  private func write(at offset: UInt64, durable: Int32) throws {
    let put = ltp_system_write_at(descriptor, memory, blockBytes, offset, durable)
    guard put == Int64(blockBytes) else {
      let reason = put < 0 ? systemErrorText(Int32(put)) : "short write"
      throw BenchFailure("cannot write the file for the write limit: \(reason)")
    }
  }

  func writeByCall(nanoseconds: UInt64) throws -> Double {
    let began = ltp_system_monotonic_ns()
    var count: UInt64 = 0
    while ltp_system_monotonic_ns() - began < nanoseconds {
      try write(at: count * UInt64(blockBytes) % bytes, durable: 1)
      count += 1
    }
    return Double(count * UInt64(blockBytes)) * 1e9 / Double(ltp_system_monotonic_ns() - began)
  }

  /// Nil when io_uring cannot be had.
  func writeByRing(depth: Int, nanoseconds: UInt64) throws -> Double? {
    var created: OpaquePointer?
    guard ltp_system_ring_create(&created, UInt32(depth)) == 0, let ring = created else { return nil }
    defer { ltp_system_ring_destroy(ring) }
    guard ltp_system_ring_enable(ring) == 0 else { return nil }
    let registered =
      ltp_system_ring_reserve_buffers(ring, 1) == 0
      && ltp_system_ring_set_buffer(ring, 0, memory, buffers * blockBytes) == 0
    var completions = [ltp_system_completion](repeating: ltp_system_completion(), count: depth)
    var queued: UInt64 = 0
    var completed: UInt64 = 0
    let began = ltp_system_monotonic_ns()
    var isOver = false
    while !isOver || completed < queued {
      isOver = isOver || ltp_system_monotonic_ns() - began >= nanoseconds
      while !isOver, queued - completed < UInt64(depth) {
        let result = ltp_system_ring_queue_write(
          ring, descriptor, -1, memory + Int(queued % UInt64(buffers)) * blockBytes, UInt32(blockBytes),
          queued * UInt64(blockBytes) % bytes, registered ? 0 : -1, 1, queued)
        guard result == 0 else { break }
        queued += 1
      }
      _ = ltp_system_ring_submit(ring)
      _ = ltp_system_ring_wait(ring, 100_000_000)
      let count = Int(ltp_system_ring_reap(ring, &completions, UInt32(depth)))
      for index in 0..<count where completions[index].result != Int32(blockBytes) {
        throw BenchFailure("a direct write for the write limit failed: \(completions[index].result)")
      }
      completed += UInt64(count)
    }
    return Double(completed * UInt64(blockBytes)) * 1e9 / Double(ltp_system_monotonic_ns() - began)
  }

  func remove() {
    _ = ltp_system_close(descriptor)
    _ = ltp_system_unlink_at(directory, Self.name)
    _ = ltp_system_close(directory)
    ltp_system_unmap(memory, buffers * blockBytes)
  }
}
