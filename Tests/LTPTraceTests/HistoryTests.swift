// SPDX-License-Identifier: Apache-2.0
// Thousands of histories with power losses, and the proof that the checker would see a bug in them.

import Foundation
import Testing

@Suite("Histories")
struct HistoryTests {
  /// LTP_LONG_TESTS=1 swift test -c release -Xswiftc -enable-testing --filter HistoryTests
  static let isLong = ProcessInfo.processInfo.environment["LTP_LONG_TESTS"] == "1"
  /// LTP_FIRST_SEED=N: other histories than those from seed 0 on.
  static let firstSeed = UInt64(ProcessInfo.processInfo.environment["LTP_FIRST_SEED"] ?? "") ?? 0
  /// LTP_SEED_COUNT=N: so many of them.
  static let seedCount =
    UInt64(ProcessInfo.processInfo.environment["LTP_SEED_COUNT"] ?? "") ?? (isLong ? 100_000 : 2_500)

  @Test("fault 5: power loss with reordered, torn and garbage sectors, from many seeds")
  func powerLoss() throws {
    var total = HistoryFacts()
    var failed = 0
    for seed in Self.firstSeed..<Self.firstSeed + Self.seedCount where failed < 12 {
      do throws(Violation) { total += try History.run(seed: seed) } catch {
        failed += 1
        Issue.record(error)
      }
    }
    print("\(Self.seedCount) histories: \(total)")
    if !Self.isLong {
      print(
        "100,000 of them: LTP_LONG_TESTS=1 swift test -c release -Xswiftc -enable-testing --filter HistoryTests"
      )
    }
    #expect(total.rotations > 0 && total.cuts > 0 && total.failures > 0 && total.unrecorded > 0)
    #expect(total.recoveriesInterrupted > 0 && total.opensRefused > 0)
  }

  @Test("a planted bug is found", arguments: PlantedBug.allCases)
  func planted(_ bug: PlantedBug) {
    var found: Violation?
    for seed in 0..<2_000 where found == nil {
      do throws(Violation) { _ = try History.run(seed: UInt64(seed), planted: bug) } catch { found = error }
    }
    #expect(found != nil, "2,000 histories with \(bug), and nothing was noticed")
    if let found { print("\(bug): \(found)") }
  }
}
