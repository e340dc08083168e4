// SPDX-License-Identifier: Apache-2.0
// How a trace is written. Ranges are those of ltp_core_options.

import CLTP
public import LTPStorage

public struct TraceConfiguration: Sendable {
  /// Staging buffers: one each for control records, a preamble and a copy, and two for such writes under way. Full
  /// blocks are written from where they lie.
  public var chain: ChainConfiguration
  public var commitIntervalNanoseconds: UInt64 = 1_000_000

  public init() {
    chain = ChainConfiguration()
    chain.stagingCount = 5
    // Behind the lanes, whose rings have the first ones.
    chain.stagingBufferIndex = 64
  }

  /// Buffers that are registered: the lanes' rings and the staging memory.
  public static let bufferCount = 65
}
