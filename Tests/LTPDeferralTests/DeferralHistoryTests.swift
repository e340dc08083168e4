// SPDX-License-Identifier: Apache-2.0

import LTPTestSupport
import Testing

@Suite("Histories of a deferral log", .guarded)
struct DeferralHistoryTests {
  private static let seeds: Range<UInt64> = {
    let first = TestSeed.chosen ?? 0
    let usual: UInt64 = TestSeed.chosen != nil ? 1 : TestSeed.isLong ? 100_000 : 500
    return first..<first + (TestSeed.number("LTP_SEED_COUNT") ?? usual)
  }()

  @Test(
    "faults 1, 4, 5, 18, 28: no acknowledged intent is lost, none is there twice, and what ended stays ended")
  func powerLoss() {
    var total = DeferralFacts()
    var failed = 0
    for seed in Self.seeds where failed < 12 {
      TestSeed.use(seed)
      do throws(DeferralViolation) { total += try DeferralHistory.run(seed: seed) } catch {
        failed += 1
        Issue.record(error)
      }
    }
    print("\(Self.seeds.count) histories: \(total)")
    guard Self.seeds.count >= 500 else { return }
    #expect(total.segmentsDropped > 0 && total.moved > 0 && total.toldAgain > 0)
    #expect(total.ended > 0 && total.lostUnacknowledged > 0 && total.failures > 0 && total.handedOutAgain > 0)
  }

  @Test(
    "a bug in the storage is found",
    arguments: [PlantedBug.acknowledgesVolatileData, .acknowledgesBeforeCompletion])
  func planted(_ bug: PlantedBug) {
    expectFound("\(bug)") { seed throws(DeferralViolation) in
      try DeferralHistory.run(seed: seed, planted: bug)
    }
  }

  @Test("a bug in who acknowledges is found", arguments: PlantedInHost.allCases)
  func plantedInHost(_ bug: PlantedInHost) {
    expectFound("\(bug)") { seed throws(DeferralViolation) in try DeferralHistory.run(seed: seed, inHost: bug)
    }
  }

  private func expectFound(_ name: String, _ run: (UInt64) throws(DeferralViolation) -> DeferralFacts) {
    var found: DeferralViolation?
    let first = TestSeed.value(0)
    for seed in first..<first + 2_000 where found == nil {
      do throws(DeferralViolation) { _ = try run(seed) } catch { found = error }
    }
    #expect(found != nil, "2,000 histories with \(name), and nothing was noticed")
    if let found { print("\(name): \(found)") }
  }
}
