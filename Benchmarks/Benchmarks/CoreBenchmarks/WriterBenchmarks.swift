// SPDX-License-Identifier: Apache-2.0
// The writer's steps over a ring of full blocks. Filling the ring does not count.

import Benchmark
import CLTP
import CLTPSystem
import LTPAdmission
import LTPOrientation
import LTPStorage
import LTPTrace
import Synchronization

private final class WriterFixture: @unchecked Sendable {
  let fixture = LaneFixture()
  let progress: UnsafeMutablePointer<TraceProgress>
  let writer: UnsafeMutablePointer<TraceWriter<NullStorage>>
  private var now: UInt64 = 1_000_000

  init() {
    let words = ltp_system_map(4096, 0)!
    progress = .allocate(capacity: 1)
    progress.initialize(to: TraceProgress(words: words))
    let lanes = LaneTable(memory: ltp_system_map(LaneTable.memoryBytes, 0))
    lanes.enter(fixture.lane, at: 0)
    let texts = UnsafeMutablePointer<TextRegistry>.allocate(capacity: 1)
    texts.initialize(to: TextRegistry(memory: ltp_system_map(TextRegistry.memoryBytes, 0)))
    var configuration = TraceConfiguration()
    configuration.chain.segmentBytes = 1 << 30
    var storage = NullStorage()
    let log = try! RecoveredTrace.open(&storage, configuration: configuration)
    writer = .allocate(capacity: 1)
    writer.initialize(
      to: TraceWriter(
        storage: storage, configuration: configuration, log: log, progress: progress,
        orientation: fixture.orientation, lanes: lanes, texts: texts,
        staging: ltp_system_map(configuration.chain.stagingBytes, 0)))
    writer.pointee.attachToThread()
  }

  /// Eight blocks' worth of decisions.
  func fill() {
    let decisions = 8 * Int(fixture.lane.state.pointee.slotsPerBlock)
    for index in 0..<decisions / 64 {
      let first = index * 64 & (LaneFixture.frameCount - 1)
      _ = fixture.lane.admitBatch(
        fixture.frames + first * Int(LTP_FRAME_LINE_BYTES), stride: Int(LTP_FRAME_LINE_BYTES), count: 64,
        into: fixture.verdicts)
    }
  }

  /// Until everything that the lane wrote is acknowledged.
  func drain() {
    let state = fixture.lane.state
    let published = state.pointee.published.load(ordering: .relaxed)
    while state.pointee.durable.load(ordering: .relaxed) < published {
      now += 2_000_000
      _ = writer.pointee.step(now: now, nowUnix: now, waitNanoseconds: 0)
      precondition(!writer.pointee.hasFailed)
    }
  }
}

func addWriterBenchmarks() {
  let fixture = WriterFixture()
  Benchmark("writer: eight blocks of 256 KiB, null device", configuration: .init(scalingFactor: .one)) {
    benchmark in
    fixture.fill()
    benchmark.startMeasurement()
    fixture.drain()
    benchmark.stopMeasurement()
  }
}
