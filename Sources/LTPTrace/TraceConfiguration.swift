// SPDX-License-Identifier: Apache-2.0
// How a trace is written. Ranges are those of ltp_core_options.

import CLTP
public import LTPRecords

public struct TraceConfiguration: Sendable {
  public var segmentBytes: UInt64 = 64 << 20
  public var blockBytes = 256 << 10
  public var inflightMax = 8
  public var retainSegments: UInt64 = 0
  public var retainBytes: UInt64 = 0
  public var commitIntervalNanoseconds: UInt64 = 1_000_000
  public var lockWaitNanoseconds: UInt64 = 500_000_000
  public var verifiesTailOnly = false

  public init() {}

  /// Staging buffers: one each for control records, a preamble and a copy, and two for such writes under way. Full
  /// blocks are written from where they lie.
  var stagingCount: Int { 5 }
  /// Memory that the writer takes for staging, in bytes.
  public var stagingBytes: Int { stagingCount * blockBytes }
  /// Operations that may be under way: blocks, a zero write and a sync.
  public var queueDepth: Int { inflightMax + 4 }

  /// Index of the staging memory among the registered buffers; lanes come before it.
  public static let stagingBufferIndex: Int32 = 64
  public static let bufferCount = 65
  /// Unit in which segments are written with zeros ahead of their use.
  var zeroBytes: Int { min(2 << 20, Int(segmentBytes)) }
}

/// What recovery found, and where the writer goes on.
public struct RecoveredLog {
  public var position: ChainPosition
  /// Where the next block goes in segment `position.segmentIndex`; 0 in a new one.
  public var offset: UInt64
  /// The segment's descriptor, locked; nil: the segment is still to be made.
  public var handle: Int32?
  public var watermarkHandle: Int32
  /// The run that begins now.
  public var run: UInt32
  public var nextLaneID: UInt32
  public var controlSequence: UInt64
  public var word: UInt64
  /// Of the word, in full.
  package var numbers: EpochNumbers
  /// The policy that `word` is under.
  public var wordGeneration: UInt32
  /// The highest number that any policy has.
  public var policyGeneration: UInt32
  public var oldestSegment: UInt64
  /// Blocks and decisions in the segment so far.
  public var segmentBlocks: UInt64
  public var segmentDecisions: UInt64
  /// Of the segment so far. The writer's to give back, once there is one.
  package var counts: SegmentCounts
  public var cutSegment: UInt64
  public var cutOffset: UInt64
  public var cutBytes: UInt64

  /// Closes its files and gives its memory back: no writer goes on with it.
  package func abandon<Storage: TraceStorage & ~Copyable>(_ storage: inout Storage) {
    if let handle { storage.close(handle) }
    storage.close(watermarkHandle)
    counts.giveBack()
  }
}

/// Why a trace cannot be opened. Becomes an `ltp_error`.
public struct TraceOpenFault: Error {
  public var status: Int32
  public var code: Int32
  public var segment: UInt64
  public var offset: UInt64
  public var block: UInt64
  public var text: StaticString

  public init(
    _ status: Int32, _ text: StaticString, code: Int32 = 0, segment: UInt64 = 0, offset: UInt64 = 0,
    block: UInt64 = 0
  ) {
    self.status = status
    self.text = text
    self.code = code
    self.segment = segment
    self.offset = offset
    self.block = block
  }
}
