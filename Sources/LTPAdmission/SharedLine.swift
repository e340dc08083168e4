// SPDX-License-Identifier: Apache-2.0
// The one cache line that every decision reads: the orientation word and the coarse clock beside it.
// Written by publishers (word) and by the clock's thread (times); read by every lane.

public import Synchronization

public struct SharedLine: ~Copyable {
  /// An `OrientationWord`.
  public let word = Atomic<UInt64>(0)
  /// CLOCK_MONOTONIC in nanoseconds, at most one clock interval old. Never goes back.
  public let monotonic = Atomic<UInt64>(0)
  /// CLOCK_REALTIME in nanoseconds, of the same tick. May jump.
  public let unix = Atomic<UInt64>(0)
  let padding = InlineArray<5, UInt64>(repeating: 0)

  public init() {}

  /// Moves the clock on. Only the clock's thread calls this.
  public borrowing func tick(monotonic now: UInt64, unix nowUnix: UInt64) {
    // A monotonic clock that goes back would be a bug of its source; time stamps must not follow it.
    if now > monotonic.load(ordering: .relaxed) {
      unix.store(nowUnix, ordering: .relaxed)
      monotonic.store(now, ordering: .releasing)
    }
  }
}
