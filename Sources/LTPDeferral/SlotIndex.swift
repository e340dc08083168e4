// SPDX-License-Identifier: Apache-2.0

import CLTPSystem

/// A hash index over at most 2^24 - 1 slots: open addressing, linear probing, no tombstones. Four places for three slots, whatever their
/// number, so that it takes little more than five bytes a slot. Beside a slot stand 8 bits of its hash, so that others are hardly ever
/// looked at.
struct SlotIndex {
  private let words: UnsafeMutablePointer<UInt32>
  private let places: Int

  /// `memory`: zeroed, `bytes(capacity:)` of it.
  init(_ memory: UnsafeMutableRawPointer, capacity: Int) {
    places = Self.places(capacity: capacity)
    words = memory.bindMemory(to: UInt32.self, capacity: places)
  }

  private static func places(capacity: Int) -> Int { capacity + capacity / 3 + 16 }

  static func bytes(capacity: Int) -> Int { (places(capacity: capacity) * 4 + 63) / 64 * 64 }

  /// By the hash's upper half.
  private func home(_ hash: UInt64) -> Int { Int(((hash >> 32) &* UInt64(places)) >> 32) }
  private func following(_ place: Int) -> Int { place + 1 == places ? 0 : place + 1 }
  private func distance(from home: Int, to place: Int) -> Int {
    place >= home ? place - home : place + places - home
  }

  private static func tag(_ hash: UInt64) -> UInt32 { UInt32(hash & 0xFF) }
  private func slot(at place: Int) -> Int { Int(words[place] & 0xFF_FFFF) - 1 }

  func prefetch(_ hash: UInt64) { ltp_system_prefetch_for_write(words + home(hash)) }

  func find(_ hash: UInt64, _ isIt: (Int) -> Bool) -> Int? {
    let tag = Self.tag(hash)
    var place = home(hash)
    while words[place] != 0 {
      if words[place] >> 24 == tag, isIt(slot(at: place)) { return slot(at: place) }
      place = following(place)
    }
    return nil
  }

  func insert(_ hash: UInt64, _ slot: Int) {
    var place = home(hash)
    while words[place] != 0 { place = following(place) }
    words[place] = Self.tag(hash) << 24 | (UInt32(slot) + 1)
  }

  /// `hash`: of the slot that is at a place.
  func remove(_ hashOfSlot: UInt64, _ slot: Int, hash: (Int) -> UInt64) {
    var place = home(hashOfSlot)
    while self.slot(at: place) != slot {
      precondition(words[place] != 0, "a slot is not in its index")
      place = following(place)
    }
    // What follows moves up as far as it may.
    var hole = place
    var at = following(place)
    while words[at] != 0 {
      let home = home(hash(self.slot(at: at)))
      if distance(from: home, to: at) >= distance(from: hole, to: at) {
        words[hole] = words[at]
        hole = at
      }
      at = following(at)
    }
    words[hole] = 0
  }
}
