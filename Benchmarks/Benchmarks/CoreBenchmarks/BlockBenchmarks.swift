// SPDX-License-Identifier: Apache-2.0
// Sealing blocks: almost all of it is the hash.

import Benchmark
import LTPRecords

func addBlockBenchmarks() {
  for blockBytes in [64 << 10, 256 << 10] {
    Benchmark(
      "block: seal \(blockBytes >> 10) KiB",
      configuration: .init(scalingFactor: .one)
    ) { benchmark in
      let memory = UnsafeMutableRawPointer.allocate(byteCount: blockBytes, alignment: 4096)
      defer { memory.deallocate() }
      memory.initializeMemory(as: UInt8.self, repeating: 1, count: blockBytes)
      let seal = BlockSeal(
        logID: LogID(low: 1, high: 2), laneID: 1, blockIndex: 0, segmentIndex: 0, firstSequence: 0,
        slotCount: BlockHeader.slotCountMax(blockBytes: blockBytes), baseMonotonicNanoseconds: 1,
        baseUnixNanoseconds: 1, orientationWord: 0, durableBlocks: 0, previousHash: Digest())
      benchmark.startMeasurement()
      for _ in benchmark.scaledIterations { blackHole(seal.seal(memory)) }
      benchmark.stopMeasurement()
    }
  }
}
