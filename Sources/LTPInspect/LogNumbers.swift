// SPDX-License-Identifier: Apache-2.0
// How far a log has used up the numbers that it cannot give twice: runs, lanes, policies. From the last segment alone,
// whose first record says how far those before it had come; nothing is checked by hash.

import CLTP
import CLTPSystem
import LTPRecords
import LTPStorage

/// The highest number of each kind that a log has given; each ends at 2^32 - 1.
public struct LogNumbers: Equatable, Sendable {
  public var runs: UInt32
  public var lanes: UInt32
  public var policies: UInt32

  public init(runs: UInt32, lanes: UInt32, policies: UInt32) {
    self.runs = runs
    self.lanes = lanes
    self.policies = policies
  }

  /// Of the trace in `path`. Zeros for a log in which nothing was written yet.
  public init(ofTraceIn path: String) throws(InspectFailure) {
    let directory = try TraceDirectory(path)
    var used = UsedNumbers()
    // A segment may just have been begun, with nothing in it.
    for segment in directory.segments.suffix(2).reversed() where used.run == 0 {
      try Self.read(segment, in: directory, into: &used)
    }
    self.init(runs: used.run, lanes: used.nextLaneID &- 1, policies: used.policyGeneration)
  }

  private static func read(
    _ segment: UInt64, in directory: TraceDirectory, into used: inout UsedNumbers
  ) throws(InspectFailure) {
    let name = SegmentName.text(segment)
    let descriptor = ltp_system_open_at(directory.descriptor, name, LTP_SYSTEM_READ_ONLY)
    guard descriptor >= 0 else {
      throw InspectFailure("cannot read \(directory.path)/\(name): \(errorText(descriptor))")
    }
    defer { _ = ltp_system_close(descriptor) }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: BlockHeader.bytesMax, alignment: 4096)
    defer { memory.deallocate() }
    var offset: UInt64 = 0
    while readAll(descriptor, into: memory, count: Int(LTP_BLOCK_HEADER_BYTES), at: offset) {
      let header = BlockHeader(memory)
      do throws(BlockFault) { try header.checkShape() } catch { return }
      let size = header.sizeBytes
      if header.laneID == LTP_CONTROL_LANE {
        guard readAll(descriptor, into: memory, count: size, at: offset) else { return }
        // Read once more: a writer, or somebody else, may have changed it in between.
        do throws(BlockFault) { try header.checkShape() } catch { return }
        guard header.sizeBytes == size else { return }
        header.forEachControlRecord { kind, record, _ in used.include(kind, record) }
      } else {
        used.include(laneID: header.laneID)
      }
      offset += UInt64(size)
    }
  }

  private static func readAll(
    _ descriptor: Int32, into memory: UnsafeMutableRawPointer, count: Int, at offset: UInt64
  ) -> Bool {
    do throws(StorageFault) {
      return try SystemStorage.read(descriptor, into: memory, count: count, offset: offset) == count
    } catch {
      return false
    }
  }
}
