// SPDX-License-Identifier: Apache-2.0
// What a trace beside a deferral log was told, and what of it a crash leaves.

import CLTP
import LTPRecords

struct ModelTrace {
  private(set) var told = ToldDeferral()
  /// The trace names the log.
  private(set) var isOpened = false
  private var tickets: Set<UInt64> = []
  private var ends: [UInt64: UInt8] = [:]
  /// Where the last record ends that tells an intent that is pending.
  private var proofs: [UInt64: UInt64] = [:]
  /// Everything that it was told, in order: tickets, and what was told of them. What is not durable goes with a crash.
  private var all: [(ticket: UInt64, isNew: Bool, end: UInt8?, proof: UInt64?, told: ToldDeferral)] = []
  private var durableCount = 0
  /// How much its blocks hold that are not durable, by the number of the block.
  private var blocks: [(number: UInt64, count: Int)] = []

  /// Where the last record ends that is told durably.
  var durablyTold: UInt64 { durableCount > 0 ? all[durableCount - 1].told.sequence : 0 }
  /// No pending intent was told last before this.
  var oldestProof: UInt64 { proofs.values.min() ?? .max }

  /// As many are pending as were told and have no end.
  var countsAgree: Bool { Int(told.pending) == tickets.count - ends.count }

  /// The trace names the log durably before anything else happens.
  mutating func open(_ logID: LogID) {
    told.logID = logID
    isOpened = true
  }

  /// A block is sealed with what was told up to now.
  mutating func seal(_ number: UInt64) { blocks.append((number, all.count)) }

  mutating func settle(below number: UInt64) {
    guard let place = blocks.lastIndex(where: { $0.number < number }) else { return }
    durableCount = blocks[place].count
    blocks.removeSubrange(...place)
  }

  mutating func crash() {
    for one in all[durableCount...].reversed() {
      if one.isNew { tickets.remove(one.ticket) }
      if one.end != nil { ends[one.ticket] = nil }
      proofs[one.ticket] = one.proof
    }
    all.removeSubrange(durableCount...)
    let logID = told.logID
    told = all.last?.told ?? ToldDeferral()
    told.logID = logID
    blocks = []
  }

  /// It is told a record of the log.
  mutating func take(_ view: RecordView, dropsRetelling: Bool = false) throws(DeferralViolation) {
    if view.kind == .intent {
      let ticket = view.intent.pointee.ticket
      let isNew = tickets.insert(ticket).inserted
      guard isNew == (view.intent.pointee.moved == 0), view.intent.pointee.sequence > told.sequence else {
        throw DeferralViolation("an intent is told twice, or moved before it was told")
      }
      told.apply(view.intent)
      all.append((ticket, isNew, nil, proofs[ticket], told))
      if isNew || !dropsRetelling { proofs[ticket] = told.sequence }
    } else {
      let step = view.step.pointee
      guard tickets.contains(step.ticket), step.sequence > told.sequence else {
        throw DeferralViolation("a step is told of an intent that was not, or out of order")
      }
      guard ends[step.ticket] == nil else { throw DeferralViolation("a step after an intent's end") }
      if step.isEnd { ends[step.ticket] = step.end }
      told.apply(view.step)
      all.append((step.ticket, false, step.isEnd ? step.end : nil, proofs[step.ticket], told))
      if step.isEnd { proofs[step.ticket] = nil }
    }
  }
}
