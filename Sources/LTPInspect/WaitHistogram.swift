// SPDX-License-Identifier: Apache-2.0
// How long intents waited, as a histogram whose steps grow with the time: an eighth of a power of two, so that a quantile is right to about 6
// percent. Its memory does not depend on how many there were.

struct WaitHistogram {
  private static let stepBits = 3
  /// By time, rising; empty until the first comes.
  private var counts: [UInt64] = []
  private(set) var count: UInt64 = 0
  private(set) var longestNanoseconds: UInt64 = 0

  mutating func add(_ nanoseconds: UInt64) {
    if counts.isEmpty { counts = [UInt64](repeating: 0, count: 64 << Self.stepBits) }
    counts[Self.place(nanoseconds)] += 1
    count += 1
    longestNanoseconds = max(longestNanoseconds, nanoseconds)
  }

  /// The time within which this part of them was carried out; nil: there were none.
  func quantile(_ part: Double) -> UInt64? {
    guard count > 0 else { return nil }
    let wanted = max(1, UInt64((Double(count) * part).rounded(.up)))
    var seen: UInt64 = 0
    for (place, here) in counts.enumerated() {
      seen += here
      if seen >= wanted { return min(Self.middle(place), longestNanoseconds) }
    }
    return longestNanoseconds
  }

  private static func place(_ value: UInt64) -> Int {
    guard value >= 1 << stepBits else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    let step = Int(value >> UInt64(exponent - stepBits)) & (1 << stepBits - 1)
    return (exponent - stepBits + 1) << stepBits + step
  }

  private static func middle(_ place: Int) -> UInt64 {
    guard place >= 1 << stepBits else { return UInt64(place) }
    let exponent = place >> stepBits - 1
    let lowest = UInt64(1 << stepBits + place & (1 << stepBits - 1)) << UInt64(exponent)
    return lowest + (1 << UInt64(exponent)) / 2
  }
}
