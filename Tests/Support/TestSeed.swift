// SPDX-License-Identifier: Apache-2.0
// Seeds of random tests. A failure names the seed that was in use, and `LTP_SEED=N swift test --filter NAME` runs
// the test again with that seed alone. The suite has the trait `.guarded`, which adds the seed to each failure.

import Foundation

package enum TestSeed {
  /// LTP_SEED, if it is set.
  package static let chosen: UInt64? = number("LTP_SEED")

  /// True: the nightly run, with many times the usual rounds.
  package static let isLong = ProcessInfo.processInfo.environment["LTP_LONG_TESTS"] == "1"

  /// A number in the environment; nil when it is not set. Traps when it is no number, because a test that then ran
  /// with its usual seeds would seem to repeat a failure and would not.
  package static func number(_ name: String) -> UInt64? {
    guard let text = ProcessInfo.processInfo.environment[name] else { return nil }
    guard let value = UInt64(text) else { fatalError("\(name)=\(text) is no number") }
    return value
  }

  /// The test's seed: LTP_SEED if it is set, else `usual`.
  package static func value(_ usual: UInt64) -> UInt64 {
    let seed = chosen ?? usual
    use(seed)
    return seed
  }

  /// Random numbers from `value(usual)`.
  package static func random(_ usual: UInt64) -> SplitMix64 { SplitMix64(seed: value(usual)) }

  /// The seeds of a test that has many: LTP_SEED alone if it is set. The test passes each to `value` or `use`.
  package static func each(_ usual: ClosedRange<UInt64>) -> [UInt64] { chosen.map { [$0] } ?? Array(usual) }

  /// What fails from here on fails with this seed.
  package static func use(_ seed: UInt64) {
    guard let inUse = SeedInUse.current else { fatalError("a suite with seeds needs the trait .guarded") }
    inUse.value.with { $0 = seed }
    Watchdog.shared.progress()
  }
}

/// The seed that one test case uses at the moment.
final class SeedInUse: Sendable {
  @TaskLocal static var current: SeedInUse?

  let value = Locked<UInt64?>(nil)

  /// What a failing expectation says beside itself; nil for a test without seeds.
  var hint: String? { value.with { $0 }.map { "LTP_SEED=\($0) runs this again" } }
}
