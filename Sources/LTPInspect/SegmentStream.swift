// SPDX-License-Identifier: Apache-2.0
// The checker's view of what is read ahead: a window over the bytes of one segment that moves forward, keeping what is not
// used up yet in front of what comes next. As long as whole pages are used up, the window starts on a page, in memory as
// in the file: records in it are read where they lie.

import CLTPSystem

struct SegmentStream {
  private let reader: ReadAhead
  private var chunk: Chunk
  private var hasChunk = false
  /// The window's first byte, and where in the segment it lies.
  private(set) var base: UnsafeRawPointer
  private(set) var offset = 0
  private(set) var count = 0

  /// An empty window.
  init(_ reader: ReadAhead) {
    self.reader = reader
    base = UnsafeRawPointer(reader.memory)
    chunk = Chunk(base: reader.memory)
  }

  /// No byte of this segment comes after the window's.
  var isAtEnd: Bool { chunk.isLast }
  var failure: Int32 { chunk.failure }
  var isForeign: Bool { chunk.isForeign }

  /// Moves to the start of the next segment, dropping what is left of this one.
  mutating func beginSegment() {
    while hasChunk, !chunk.isLast { advanceChunk() }
    advanceChunk()
    base = UnsafeRawPointer(chunk.base)
    offset = chunk.offset
    count = chunk.count
  }

  /// Drops the window's first `used` bytes and appends the next chunk. `isAtEnd` must be false, and at most
  /// ReadAhead.headroomBytes may be left.
  mutating func advance(used: Int) {
    let left = count - used
    precondition(left >= 0 && left <= ReadAhead.headroomBytes && !chunk.isLast)
    let next = reader.chunk(ahead: 1)
    let start = next.base - left
    start.copyMemory(from: base + used, byteCount: left)
    reader.release()
    chunk = next
    offset += used
    base = UnsafeRawPointer(start)
    count = left + next.count
  }

  private mutating func advanceChunk() {
    if hasChunk { reader.release() }
    chunk = reader.chunk(ahead: 0)
    hasChunk = true
  }
}
