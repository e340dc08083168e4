// SPDX-License-Identifier: Apache-2.0
// Giving space back while old intents wait: what the oldest segment still holds is copied to the log's end, a few records a turn, and the segment goes
// once the copies are durable. Of an intent that has ended and is remembered only its key is copied: its payload is gone with the segment.

import CLTP
import LTPRecords
import LTPStorage

/// How far the oldest segment has been looked through.
struct Compaction {
  /// Segments on disk beyond what intents need, before it begins.
  static let slack: UInt64 = 3
  static let slotsATurn = 4096
  static let bytesATurn = 1 << 17

  static var windowBytes: Int { 1 << 17 }

  var segment: UInt64?
  var slot = 0
  /// Of that segment: what has ended is small, and lies close together.
  var window: FileWindow
  /// The end of the last copy in the log.
  var movedSequence: UInt64 = 0

  init(window: FileWindow) { self.window = window }
}

extension DeferralLog {
  /// What the log would take if it held nothing but what is needed.
  private var neededBytes: UInt64 {
    table.pendingBytes + UInt64(table.pendingCount * MemoryLayout<ltp_deferral_intent>.size)
      + UInt64(table.endedCount * MemoryLayout<ltp_deferral_ended>.size)
  }

  mutating func compact<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    guard let segment = compaction.segment ?? segmentToEmpty() else { return }
    if compaction.segment == nil {
      (compaction.segment, compaction.slot) = (segment, 0)
      compaction.window.forget()
    }
    guard segment == use.oldest else {
      compaction.segment = nil
      return
    }
    var handle: Int32 = -1
    defer { if handle >= 0 { device.close(handle) } }
    var bytes = 0
    for _ in 0..<Compaction.slotsATurn {
      guard compaction.slot < table.usedSlots else {
        // Looked through: the segment goes with the next turns.
        compaction.segment = nil
        return
      }
      let slot = compaction.slot
      // What has no place yet is of the last segment.
      guard table.isTaken(slot), let place = table.place(slot), place.segment == segment else {
        compaction.slot += 1
        continue
      }
      guard bytes < Compaction.bytesATurn else { return }
      if handle < 0 {
        do throws(StorageFault) {
          handle = try device.open(configuration.chain.naming.name(of: .segment(segment)), OpenMode())
        } catch { return }
      }
      guard let moved = move(slot, place.offset, handle, &device) else { return }
      bytes += moved
      compaction.slot += 1
    }
  }

  /// The oldest segment, if the log holds much more than it needs.
  private func segmentToEmpty() -> UInt64? {
    let current = chain.position.segmentIndex
    let held = (current - use.oldest) * configuration.chain.segmentBytes
    let room = Compaction.slack * configuration.chain.segmentBytes
    return held > room + 2 * neededBytes && use.oldest < current ? use.oldest : nil
  }

  /// Copies an intent to the log's end. Its bytes there; nil: not now.
  mutating func move<Device: StorageDevice & ~Copyable>(
    _ slot: Int, _ offset: UInt64, _ handle: Int32, _ device: inout Device
  ) -> Int? {
    guard !table[slot].isAwaited else { return nil }
    let isPending = table[slot].state != .ended
    let slotCount =
      isPending
      ? DeferralRecord.slotCount(payloadBytes: Int(table[slot].payloadBytes))
      : MemoryLayout<ltp_deferral_ended>.size / Int(LTP_SLOT_BYTES)
    guard let place = space(slotCount) else { return nil }
    place.initializeMemory(as: UInt8.self, repeating: 0, count: slotCount * Int(LTP_SLOT_BYTES))
    do throws(StorageFault) {
      let isCopied =
        isPending
        ? try copyPending(slot, to: place, offset, handle, &device)
        : try copyEnded(slot, to: place, offset, handle, &device)
      // Never copied unseen: a segment that was changed under the log is not to be made good.
      guard isCopied else {
        chain.fail(StorageFault(.read, code: 0))
        return nil
      }
    } catch { return nil }
    gatheredIntents.append((table.ticket(slot), gathered!.slots))
    enter(slotCount)
    compaction.movedSequence = sequence
    dropAt = nil
    counts.moved += 1
    if isPending {
      awaitRecord(of: slot)
      tell(ltp_intent_record(place.assumingMemoryBound(to: ltp_deferral_intent.self), sequence: sequence))
    }
    return slotCount * Int(LTP_SLOT_BYTES)
  }

  /// The record and its payload, as they are, with what has become of the intent since. False: they are not what was written.
  private func copyPending<Device: StorageDevice & ~Copyable>(
    _ slot: Int, to place: UnsafeMutableRawPointer, _ offset: UInt64, _ handle: Int32, _ device: inout Device
  ) throws(StorageFault) -> Bool {
    let (intent, headBytes) = (table[slot], MemoryLayout<ltp_deferral_intent>.size)
    let (payloadBytes, record) = (
      Int(intent.payloadBytes), place.assumingMemoryBound(to: ltp_deferral_intent.self)
    )
    let count = headBytes + payloadBytes
    guard try device.read(handle, into: place, count: count, offset: offset) == count,
      record.pointee.kind == LTP_DEFERRAL_INTENT, record.pointee.ticket == table.ticket(slot).rawValue,
      Int(record.pointee.payload_bytes) == payloadBytes,
      table.matches(slot, IntentKey(record), contentWord: UnsafePointer(record).contentWord),
      let hash = Digest(of: place + headBytes, count: payloadBytes),
      hash == Digest(from: place + LTP_AT_deferral_intent_content_hash)
    else { return false }
    record.pointee.attempts = intent.attempts
    record.pointee.not_before_unix_ns = intent.state == .waiting ? intent.until : 0
    record.pointee.flags =
      LTP_INTENT_MOVED | (intent.mayHaveHappened || intent.state == .begun ? LTP_INTENT_MAYBE : 0)
      | (intent.needsHello ? LTP_INTENT_NEEDS_HELLO : 0)
    return true
  }

  /// What is remembered of it: its record, without the payload, or a copy of its own. False: they are not what was written.
  private mutating func copyEnded<Device: StorageDevice & ~Copyable>(
    _ slot: Int, to place: UnsafeMutableRawPointer, _ offset: UInt64, _ handle: Int32, _ device: inout Device
  ) throws(StorageFault) -> Bool {
    let (intent, ticket) = (table[slot], table.ticket(slot).rawValue)
    let record = place.assumingMemoryBound(to: ltp_deferral_ended.self)
    let count = MemoryLayout<ltp_deferral_ended>.size
    guard let before = try compaction.window.read(handle, offset: offset, count: count, &device) else {
      return false
    }
    if before.load(as: UInt8.self) == LTP_DEFERRAL_ENDED {
      place.copyMemory(from: before, byteCount: count)
      return record.pointee.ticket == ticket
        && table.matches(slot, IntentKey(record), contentWord: record.pointee.content)
    }
    let headBytes = MemoryLayout<ltp_deferral_intent>.size
    guard let head = try compaction.window.read(handle, offset: offset, count: headBytes, &device) else {
      return false
    }
    let kept = head.assumingMemoryBound(to: ltp_deferral_intent.self)
    let key = IntentKey(kept)
    guard kept.pointee.kind == LTP_DEFERRAL_INTENT, kept.pointee.ticket == ticket,
      table.matches(slot, key, contentWord: kept.contentWord)
    else { return false }
    record.pointee.kind = LTP_DEFERRAL_ENDED
    record.pointee.end = intent.end
    record.pointee.action_class = intent.actionClass
    record.pointee.derived = key.isDerived ? 1 : 0
    record.pointee.payload_bytes = intent.payloadBytes
    record.pointee.ticket = ticket
    record.pointee.key_low = key.low
    record.pointee.key_high = key.high
    record.pointee.session_id = kept.pointee.request.session_id
    record.pointee.content = kept.contentWord
    record.pointee.ended_unix_ns = intent.until
    record.pointee.attempts = intent.attempts
    return true
  }
}
