// SPDX-License-Identifier: Apache-2.0
// The last value of each signal, as any thread pushed it. No locks: whoever pushes stores, the machine's step loads.

import CLTP
import Synchronization

/// A signal's last value and when it was pushed. A cache line of its own.
struct SignalCell: ~Copyable {
  let value = Atomic<Int64>(0)
  /// Monotonic, in nanoseconds; 0: never pushed.
  let time = Atomic<UInt64>(0)
  let padding = InlineArray<6, UInt64>(repeating: 0)

  init() {}
}

/// A handle: copies refer to the same cells.
struct SignalBoard {
  static var count: Int { Int(LTP_OBSERVATION_COUNT) + 1 }
  static var memoryBytes: Int { count * MemoryLayout<SignalCell>.stride }

  private let cells: UnsafeMutablePointer<SignalCell>

  /// `memory`: `memoryBytes` zeroed bytes.
  init(memory: UnsafeMutableRawPointer) {
    cells = memory.bindMemory(to: SignalCell.self, capacity: Self.count)
    for index in 0..<Self.count { (cells + index).initialize(to: SignalCell()) }
  }

  /// Of two pushes at once either value may stay, as of any two that follow each other closely.
  func push(_ signal: UInt8, _ value: Int64, now: UInt64) {
    cells[Int(signal)].value.store(value, ordering: .relaxed)
    cells[Int(signal)].time.store(max(now, 1), ordering: .releasing)
  }

  /// As if it had never been pushed.
  func clear(_ signal: Int) { cells[signal].time.store(0, ordering: .releasing) }

  func last(_ signal: Int) -> (value: Int64, time: UInt64) {
    let time = cells[signal].time.load(ordering: .acquiring)
    return (cells[signal].value.load(ordering: .relaxed), time)
  }
}
