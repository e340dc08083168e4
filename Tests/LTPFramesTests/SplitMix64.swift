// SPDX-License-Identifier: Apache-2.0
//
// Random numbers from a seed, so that a failing test can be run again.
//
// Invariant: one seed gives one sequence, on every machine.

/// SplitMix64: a counter, and a mixing of its bits.
struct SplitMix64: RandomNumberGenerator {
  private var counter: UInt64

  init(seed: UInt64) {
    counter = seed
  }

  mutating func next() -> UInt64 {
    counter &+= 0x9E37_79B9_7F4A_7C15
    var mixed = counter
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// 0 to `bound - 1`.
  mutating func below(_ bound: Int) -> Int {
    Int(truncatingIfNeeded: next() % UInt64(bound))
  }

  /// Any value, with the extremes more often than chance would have them.
  mutating func any<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) -> Value {
    switch below(8) {
    case 0: .min
    case 1: .max
    default: Value(truncatingIfNeeded: next())
    }
  }

  /// Any value but 0.
  mutating func nonZero<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) -> Value {
    let value = any(type)
    return value == 0 ? 1 : value
  }
}
