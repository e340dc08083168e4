// SPDX-License-Identifier: Apache-2.0
// What a trace tells of the deferral log beside it. Its writer keeps it up with each record that it writes, recovery and the auditor with each one
// that they read.

package import CLTP

package struct ToldDeferral: Sendable {
  package var logID = LogID(low: 0, high: 0)
  /// Told are its records that end up to here.
  package var sequence: UInt64 = 0
  /// Of the next intent's ticket.
  package var nextNumber: UInt64 = 1
  /// Intents without an end.
  package var pending: UInt64 = 0
  /// Since the run began.
  package var ended: UInt64 = 0
  /// Each pending intent was told, or told again, by a record that ends above this: what the trace tells up to here proves no pending
  /// intent.
  package var proofSequence: UInt64 = 0
  /// Where the log ended when the run began.
  package var endSequence: UInt64 = 0
  /// Its last run ended in order, so that this is all.
  package var isClosed = false

  package init() {}

  package init(_ record: UnsafePointer<ltp_deferral_record>) {
    logID = LogID(from: UnsafeRawPointer(record) + LTP_AT_deferral_record_log_id)
    sequence = record.pointee.sequence
    nextNumber = record.pointee.next_number
    pending = record.pointee.pending_count
    ended = record.pointee.ended_count
    proofSequence = record.pointee.proof_sequence
    endSequence = record.pointee.end_sequence
    isClosed = record.pointee.what == LTP_DEFERRAL_CLOSED_HERE
  }

  /// Known elsewhere to hold up to this.
  package mutating func raiseProof(_ sequence: UInt64) { proofSequence = max(proofSequence, sequence) }

  /// Of a record that is said again, only its place in the log is new.
  package mutating func apply(_ intent: UnsafePointer<ltp_intent_record>) {
    sequence = intent.pointee.sequence
    isClosed = false
    nextNumber = max(nextNumber, intent.pointee.ticket >> UInt64(LTP_TICKET_SLOT_BITS) + 1)
    if intent.pointee.moved == 0 { pending &+= 1 }
  }

  package mutating func apply(_ step: UnsafePointer<ltp_step_record>) {
    sequence = step.pointee.sequence
    isClosed = false
    guard step.pointee.isEnd else { return }
    pending &-= 1
    ended &+= 1
    if pending == 0 { proofSequence = sequence }
  }
}

extension ltp_step_record {
  /// The intent has ended.
  package var isEnd: Bool { step == LTP_STEP_COMMITTED || step == LTP_STEP_ENDED }

  /// Nobody had it: an operator made it due at once. Whoever gives one back, and a lease that ran out, name a time.
  package var isHastening: Bool { step == LTP_STEP_RELEASED && known == 0 && until_unix_ns == 0 }
}

extension UnsafeMutablePointer<ltp_deferral_record> {
  /// `what`: LTP_DEFERRAL_*.
  package func write(_ told: ToldDeferral, _ what: UInt8) {
    pointee = ltp_deferral_record()
    pointee.header = ltp_control_header(.deferral)
    told.logID.store(to: UnsafeMutableRawPointer(self) + LTP_AT_deferral_record_log_id)
    pointee.sequence = told.sequence
    pointee.next_number = told.nextNumber
    pointee.pending_count = told.pending
    pointee.ended_count = told.ended
    pointee.end_sequence = what == LTP_DEFERRAL_OPENED_HERE ? told.endSequence : 0
    pointee.what = what
    pointee.proof_sequence = told.proofSequence
  }
}
