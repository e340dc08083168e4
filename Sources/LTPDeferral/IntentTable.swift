// SPDX-License-Identifier: Apache-2.0
// The intents of a deferral log that are not forgotten yet, in memory: found by key and by ticket, handed out in order.
//
//   state    | keep, same key     | begin        | commit, release | lease over   | expiry, cancel | forget
//   ---------|--------------------|--------------|-----------------|--------------|----------------|--------
//   WAITING  | the same ticket    | BEGUN        | -               | -            | ENDED          | -
//   BEGUN    | the same ticket    | -            | ENDED, WAITING  | WAITING      | ENDED          | -
//   ENDED    | how it ended       | -            | -               | -            | -              | gone
//
// Within a session intents are handed out in the order in which they were kept: nothing of a session is before its first
// intent has ended. Sessions have turns, so one whose intent is stuck holds up itself alone.
//
// Invariants: each intent that has not ended is in its session's list; the first one of each list is in the ring of sessions; each that
// has is in the list of ended ones; each is found by its key.

import CLTP
import CLTPSystem

/// Memory that is the owner's to give back (`releaseMemory`): Embedded Swift finds no deinit of another module's internal types.
package struct IntentTable {
  package static let capacityMax = 1 << Int(LTP_TICKET_SLOT_BITS) - 1

  package let capacity: Int
  private let memory: UnsafeMutableRawPointer
  private let intents: UnsafeMutablePointer<Intent>
  let keys: SlotIndex
  private let sessions: SlotIndex
  /// Slots that were used before and are free, linked by `next`; then those from `fresh` on.
  private var free: UInt32 = 0
  private var fresh = 0
  private var ring: UInt32 = 0
  private var endedFirst: UInt32 = 0
  private var endedLast: UInt32 = 0
  /// Intents that have not ended.
  package private(set) var pendingCount = 0
  package private(set) var endedCount = 0
  package private(set) var sessionCount = 0
  /// In workers' hands.
  package private(set) var begunCount = 0
  package private(set) var pendingBytes: UInt64 = 0

  /// nil: no memory. It is taken as it is used.
  package init?(capacity: Int) {
    guard (1...Self.capacityMax).contains(capacity), let memory = ltp_system_map(Self.bytes(capacity), 0)
    else {
      return nil
    }
    self.capacity = capacity
    self.memory = memory
    intents = memory.bindMemory(to: Intent.self, capacity: capacity)
    let keyMemory = memory + Self.intentBytes(capacity)
    keys = SlotIndex(keyMemory, capacity: capacity)
    sessions = SlotIndex(keyMemory + SlotIndex.bytes(capacity: capacity), capacity: capacity)
  }

  package func releaseMemory() { ltp_system_unmap(memory, Self.bytes(capacity)) }

  private static func intentBytes(_ capacity: Int) -> Int {
    (capacity * MemoryLayout<Intent>.stride + 63) / 64 * 64
  }
  private static func bytes(_ capacity: Int) -> Int {
    (intentBytes(capacity) + 2 * SlotIndex.bytes(capacity: capacity) + 4095) / 4096 * 4096
  }

  /// Slots that were ever used.
  package var usedSlots: Int { fresh }

  // MARK: Finding

  package func ticket(_ slot: Int) -> Ticket { Ticket(number: intents[slot].number, slot: slot) }

  /// The intent of a ticket that was given and is not forgotten.
  package func slot(of ticket: Ticket) -> Int? {
    guard ticket.slot < fresh, ticket.number != 0, intents[ticket.slot].number == ticket.number else {
      return nil
    }
    return ticket.slot
  }

  package func slot(of key: IntentKey) -> Int? { keys.find(key.hash) { intents[$0].key == key } }

  package subscript(slot: Int) -> Intent { intents[slot] }

  private func head(ofSession session: UInt64) -> Int? {
    sessions.find(Self.hash(session: session)) { intents[$0].session == session }
  }

  private static func hash(session: UInt64) -> UInt64 {
    let word = session &* 0x9E37_79B9_7F4A_7C15
    return word ^ word >> 32
  }

  package func pendingCount(ofSession session: UInt64) -> Int {
    head(ofSession: session).map { Int(intents[$0].count) } ?? 0
  }

  // MARK: Keeping

  /// The slot that the next intent gets; nil: the table is full.
  package var nextSlot: Int? { free != 0 ? Int(free) - 1 : fresh < capacity ? fresh : nil }

  /// Puts an intent into a free slot, last of its session. Its key is not there yet. False: the slot is not free, as in a log that was not
  /// written by this table.
  package mutating func keep(_ intent: Intent, number: UInt64, slot: Int) -> Bool {
    guard take(slot) else { return false }
    var kept = intent
    kept.number = number
    (kept.next, kept.previous, kept.last, kept.count) = (0, 0, 0, 0)
    (kept.ringNext, kept.ringPrevious, kept.confirmed) = (0, 0, 0)
    intents[slot] = kept
    keys.insert(kept.key.hash, slot)
    appendToSession(slot)
    pendingCount += 1
    pendingBytes += UInt64(kept.payloadBytes)
    return true
  }

  private mutating func take(_ slot: Int) -> Bool {
    guard slot < capacity else { return false }
    // Recovery meets them in another order than they were given.
    while fresh <= slot {
      intents[fresh] = Intent()
      putFree(fresh)
      fresh += 1
    }
    guard intents[slot].number == 0 else { return false }
    let (next, previous) = (intents[slot].next, intents[slot].previous)
    if next != 0 { intents[Int(next) - 1].previous = previous }
    if previous != 0 { intents[Int(previous) - 1].next = next } else { free = next }
    return true
  }

  /// First of the free ones, which are linked both ways: any of them may be taken.
  private mutating func putFree(_ slot: Int) {
    (intents[slot].next, intents[slot].previous) = (free, 0)
    if free != 0 { intents[Int(free) - 1].previous = UInt32(slot) + 1 }
    free = UInt32(slot) + 1
  }

  // MARK: Order

  private mutating func appendToSession(_ slot: Int) {
    let session = intents[slot].session
    guard let head = head(ofSession: session) else {
      intents[slot].last = UInt32(slot) + 1
      intents[slot].count = 1
      sessions.insert(Self.hash(session: session), slot)
      sessionCount += 1
      return enterRing(slot)
    }
    // By number. After a crash, one that was moved to the log's end comes after those that were kept later.
    var before = Int(intents[head].last) - 1
    while intents[before].number > intents[slot].number {
      guard intents[before].previous != 0 else { return insertHead(slot, before: head) }
      before = Int(intents[before].previous) - 1
    }
    let after = intents[before].next
    intents[slot].next = after
    intents[slot].previous = UInt32(before) + 1
    intents[before].next = UInt32(slot) + 1
    if after == 0 {
      intents[head].last = UInt32(slot) + 1
    } else {
      intents[Int(after) - 1].previous = UInt32(slot) + 1
    }
    intents[head].count += 1
  }

  private mutating func insertHead(_ slot: Int, before head: Int) {
    intents[slot].next = UInt32(head) + 1
    intents[head].previous = UInt32(slot) + 1
    handOver(from: head, to: slot, count: intents[head].count + 1)
  }

  /// The first one's place in the index and in the ring, and what is said of the session, become another's.
  private mutating func handOver(from head: Int, to heir: Int, count: UInt32) {
    let place = UInt32(heir) + 1
    intents[heir].last = intents[head].last
    intents[heir].confirmed = intents[head].confirmed
    intents[heir].count = count
    sessions.replace(Self.hash(session: intents[head].session), head, by: heir)
    let isAlone = intents[head].ringNext == UInt32(head) + 1
    intents[heir].ringNext = isAlone ? place : intents[head].ringNext
    intents[heir].ringPrevious = isAlone ? place : intents[head].ringPrevious
    if !isAlone {
      intents[Int(intents[heir].ringNext) - 1].ringPrevious = place
      intents[Int(intents[heir].ringPrevious) - 1].ringNext = place
    }
    if ring == UInt32(head) + 1 { ring = place }
    (intents[head].ringNext, intents[head].ringPrevious) = (0, 0)
  }

  private mutating func enterRing(_ slot: Int) {
    guard ring != 0 else {
      ring = UInt32(slot) + 1
      (intents[slot].ringNext, intents[slot].ringPrevious) = (ring, ring)
      return
    }
    // Before the one whose turn it is: last.
    let first = Int(ring) - 1
    let last = Int(intents[first].ringPrevious) - 1
    intents[slot].ringNext = UInt32(first) + 1
    intents[slot].ringPrevious = UInt32(last) + 1
    intents[last].ringNext = UInt32(slot) + 1
    intents[first].ringPrevious = UInt32(slot) + 1
  }

  private mutating func leaveRing(_ slot: Int) {
    let (next, previous) = (intents[slot].ringNext, intents[slot].ringPrevious)
    if next == UInt32(slot) + 1 {
      ring = 0
    } else {
      intents[Int(next) - 1].ringPrevious = previous
      intents[Int(previous) - 1].ringNext = next
      if ring == UInt32(slot) + 1 { ring = next }
    }
  }

  private mutating func removeFromSession(_ slot: Int) {
    let session = intents[slot].session
    let head = head(ofSession: session)!
    let (next, previous) = (intents[slot].next, intents[slot].previous)
    if previous != 0 { intents[Int(previous) - 1].next = next }
    if next != 0 { intents[Int(next) - 1].previous = previous }
    guard head == slot else {
      intents[head].count -= 1
      if intents[head].last == UInt32(slot) + 1 { intents[head].last = previous }
      return
    }
    guard next != 0 else {
      sessions.remove(Self.hash(session: session), slot) { Self.hash(session: intents[$0].session) }
      sessionCount -= 1
      return leaveRing(slot)
    }
    // The next one takes its place.
    handOver(from: slot, to: Int(next) - 1, count: intents[slot].count - 1)
  }

  /// It is this one's turn, still.
  package mutating func turnBack(_ slot: Int) { if intents[slot].ringNext != 0 { ring = UInt32(slot) + 1 } }

  /// When the pending one was kept that has waited longest; 0: there is none. Looks at all.
  package var oldestKept: UInt64 {
    var oldest = UInt64.max
    for slot in 0..<fresh where intents[slot].number != 0 && intents[slot].state != .ended {
      oldest = min(oldest, intents[slot].keptUnixNanoseconds)
    }
    return oldest == .max ? 0 : oldest
  }

  /// Memory that it has touched, about.
  package var memoryBytes: Int {
    fresh * MemoryLayout<Intent>.stride + 2 * min(SlotIndex.bytes(capacity: capacity), fresh * 4096)
  }

  /// The session has shaken hands in this continuity epoch of its domain.
  package mutating func confirm(session: UInt64, number: UInt64) {
    guard let head = head(ofSession: session) else { return }
    intents[head].confirmed = number
  }

  /// The next intent that may be handed out now, and the turn goes to the next session; nil: there is none among the next `looks` sessions.
  /// `durable`: slots of the log that are on disk. `isLetIn`: whether it would be let in.
  package mutating func next(
    unixNanoseconds now: UInt64, durable: UInt64, looks: Int, _ isLetIn: (Intent) -> Bool
  ) -> Int? {
    for _ in 0..<min(looks, sessionCount) {
      let slot = Int(ring) - 1
      ring = intents[slot].ringNext
      let isDue =
        intents[slot].state == .waiting && intents[slot].until <= now
        && intents[slot].expiresUnixNanoseconds > now && intents[slot].attempts < intents[slot].attemptsMax
        && intents[slot].sequence <= durable
      if isDue, isLetIn(intents[slot]) { return slot }
    }
    return nil
  }

  // MARK: Steps

  package mutating func begin(_ slot: Int, until: UInt64) {
    if intents[slot].state != .begun { begunCount += 1 }
    intents[slot].state = .begun
    intents[slot].attempts &+= 1
    intents[slot].until = until
    intents[slot].mayHaveHappened = true
  }

  /// Back to waiting. `isKnown`: whoever had it says that it was not carried out.
  package mutating func release(_ slot: Int, notBefore: UInt64, isKnown: Bool) {
    if intents[slot].state == .begun { begunCount -= 1 }
    intents[slot].state = .waiting
    intents[slot].until = notBefore
    if isKnown { intents[slot].mayHaveHappened = false }
  }

  /// It has ended: carried out (LTP_END_NONE), or not.
  package mutating func end(_ slot: Int, as end: UInt8, unixNanoseconds now: UInt64) {
    removeFromSession(slot)
    if intents[slot].state == .begun { begunCount -= 1 }
    intents[slot].state = .ended
    intents[slot].end = end
    intents[slot].until = now
    (intents[slot].next, intents[slot].previous) = (0, endedLast)
    if endedLast != 0 {
      intents[Int(endedLast) - 1].next = UInt32(slot) + 1
    } else {
      endedFirst = UInt32(slot) + 1
    }
    endedLast = UInt32(slot) + 1
    pendingCount -= 1
    endedCount += 1
    pendingBytes -= UInt64(intents[slot].payloadBytes)
  }

  /// The intent that ended first, if that was before `time`.
  package func firstEnded(before time: UInt64 = .max) -> Int? {
    guard endedFirst != 0, intents[Int(endedFirst) - 1].until < time else { return nil }
    return Int(endedFirst) - 1
  }

  /// Puts an intent that has ended into a free slot, as `keep` does one that has not.
  package mutating func remember(_ intent: Intent, number: UInt64, slot: Int) -> Bool {
    guard keep(intent, number: number, slot: slot) else { return false }
    end(slot, as: intent.end, unixNanoseconds: intent.until)
    return true
  }

  /// Forgets an intent that has ended; the segment that needs it no more.
  package mutating func forget(_ slot: Int) -> UInt64 {
    precondition(intents[slot].state == .ended, "an intent is forgotten that has not ended")
    let (next, previous) = (intents[slot].next, intents[slot].previous)
    if next != 0 { intents[Int(next) - 1].previous = previous } else { endedLast = previous }
    if previous != 0 { intents[Int(previous) - 1].next = next } else { endedFirst = next }
    keys.remove(intents[slot].key.hash, slot) { intents[$0].key.hash }
    let segment = intents[slot].segment
    intents[slot] = Intent()
    putFree(slot)
    endedCount -= 1
    return segment
  }

  /// Whether an intent is there that is not forgotten.
  package func isTaken(_ slot: Int) -> Bool { slot < fresh && intents[slot].number != 0 }

  /// The record that says how it ended, or a copy of its own, ends there in the log.
  package mutating func enter(_ slot: Int, sequence: UInt64) { intents[slot].sequence = sequence }

  /// Where its record lies, once that is known. The segment where it lay before, if it did.
  package mutating func place(_ slot: Int, segment: UInt64, offset: UInt64) -> UInt64? {
    let before = intents[slot].isPlaced ? intents[slot].segment : nil
    intents[slot].segment = segment
    intents[slot].offset = offset
    return before
  }

  // MARK: Invariants

  /// nil: all is as the file's head says; else what is not.
  package func checkInvariants() -> StaticString? {
    var (pending, ended, heads) = (0, 0, 0)
    for slot in 0..<fresh where intents[slot].number != 0 {
      let intent = intents[slot]
      if intent.state != .ended, intent.ringNext == 0, intent.previous == 0 {
        return "table: an intent that nobody comes by"
      }
      if self.slot(of: intent.key) != slot { return "table: an intent is not found by its key" }
      if intent.state == .ended {
        ended += 1
        continue
      }
      pending += 1
      guard let head = head(ofSession: intent.session) else { return "table: a session is not found" }
      if head == slot {
        heads += 1
        if intent.previous != 0 { return "table: something is before a session's first intent" }
        if intents[Int(intent.ringNext) - 1].ringPrevious != UInt32(slot) + 1 {
          return "table: the ring is broken"
        }
      } else if intent.previous == 0 || intents[Int(intent.previous) - 1].number >= intent.number {
        return "table: a session's intents are out of order"
      }
    }
    if pending != pendingCount || ended != endedCount || heads != sessionCount { return "table: its counts" }
    var (around, place) = (0, ring)
    while around < heads, place != 0 {
      around += 1
      place = intents[Int(place) - 1].ringNext
    }
    return place == ring && around == heads ? nil : "table: the ring does not hold every session"
  }
}
