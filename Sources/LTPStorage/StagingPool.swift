// SPDX-License-Identifier: Apache-2.0
// Buffers for blocks that are not written from where they were filled. The memory is the owner's.
//
// Invariant: each buffer is free, or with exactly one user.

struct StagingPool {
  static let buffersMax = 8

  private let base: UnsafeMutableRawPointer
  private let bufferBytes: Int
  private let count: Int
  /// The first `freeCount` are free.
  private var free = InlineArray<8, Int>(repeating: 0)
  private(set) var freeCount: Int

  init(memory: UnsafeMutableRawPointer, bufferBytes: Int, count: Int) {
    precondition(count <= Self.buffersMax)
    base = memory
    self.bufferBytes = bufferBytes
    self.count = count
    freeCount = count
    for index in 0..<count { free[index] = index }
  }

  func memory(_ index: Int) -> UnsafeMutableRawPointer { base + index * bufferBytes }

  mutating func acquire() -> Int? {
    guard freeCount > 0 else { return nil }
    freeCount -= 1
    return free[freeCount]
  }

  mutating func release(_ index: Int) {
    precondition(freeCount < count, "a staging buffer is given back twice")
    free[freeCount] = index
    freeCount += 1
  }

  var usedCount: Int { count - freeCount }

  /// nil: all is as the file's head says; else what is not.
  func checkInvariants() -> StaticString? {
    guard freeCount >= 0, freeCount <= count else { return "staging: the count of free buffers" }
    var seen = 0
    for place in 0..<freeCount {
      guard free[place] >= 0, free[place] < count else { return "staging: no such buffer" }
      if seen & 1 << free[place] != 0 { return "staging: a buffer is free twice" }
      seen |= 1 << free[place]
    }
    return nil
  }
}
