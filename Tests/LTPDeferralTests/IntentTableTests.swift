// SPDX-License-Identifier: Apache-2.0

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPDeferral

@Suite("The table of kept intents", .guarded)
struct IntentTableTests {
  /// What a table must do, written down as simply as can be.
  private struct Model {
    struct One {
      var ticket: Ticket
      var key: UInt64
      var session: UInt64
      var state = IntentState.waiting
      var until: UInt64 = 0
      var endedAt: UInt64 = 0
    }

    var all: [One] = []

    func heads() -> [One] {
      var seen: Set<UInt64> = []
      return all.filter { $0.state != .ended && seen.insert($0.session).inserted }
    }
  }

  private let secret = SipKey(low: 1, high: 2)

  private func intent(_ key: UInt64, session: UInt64) -> NewIntent {
    var intent = NewIntent()
    intent.key = IntentKey(low: key, high: 0)
    intent.session = session
    intent.payloadBytes = 10
    intent.attemptsMax = .max
    intent.expiresUnixNanoseconds = .max
    return intent
  }

  @Test("agrees with a list, for random steps", arguments: TestSeed.each(1...20))
  func random(_ seed: UInt64) throws {
    var random = SplitMix64(seed: TestSeed.value(seed))
    let capacity = 1 + random.below(40)
    var table = try #require(IntentTable(capacity: capacity, secret: secret))
    defer { table.releaseMemory() }
    var model = Model()
    var number: UInt64 = 1
    var now = millisecond
    for _ in 0..<600 {
      now += millisecond
      switch random.below(10) {
      case 0..<4:
        let key = UInt64(random.below(60))
        let known = model.all.first { $0.key == key }
        #expect(table.slot(of: IntentKey(low: key, high: 0)).map { table.ticket($0) } == known?.ticket)
        guard known == nil, let slot = table.nextSlot else {
          if known == nil { #expect(model.all.count == capacity) }
          continue
        }
        let session = UInt64(1 + random.below(6))
        let isKept = table.keep(intent(key, session: session), number: number, slot: slot)
        #expect(isKept)
        model.all.append(.init(ticket: table.ticket(slot), key: key, session: session))
        number += 1
      case 4..<6:
        let slot = table.next(unixNanoseconds: now, looks: 1000, { _, _ in true })
        let ready = model.heads().filter { $0.state == .waiting && $0.until <= now }
        guard let slot else {
          #expect(ready.isEmpty)
          continue
        }
        let place = try #require(model.all.firstIndex { $0.ticket == table.ticket(slot) })
        #expect(ready.contains { $0.ticket == model.all[place].ticket })
        table.begin(slot, until: now + 5 * millisecond)
        model.all[place].state = .begun
      case 6:
        guard
          let place = model.all.indices.filter({ model.all[$0].state == .begun }).randomElement(
            using: &random)
        else { continue }
        let later = now + UInt64(random.below(8)) * millisecond
        table.release(model.all[place].ticket.slot, notBefore: later, isKnown: true)
        model.all[place].state = .waiting
        model.all[place].until = later
      case 7..<9:
        guard
          let place = model.all.indices.filter({ model.all[$0].state != .ended }).randomElement(
            using: &random)
        else { continue }
        table.end(model.all[place].ticket.slot, as: LTP_END_NONE, unixNanoseconds: now)
        model.all[place].state = .ended
        model.all[place].endedAt = now
      default:
        while let slot = table.firstEnded(before: now - min(now, 20 * millisecond)) {
          let ticket = table.ticket(slot)
          let place = try #require(model.all.firstIndex { $0.ticket == ticket })
          #expect(model.all[place].state == .ended)
          _ = table.forget(slot)
          #expect(table.slot(of: ticket) == nil)
          model.all.remove(at: place)
        }
        #expect(!model.all.contains { $0.state == .ended && $0.endedAt < now - min(now, 20 * millisecond) })
      }
      #expect(table.checkInvariants() == nil)
      #expect(table.pendingCount == model.all.count { $0.state != .ended })
    }
  }

  @Test("sessions have turns: one whose intent is held up holds up itself alone")
  func turns() throws {
    var table = try #require(IntentTable(capacity: 16, secret: secret))
    defer { table.releaseMemory() }
    for (number, session) in [1, 1, 1, 2, 2, 3].enumerated() {
      let slot = try #require(table.nextSlot)
      let isKept = table.keep(
        intent(UInt64(number) + 100, session: UInt64(session)), number: UInt64(number) + 1, slot: slot)
      #expect(isKept)
    }
    var order: [UInt64] = []
    while let slot = table.next(unixNanoseconds: 1, looks: 1000, { _, _ in true }) {
      order.append(table[slot].number)
      // The first session's worker never comes back.
      if table.session(of: slot) == 1 {
        table.begin(slot, until: .max)
      } else {
        table.end(slot, as: LTP_END_NONE, unixNanoseconds: 1)
      }
    }
    #expect(order == [1, 4, 6, 5])
    #expect(table.pending(ofSession: 1).count == 3 && table.pendingCount == 3 && table.sessionCount == 1)
  }

  @Test("a ticket that was given to somebody else before, or never, is nobody's")
  func tickets() throws {
    var table = try #require(IntentTable(capacity: 2, secret: secret))
    defer { table.releaseMemory() }
    var isKept = table.keep(intent(1, session: 1), number: 7, slot: 0)
    #expect(isKept)
    let first = table.ticket(0)
    #expect(first.number == 7 && first.slot == 0 && table.slot(of: first) == 0)
    table.end(0, as: LTP_END_CANCELLED, unixNanoseconds: 5)
    #expect(table.slot(of: first) == 0)
    _ = table.forget(0)
    isKept = table.keep(intent(2, session: 1), number: 8, slot: 0)
    #expect(isKept)
    #expect(table.slot(of: first) == nil && table.slot(of: table.ticket(0)) == 0)
    for wrong in [0, 1, first.rawValue + 1, .max, 8 << 24 | 5] {
      #expect(table.slot(of: Ticket(rawValue: wrong)) == nil)
    }
    #expect(IntentTable(capacity: 0, secret: secret) == nil)
    #expect(IntentTable(capacity: IntentTable.capacityMax + 1, secret: secret) == nil)
  }
}
