// SPDX-License-Identifier: Apache-2.0
//
// Random numbers from a seed, so that a failing test can be run again.
//
// Invariant: one seed gives one sequence, on every machine.

/// SplitMix64 (Steele, Lea, Flood, 2014): a counter, and a mixing of its bits.
package struct SplitMix64: RandomNumberGenerator {
  private var counter: UInt64

  package init(seed: UInt64) { counter = seed }

  package mutating func next() -> UInt64 {
    counter &+= 0x9E37_79B9_7F4A_7C15
    var mixed = counter
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// 0 to `bound - 1`; the bound is not 0.
  package mutating func below(_ bound: Int) -> Int {
    Int(truncatingIfNeeded: next() % UInt64(bound))
  }

  /// True once in `count` times.
  package mutating func oneIn(_ count: Int) -> Bool { next() % UInt64(count) == 0 }

  /// Any value, with the extremes more often than chance would have them.
  package mutating func any<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) -> Value {
    switch below(8) {
    case 0: .min
    case 1: .max
    default: Value(truncatingIfNeeded: next())
    }
  }

  /// Any value but 0.
  package mutating func nonZero<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) -> Value {
    let value = any(type)
    return value == 0 ? 1 : value
  }
}
