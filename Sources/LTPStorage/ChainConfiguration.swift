// SPDX-License-Identifier: Apache-2.0
// How a chain is written, and why one cannot be opened.

import CLTP
import CLTPSystem
public import LTPRecords

public struct ChainConfiguration: Sendable {
  public var naming = ChainNaming.trace
  /// Of the chain's operations in the queue that it shares; below `StorageQueue.ownersMax`.
  public var owner: UInt8 = 0
  public var segmentBytes: UInt64 = 64 << 20
  public var blockBytes = 256 << 10
  public var inflightMax = 8
  /// Staging buffers of `blockBytes`: for blocks that are written from elsewhere than where they were filled.
  public var stagingCount = 2
  /// Index of the staging memory among the device's registered buffers.
  public var stagingBufferIndex: Int32 = 0
  /// 0: all.
  public var retainSegments: UInt64 = 0
  public var retainBytes: UInt64 = 0
  public var lockWaitNanoseconds: UInt64 = 500_000_000
  public var verifiesTailOnly = false

  public init() {}

  /// Staging memory, in bytes.
  public var stagingBytes: Int { stagingCount * blockBytes }
  /// Operations that the chain may have under way: blocks, a zero write and a sync. And room for two more.
  public var queueDepth: Int { inflightMax + 4 }
  /// Unit in which segments are written with zeros ahead of their use.
  var zeroBytes: Int { min(2 << 20, Int(segmentBytes)) }
}

/// What recovery found, and where a chain goes on.
public struct RecoveredChain {
  public var position: ChainPosition
  /// Where the next block goes in segment `position.segmentIndex`; 0 in a new one.
  public var offset: UInt64
  /// The segment's descriptor, locked; nil: the segment is still to be made.
  public var handle: Int32?
  public var watermarkHandle: Int32
  public var oldestSegment: UInt64
  /// Blocks in the segment so far.
  public var segmentBlocks: UInt64
  /// What the segment was begun with, if its owner knows; else it goes on with the configuration's.
  public var segmentBytes: UInt64?
  /// A torn tail was cut here, with a copy kept; 0 bytes: none was.
  public var cutSegment: UInt64
  public var cutOffset: UInt64
  public var cutBytes: UInt64

  /// For whoever cannot go on with it.
  public func close<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    device.close(watermarkHandle)
    if let handle { device.close(handle) }
  }
}

/// Why a log cannot be opened. Becomes an `ltp_error`.
public struct OpenFault: Error {
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

  /// A failed system call in the words of the contract.
  public init(_ fault: StorageFault, segment: UInt64 = 0) {
    switch fault.code {
    case LTP_SYSTEM_ENOENT, LTP_SYSTEM_ENOTDIR:
      self.init(LTP_ERROR_TRACE_DIRECTORY, "no such directory; create it first", code: fault.code)
    case LTP_SYSTEM_EACCES, LTP_SYSTEM_EROFS:
      self.init(
        LTP_ERROR_TRACE_READ_ONLY, "the trace may not be written here; check owner and mount",
        code: fault.code, segment: segment)
    case LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT:
      self.init(
        LTP_ERROR_TRACE_NO_SPACE, "no space is left; free some, or retain fewer segments",
        code: fault.code, segment: segment)
    case LTP_SYSTEM_EMFILE, LTP_SYSTEM_ENFILE:
      self.init(
        LTP_ERROR_TRACE_DESCRIPTORS, "no file descriptor is left; raise the limit (ulimit -n)",
        code: fault.code)
    case LTP_SYSTEM_ENOMEM:
      self.init(LTP_ERROR_NO_MEMORY, "out of memory", code: fault.code)
    default:
      self.init(LTP_ERROR_TRACE_IO, "the system reported an error", code: fault.code, segment: segment)
    }
  }
}
