// SPDX-License-Identifier: Apache-2.0
// How far a log has used up the numbers that it cannot give twice: runs, lanes, policies. From the last segment alone,
// whose first record says how far those before it had come; nothing is checked by hash.

import CLTP
import CLTPSystem
import LTPRecords

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
    self.init(runs: 0, lanes: 0, policies: 0)
    let directory = try TraceDirectory(path)
    // A segment may just have been begun, with nothing in it.
    for segment in directory.segments.suffix(2).reversed() where runs == 0 {
      try read(segment, in: directory)
    }
  }

  private mutating func read(_ segment: UInt64, in directory: TraceDirectory) throws(InspectFailure) {
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
        takeControl(header)
      } else {
        lanes = max(lanes, header.laneID)
      }
      offset += UInt64(size)
    }
  }

  private func readAll(
    _ descriptor: Int32, into memory: UnsafeMutableRawPointer, count: Int, at offset: UInt64
  ) -> Bool {
    var done = 0
    while done < count {
      let got = ltp_system_read_at(descriptor, memory + done, count - done, offset + UInt64(done))
      if got == Int64(-LTP_SYSTEM_EINTR) { continue }
      guard got > 0 else { return false }
      done += Int(got)
    }
    return true
  }

  private mutating func takeControl(_ header: BlockHeader) {
    var slot = 0
    while slot < header.slotCount {
      let record = RecordView(header.body, slot: slot)
      guard let kind = record.kind, kind.isControl, slot + kind.slotCount <= header.slotCount else { return }
      take(kind, record)
      slot += kind.slotCount
    }
  }

  private mutating func take(_ kind: RecordKind, _ record: RecordView) {
    switch kind {
    case .opened:
      runs = max(runs, record.opened.pointee.run)
      lanes = max(lanes, record.opened.pointee.next_lane_id &- 1)
    case .segment:
      runs = max(runs, record.segment.pointee.run)
      lanes = max(lanes, record.segment.pointee.next_lane_id &- 1)
      policies = max(policies, record.segment.pointee.policy_generation)
    case .transition: policies = max(policies, record.transition.pointee.policy_generation)
    case .policy: policies = max(policies, record.policy.pointee.policy_generation)
    case .text, .counts, .sealed, .closed: break
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant: break
    }
  }
}
