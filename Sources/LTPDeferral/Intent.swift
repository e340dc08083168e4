// SPDX-License-Identifier: Apache-2.0
// A kept intent as the table has it, and what names it.

package import CLTP

/// What makes two sendings one intent: the host's 16 bytes, or session and frame id.
package struct IntentKey: Equatable, Sendable {
  package var low: UInt64
  package var high: UInt64
  /// Session and frame id.
  package var isDerived: Bool

  package init(low: UInt64, high: UInt64, isDerived: Bool = false) {
    self.low = low
    self.high = high
    self.isDerived = isDerived
  }

  var hash: UInt64 {
    var word = (low ^ (isDerived ? 0xA5A5_A5A5_A5A5_A5A5 : 0)) &* 0x9E37_79B9_7F4A_7C15
    word ^= word >> 32
    word = (word ^ high) &* 0xD6E8_FEB8_6659_FD93
    return word ^ word >> 32
  }
}

/// An intent's number in its log and its place in the table, as LTP_TICKET_SLOT_BITS says.
package struct Ticket: Equatable, Hashable, Sendable {
  package let rawValue: UInt64

  package init(rawValue: UInt64) { self.rawValue = rawValue }

  init(number: UInt64, slot: Int) {
    rawValue = number << UInt64(LTP_TICKET_SLOT_BITS) | UInt64(slot)
  }

  package var number: UInt64 { rawValue >> UInt64(LTP_TICKET_SLOT_BITS) }
  package var slot: Int { Int(rawValue & (1 << UInt64(LTP_TICKET_SLOT_BITS) - 1)) }
}

package enum IntentState: UInt8, Sendable { case waiting, begun, ended }

package struct Intent {
  package internal(set) var number: UInt64 = 0
  package var key = IntentKey(low: 0, high: 0)
  package var session: UInt64 = 0
  /// The first 8 bytes of its payload's hash.
  package var contentHash: UInt64 = 0
  package var actionClass: UInt8 = 0
  package var priority: UInt8 = 0
  package var domain: UInt8 = 0
  /// Its session has to shake hands before it is handed out.
  package var needsHello = false
  /// Where its record begins; the segment's last one that has been sealed, or the one to come.
  package var segment: UInt64 = 0
  package var offset: UInt64 = 0
  /// Slots of the log up to the end of its record: durable once they are.
  package var sequence: UInt64 = 0
  package var payloadBytes: UInt32 = 0
  package var attempts: UInt16 = 0
  package var attemptsMax: UInt16 = 0
  package var expiresUnixNanoseconds: UInt64 = 0
  package var keptUnixNanoseconds: UInt64 = 0
  /// WAITING: not before this. BEGUN: the lease's end. ENDED: when.
  package var until: UInt64 = 0
  package var state = IntentState.waiting
  /// LTP_END_*; NONE for one that was carried out.
  package var end: UInt8 = 0
  /// It was begun, and nobody has said that it was not carried out.
  package var mayHaveHappened = false
  // Lists: by slot, plus one; 0: none.
  var next: UInt32 = 0
  var previous: UInt32 = 0
  /// Of the first of a session: its last one, how many there are, and its neighbours in the ring of sessions.
  var last: UInt32 = 0
  var count: UInt32 = 0
  /// The same: the continuity epoch of its domain in which the session shook hands last, as far as this process knows.
  package internal(set) var confirmed: UInt64 = 0
  var ringNext: UInt32 = 0
  var ringPrevious: UInt32 = 0

  package init() {}

  /// Its record has a place in the log: no block begins at 0.
  package var isPlaced: Bool { offset != 0 }

  /// As a record says it. Where it lies is the caller's to say.
  package init(_ record: UnsafePointer<ltp_deferral_intent>) {
    self.init()
    key = IntentKey(record)
    session = record.pointee.request.session_id
    contentHash = record.contentWord
    actionClass = record.pointee.request.action_class
    priority = record.pointee.request.priority
    domain = record.pointee.request.domain
    needsHello = record.pointee.flags & LTP_INTENT_NEEDS_HELLO != 0
    mayHaveHappened = record.pointee.flags & LTP_INTENT_MAYBE != 0
    payloadBytes = record.pointee.payload_bytes
    attempts = record.pointee.attempts
    attemptsMax = record.pointee.attempts_max
    expiresUnixNanoseconds = record.pointee.expires_unix_ns
    keptUnixNanoseconds = record.pointee.kept_unix_ns
    until = record.pointee.not_before_unix_ns
  }
}
