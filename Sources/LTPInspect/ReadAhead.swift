// SPDX-License-Identifier: Apache-2.0
// Reads the segments of a trace, one after the other, ahead of whoever checks them: one thread, a ring of
// buffers, chunks at aligned offsets. Memory is bufferCount buffers, whatever the trace holds.
//
// Each buffer has room in front of its chunk, so that a block that straddles two chunks lies in one piece.
// `produced` is written by the reader and `consumed` by the checker, both under the mutex.

import CLTPSystem
import Glibc
import LTPTrace

/// Bytes of a segment: `count` at `base`, the first of them at `offset` in the segment.
struct Chunk {
  var base: UnsafeMutableRawPointer
  /// Index into the directory's list of segments.
  var ordinal: Int
  var offset: Int
  var count: Int
  /// Nothing of this segment follows.
  var isLast: Bool
  /// -errno when the segment could not be read here; 0 otherwise.
  var failure: Int32
  /// The entry is not a regular file.
  var isForeign = false
}

final class ReadAhead: @unchecked Sendable {
  static let chunkBytes = 4 << 20
  static let headroomBytes = BlockHeader.bytesMax
  static let bufferCount = 4
  private static let bufferBytes = chunkBytes + headroomBytes

  private let directory: TraceDirectory
  private let wantsDirect: Bool
  let memory: UnsafeMutableRawPointer
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var chunks: [Chunk]
  private var produced = 0
  private var consumed = 0
  private var stopping = false
  private var thread = ltp_system_thread()

  init(_ directory: TraceDirectory, direct: Bool) throws(InspectFailure) {
    guard let memory = ltp_system_map(Self.bufferBytes * Self.bufferCount, 0) else {
      throw InspectFailure("no memory for \(Self.bufferBytes * Self.bufferCount) bytes of read buffers")
    }
    self.directory = directory
    self.memory = memory
    wantsDirect = direct
    let empty = Chunk(base: memory, ordinal: 0, offset: 0, count: 0, isLast: true, failure: 0)
    chunks = Array(repeating: empty, count: Self.bufferCount)
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
    let result = ltp_system_thread_start(
      &thread, { Unmanaged<ReadAhead>.fromOpaque($0!).takeUnretainedValue().run() }, argument, "ltp-read")
    guard result == 0 else {
      throw InspectFailure("cannot start the reading thread: \(errorText(result))")
    }
  }

  /// Ends the thread, wherever it is.
  func stop() {
    pthread_mutex_lock(mutex)
    stopping = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
    ltp_system_thread_join(&thread)
  }

  /// The chunk `ahead` places after the one in use; waits for it. Buffers stay valid until released.
  func chunk(ahead: Int) -> Chunk {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while produced <= consumed + ahead { pthread_cond_wait(changed, mutex) }
    return chunks[(consumed + ahead) % Self.bufferCount]
  }

  /// Gives the oldest buffer back.
  func release() {
    pthread_mutex_lock(mutex)
    consumed += 1
    pthread_cond_signal(changed)
    pthread_mutex_unlock(mutex)
  }

  // MARK: The reader's side

  private func run() {
    for ordinal in directory.segments.indices {
      guard read(ordinal) else { return }
    }
  }

  /// The next free buffer, past its headroom; nil when stopping.
  private func freeBuffer() -> UnsafeMutableRawPointer? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while produced - consumed >= Self.bufferCount, !stopping { pthread_cond_wait(changed, mutex) }
    if stopping { return nil }
    return memory + (produced % Self.bufferCount) * Self.bufferBytes + Self.headroomBytes
  }

  private func deliver(_ chunk: Chunk) {
    pthread_mutex_lock(mutex)
    chunks[produced % Self.bufferCount] = chunk
    produced += 1
    pthread_cond_signal(changed)
    pthread_mutex_unlock(mutex)
  }

  /// Reads one segment to its end. False when stopping.
  private func read(_ ordinal: Int) -> Bool {
    let name = SegmentName.text(directory.segments[ordinal])
    var chunk = Chunk(base: memory, ordinal: ordinal, offset: 0, count: 0, isLast: true, failure: 0)
    let regular = ltp_system_is_regular_at(directory.descriptor, name)
    var direct = wantsDirect
    var descriptor: Int32 = -1
    if regular == 1 {
      let flags = LTP_SYSTEM_READ_ONLY | (direct ? LTP_SYSTEM_DIRECT : 0)
      descriptor = ltp_system_open_at(directory.descriptor, name, flags)
      if descriptor == -EINVAL, direct {
        direct = false
        descriptor = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
      }
    }
    guard descriptor >= 0 else {
      guard let buffer = freeBuffer() else { return false }
      chunk.base = buffer
      chunk.failure = regular < 0 ? regular : regular == 0 ? 0 : descriptor
      chunk.isForeign = regular == 0
      deliver(chunk)
      return true
    }
    defer { _ = ltp_system_close(descriptor) }
    repeat {
      guard let buffer = freeBuffer() else { return false }
      chunk.base = buffer
      chunk.offset += chunk.count
      fill(&chunk, descriptor, direct: direct)
      deliver(chunk)
    } while !chunk.isLast
    return true
  }

  /// Reads up to a whole chunk at the chunk's offset.
  private func fill(_ chunk: inout Chunk, _ descriptor: Int32, direct: Bool) {
    chunk.count = 0
    chunk.isLast = false
    while chunk.count < Self.chunkBytes {
      let got = ltp_system_read_at(
        descriptor, chunk.base + chunk.count, Self.chunkBytes - chunk.count,
        UInt64(chunk.offset + chunk.count))
      if got == -Int64(EINTR) { continue }
      if got < 0 { chunk.failure = Int32(truncatingIfNeeded: got) }
      if got > 0 { chunk.count += Int(got) }
      // A direct read that ends inside a page has reached the end of the file.
      if got <= 0 || (direct && chunk.count % 4096 != 0) {
        chunk.isLast = true
        return
      }
    }
  }
}
