// SPDX-License-Identifier: Apache-2.0
// The list of micro-benchmarks. Each iteration does `scaleFactor` operations, so figures are per operation.

import Benchmark

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .cpuTotal, .throughput], warmupIterations: 10, scalingFactor: .kilo,
    maxDuration: .seconds(1), maxIterations: 10_000)
  addCodecBenchmarks()
  addLaneBenchmarks()
  addBlockBenchmarks()
  addWriterBenchmarks()
}
