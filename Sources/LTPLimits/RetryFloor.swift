// SPDX-License-Identifier: Apache-2.0
// How long refused callers are told to wait, so that they come back no faster than the system takes them. By Little's law
// refusals a second times the wait is how many wait; for them to come back at the rate that is let in, the wait must be
// how many wait over that rate.

public struct RetryFloor {
  private let most: UInt32
  public private(set) var milliseconds: UInt32 = 0

  public init(mostMilliseconds: UInt32) { most = mostMilliseconds }

  private static var least: UInt32 { 100 }

  /// After a window. Moves by no more than a factor of two: one window's counts are noisy.
  public mutating func update(admitted: UInt64, refused: UInt64) {
    guard most > 0 else { return }
    let before = max(milliseconds, Self.least)
    // (refused / window * wait) / (admitted / window)
    let wanted = UInt64(before) * refused / max(admitted, 1)
    let next = min(max(wanted, UInt64(before) / 2), UInt64(before) * 2, UInt64(most))
    milliseconds = next <= UInt64(Self.least) / 2 || refused == 0 && before <= Self.least ? 0 : UInt32(next)
  }
}
