// SPDX-License-Identifier: Apache-2.0

/// A hash index over slots: open addressing, linear probing, no tombstones.
struct SlotIndex {
  private let words: UnsafeMutablePointer<UInt32>
  private let mask: Int

  /// `memory`: zeroed, `bytes(capacity:)` of it.
  init(_ memory: UnsafeMutableRawPointer, capacity: Int) {
    mask = Self.places(capacity: capacity) - 1
    words = memory.bindMemory(to: UInt32.self, capacity: mask + 1)
  }

  static func places(capacity: Int) -> Int {
    var places = 16
    while places < capacity + capacity / 2 { places *= 2 }
    return places
  }

  static func bytes(capacity: Int) -> Int { places(capacity: capacity) * 4 }

  func find(_ hash: UInt64, _ isIt: (Int) -> Bool) -> Int? {
    var place = Int(truncatingIfNeeded: hash) & mask
    while words[place] != 0 {
      let slot = Int(words[place]) - 1
      if isIt(slot) { return slot }
      place = (place + 1) & mask
    }
    return nil
  }

  func insert(_ hash: UInt64, _ slot: Int) {
    var place = Int(truncatingIfNeeded: hash) & mask
    while words[place] != 0 { place = (place + 1) & mask }
    words[place] = UInt32(slot) + 1
  }

  /// `hash`: of the slot that is at a place.
  func remove(_ hashOfSlot: UInt64, _ slot: Int, hash: (Int) -> UInt64) {
    var place = Int(truncatingIfNeeded: hashOfSlot) & mask
    while words[place] != UInt32(slot) + 1 {
      precondition(words[place] != 0, "an intent is not in its index")
      place = (place + 1) & mask
    }
    // What follows moves up as far as it may.
    var hole = place
    var at = (place + 1) & mask
    while words[at] != 0 {
      let home = Int(truncatingIfNeeded: hash(Int(words[at]) - 1)) & mask
      if (at - home) & mask >= (at - hole) & mask {
        words[hole] = words[at]
        hole = at
      }
      at = (at + 1) & mask
    }
    words[hole] = 0
  }

  func replace(_ hashOfSlot: UInt64, _ slot: Int, by other: Int) {
    var place = Int(truncatingIfNeeded: hashOfSlot) & mask
    while words[place] != UInt32(slot) + 1 {
      precondition(words[place] != 0, "a session is not in its index")
      place = (place + 1) & mask
    }
    words[place] = UInt32(other) + 1
  }
}
