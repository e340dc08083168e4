// SPDX-License-Identifier: Apache-2.0
// Handing intents out, and what becomes of them. Each step is a record, and is told to the trace.

import CLTP
import LTPRecords

extension DeferralLog {
  /// The next intent that may be carried out, among the next `looks` sessions. It is not begun yet.
  package mutating func next(
    unixNanoseconds now: UInt64, looks: Int, _ isLetIn: (Intent, _ confirmed: UInt64) -> Bool
  ) -> NextIntent {
    guard let slot = table.next(unixNanoseconds: now, looks: looks, isLetIn) else { return .nothing }
    guard handing == .yes, space(1) != nil else {
      table.turnBack(slot)
      guard handing != .yes else { return .later }
      if handing == .no { handing = .due }
      return .unsaid
    }
    return .intent(table.ticket(slot))
  }

  /// Gives it to a worker, which has it until `leaseUntil`. It is waiting, and there is a place for the record: `next` has just said so.
  package mutating func begin(_ ticket: Ticket, unixNanoseconds now: UInt64, leaseUntil: UInt64) -> Handout? {
    guard let slot = table.slot(of: ticket), table[slot].state == .waiting, space(1) != nil else {
      return nil
    }
    let mayHaveHappened = table[slot].mayHaveHappened
    table.begin(slot, until: leaseUntil)
    note(LTP_STEP_BEGUN, slot, until: leaseUntil, at: now)
    return Handout(ticket: ticket, attempt: table[slot].attempts, mayHaveHappened: mayHaveHappened)
  }

  /// It is not let in just now, and waits until then. Not a step: nobody had it.
  package mutating func putOff(_ ticket: Ticket, until: UInt64) {
    guard let slot = table.slot(of: ticket), table[slot].state == .waiting else { return }
    table.release(slot, notBefore: until, isKnown: false)
  }

  /// It was carried out.
  package mutating func commit(_ ticket: Ticket, attempt: UInt16, unixNanoseconds now: UInt64) -> StepAnswer {
    switch held(ticket, attempt) {
    case .failure(let answer): return answer
    case .success(let slot):
      table.end(slot, as: LTP_END_NONE, unixNanoseconds: now)
      counts.committed += 1
      note(LTP_STEP_COMMITTED, slot, at: now)
      return .done
    }
  }

  /// It was not carried out, and is to be tried again, unless its attempts are used up.
  package mutating func release(
    _ ticket: Ticket, attempt: UInt16, notBefore: UInt64, unixNanoseconds now: UInt64
  ) -> StepAnswer {
    switch held(ticket, attempt) {
    case .failure(let answer): return answer
    case .success(let slot):
      giveBack(slot, notBefore: notBefore, isKnown: true, at: now)
      return .done
    }
  }

  /// Whoever has it gives it up for good.
  package mutating func abandon(_ ticket: Ticket, attempt: UInt16, unixNanoseconds now: UInt64) -> StepAnswer
  {
    switch held(ticket, attempt) {
    case .failure(let answer): return answer
    case .success(let slot):
      end(slot, as: LTP_END_ABANDONED, at: now)
      return .done
    }
  }

  /// An operator ends it, whoever has it.
  package mutating func end(_ ticket: Ticket, as end: UInt8, unixNanoseconds now: UInt64) -> StepAnswer {
    guard let slot = table.slot(of: ticket) else { return .unknown }
    guard table[slot].state != .ended else { return .ended }
    guard space(1) != nil else { return .later }
    self.end(slot, as: end, at: now)
    return .done
  }

  /// An operator makes it due: the delay of its last release is over. Told as a release of what nobody had.
  package mutating func hasten(_ ticket: Ticket, unixNanoseconds now: UInt64) -> StepAnswer {
    guard let slot = table.slot(of: ticket) else { return .unknown }
    switch table[slot].state {
    case .ended: return .ended
    case .begun: return .notYours
    case .waiting:
      guard space(1) != nil else { return .later }
      table.release(slot, notBefore: 0, isKnown: false)
      note(LTP_STEP_RELEASED, slot, at: now)
      return .done
    }
  }

  private enum Held {
    case success(Int)
    case failure(StepAnswer)
  }

  /// The slot of an intent that this attempt has, and a place for what becomes of it.
  private mutating func held(_ ticket: Ticket, _ attempt: UInt16) -> Held {
    guard let slot = table.slot(of: ticket) else { return .failure(.unknown) }
    guard table[slot].state != .ended else { return .failure(.ended) }
    guard table[slot].state == .begun, table[slot].attempts == attempt else { return .failure(.notYours) }
    return space(1) == nil ? .failure(.later) : .success(slot)
  }

  private mutating func giveBack(_ slot: Int, notBefore: UInt64, isKnown: Bool, at now: UInt64) {
    guard table[slot].attempts < table[slot].attemptsMax else {
      return end(slot, as: LTP_END_ATTEMPTS, at: now)
    }
    table.release(slot, notBefore: notBefore > now ? notBefore : 0, isKnown: isKnown)
    note(LTP_STEP_RELEASED, slot, until: notBefore, isKnown: isKnown, at: now)
  }

  private mutating func end(_ slot: Int, as end: UInt8, at now: UInt64) {
    table.end(slot, as: end, unixNanoseconds: now)
    counts.ends[Int(end)] += 1
    note(LTP_STEP_ENDED, slot, end: end, at: now)
  }

  private mutating func note(
    _ step: UInt8, _ slot: Int, end: UInt8 = LTP_END_NONE, until: UInt64 = 0, isKnown: Bool = false,
    at now: UInt64
  ) {
    let record = space(1)!.assumingMemoryBound(to: ltp_deferral_step.self)
    record.pointee = ltp_deferral_step()
    record.pointee.kind = LTP_DEFERRAL_STEP
    record.pointee.step = step
    record.pointee.end = end
    record.pointee.known = isKnown ? 1 : 0
    record.pointee.attempt = table[slot].attempts
    record.pointee.ticket = table.ticket(slot).rawValue
    record.pointee.unix_ns = now
    record.pointee.until_unix_ns = until
    enter(1)
    tell(ltp_step_record(record.pointee, sequence: sequence))
    if table[slot].state == .ended { awaitRecord(of: slot) }
  }

  /// Ends what has expired or has no attempt left, and gives back what is held for longer than its lease: a piece of the table a call.
  mutating func endWhatRanOut(unixNanoseconds now: UInt64) {
    guard table.pendingCount > 0 else { return }
    for _ in 0..<min(TableWalk.slotsATurn, table.usedSlots) {
      guard space(1) != nil else { return }
      let slot = walk.next(of: table.usedSlots)
      guard table.isTaken(slot), table[slot].state != .ended else { continue }
      let intent = table[slot]
      if intent.state == .begun {
        if intent.until <= now { giveBack(slot, notBefore: now, isKnown: false, at: now) }
      } else if intent.expiresUnixNanoseconds <= now {
        end(slot, as: LTP_END_EXPIRED, at: now)
      } else if intent.attempts >= intent.attemptsMax {
        // Its last attempt died with its process.
        end(slot, as: LTP_END_ATTEMPTS, at: now)
      }
      if table[slot].state != .ended { walk.see(table.ticket(slot)) }
    }
  }

  /// The intent that has waited longest; nil: there is none. In a large table as the last walk has found it.
  package var oldestPending: Ticket? {
    guard table.usedSlots > TableWalk.slotsOfLook else { return table.oldest().map { table.ticket($0) } }
    return [walk.oldest, walk.oldestSoFar].lazy.compactMap { $0 }
      .first { ticket in table.slot(of: ticket).map { table[$0].state != .ended } ?? false }
  }
}

/// A walk around the table, a piece at a time, for what no queue has: what has run out, and which intent is the oldest.
struct TableWalk {
  /// How often a piece of it is done: ten million intents are walked around in five seconds.
  static var nanoseconds: UInt64 { 1_000_000 }
  static var slotsATurn: Int { 2000 }
  /// So many are looked at at once.
  static var slotsOfLook: Int { 1 << 16 }

  var walkedAt: UInt64 = 0
  private var slot = 0
  /// Of the last time around, and of this one.
  private(set) var oldest: Ticket?
  private(set) var oldestSoFar: Ticket?

  mutating func next(of count: Int) -> Int {
    slot += 1
    if slot >= count {
      slot = 0
      (oldest, oldestSoFar) = (oldestSoFar, nil)
    }
    return slot
  }

  mutating func see(_ ticket: Ticket) {
    if ticket.number < oldestSoFar?.number ?? .max { oldestSoFar = ticket }
  }
}

/// Records that are on their way to disk, and whose intents wait for that.
struct AwaitedRecords {
  private struct Record {
    var ticket: Ticket
    var isEnd: Bool
    var sequence: UInt64
  }

  private var records: [Record] = []
  private var first = 0

  mutating func append(_ ticket: Ticket, isEnd: Bool, sequence: UInt64) {
    records.append(Record(ticket: ticket, isEnd: isEnd, sequence: sequence))
  }

  /// The next one that is on disk; nil: there is none.
  mutating func next(durable: UInt64) -> (ticket: Ticket, isEnd: Bool)? {
    guard first < records.count, records[first].sequence <= durable else {
      if first > 0, 2 * first >= records.count {
        records.removeFirst(first)
        first = 0
      }
      return nil
    }
    first += 1
    return (records[first - 1].ticket, records[first - 1].isEnd)
  }
}
