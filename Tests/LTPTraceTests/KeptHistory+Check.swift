// SPDX-License-Identifier: Apache-2.0
// What must hold after a crash, of both chains together: nothing that was acknowledged is gone or undone, and each says of the other what
// is so.

import CLTP
import LTPRecords
import LTPTestSupport

@testable import LTPDeferral
@testable import LTPStorage
@testable import LTPTrace

extension KeptHistory {
  /// Both logs as they were just recovered. Nothing has been done to them yet.
  func check(_ core: Core) throws(Violation) {
    // What fails from here on is not the checker's to meet.
    let planned = disk.faults.planned
    disk.faults.planned = []
    defer { disk.faults.planned = planned }
    let log = core.keeper!
    // A planted bug is to be found by what comes of it.
    if setup.planted == nil, let broken = log.log.checkInvariants() {
      throw Violation("after recovery: \(broken)")
    }
    let walk = try TraceWalk(disk, ledger: ledger)
    try walk.checkAcknowledged(ledger)
    guard walk.blockCount == core.log.chain.position.blockIndex else {
      throw Violation(
        "the trace goes on with block \(core.log.chain.position.blockIndex) after \(walk.blockCount)")
    }
    oldestAtOpening = log.log.chain.segments.oldest
    segmentAtOpening = log.log.chain.position.segmentIndex
    if core.log.chain.cutBytes > 0 { facts.traceCuts += 1 }
    facts.cuts = disk.entries.count {
      if case .torn = DeferralConfiguration.naming.file(named: $0.name) { true } else { false }
    }
    try checkStanding(core.log.told, walk.told)
    try checkIntents(core)
    try checkTold(walk.told, core)
    facts.toldLate += log.log.news.count
  }

  /// Recovery reads of the trace what the checker reads.
  private func checkStanding(_ told: ToldDeferral?, _ walk: ToldWalk) throws(Violation) {
    guard let told else {
      guard !walk.isTold else {
        throw Violation("recovery does not see what the trace tells of a deferral log")
      }
      return
    }
    var id = [UInt8](repeating: 0, count: 16)
    id.withUnsafeMutableBytes { told.logID.store(to: $0.baseAddress!) }
    guard id == walk.logID, told.sequence == walk.sequence, told.pending == walk.pendingCount,
      told.nextNumber == walk.nextNumber, told.isClosed == walk.isClosed
    else { throw Violation("recovery has \(told) told, and the trace tells up to \(walk.sequence)") }
  }

  /// Every intent that the host knows, against the recovered deferral log; and the other way round.
  private func checkIntents(_ core: Core) throws(Violation) {
    let log = core.keeper!
    for one in book.intents {
      let found = log.log.look(one.letter.draft, hash: one.hash)
      switch found {
      case nil: try checkGone(one, core)
      case .pending(one.ticket, _)?:
        guard !one.endIsAcknowledged else {
          throw Violation("intent \(one.ticket) had ended, and is pending again")
        }
        guard !one.isLost else { throw Violation("intent \(one.ticket) was lost, and is back") }
        if one.end != nil { facts.endsUndone += 1 }
        one.end = nil
        one.isAcknowledged = true
        try checkPending(one, core)
      case .ended(one.ticket, let end)?:
        guard one.end == end || one.end == nil && one.mayEndByItself(as: end, at: clock.unix) else {
          throw Violation("intent \(one.ticket) ended as \(end), not \(String(describing: one.end))")
        }
        one.end = end
        one.isAcknowledged = true
        one.endIsAcknowledged = true
      case .ended(let ticket, _)?, .differs(let ticket)?: try checkReplaced(one, by: ticket, core)
      case let other?: throw Violation("intent \(one.ticket) is known as \(other)")
      }
    }
    try checkStrays(log.log.table)
  }

  /// The one before it of the same key, which had ended and was forgotten, is known again, because its segment is there; the new one did
  /// not get to disk.
  private func checkReplaced(_ one: SentIntent, by ticket: Ticket, _ core: Core) throws(Violation) {
    let table = core.keeper!.log.table
    guard let before = book.byTicket[ticket.rawValue], before !== one, before.frame == one.frame,
      let slot = table.slot(of: ticket), table[slot].state == .ended, !one.isAcknowledged
    else { throw Violation("intent \(one.ticket) is known as \(ticket)") }
    let end = table[slot].end
    guard before.end == end || before.end == nil && before.mayEndByItself(as: end, at: clock.unix) else {
      throw Violation("intent \(ticket) ended as \(end), not \(String(describing: before.end))")
    }
    before.end = end
    before.endIsAcknowledged = true
    one.isLost = true
    book.restore(before)
  }

  private func checkGone(_ one: SentIntent, _ core: Core) throws(Violation) {
    if one.endIsAcknowledged || one.isLost { return }
    // It may have ended by itself, and been forgotten, unseen.
    if one.isAcknowledged, !hasLeft(one, core) {
      throw Violation("intent \(one.ticket) of frame \(one.frame) was acknowledged, and is gone")
    }
    guard !one.isAcknowledged else {
      one.endIsAcknowledged = true
      return
    }
    one.isLost = true
    facts.lostUnacknowledged += 1
  }

  private func checkPending(_ one: SentIntent, _ core: Core) throws(Violation) {
    let log = core.keeper!
    guard let slot = log.log.table.slot(of: one.ticket), log.log.table[slot].state == .waiting else {
      throw Violation("intent \(one.ticket) is somebody's, whose process is gone")
    }
    let kept = log.read(one.ticket, into: payload, disk)
    guard let kept else { throw Violation("intent \(one.ticket) cannot be read back") }
    try checkPayload(of: one)
    guard kept.payloadBytes == one.payload.count, kept.request.frame_id == one.frame,
      kept.request.session_id == one.session, kept.key == one.key
    else { throw Violation("intent \(one.ticket) is read back as another one") }
  }

  /// Nothing is there that nobody has sent.
  private func checkStrays(_ table: IntentTable) throws(Violation) {
    for slot in 0..<table.usedSlots where table.isTaken(slot) {
      guard let one = book.byTicket[table.ticket(slot).rawValue] else {
        throw Violation("intent \(table.ticket(slot)) was never sent")
      }
      guard !one.isLost else {
        throw Violation("intent \(one.ticket) is there, and its key does not find it")
      }
      // What was forgotten may be remembered again, as long as its segment is there.
      let isCurrent = book.intents.contains { $0 === one }
      guard isCurrent || table[slot].state == .ended else {
        throw Violation("frame \(one.frame) is there twice")
      }
    }
  }

  /// What the trace says was kept is in the deferral log; what it says has ended has.
  private func checkTold(_ told: ToldWalk, _ core: Core) throws(Violation) {
    let log = core.keeper!
    guard told.sequence <= log.log.sequence else { throw Violation("the trace is told more than there is") }
    for (ticket, end) in told.ends {
      let one = book.byTicket[ticket]!
      guard let slot = log.log.table.slot(of: one.ticket) else {
        guard one.endIsAcknowledged else {
          throw Violation("intent \(ticket) is told, and the deferral log does not have it")
        }
        continue
      }
      if let end, log.log.table[slot].state != .ended || log.log.table[slot].end != end {
        throw Violation(
          "intent \(ticket) is told to have ended as \(end), and the deferral log does not say so")
      }
    }
  }

  /// After a run that ended in order: the trace tells all that there is.
  func checkAtRest(_ core: Core) throws(Violation) {
    let walk = try TraceWalk(disk, ledger: ledger)
    guard walk.closedRuns.contains(walk.run), walk.told.isClosed else {
      throw Violation("the end of a run is not said")
    }
    let log = core.keeper!
    guard log.log.news.count == 0,
      walk.told.sequence == log.log.sequence || isOfEnded(log.log.sequence - walk.told.sequence)
    else {
      throw Violation(
        "told up to \(walk.told.sequence) of \(log.log.sequence) at the end, \(log.log.news.count) are left")
    }
    guard walk.told.pendingCount == UInt64(log.log.table.pendingCount) else {
      throw Violation(
        "\(walk.told.pendingCount) are told to be pending, and \(log.log.table.pendingCount) are")
    }
    for one in book.byTicket.values where one.isAcknowledged {
      guard let end = walk.told.ends[one.ticket.rawValue] else {
        throw Violation("intent \(one.ticket) was never told")
      }
      guard
        end == one.end || one.end == nil && end.map({ one.mayEndByItself(as: $0, at: clock.unix) }) ?? false
      else {
        throw Violation(
          "intent \(one.ticket) is told to have ended as \(String(describing: end)), not \(String(describing: one.end))"
        )
      }
    }
  }

  /// Copies of ended intents, which are not told.
  private func isOfEnded(_ slots: UInt64) -> Bool { slots % 3 == 0 }
}
