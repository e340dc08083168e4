// SPDX-License-Identifier: Apache-2.0
// What the blocks of a deferral log say, from the oldest segment on: the table as it was when the last block was written.

import CLTP
import LTPRecords
import LTPStorage

/// How many intents of each segment are not forgotten.
struct SegmentUse {
  private(set) var oldest: UInt64 = 0
  private var counts: [UInt32] = []

  mutating func begin(at segment: UInt64) {
    oldest = segment
    counts = []
  }

  mutating func add(_ segment: UInt64, _ change: Int32) {
    if counts.isEmpty { oldest = segment }
    guard segment >= oldest else { return }
    while UInt64(counts.count) <= segment - oldest { counts.append(0) }
    let place = Int(segment - oldest)
    counts[place] = UInt32(Int64(counts[place]) + Int64(change))
  }

  /// Nothing of what lies in front of this segment is needed.
  mutating func dropUnused(before segment: UInt64) -> UInt64 {
    while oldest < segment, counts.first ?? 0 == 0 {
      if !counts.isEmpty { counts.removeFirst() }
      oldest += 1
    }
    return oldest
  }
}

struct DeferralReader: BlockReader {
  var table: IntentTable
  var use = SegmentUse()
  /// Of the next intent.
  var nextNumber: UInt64 = 1
  /// Slots of the log's lane so far.
  var sequence: UInt64 = 0
  /// Something that no version of this library writes; the hash says that it was written so.
  var fault: StaticString?
  private var offset: UInt64 = 0

  init(table: IntentTable) { self.table = table }

  mutating func beginSegment(isLast: Bool) { offset = 0 }

  mutating func read(_ header: BlockHeader) -> Bool {
    defer { offset += UInt64(header.sizeBytes) }
    if header.laneID == LTP_DEFERRAL_LANE { sequence = header.firstSequence + UInt64(header.slotCount) }
    var slot = 0
    var isSealed = false
    while slot < header.slotCount, fault == nil {
      guard let record = DeferralRecord.read(header.body, slot: slot, of: header.slotCount) else {
        fault = "a record of the deferral log cannot be made out"
        break
      }
      switch record {
      case .intent(let intent, _):
        keep(
          intent, header.segmentIndex,
          at: offset + UInt64(LTP_BLOCK_HEADER_BYTES) + UInt64(slot) * UInt64(LTP_SLOT_BYTES))
      case .step(let step): apply(step)
      case .mark(let mark):
        nextNumber = max(nextNumber, mark.pointee.next_number)
        if mark.pointee.kind == LTP_DEFERRAL_SEALED { isSealed = true }
      }
      slot += record.slotCount
    }
    return isSealed
  }

  private mutating func keep(
    _ record: UnsafePointer<ltp_deferral_intent>, _ segment: UInt64, at offset: UInt64
  ) {
    let ticket = Ticket(rawValue: record.pointee.ticket)
    let key = IntentKey(record)
    nextNumber = max(nextNumber, ticket.number + 1)
    if let before = table.slot(of: key) {
      // Forgotten by the process that wrote this, and kept anew.
      guard forget(before) else {
        fault = "an intent is kept twice"
        return
      }
    }
    var intent = Intent()
    intent.key = key
    intent.session = record.pointee.request.session_id
    let hash = UnsafeRawPointer(record) + LTP_AT_deferral_intent_content_hash
    intent.contentHash = hash.loadUnaligned(as: UInt64.self)
    intent.actionClass = record.pointee.request.action_class
    intent.segment = segment
    intent.offset = offset
    intent.payloadBytes = record.pointee.payload_bytes
    intent.attemptsMax = record.pointee.attempts_max
    intent.expiresUnixNanoseconds = record.pointee.expires_unix_ns
    intent.until = record.pointee.kept_unix_ns
    // The process that wrote this had forgotten who was there before.
    if table.isTaken(ticket.slot) { _ = forget(ticket.slot) }
    guard table.keep(intent, number: ticket.number, slot: ticket.slot) else {
      fault = "two intents have one place, or there are more than the table is opened for"
      return
    }
    use.add(segment, 1)
  }

  /// False: it has not ended.
  private mutating func forget(_ slot: Int) -> Bool {
    guard table[slot].state == .ended else { return false }
    use.add(table.forget(slot), -1)
    return true
  }

  private mutating func apply(_ step: UnsafePointer<ltp_deferral_step>) {
    // Of one whose record has left with its segment.
    guard let slot = table.slot(of: Ticket(rawValue: step.pointee.ticket)), table[slot].state != .ended else {
      return
    }
    switch step.pointee.step {
    case LTP_STEP_BEGUN: table.begin(slot, until: step.pointee.until_unix_ns)
    case LTP_STEP_RELEASED:
      table.release(slot, notBefore: step.pointee.until_unix_ns, isKnown: step.pointee.known != 0)
    case LTP_STEP_COMMITTED: table.end(slot, as: LTP_END_NONE, unixNanoseconds: step.pointee.unix_ns)
    default: table.end(slot, as: step.pointee.end, unixNanoseconds: step.pointee.unix_ns)
    }
  }
}
