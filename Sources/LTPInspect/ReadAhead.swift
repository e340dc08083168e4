// SPDX-License-Identifier: Apache-2.0
// Reads the segments of a trace, one after the other, ahead of whoever checks them: a few threads, because a device
// gives one request at a time less than it has; a ring of buffers; chunks at aligned offsets. Memory is bufferCount
// buffers, whatever the trace holds.
//
// Each buffer has room in front of its chunk, so that a block that straddles two chunks lies in one piece.
// Chunks are numbered in the order of the log, and chunk n goes to buffer n modulo bufferCount. Numbers are given
// out, and chunks handed over, under the mutex; the reading itself is outside it.

import CLTPSystem
import Glibc
import LTPRecords

/// Bytes of a segment: `count` at `base`, the first of them at `offset` in the segment.
struct Chunk {
  var base: UnsafeMutableRawPointer
  var offset = 0
  var count = 0
  /// Nothing of this segment follows.
  var isLast = true
  /// -errno when the segment could not be read here; 0 otherwise.
  var failure: Int32 = 0
  /// The entry is not a regular file.
  var isForeign = false
}

/// A segment's descriptor, closed when the last read of it is over.
private final class OpenSegment {
  let descriptor: Int32
  let isDirect: Bool
  let size: Int

  /// Throws -errno, or 0 when the entry is not a regular file.
  init(_ directory: TraceDirectory, _ index: UInt64, direct: Bool) throws(ReadRefusal) {
    let name = SegmentName.text(index)
    let regular = ltp_system_is_regular_at(directory.descriptor, name)
    guard regular == 1 else { throw ReadRefusal(code: regular) }
    var opened: Int32 = -LTP_SYSTEM_EINVAL
    var isDirect = direct
    if direct {
      opened = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY | LTP_SYSTEM_DIRECT)
    }
    if opened == -LTP_SYSTEM_EINVAL {
      // This file system has no direct reads.
      isDirect = false
      opened = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
    }
    guard opened >= 0 else { throw ReadRefusal(code: opened) }
    let size = ltp_system_size(opened)
    guard size >= 0 else {
      _ = ltp_system_close(opened)
      throw ReadRefusal(code: Int32(truncatingIfNeeded: size))
    }
    descriptor = opened
    self.isDirect = isDirect
    self.size = Int(size)
  }

  deinit { _ = ltp_system_close(descriptor) }
}

private struct ReadRefusal: Error {
  let code: Int32
}

final class ReadAhead: @unchecked Sendable {
  static let chunkBytes = 4 << 20
  /// A block's most; whole huge pages, so that chunks are whole huge pages too.
  static let headroomBytes = 2 * BlockHeader.bytesMax
  static let bufferCount = 6
  static let threadCount = 4
  private static let bufferBytes = chunkBytes + headroomBytes

  let memory: UnsafeMutableRawPointer
  private let directory: TraceDirectory
  private let segments: [UInt64]
  private let wantsDirect: Bool
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var threads: [ltp_system_thread] = []
  // Guarded by the mutex.
  private var chunks: [Chunk]
  /// Number of the chunk that is in the buffer, plus one; 0: none yet.
  private var filled: [Int]
  private var issued = 0
  private var consumed = 0
  private var isStopping = false
  private var ordinal = 0
  private var offset = 0
  private var current: OpenSegment?

  /// `segments`: those to read, in this order.
  init(_ directory: TraceDirectory, segments: [UInt64], direct: Bool) throws(InspectFailure) {
    // Huge pages give the device few, long pieces of memory; a short trace does not use all of it.
    let isLong = segments.count > 2
    let memory = ltp_system_map(Self.bufferBytes * Self.bufferCount, isLong ? LTP_SYSTEM_RESIDENT : 0)
    guard let memory else {
      throw InspectFailure("no memory for \(Self.bufferBytes * Self.bufferCount) bytes of read buffers")
    }
    self.directory = directory
    self.segments = segments
    self.memory = memory
    wantsDirect = direct
    chunks = Array(repeating: Chunk(base: memory), count: Self.bufferCount)
    filled = Array(repeating: 0, count: Self.bufferCount)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
    ltp_system_unmap(memory, Self.bufferBytes * Self.bufferCount)
  }

  /// Starts reading. Pair with `stop()`.
  func start() throws(InspectFailure) {
    let argument = Unmanaged.passUnretained(self).toOpaque()
    for _ in 0..<Self.threadCount {
      var thread = ltp_system_thread()
      let result = ltp_system_thread_start(
        &thread, { Unmanaged<ReadAhead>.fromOpaque($0!).takeUnretainedValue().run() }, argument, "ltp-read")
      if result == 0 {
        threads.append(thread)
      } else if threads.isEmpty {
        throw InspectFailure("cannot start a reading thread: \(errorText(result))")
      } else {
        return
      }
    }
  }

  /// Ends the threads, wherever they are.
  func stop() {
    pthread_mutex_lock(mutex)
    isStopping = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
    for index in threads.indices { ltp_system_thread_join(&threads[index]) }
    threads = []
  }

  /// The chunk `ahead` places after the one in use; waits for it. Buffers stay valid until released.
  func chunk(ahead: Int) -> Chunk {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    let number = consumed + ahead
    while filled[number % Self.bufferCount] != number + 1 { pthread_cond_wait(changed, mutex) }
    return chunks[number % Self.bufferCount]
  }

  /// Gives the oldest buffer back.
  func release() {
    pthread_mutex_lock(mutex)
    consumed += 1
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  // MARK: The readers' side

  private func run() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      while issued - consumed >= Self.bufferCount, !isStopping { pthread_cond_wait(changed, mutex) }
      guard !isStopping, ordinal < segments.count else { return }
      let number = issued
      issued += 1
      let buffer = memory + (number % Self.bufferCount) * Self.bufferBytes + Self.headroomBytes
      var (chunk, segment) = next(in: buffer)
      if let segment {
        pthread_mutex_unlock(mutex)
        Self.fill(&chunk, from: segment)
        pthread_mutex_lock(mutex)
      }
      chunks[number % Self.bufferCount] = chunk
      filled[number % Self.bufferCount] = number + 1
      pthread_cond_broadcast(changed)
    }
  }

  /// What the next chunk is to hold, and where it comes from; no segment when that cannot be opened. The caller
  /// holds the mutex.
  private func next(in buffer: UnsafeMutableRawPointer) -> (Chunk, OpenSegment?) {
    var chunk = Chunk(base: buffer, offset: offset)
    if current == nil {
      do throws(ReadRefusal) {
        current = try OpenSegment(directory, segments[ordinal], direct: wantsDirect)
      } catch {
        chunk.failure = error.code
        chunk.isForeign = error.code == 0
        ordinal += 1
        return (chunk, nil)
      }
    }
    let segment = current
    offset += Self.chunkBytes
    chunk.isLast = offset >= (segment?.size ?? 0)
    if chunk.isLast {
      ordinal += 1
      offset = 0
      current = nil
    }
    return (chunk, segment)
  }

  /// Reads up to a whole chunk. A file that was cut meanwhile gives fewer bytes, or none.
  private static func fill(_ chunk: inout Chunk, from segment: OpenSegment) {
    let wanted = min(chunkBytes, max(0, segment.size - chunk.offset))
    let page = 4096
    // Direct reads take whole pages, also the last one.
    let asked = segment.isDirect ? (wanted + page - 1) / page * page : wanted
    while chunk.count < wanted {
      let got = ltp_system_read_at(
        segment.descriptor, chunk.base + chunk.count, asked - chunk.count,
        UInt64(chunk.offset + chunk.count))
      if got == -Int64(LTP_SYSTEM_EINTR) { continue }
      if got < 0 { chunk.failure = Int32(truncatingIfNeeded: got) }
      if got > 0 { chunk.count += Int(got) }
      // A direct read that ends inside a page has reached the end of the file.
      if got <= 0 || (segment.isDirect && chunk.count % page != 0) { break }
    }
    chunk.count = min(chunk.count, wanted)
    // What comes before another chunk ends on a page, so that blocks stay aligned: only a file that shrank just now does not.
    if !chunk.isLast { chunk.count -= chunk.count % page }
  }
}
