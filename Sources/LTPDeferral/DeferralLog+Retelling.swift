// SPDX-License-Identifier: Apache-2.0
// Intents that wait for long are told to the trace again before the segment of the trace goes that told them last. Copying an intent's record to the
// log's end tells it, as compaction does: so the trace still tells every record once and in the log's order, and a crash in between needs no care.

import CLTP
import LTPStorage

/// How far the table has been looked through for intents that were told too long ago.
struct Retelling {
  /// Segments opened a turn: intents that were kept one after the other lie in one.
  static let opensATurn = 32

  /// Those are copied whose record ends at or below this.
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
      guard table.isTaken(slot), table[slot].state != .ended, table[slot].sequence <= retelling.wanted else {
        retelling.slot += 1
        continue
      }
      guard bytes < Compaction.bytesATurn, table[slot].isPlaced else { return }
      let segment = table[slot].segment
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
      guard let moved = move(slot, file!.handle, &device) else { return }
      bytes += moved
      retelling.slot += 1
    }
  }
}
