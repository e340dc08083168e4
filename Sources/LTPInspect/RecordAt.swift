// SPDX-License-Identifier: Apache-2.0
// Of which frame a record at a place is, for whoever is told of the place alone.

import CLTP
import CLTPSystem
import LTPRecords
import LTPStorage

enum RecordAt {
  enum Name {
    /// `session` nil: the record does not say.
    case frame(UInt64, session: UInt64?)
    case ticket(UInt64)
  }

  /// Its record follows its decision by at most so many slots.
  private static let slotsBefore = 3

  /// nil: what is there is of no frame, or cannot be read.
  static func read(_ path: String, _ place: Place) -> Name? {
    guard let directory = try? TraceDirectory(path) else { return nil }
    let descriptor = ltp_system_open_at(
      directory.descriptor, SegmentName.text(place.segment), LTP_SYSTEM_READ_ONLY)
    guard descriptor >= 0 else { return nil }
    defer { _ = ltp_system_close(descriptor) }
    let before = min(UInt64(slotsBefore * Int(LTP_SLOT_BYTES)), place.offset)
    let size = Int(before) + RecordKind.intent.byteCount
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 32)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    do throws(StorageFault) {
      _ = try SystemStorage.read(descriptor, into: memory, count: size, offset: place.offset - before)
    } catch { return nil }
    return name(memory, slot: Int(before) / Int(LTP_SLOT_BYTES))
  }

  private static func name(_ memory: UnsafeRawPointer, slot: Int) -> Name? {
    let record = RecordView(memory, slot: slot)
    let frame: UInt64
    switch record.kind {
    case .decision:
      return .frame(record.decision.pointee.frame_id, session: record.decision.pointee.session_id)
    case .hello: return .frame(record.hello.pointee.frame_id, session: record.hello.pointee.session_id)
    case .intent: return .frame(record.intent.pointee.frame_id, session: record.intent.pointee.session_id)
    case .step: return .ticket(record.step.pointee.ticket)
    case .kept: frame = record.kept.pointee.frame_id
    case .replay: frame = record.replay.pointee.frame_id
    case .tenant: frame = record.tenant.pointee.frame_id
    default: return nil
    }
    for before in 1...max(1, slot) where before <= slot {
      let decision = RecordView(memory, slot: slot - before)
      guard decision.isDecision else { continue }
      guard decision.decision.pointee.frame_id == frame else { break }
      return .frame(frame, session: decision.decision.pointee.session_id)
    }
    return .frame(frame, session: nil)
  }
}
