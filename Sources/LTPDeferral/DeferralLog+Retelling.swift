// SPDX-License-Identifier: Apache-2.0
// Intents that wait for long are told to the trace again before the segment of the trace goes that told them last. Copying an intent's
// record to the log's end tells it, as compaction does: so the trace still tells every record once and in the log's order, and a crash in
// between needs no care.

import CLTP
import LTPStorage

/// How far the table has been looked through for intents that were told too long ago.
struct Retelling {
  /// Segments opened a turn: intents that were kept one after the other lie in one.
  static let opensATurn = 32

  /// Those are copied whose record ends at or below this, and what was kept after them in the same segment.
  var wanted: UInt64 = 0
  /// The next place in the table.
  var slot = 0
  /// The last `wanted` of which none is left, and where the last record ended then that the trace is to be told.
  var done: (wanted: UInt64, toldAt: UInt64) = (0, 0)
}

extension DeferralLog {
  /// None is pending whose last record ends at or below `wanted`, once the trace has been told up to `toldAt`.
  package var toldAgain: (wanted: UInt64, toldAt: UInt64) { retelling.done }

  /// Copies what the trace wants told again, some a turn.
  mutating func tellAgain<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    guard trace.wantedAgain > retelling.done.wanted else { return }
    if retelling.wanted != trace.wantedAgain { (retelling.wanted, retelling.slot) = (trace.wantedAgain, 0) }
    let lastSegment = starts.segment(of: retelling.wanted)
    var file: (segment: UInt64, handle: Int32)?
    defer { if let file { device.close(file.handle) } }
    var (bytes, opens) = (0, 0)
    for _ in 0..<Compaction.slotsATurn {
      // Whoever is kept or moved meanwhile, in a place behind, has a record above.
      guard retelling.slot < table.usedSlots else {
        // Of what ended meanwhile, the trace is still to be told that it ended.
        retelling.done = (retelling.wanted, news.lastSequence)
        return
      }
      let slot = retelling.slot
      // What is on its way to disk is kept or copied since.
      guard table.isTaken(slot), table[slot].state != .ended, !table[slot].isAwaited,
        let (segment, offset) = table.place(slot), let lastSegment, segment <= lastSegment
      else {
        retelling.slot += 1
        continue
      }
      guard bytes < Compaction.bytesATurn else { return }
      if file?.segment != segment {
        if let file { device.close(file.handle) }
        file = nil
        guard opens < Retelling.opensATurn else { return }
        opens += 1
        do throws(StorageFault) {
          let name = configuration.chain.naming.name(of: .segment(segment))
          file = (segment, try device.open(name, OpenMode()))
        } catch { return }
      }
      guard let moved = move(slot, offset, file!.handle, &device) else { return }
      bytes += moved
      retelling.slot += 1
    }
  }
}

/// Where in the log the records of each segment begin, for segments that hold any.
struct SegmentStarts {
  private var starts: [(segment: UInt64, sequence: UInt64)] = []

  /// A block with records from `sequence` on goes into a segment.
  mutating func see(_ segment: UInt64, _ sequence: UInt64) {
    if starts.last?.segment != segment { starts.append((segment, sequence)) }
  }

  mutating func drop(below segment: UInt64) {
    // The last one stays, so that it is known which segment has been seen.
    while starts.count > 1, starts[0].segment < segment { starts.removeFirst() }
  }

  /// The segment of the record that ends there, or of the one before; nil: it has gone.
  func segment(of sequence: UInt64) -> UInt64? { starts.last { $0.sequence < sequence }?.segment }
}
