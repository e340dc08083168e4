// SPDX-License-Identifier: Apache-2.0
// Sealed blocks between `append` and the moment when their owner has been told that they are durable.
//
// Invariants
//   - They stand in the order of their index, without a gap: the device completes them in any order, and they are
//     taken off the front alone.
//   - A block is complete only when all of its bytes were written.

import CLTP
import CLTPSystem

/// A sealed block on its way.
struct BlockInFlight {
  var index: UInt64
  var file: Int32
  var memory: UnsafeRawPointer
  var bytes: Int
  /// In the segment.
  var offset: UInt64
  var bufferIndex: Int32
  var done = 0
  var isStarted = false
  var isComplete = false
  var tries = 0
  /// Staging buffer to give back; -1: the block lies in its owner's memory.
  var staging: Int
  /// The owner's.
  var reference: Int
  var endSequence: UInt64
}

/// What became of a write.
enum WriteOutcome {
  case complete
  /// Some of it is left.
  case goesOn
  case failed(StorageFault)
}

struct BlocksInFlight: ~Copyable {
  private static let passingTriesMax = 100

  private let capacity: Int
  private let entries: UnsafeMutablePointer<BlockInFlight>
  private var first = 0
  private(set) var count = 0

  init(capacity: Int) {
    self.capacity = capacity
    entries = .allocate(capacity: capacity)
  }

  deinit { entries.deallocate() }

  var hasPlace: Bool { count < capacity }

  /// The block at `position` from the front. Good until that block is removed.
  subscript(position: Int) -> UnsafeMutablePointer<BlockInFlight> {
    assert(position < count)
    return entries + (first + position) % capacity
  }

  /// There is a place.
  mutating func append(_ block: BlockInFlight) -> UnsafeMutablePointer<BlockInFlight> {
    precondition(hasPlace)
    count += 1
    let added = self[count - 1]
    added.initialize(to: block)
    return added
  }

  mutating func removeFirst() -> BlockInFlight {
    let block = self[0].pointee
    first = (first + 1) % capacity
    count -= 1
    return block
  }

  /// The block whose operation the token names; nil: none of these.
  func block(of token: OperationToken) -> UnsafeMutablePointer<BlockInFlight>? {
    for position in 0..<count where token.isNumber(self[position].pointee.index) { return self[position] }
    return nil
  }

  /// How many are complete, counted from the front.
  var completeCount: Int {
    var complete = 0
    while complete < count, self[complete].pointee.isComplete { complete += 1 }
    return complete
  }

  /// The device still reads some of them.
  var areUnderWay: Bool {
    for position in 0..<count where self[position].pointee.isStarted && !self[position].pointee.isComplete {
      return true
    }
    return false
  }

  /// Enters what a write gave.
  static func enter(_ result: Int32, into block: UnsafeMutablePointer<BlockInFlight>) -> WriteOutcome {
    if result > 0 {
      // A short write goes on at the exact offset; it made progress, so it is not counted as a try.
      block.pointee.done += min(Int(result), block.pointee.bytes - block.pointee.done)
      block.pointee.isComplete = block.pointee.done == block.pointee.bytes
      return block.pointee.isComplete ? .complete : .goesOn
    }
    block.pointee.tries += 1
    guard result == 0 || StorageCompletion.isPassing(result), block.pointee.tries <= passingTriesMax else {
      // A write or sync error is final for the log: a later success could hide that this data is lost.
      return .failed(StorageFault(.write, code: StorageCompletion.code(of: result)))
    }
    return .goesOn
  }

  /// nil: all is as the file's head says; else what is not.
  func checkInvariants() -> StaticString? {
    guard count >= 0, count <= capacity else { return "blocks in flight: their count" }
    for position in 0..<count {
      let block = self[position].pointee
      if block.index != self[0].pointee.index + UInt64(position) { return "blocks in flight: a gap" }
      if block.done > block.bytes { return "blocks in flight: more was written than there is" }
      if block.isComplete != (block.done == block.bytes) {
        return "blocks in flight: complete before its end, or not at it"
      }
    }
    return nil
  }
}
