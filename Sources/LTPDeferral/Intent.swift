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

/// An intent as it enters the table.
package struct NewIntent {
  package var key = IntentKey(low: 0, high: 0)
  package var session: UInt64 = 0
  package var tenant: UInt32 = 0
  /// The first 8 bytes of its payload's hash.
  package var contentWord: UInt64 = 0
  package var actionClass: UInt8 = 0
  package var priority: UInt8 = 0
  package var domain: UInt8 = 0
  /// Its session has to shake hands before it is handed out.
  package var needsHello = false
  /// It was begun before, and nobody has said that it was not carried out.
  package var mayHaveHappened = false
  package var payloadBytes: UInt32 = 0
  package var attempts: UInt16 = 0
  package var attemptsMax: UInt16 = 0
  package var expiresUnixNanoseconds: UInt64 = 0
  /// Not before this; 0: at once.
  package var until: UInt64 = 0

  package init() {}

  /// As a record says it.
  package init(_ record: UnsafePointer<ltp_deferral_intent>) {
    let request = record.pointee.request
    key = IntentKey(record)
    session = request.session_id
    tenant = request.tenant_id
    contentWord = record.contentWord
    actionClass = request.action_class
    priority = request.priority
    domain = request.domain
    needsHello = record.pointee.flags & LTP_INTENT_NEEDS_HELLO != 0
    mayHaveHappened = record.pointee.flags & LTP_INTENT_MAYBE != 0
    payloadBytes = record.pointee.payload_bytes
    attempts = record.pointee.attempts
    attemptsMax = record.pointee.attempts_max
    expiresUnixNanoseconds = record.pointee.expires_unix_ns
    until = record.pointee.not_before_unix_ns
  }
}

/// An intent in the table: 56 bytes, so that ten million of them, with the index of their keys, take no more than 64 each. What has more
/// than its hash here is in the intent's record on disk. Times are whole milliseconds, rounded up.
package struct Intent {
  static var numberBits: UInt64 { 64 - UInt64(LTP_TICKET_SLOT_BITS) }

  /// From the lowest bit on: number, flags, action class, domain.
  private var word: UInt64 = 0
  /// Of its key, under the table's secret.
  var keyHash: UInt64 = 0
  /// Where its record begins, in slots of 32 bytes, and the low bits of its segment; above them the tenant's place.
  private var position: UInt64 = 0
  /// Of its payload's hash, under the table's secret.
  var contentHash: UInt32 = 0
  /// Its session's place.
  var session: UInt32 = 0
  /// Of its session's, of those that have ended, or of the free ones: by slot, plus one; 0: none.
  var next: UInt32 = 0
  /// Bytes of its payload, below its priority.
  private var size: UInt32 = 0
  package internal(set) var attempts: UInt16 = 0
  package internal(set) var attemptsMax: UInt16 = 0
  private var expiresHigh: UInt16 = 0
  private var untilHigh: UInt16 = 0
  private var expiresLow: UInt32 = 0
  private var untilLow: UInt32 = 0

  init() {}

  // MARK: The word

  private enum Bit {
    static var state: UInt64 { numberBits }
    static var needsHello: UInt64 { numberBits + 2 }
    static var mayHaveHappened: UInt64 { numberBits + 3 }
    static var isAwaited: UInt64 { numberBits + 4 }
    static var end: UInt64 { numberBits + 5 }
    static var actionClass: UInt64 { numberBits + 8 }
    static var domain: UInt64 { numberBits + 16 }
  }

  private func bits(_ at: UInt64, _ count: UInt64) -> UInt64 { word >> at & (1 << count - 1) }

  private mutating func set(_ at: UInt64, _ count: UInt64, _ value: UInt64) {
    word = word & ~((1 << count - 1) << at) | value << at
  }

  /// 0: the slot is free.
  package internal(set) var number: UInt64 {
    get { bits(0, Self.numberBits) }
    set { set(0, Self.numberBits, newValue) }
  }

  package internal(set) var state: IntentState {
    get { IntentState(rawValue: UInt8(bits(Bit.state, 2)))! }
    set { set(Bit.state, 2, UInt64(newValue.rawValue)) }
  }

  /// Its session has to shake hands before it is handed out.
  package internal(set) var needsHello: Bool {
    get { bits(Bit.needsHello, 1) != 0 }
    set { set(Bit.needsHello, 1, newValue ? 1 : 0) }
  }

  /// It was begun before, and nobody has said that it was not carried out.
  package internal(set) var mayHaveHappened: Bool {
    get { bits(Bit.mayHaveHappened, 1) != 0 }
    set { set(Bit.mayHaveHappened, 1, newValue ? 1 : 0) }
  }

  /// The record that keeps it, or says how it ended, is not on disk yet.
  package internal(set) var isAwaited: Bool {
    get { bits(Bit.isAwaited, 1) != 0 }
    set { set(Bit.isAwaited, 1, newValue ? 1 : 0) }
  }

  /// LTP_END_*; NONE for one that was carried out.
  package internal(set) var end: UInt8 {
    get { UInt8(bits(Bit.end, 3)) }
    set { set(Bit.end, 3, UInt64(newValue)) }
  }

  package internal(set) var actionClass: UInt8 {
    get { UInt8(bits(Bit.actionClass, 8)) }
    set { set(Bit.actionClass, 8, UInt64(newValue)) }
  }

  package internal(set) var domain: UInt8 {
    get { UInt8(bits(Bit.domain, 8)) }
    set { set(Bit.domain, 8, UInt64(newValue)) }
  }

  // MARK: Size, place, times

  package internal(set) var payloadBytes: UInt32 {
    get { size & 0xFF_FFFF }
    set { size = size & 0xFF00_0000 | newValue }
  }

  package internal(set) var priority: UInt8 {
    get { UInt8(size >> 24) }
    set { size = size & 0xFF_FFFF | UInt32(newValue) << 24 }
  }

  var tenant: UInt16 {
    get { UInt16(position >> 48) }
    set { position = position & (1 << 48 - 1) | UInt64(newValue) << 48 }
  }

  /// Where its record lies; 0: nowhere yet, for no block begins there.
  var place: RecordPlace {
    get { RecordPlace(rawValue: position & (1 << 48 - 1)) }
    set { position = position & ~(1 << 48 - 1) | newValue.rawValue }
  }

  package internal(set) var expiresUnixNanoseconds: UInt64 {
    get { Self.nanoseconds(expiresHigh, expiresLow) }
    set { (expiresHigh, expiresLow) = Self.milliseconds(newValue) }
  }

  /// WAITING: not before this; 0: at once. BEGUN: the lease's end. ENDED: when.
  package internal(set) var until: UInt64 {
    get { Self.nanoseconds(untilHigh, untilLow) }
    set { (untilHigh, untilLow) = Self.milliseconds(newValue) }
  }

  /// Of one that has ended, which does not expire, and of a free one: the one before it in its list, as in `next`.
  var previous: UInt32 {
    get { expiresLow }
    set { expiresLow = newValue }
  }

  private static func nanoseconds(_ high: UInt16, _ low: UInt32) -> UInt64 {
    let (time, isOver) = (UInt64(high) << 32 | UInt64(low)).multipliedReportingOverflow(by: 1_000_000)
    return isOver ? .max : time
  }

  /// As an intent has it.
  static func wholeMilliseconds(_ unixNanoseconds: UInt64) -> UInt64 {
    let (high, low) = milliseconds(unixNanoseconds)
    return nanoseconds(high, low)
  }

  private static func milliseconds(_ nanoseconds: UInt64) -> (UInt16, UInt32) {
    let whole = nanoseconds / 1_000_000
    let rounded = whole &* 1_000_000 == nanoseconds ? whole : whole + 1
    return (UInt16(truncatingIfNeeded: rounded >> 32), UInt32(truncatingIfNeeded: rounded))
  }
}

/// Where a record lies in the log: its offset, which is a whole number of slots, and the low bits of its segment's number. So many segments
/// are never on disk at once, so whoever knows the newest one knows all of it.
struct RecordPlace {
  static var slotBits: UInt64 { 25 }
  /// Segments from the oldest to the newest.
  static var segmentsMax: UInt64 { 1 << (48 - slotBits) }

  let rawValue: UInt64

  init(rawValue: UInt64) { self.rawValue = rawValue }

  init(segment: UInt64, offset: UInt64) {
    rawValue = (segment % Self.segmentsMax) << Self.slotBits | offset / UInt64(LTP_SLOT_BYTES)
  }

  var isNowhere: Bool { rawValue == 0 }

  var offset: UInt64 { rawValue % (1 << Self.slotBits) * UInt64(LTP_SLOT_BYTES) }

  func segment(newest: UInt64) -> UInt64 {
    newest &- (newest &- rawValue >> Self.slotBits) % Self.segmentsMax
  }
}
