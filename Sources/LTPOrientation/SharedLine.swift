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
  /// A `LimitsWord`. Moves on with the times: lanes look at it when they see a new one.
  public let limits = Atomic<UInt64>(0)
  let padding = InlineArray<4, UInt64>(repeating: 0)

  /// Of `word`, which comes first.
  static let wordOffset = 0
  /// Of `limits`, the fourth.
  static let limitsOffset = 24

  public init() {}

  /// Moves the clock on. Only the clock's thread calls this.
  public borrowing func tick(monotonic now: UInt64, unix nowUnix: UInt64) {
    var before = monotonic.load(ordering: .relaxed)
    // A monotonic clock that goes back would be a bug of its source; time stamps must not follow it.
    while now > before {
      unix.store(nowUnix, ordering: .relaxed)
      let (moved, found) = monotonic.compareExchange(
        expected: before, desired: now, ordering: .acquiringAndReleasing)
      if moved { return }
      before = found
    }
  }

  /// Moves the clock on by a nanosecond, so that lanes which watch another word look at this line again. After the
  /// change that they are to see.
  borrowing func nudge() { monotonic.add(1, ordering: .acquiringAndReleasing) }
}
