// SPDX-License-Identifier: Apache-2.0
// The orientations that the log's transitions brought, so that a word that a decision names can be looked up.
//
// A fixed table of the last epochs: memory does not grow with the trace. Epochs rise by one, but for the one whose low
// 32 bits would be zero.

import CLTP
import LTPRecords

/// One published orientation: what the word does not say about itself.
struct PublishedOrientation: Equatable {
  var word: OrientationWord
  /// Of the word, in full.
  var numbers = EpochNumbers()
  var policyGeneration: UInt32
}

struct OrientationHistory: ~Copyable {
  static let entriesMax = 1 << 20

  enum Answer: Equatable {
    /// A transition brought this word, under this policy generation.
    case known(policyGeneration: UInt32)
    /// It is from before the first segment that is retained, or older than the table.
    case forgotten
    /// No transition brought it yet.
    case ahead
    /// The transition of this epoch brought another word.
    case differs(UInt64)
  }

  private struct Entry {
    var word: UInt64
    var policyGeneration: UInt32
  }

  private let capacity: Int
  // Zeroed by the system, so that a short trace touches only what it uses.
  private let entries: UnsafeMutablePointer<Entry>
  /// What the last transition brought; nil when the log's beginning is not at hand.
  private(set) var current: PublishedOrientation?
  /// Words of lower epochs cannot be looked up.
  private var floor: UInt64 = 0

  /// `capacity` is a power of two.
  init(capacity: Int = entriesMax) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0)
    self.capacity = capacity
    let bytes = capacity * MemoryLayout<Entry>.stride
    entries = allocateZeroed(bytes).bindMemory(to: Entry.self, capacity: capacity)
  }

  deinit { releaseZeroed(entries) }

  /// The log begins here: epoch 0, UNKNOWN, nothing published.
  mutating func beginLog() {
    floor = 1
    current = PublishedOrientation(word: OrientationWord(rawValue: 0), policyGeneration: 0)
  }

  /// Takes this as the orientation in force; epochs before it are forgotten.
  mutating func beginAt(_ orientation: PublishedOrientation) {
    floor = orientation.numbers.epoch
    record(orientation)
  }

  /// What follows may not fit what came before.
  mutating func forget() { current = nil }

  /// Takes in a transition. The caller has checked that its epoch is the next one.
  mutating func record(_ orientation: PublishedOrientation) {
    current = orientation
    entries[index(orientation.word.epoch)] = Entry(
      word: orientation.word.rawValue, policyGeneration: orientation.policyGeneration)
  }

  func look(up word: OrientationWord) -> Answer {
    guard let current else { return .forgotten }
    let latest = current.numbers.epoch
    let epoch = current.numbers.extended(to: word).epoch
    if word.epoch == 0 || epoch > latest { return .ahead }
    if epoch < floor || latest - epoch >= UInt64(capacity) { return .forgotten }
    let entry = entries[index(word.epoch)]
    return entry.word == word.rawValue
      ? .known(policyGeneration: entry.policyGeneration) : .differs(entry.word)
  }

  private func index(_ epoch: UInt32) -> Int { Int(epoch) & (capacity - 1) }
}
