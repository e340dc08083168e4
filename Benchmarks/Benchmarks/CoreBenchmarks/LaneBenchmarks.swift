// SPDX-License-Identifier: Apache-2.0
// The snapshot (word and rule) alone, quiet and under a publisher, and whole decisions of a lane.

import Benchmark
import CLTP
import CLTPSystem
import Foundation
import LTPAdmission
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

func addLaneBenchmarks() {
  let fixture = LaneFixture()
  addSnapshot("snapshot: word and rule, quiet", fixture, publishes: false)
  addSnapshot("snapshot: word and rule, with a publisher", fixture, publishes: true)
  Benchmark("lane: admit, single") { benchmark in
    for index in benchmark.scaledIterations {
      let frame = fixture.frames + (index & (LaneFixture.frameCount - 1)) * Int(LTP_FRAME_LINE_BYTES)
      blackHole(fixture.lane.admit(frame, available: Int(LTP_FRAME_LINE_BYTES)))
    }
    fixture.giveBlocksBack()
  }
  Benchmark("lane: admit, batches of 64") { benchmark in
    for batch in 0..<(benchmark.scaledIterations.count / 64) {
      let first = batch * 64 & (LaneFixture.frameCount - 1)
      blackHole(
        fixture.lane.admitBatch(
          fixture.frames + first * Int(LTP_FRAME_LINE_BYTES), stride: Int(LTP_FRAME_LINE_BYTES), count: 64,
          into: fixture.verdicts))
    }
    fixture.giveBlocksBack()
  }
}

private func addSnapshot(_ name: String, _ fixture: LaneFixture, publishes: Bool) {
  let rules = LaneRules()
  Benchmark(name) { benchmark in
    let stop = StopWord()
    let line = SharedLineBox()
    let publisher = Thread {
      while !stop.isSet.load(ordering: .relaxed) {
        line.line.pointee.word.add(1 << 32, ordering: .releasing)
        ltp_system_sleep_ns(100_000)
      }
    }
    if publishes { publisher.start() }
    benchmark.startMeasurement()
    for index in benchmark.scaledIterations {
      let word = OrientationWord(rawValue: line.line.pointee.word.load(ordering: .acquiring))
      let rule = CompiledRule(rawValue: rules.values[index & 127])
      blackHole(
        rule.decide(threshold: word.threshold, priority: UInt8(index & 255), inputs: 0, sessionID: 1))
    }
    benchmark.stopMeasurement()
    stop.isSet.store(true, ordering: .relaxed)
    while publishes, !publisher.isFinished { ltp_system_sleep_ns(10_000) }
  }
}

/// A row of rules as a lane holds it.
private final class LaneRules: @unchecked Sendable {
  let values = UnsafeMutablePointer<UInt64>.allocate(capacity: 128)

  init() {
    for index in 0..<128 {
      values[index] =
        CompiledRule(
          outcome: Outcome(verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED),
          below: Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_PRIORITY_BELOW_THRESHOLD),
          priorityMin: UInt8(index), needsContinuity: false, exempt: false, retryAfterMilliseconds: 250
        ).rawValue
    }
  }
}

private final class SharedLineBox: @unchecked Sendable {
  let line = UnsafeMutablePointer<SharedLine>.allocate(capacity: 1)

  init() { line.initialize(to: SharedLine()) }
  deinit { line.deallocate() }
}

private final class StopWord: Sendable {
  let isSet = Atomic<Bool>(false)
}
