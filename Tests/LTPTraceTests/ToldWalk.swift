// SPDX-License-Identifier: Apache-2.0
// The checker's part about kept intents: what a trace tells of the deferral log beside it, read by the layout of ltp_trace.h. Each intent
// and each end once, in the deferral log's order, and nothing left out.

import CLTP
import LTPDeferral
import LTPRecords

struct ToldWalk {
  /// Where in the deferral log the last record ends that was told.
  private(set) var sequence: UInt64 = 0
  /// Intents that were told, by ticket, and how each ended; nil: it is pending.
  private(set) var ends: [UInt64: UInt8?] = [:]
  private(set) var pendingCount: UInt64 = 0
  private(set) var logID: [UInt8] = []
  /// Of the last opening.
  private(set) var nextNumber: UInt64 = 0
  private(set) var isClosed = false
  /// Attempts so far, and whether somebody has the intent, of those that are pending.
  private var attempts: [UInt64: UInt16] = [:]

  /// There is a DEFERRAL record.
  var isTold: Bool { !logID.isEmpty }

  mutating func take(_ kind: UInt8, _ record: UnsafeRawPointer, _ book: IntentBook?) throws(Violation) {
    switch kind {
    case LTP_RECORD_DEFERRAL: try takeDeferral(record)
    case LTP_RECORD_INTENT: try takeIntent(record.assumingMemoryBound(to: ltp_intent_record.self), book)
    default: try takeStep(record.assumingMemoryBound(to: ltp_step_record.self), book)
    }
  }

  private mutating func takeDeferral(_ address: UnsafeRawPointer) throws(Violation) {
    let record = address.assumingMemoryBound(to: ltp_deferral_record.self)
    let id = [UInt8](UnsafeRawBufferPointer(start: address + LTP_AT_deferral_record_log_id, count: 16))
    guard logID.isEmpty || id == logID else { throw Violation("the deferral log is another one than before") }
    logID = id
    guard record.pointee.sequence == sequence, record.pointee.pending_count == pendingCount else {
      throw Violation(
        "told up to \(record.pointee.sequence) with \(record.pointee.pending_count) pending, and the records before come to "
          + "\(sequence) and \(pendingCount)")
    }
    guard record.pointee.next_number >= nextNumber else { throw Violation("ticket numbers go back") }
    nextNumber = record.pointee.next_number
    isClosed = record.pointee.what == LTP_DEFERRAL_CLOSED_HERE
  }

  /// What lies between two records that are told: copies of ended intents alone, three slots each.
  private mutating func follow(_ next: UInt64, slots: UInt64) throws(Violation) {
    guard isTold else { throw Violation("an intent or a step, and no deferral log") }
    guard next >= sequence + slots, (next - sequence - slots) % 3 == 0 else {
      throw Violation("told up to \(next), of \(slots) slots, after \(sequence): a gap, or twice")
    }
    sequence = next
    isClosed = false
  }

  private mutating func takeIntent(
    _ record: UnsafePointer<ltp_intent_record>, _ book: IntentBook?
  ) throws(Violation) {
    let ticket = record.pointee.ticket
    try follow(record.pointee.sequence, slots: UInt64(5 + (record.pointee.payload_bytes + 31) / 32))
    nextNumber = max(nextNumber, ticket >> UInt64(LTP_TICKET_SLOT_BITS) + 1)
    if let end = ends[ticket] {
      guard record.pointee.moved == 1, end == nil else {
        throw Violation("intent \(ticket) is told twice, or moved after its end")
      }
    } else {
      guard record.pointee.moved == 0 else { throw Violation("intent \(ticket) is moved, and was not told") }
      ends[ticket] = .some(nil)
      attempts[ticket] = 0
      pendingCount += 1
    }
    guard let book else { return }
    guard let sent = book.byTicket[ticket] else { throw Violation("intent \(ticket) was never sent") }
    guard !sent.isLost else { throw Violation("intent \(ticket) is told, and the deferral log lost it") }
    let hash = Digest(from: UnsafeRawPointer(record) + LTP_AT_intent_record_content_hash)
    guard sent.frame == record.pointee.frame_id, sent.session == record.pointee.session_id,
      sent.hash == hash, sent.payload.count == Int(record.pointee.payload_bytes)
    else { throw Violation("intent \(ticket) is told as another one") }
  }

  private mutating func takeStep(
    _ record: UnsafePointer<ltp_step_record>, _ book: IntentBook?
  ) throws(Violation) {
    let step = record.pointee
    try follow(step.sequence, slots: 1)
    guard let end = ends[step.ticket] else {
      throw Violation("a step of intent \(step.ticket), which was not told")
    }
    guard end == nil else { throw Violation("a step of intent \(step.ticket) after its end") }
    let attempt = attempts[step.ticket]!
    guard step.attempt == (step.step == LTP_STEP_BEGUN ? attempt + 1 : attempt) else {
      throw Violation(
        "step \(step.step) of attempt \(step.attempt) of intent \(step.ticket), after \(attempt)")
    }
    attempts[step.ticket] = step.attempt
    guard step.step == LTP_STEP_COMMITTED || step.step == LTP_STEP_ENDED else { return }
    guard (step.step == LTP_STEP_COMMITTED) == (step.end == LTP_END_NONE) else {
      throw Violation("end \(step.end)")
    }
    ends[step.ticket] = .some(step.end)
    attempts[step.ticket] = nil
    pendingCount -= 1
    guard let sent = book?.byTicket[step.ticket] else { return }
    guard sent.end == step.end || sent.end == nil && sent.mayEndByItself(as: step.end, at: step.unix_ns)
    else {
      throw Violation(
        "intent \(step.ticket) is told to have ended as \(step.end), not \(String(describing: sent.end))")
    }
  }
}
