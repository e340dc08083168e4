// SPDX-License-Identifier: Apache-2.0

/// Timers of one millisecond's resolution, at most 8 seconds ahead; adding and firing cost the same however many there are.
struct TimerWheel {
  private static let slotCount = 8192
  private static let slotNanoseconds: UInt64 = 1_000_000
  private var slots = [[UInt64]](repeating: [], count: Self.slotCount)
  private var position: UInt64
  private(set) var count = 0

  init(now: UInt64) { position = now / Self.slotNanoseconds }

  /// `mark` comes back from `advance` at the first call at or after `time`.
  mutating func add(_ mark: UInt64, at time: UInt64) {
    let wanted = (time + Self.slotNanoseconds - 1) / Self.slotNanoseconds
    let slot = min(max(wanted, position + 1), position + UInt64(Self.slotCount) - 1)
    slots[Int(slot) % Self.slotCount].append(mark)
    count += 1
  }

  /// What is due by `now`, in `due`.
  mutating func advance(to now: UInt64, into due: inout [UInt64]) {
    due.removeAll(keepingCapacity: true)
    let target = now / Self.slotNanoseconds
    while position < target {
      position += 1
      let slot = Int(position) % Self.slotCount
      due += slots[slot]
      count -= slots[slot].count
      slots[slot].removeAll(keepingCapacity: true)
    }
  }

  /// Forgets all.
  mutating func clear() {
    for slot in slots.indices { slots[slot].removeAll(keepingCapacity: true) }
    count = 0
  }
}
