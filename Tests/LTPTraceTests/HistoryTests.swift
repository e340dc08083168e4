// SPDX-License-Identifier: Apache-2.0
// Thousands of histories with power losses, and the proof that the checker would see a bug in them.

import LTPTestSupport
import Testing

@Suite("Histories", .guarded)
struct HistoryTests {
  /// LTP_SEED=N: that history alone. LTP_SEED_COUNT=M: so many, from it on.
  static let seeds: Range<UInt64> = {
    let usual: UInt64 = TestSeed.chosen != nil ? 1 : TestSeed.isLong ? 100_000 : 2_500
    let first = TestSeed.chosen ?? 0
    return first..<first + (TestSeed.number("LTP_SEED_COUNT") ?? usual)
  }()

  @Test(
    "fault 5: power loss with reordered, torn and garbage sectors, from many seeds; and with a second log beside the trace",
    arguments: [false, true])
  func powerLoss(hasNotes: Bool) throws {
    var total = HistoryFacts()
    var failed = 0
    for seed in Self.seeds where failed < 12 {
      TestSeed.use(seed)
      do throws(Violation) { total += try History.run(seed: seed, hasNotes: hasNotes) } catch {
        failed += 1
        Issue.record(error)
      }
    }
    print("\(Self.seeds.count) histories: \(total)")
    if !TestSeed.isLong {
      print(
        "100,000 of them: LTP_LONG_TESTS=1 swift test -c release -Xswiftc -enable-testing --filter HistoryTests"
      )
    }
    // One history, or a few, need not have met everything.
    guard Self.seeds.count >= 1000 else { return }
    #expect(total.rotations > 0 && total.cuts > 0 && total.failures > 0 && total.unrecorded > 0)
    #expect(total.recoveriesInterrupted > 0 && total.opensRefused > 0)
    guard hasNotes else { return }
    #expect(total.notes > 0 && total.noteRotations > 0 && total.noteFailures > 0)
  }

  @Test(
    "a planted bug is found, in the trace and in a log beside it", arguments: PlantedBug.allCases,
    [false, true])
  func planted(_ bug: PlantedBug, inNotes: Bool) {
    var found: Violation?
    let first = TestSeed.value(0)
    for seed in first..<first + 2_000 where found == nil {
      do throws(Violation) {
        _ = try History.run(seed: seed, planted: bug, hasNotes: inNotes)
      } catch {
        found = error
      }
    }
    #expect(found != nil, "2,000 histories with \(bug), and nothing was noticed")
    if let found { print("\(bug)\(inNotes ? ", in the notes" : ""): \(found)") }
  }
}
