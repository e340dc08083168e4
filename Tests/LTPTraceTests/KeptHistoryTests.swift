// SPDX-License-Identifier: Apache-2.0
// Thousands of histories of a trace and a deferral log on one disk, and the proof that the checker would see a bug in them.

import LTPTestSupport
import Testing

@Suite("Histories of both chains", .guarded)
struct KeptHistoryTests {
  @Test(
    "faults 1, 3, 5, 6, 28: what was acknowledged of an intent stays, and the trace tells each once, after any crash"
  )
  func powerLoss() {
    var total = KeptFacts()
    var failed = 0
    for seed in HistoryTests.seeds where failed < 12 {
      TestSeed.use(seed)
      do throws(Violation) { total += try KeptHistory.run(seed: seed) } catch {
        failed += 1
        Issue.record(error)
      }
    }
    print("\(HistoryTests.seeds.count) histories of both chains: \(total)")
    // One history, or a few, need not have met everything.
    guard HistoryTests.seeds.count >= 1000 else { return }
    #expect(total.kept > 0 && total.ended > 0 && total.endedByThemselves > 0 && total.sentAgain > 0)
    #expect(total.handedOut > 0 && total.handedOutAgain > 0 && total.endsUndone > 0)
    #expect(total.lostUnacknowledged > 0 && total.toldLate > 0)
    #expect(total.moved > 0 && total.segmentsDropped > 0 && total.segmentsBegun > 0)
    #expect(total.traceSegmentsBegun > 0 && total.traceCuts > 0 && total.cuts > 0)
    #expect(total.powerLosses > 0 && total.kills > 0 && total.diedAtWork > 0)
    #expect(total.recoveriesInterrupted > 0 && total.opensRefused > 0)
    #expect(total.failures > 0 && total.traceFailures > 0)
  }

  @Test(
    "a planted bug in the deferral log, or in who acknowledges by it, is found",
    arguments: PlantedInKeeper.allCases)
  func planted(_ bug: PlantedInKeeper) {
    expectFound("\(bug)") { seed throws(Violation) in try KeptHistory.run(seed: seed, inKeeper: bug) }
  }

  @Test("a planted bug in the storage of the deferral log is found", arguments: PlantedBug.allCases)
  func plantedInStorage(_ bug: PlantedBug) {
    expectFound("\(bug)") { seed throws(Violation) in try KeptHistory.run(seed: seed, planted: bug) }
  }

  private func expectFound(_ name: String, _ run: (UInt64) throws(Violation) -> KeptFacts) {
    var found: Violation?
    let first = TestSeed.value(0)
    var seed = first
    while seed < first + 2_000, found == nil {
      do throws(Violation) { _ = try run(seed) } catch { found = error }
      seed += 1
    }
    #expect(found != nil, "2,000 histories of both chains with \(name), and nothing was noticed")
    if let found { print("\(name), after \(seed - first) histories of both chains: \(found)") }
  }
}
