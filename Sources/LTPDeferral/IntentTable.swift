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
// Of a key and of a payload's hash only a keyed hash is here, of 64 and of 32 bits, so that ten million intents take 64 bytes each. Two
// keys that share theirs are refused as one key with two contents: among ten million, once in 400,000 times.
//
// Invariants: each intent that has not ended is in its session's queue; each session that has one is in the ring; each that
// has is in the list of ended ones; each is found by its key.

import CLTP
import CLTPSystem
package import LTPRecords

/// Memory that is the owner's to give back (`releaseMemory`): Embedded Swift finds no deinit of another module's internal types.
package struct IntentTable {
  package static let capacityMax = 1 << Int(LTP_TICKET_SLOT_BITS) - 1

  package let capacity: Int
  private let secret: SipKey
  private let memory: UnsafeMutableRawPointer
  private let intents: UnsafeMutablePointer<Intent>
  let keys: SlotIndex
  private var sessions: SessionQueues
  private var tenants: TenantShares
  /// Slots that were used before and are free, linked by `next`; then those from `fresh` on.
  private var free: UInt32 = 0
  private var fresh = 0
  private var endedFirst: UInt32 = 0
  private var endedLast: UInt32 = 0
  /// The last segment that a record was placed in.
  private var newestSegment: UInt64 = 0
  /// Intents that have not ended.
  package private(set) var pendingCount = 0
  package private(set) var endedCount = 0
  /// In workers' hands.
  package private(set) var begunCount = 0
  package private(set) var pendingBytes: UInt64 = 0

  /// nil: no memory. It is taken as it is used. `secret`: what keys are hashed under, so that nobody chooses where they fall.
  package init?(capacity: Int, secret: SipKey) {
    guard (1...Self.capacityMax).contains(capacity), let memory = ltp_system_map(Self.bytes(capacity), 0)
    else {
      return nil
    }
    self.capacity = capacity
    self.secret = secret
    self.memory = memory
    intents = memory.bindMemory(to: Intent.self, capacity: capacity)
    var next = memory + Self.intentBytes(capacity)
    keys = SlotIndex(next, capacity: capacity)
    next += SlotIndex.bytes(capacity: capacity)
    sessions = SessionQueues(next, capacity: capacity, secret: secret)
    next += SessionQueues.bytes(capacity: capacity)
    tenants = TenantShares(next, secret: secret)
  }

  package func releaseMemory() { ltp_system_unmap(memory, Self.bytes(capacity)) }

  private static func intentBytes(_ capacity: Int) -> Int {
    (capacity * MemoryLayout<Intent>.stride + 63) / 64 * 64
  }
  private static func bytes(_ capacity: Int) -> Int {
    let bytes =
      intentBytes(capacity) + SlotIndex.bytes(capacity: capacity) + SessionQueues.bytes(capacity: capacity)
      + TenantShares.bytes
    return (bytes + 4095) / 4096 * 4096
  }

  /// Memory that it has touched, about.
  package var memoryBytes: Int {
    fresh * MemoryLayout<Intent>.stride + min(SlotIndex.bytes(capacity: capacity), fresh * 4096)
      + sessions.memoryBytes + min(TenantShares.bytes, tenants.fresh * 4096)
  }

  /// Slots that were ever used.
  package var usedSlots: Int { fresh }
  package var sessionCount: Int { sessions.pendingCount }

  // MARK: Finding

  package func ticket(_ slot: Int) -> Ticket { Ticket(number: intents[slot].number, slot: slot) }

  /// The intent of a ticket that was given and is not forgotten.
  package func slot(of ticket: Ticket) -> Int? {
    guard ticket.slot < fresh, ticket.number != 0, intents[ticket.slot].number == ticket.number else {
      return nil
    }
    return ticket.slot
  }

  package func slot(of key: IntentKey) -> Int? {
    let hash = hash(key)
    return keys.find(hash) { intents[$0].keyHash == hash }
  }

  /// It will be asked for soon.
  func prefetch(_ key: IntentKey) { keys.prefetch(hash(key)) }

  package subscript(slot: Int) -> Intent { intents[slot] }

  /// Whether an intent is there that is not forgotten.
  package func isTaken(_ slot: Int) -> Bool { slot < fresh && intents[slot].number != 0 }

  package func session(of slot: Int) -> UInt64 { sessions[Int(intents[slot].session)].session }

  /// It was kept under this key, for a payload whose hash begins so.
  package func matches(_ slot: Int, _ key: IntentKey, contentWord: UInt64) -> Bool {
    intents[slot].keyHash == hash(key) && hasContent(slot, contentWord)
  }

  /// It was kept for a payload whose hash begins so.
  package func hasContent(_ slot: Int, _ word: UInt64) -> Bool {
    intents[slot].contentHash == contentHash(word)
  }

  private func hash(_ key: IntentKey) -> UInt64 { secret.hash([key.low, key.high, key.isDerived ? 1 : 0]) }
  private func contentHash(_ word: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: secret.hash([word])) }

  package func pending(ofSession session: UInt64) -> (count: Int, bytes: UInt64) {
    sessions.place(of: session).map { (Int(sessions[$0].pendingCount), sessions[$0].pendingBytes) } ?? (0, 0)
  }

  package func pending(ofTenant tenant: UInt32) -> (count: Int, bytes: UInt64) {
    let share = tenants.share(of: tenant)
    return (Int(share.count), share.bytes)
  }

  /// The intent that was kept first of those that are pending. Looks at all.
  package func oldest() -> Int? {
    var oldest: Int?
    for slot in 0..<fresh where intents[slot].number != 0 && intents[slot].state != .ended {
      if intents[slot].number < oldest.map({ intents[$0].number }) ?? .max { oldest = slot }
    }
    return oldest
  }

  // MARK: Keeping

  /// The slot that the next intent gets; nil: the table is full.
  package var nextSlot: Int? { free != 0 ? Int(free) - 1 : fresh < capacity ? fresh : nil }

  package func hasRoom(forTenant tenant: UInt32) -> Bool { tenants.hasRoom(for: tenant) }

  /// Puts an intent into a free slot, last of its session. Its key is not there yet. False: the slot is not free, as in a log that was not
  /// written by this table.
  package mutating func keep(_ new: NewIntent, number: UInt64, slot: Int) -> Bool {
    guard hasRoom(forTenant: new.tenant), enter(new, number: number, slot: slot) else { return false }
    intents[slot].tenant = tenants.enter(new.tenant, bytes: new.payloadBytes)
    intents[slot].expiresUnixNanoseconds = new.expiresUnixNanoseconds
    appendToSession(slot)
    pendingCount += 1
    pendingBytes += UInt64(new.payloadBytes)
    return true
  }

  /// Puts an intent that has ended into a free slot, as `keep` does one that has not.
  package mutating func remember(
    _ new: NewIntent, end: UInt8, unixNanoseconds now: UInt64, number: UInt64, slot: Int
  ) -> Bool {
    guard enter(new, number: number, slot: slot) else { return false }
    becomeEnded(slot, as: end, unixNanoseconds: now)
    return true
  }

  private mutating func enter(_ new: NewIntent, number: UInt64, slot: Int) -> Bool {
    guard take(slot) else { return false }
    var intent = Intent()
    intent.number = number
    intent.keyHash = hash(new.key)
    intent.contentHash = contentHash(new.contentWord)
    intent.session = UInt32(sessions.enter(new.session))
    intent.actionClass = new.actionClass
    intent.priority = new.priority
    intent.domain = new.domain
    intent.needsHello = new.needsHello
    intent.mayHaveHappened = new.mayHaveHappened
    intent.payloadBytes = new.payloadBytes
    intent.attempts = new.attempts
    intent.attemptsMax = new.attemptsMax
    intent.until = new.until
    intents[slot] = intent
    keys.insert(intent.keyHash, slot)
    return true
  }

  private mutating func take(_ slot: Int) -> Bool {
    guard slot < capacity else { return false }
    // Recovery meets them in another order than they were given.
    if fresh == slot {
      fresh += 1
      return true
    }
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
    let (own, place) = (UInt32(slot) + 1, Int(intents[slot].session))
    defer {
      sessions[place].pendingCount += 1
      sessions[place].pendingBytes += UInt64(intents[slot].payloadBytes)
    }
    let queue = sessions[place]
    guard queue.pendingCount > 0 else {
      (sessions[place].first, sessions[place].last) = (own, own)
      return sessions.enterRing(place)
    }
    guard intents[Int(queue.last) - 1].number > intents[slot].number else {
      intents[Int(queue.last) - 1].next = own
      sessions[place].last = own
      return
    }
    // By number. After a crash, one that was moved to the log's end comes after those that were kept later.
    let before = precedingInSession(queue) { intents[$0].number > intents[slot].number }
    if let before {
      intents[slot].next = intents[before].next
      intents[before].next = own
    } else {
      intents[slot].next = queue.first
      sessions[place].first = own
    }
  }

  /// The one before the first for which it holds; nil: that is the session's first.
  private func precedingInSession(_ queue: SessionQueue, _ isIt: (Int) -> Bool) -> Int? {
    var (before, at): (Int?, Int) = (nil, Int(queue.first) - 1)
    while !isIt(at) { (before, at) = (at, Int(intents[at].next) - 1) }
    return before
  }

  private mutating func removeFromSession(_ slot: Int) {
    let (own, place) = (UInt32(slot) + 1, Int(intents[slot].session))
    let before = precedingInSession(sessions[place]) { $0 == slot }
    if let before {
      intents[before].next = intents[slot].next
    } else {
      sessions[place].first = intents[slot].next
    }
    if sessions[place].last == own { sessions[place].last = before.map { UInt32($0) + 1 } ?? 0 }
    sessions[place].pendingCount -= 1
    sessions[place].pendingBytes -= UInt64(intents[slot].payloadBytes)
    guard sessions[place].pendingCount == 0 else { return }
    sessions[place].confirmed = 0
    sessions.leaveRing(place)
  }

  /// It is this one's turn, still.
  package mutating func turnBack(_ slot: Int) { sessions.turnBack(Int(intents[slot].session)) }

  /// The session has shaken hands in this continuity epoch of its domain.
  package mutating func confirm(session: UInt64, number: UInt64) {
    guard let place = sessions.place(of: session), sessions[place].pendingCount > 0 else { return }
    sessions[place].confirmed = number
  }

  /// The next intent that may be handed out now, and the turn goes to the next session; nil: there is none among the next `looks` sessions.
  /// `isLetIn`: whether it would be let in, its session having last shaken hands in that continuity epoch.
  package mutating func next(
    unixNanoseconds now: UInt64, looks: Int, _ isLetIn: (Intent, _ confirmed: UInt64) -> Bool
  ) -> Int? {
    for _ in 0..<min(looks, sessionCount) {
      let queue = sessions[sessions.takeTurn()]
      let slot = Int(queue.first) - 1
      let intent = intents[slot]
      let isDue =
        intent.state == .waiting && !intent.isAwaited && intent.until <= now
        && intent.expiresUnixNanoseconds > now && intent.attempts < intent.attemptsMax
      if isDue, isLetIn(intent, queue.confirmed) { return slot }
    }
    return nil
  }

  // MARK: Steps

  package mutating func begin(_ slot: Int, until: UInt64) {
    if intents[slot].state != .begun { begunCount += 1 }
    intents[slot].state = .begun
    intents[slot].attempts &+= 1
    intents[slot].until = until
  }

  /// Back to waiting. `isKnown`: whoever had it says that it was not carried out; what came of those who had it before stays unknown.
  package mutating func release(_ slot: Int, notBefore: UInt64, isKnown: Bool) {
    if intents[slot].state == .begun {
      begunCount -= 1
      if !isKnown { intents[slot].mayHaveHappened = true }
    }
    intents[slot].state = .waiting
    intents[slot].until = notBefore
  }

  mutating func setMayHaveHappened(_ slot: Int) { intents[slot].mayHaveHappened = true }

  /// It has ended: carried out (LTP_END_NONE), or not.
  package mutating func end(_ slot: Int, as end: UInt8, unixNanoseconds now: UInt64) {
    removeFromSession(slot)
    tenants.leave(intents[slot].tenant, bytes: intents[slot].payloadBytes)
    intents[slot].tenant = 0
    if intents[slot].state == .begun { begunCount -= 1 }
    pendingCount -= 1
    pendingBytes -= UInt64(intents[slot].payloadBytes)
    becomeEnded(slot, as: end, unixNanoseconds: now)
  }

  private mutating func becomeEnded(_ slot: Int, as end: UInt8, unixNanoseconds now: UInt64) {
    intents[slot].state = .ended
    intents[slot].end = end
    intents[slot].until = now
    intents[slot].expiresUnixNanoseconds = 0
    (intents[slot].next, intents[slot].previous) = (0, endedLast)
    if endedLast != 0 {
      intents[Int(endedLast) - 1].next = UInt32(slot) + 1
    } else {
      endedFirst = UInt32(slot) + 1
    }
    endedLast = UInt32(slot) + 1
    endedCount += 1
  }

  /// The intent that ended first, if that was before `time`.
  package func firstEnded(before time: UInt64 = .max) -> Int? {
    guard endedFirst != 0, intents[Int(endedFirst) - 1].until < time else { return nil }
    return Int(endedFirst) - 1
  }

  /// Forgets an intent that has ended; the segment that needs it no more.
  package mutating func forget(_ slot: Int) -> UInt64 {
    precondition(intents[slot].state == .ended, "an intent is forgotten that has not ended")
    let (next, previous) = (intents[slot].next, intents[slot].previous)
    if next != 0 { intents[Int(next) - 1].previous = previous } else { endedLast = previous }
    if previous != 0 { intents[Int(previous) - 1].next = next } else { endedFirst = next }
    keys.remove(intents[slot].keyHash, slot) { intents[$0].keyHash }
    sessions.leave(Int(intents[slot].session))
    let segment = intents[slot].place.segment(newest: newestSegment)
    intents[slot] = Intent()
    putFree(slot)
    endedCount -= 1
    return segment
  }

  // MARK: Records on disk

  /// The record that keeps it, or says how it ended, is on its way to disk, or is there.
  package mutating func setAwaited(_ slot: Int, _ isAwaited: Bool) { intents[slot].isAwaited = isAwaited }

  /// Where its record begins; nil: nowhere yet.
  package func place(_ slot: Int) -> (segment: UInt64, offset: UInt64)? {
    let place = intents[slot].place
    return place.isNowhere ? nil : (place.segment(newest: newestSegment), place.offset)
  }

  /// Its record lies there now. The segment where it lay before, if it did.
  package mutating func move(_ slot: Int, toSegment segment: UInt64, offset: UInt64) -> UInt64? {
    let before = place(slot)?.segment
    newestSegment = max(newestSegment, segment)
    intents[slot].place = RecordPlace(segment: segment, offset: offset)
    return before
  }

  // MARK: Invariants

  /// nil: all is as the file's head says; else what is not.
  package func checkInvariants() -> StaticString? {
    var (pending, ended, firsts) = (0, 0, 0)
    for slot in 0..<fresh where intents[slot].number != 0 {
      let intent = intents[slot]
      if keys.find(intent.keyHash, { $0 == slot }) == nil {
        return "table: an intent is not found by its key"
      }
      let queue = sessions[Int(intent.session)]
      if sessions.place(of: queue.session) != Int(intent.session) { return "table: a session is not found" }
      if intent.state == .ended {
        ended += 1
        continue
      }
      pending += 1
      if queue.ringNext == 0 { return "table: an intent that nobody comes by" }
      if intent.next == 0 {
        if queue.last != UInt32(slot) + 1 { return "table: a session ends before its last intent" }
      } else if intents[Int(intent.next) - 1].number <= intent.number {
        return "table: a session's intents are out of order"
      }
      guard queue.first == UInt32(slot) + 1 else { continue }
      firsts += 1
      var (count, at) = (0, queue.first)
      while at != 0, count <= queue.pendingCount {
        count += 1
        at = intents[Int(at) - 1].next
      }
      if count != queue.pendingCount { return "table: a session's queue does not hold its intents" }
    }
    if pending != pendingCount || ended != endedCount || firsts != sessionCount { return "table: its counts" }
    var (around, place) = (0, sessions.ring)
    while around < firsts, place != 0 {
      around += 1
      place = sessions[Int(place) - 1].ringNext
    }
    return place == sessions.ring && around == firsts ? nil : "table: the ring does not hold every session"
  }
}
