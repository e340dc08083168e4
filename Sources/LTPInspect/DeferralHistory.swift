// SPDX-License-Identifier: Apache-2.0
// What a trace tells of its deferral log, held against itself: every intent that a lane said is kept was kept, with the same content; every step is of an
// intent that is pending, and follows from the one before; nothing is left out; and each DEFERRAL record's counts are those of what was told.
//
// Where the trace's first segments have left, it is known how many intents were pending then, and each of them has to be told again, or to
// end, before a DEFERRAL record says that all were (`proof_sequence`): no segment leaves before that.
//
// Its memory is that of the intents that have no end yet.

import CLTP
import LTPRecords

/// An intent without an end, as far as the trace has told.
struct PendingIntent {
  var frame: UInt64
  var session: UInt64
  var content: UInt64
  var payloadBytes: UInt32
  var keptUnixNanoseconds: UInt64
  var attempt: UInt16 = 0
  var attemptsMax: UInt16
  /// Where the deferral log says that somebody has it; 0: nobody does.
  var begunAt: UInt64 = 0
  /// The lease's end while somebody has it; else before when it is not handed out again; 0: there is no such time.
  var untilUnixNanoseconds: UInt64 = 0
  var expiresUnixNanoseconds: UInt64 = 0
  var actionClass: UInt8 = LTP_CLASS_NONE
  /// What first told it has left with older segments, and no step is at hand: somebody may have it.
  var isLate = false
  var place: Place
}

/// What was counted, of the part that is at hand.
public struct DeferralTotals: Sendable, Encodable {
  /// Intents that were kept, and how they ended.
  public var kept: UInt64 = 0
  public var committed: UInt64 = 0
  public var expired: UInt64 = 0
  public var attemptsUsedUp: UInt64 = 0
  public var abandoned: UInt64 = 0
  public var cancelled: UInt64 = 0
  /// Without an end, by the last record that counts them.
  public var pending: UInt64 = 0
  /// Sent again while they were pending, or after.
  public var sentAgain: UInt64 = 0
  public var handedOut: UInt64 = 0
  /// Handed out more than once: given back, or its worker or process died with it.
  public var handedOutAgain: UInt64 = 0
  /// A process ended before they were on disk, so their senders were never told that they are kept.
  public var unacknowledged: UInt64 = 0
  /// DEFER that kept nothing, in a run that keeps intents.
  public var deferredUnkept: UInt64 = 0
  public var refused: UInt64 = 0
  public var longestWaitNanoseconds: UInt64 = 0
  /// Deferred in a run that was closed in order, and the deferral log never held them.
  public var neverHeld: UInt64 = 0

  public var ended: UInt64 { committed + expired + attemptsUsedUp + abandoned + cancelled }
}

struct DeferralHistory {
  private(set) var totals = DeferralTotals()
  private(set) var pending: [UInt64: PendingIntent] = [:]
  /// From kept to carried out.
  private(set) var waits = WaitHistogram()
  /// nil: the trace has not told of a deferral log.
  private var told: ToldDeferral?
  /// Blocks are missing, so that what the trace does not tell may stand in them.
  private var isBroken = false
  /// Intents that were pending when the part at hand began, and have not been told again or ended since.
  private var unseen: UInt64 = 0
  /// The part at hand begins after what was told up to here, with pending intents: they have to be told again above it.
  private var proofDue: (sequence: UInt64, pending: UInt64, place: Place)?
  /// Of the first ticket that was not told before the part at hand.
  private var firstUntold: UInt64 = 0
  /// The run's beginning is at hand.
  private var isRunWhole = true
  /// A run that keeps intents is under way.
  private(set) var isOpen = false
  /// Of the first ticket that this run can give: the decisions that kept earlier ones may have died with their run.
  private var firstNumber: UInt64 = 0
  /// Where the deferral log ended when runs began, rising: a lease of before is over after it. What one run did may be told in a later one, or in the one
  /// after that.
  private var runStarts: [UInt64] = []
  private static let runStartsMax = 4096
  private var runStart: UInt64 { runStarts.last ?? 0 }
  /// Kept by a lane's record, and not told yet; told, and no lane's record yet.
  private var announced: [UInt64: PendingIntent] = [:]
  private var unannounced: [UInt64: PendingIntent] = [:]
  /// Replays that were let in, less those that were handed out, where they differ.
  private var letIn: [UInt64: Int] = [:]

  /// The trace has told of a deferral log.
  var isTold: Bool { told != nil }

  /// Without an end, by the counts that the trace tells; where nothing is left out, as many as `pending` has.
  var pendingTold: UInt64 { told?.pending ?? 0 }

  /// Intents that have no end, though the trace counts them as ended; deferred ones that the log never held; DEFERs that kept nothing.
  var lostCount: UInt64 {
    let without = UInt64(pending.count) + unseen
    let unended = isBroken ? 0 : without - min(without, pendingTold)
    return unended + totals.neverHeld + totals.deferredUnkept
  }

  // MARK: Lanes

  mutating func applyKept(
    _ record: UnsafePointer<ltp_kept_record>, _ decision: UnsafePointer<ltp_decision_record>,
    _ place: Place, _ findings: Findings
  ) {
    let kept = record.pointee
    func fault(_ text: String) { findings.add(.deferral, at: place, text) }
    if kept.result == LTP_KEPT_NONE || kept.result >= LTP_KEPT_COUNT || kept.behind > 1
      || kept.end >= LTP_END_COUNT || kept.end != LTP_END_NONE && kept.result != LTP_KEPT_ENDED
    {
      return fault("a KEPT record with result \(kept.result), end \(kept.end) and behind \(kept.behind)")
    }
    let hasTicket = kept.result != LTP_KEPT_FULL && kept.result != LTP_KEPT_LATER
    if hasTicket != (kept.ticket != 0) { return fault("a KEPT record with ticket \(kept.ticket)") }
    if !isOpen { return fault("a KEPT record in a run without a deferral log") }
    switch kept.result {
    case LTP_KEPT_NEW:
      let intent = PendingIntent(
        frame: decision.pointee.frame_id, session: decision.pointee.session_id, content: kept.content,
        payloadBytes: kept.payload_bytes, keptUnixNanoseconds: 0, attemptsMax: 0, place: place)
      if let was = unannounced.removeValue(forKey: kept.ticket) {
        compare(was, with: intent, ticket: kept.ticket, findings)
      } else if kept.ticket >> UInt64(LTP_TICKET_SLOT_BITS) < firstUntold {
        // It was told in a segment that has left: a lane's records may come later.
        break
      } else if announced.updateValue(intent, forKey: kept.ticket) != nil {
        fault("the ticket \(kept.ticket) is given twice")
      }
    case LTP_KEPT_SAME, LTP_KEPT_ENDED: totals.sentAgain += 1
    case LTP_KEPT_FULL, LTP_KEPT_LATER: totals.refused += 1
    case LTP_KEPT_REPLAY:
      guard Outcome(rawValue: decision.pointee.outcome).isExecute else { break }
      balance(kept.ticket, 1)
    default: break
    }
  }

  mutating func applyUnkept() { if isOpen { totals.deferredUnkept += 1 } }

  private mutating func balance(_ ticket: UInt64, _ change: Int) {
    let count = (letIn[ticket] ?? 0) + change
    letIn[ticket] = count == 0 ? nil : count
  }

  private func compare(
    _ told: PendingIntent, with said: PendingIntent, ticket: UInt64, _ findings: Findings
  ) {
    guard
      told.frame != said.frame || told.session != said.session || told.content != said.content
        || told.payloadBytes != said.payloadBytes
    else { return }
    findings.add(
      .deferral, at: told.place,
      "intent \(ticket) is of frame \(told.frame), session \(told.session), and the decision that kept it of frame "
        + "\(said.frame), session \(said.session), or its content is another")
  }

  // MARK: The control lane

  mutating func applyIntent(
    _ record: UnsafePointer<ltp_intent_record>, _ place: Place, _ findings: Findings
  ) {
    let intent = record.pointee
    func fault(_ text: String) { findings.add(.deferral, at: place, text) }
    let bytes = MemoryLayout<ltp_deferral_intent>.size + Int(intent.payload_bytes)
    let slots = UInt64((bytes + Int(LTP_SLOT_BYTES) - 1) / Int(LTP_SLOT_BYTES))
    follow(intent.sequence, slots: slots, "intent \(intent.ticket)", place, findings)
    let content = UnsafeRawPointer(record).load(
      fromByteOffset: LTP_AT_intent_record_content_hash, as: UInt64.self)
    var kept = PendingIntent(
      frame: intent.frame_id, session: intent.session_id, content: content,
      payloadBytes: intent.payload_bytes, keptUnixNanoseconds: intent.kept_unix_ns,
      attemptsMax: intent.attempts_max, expiresUnixNanoseconds: intent.expires_unix_ns,
      actionClass: intent.action_class, place: place)
    kept.attempt = intent.attempts
    if intent.moved > 1 || intent.moved == 0 && intent.attempts != 0 || intent.payload_bytes == 0
      || intent.attempts_max == 0
      || intent.expires_unix_ns <= intent.kept_unix_ns || intent.ticket >> UInt64(LTP_TICKET_SLOT_BITS) == 0
    {
      fault("an INTENT record whose fields contradict each other")
    }
    told?.apply(record)
    if intent.moved == 1 {
      if let was = pending[intent.ticket] {
        compare(kept, with: was, ticket: intent.ticket, findings)
        if was.attempt != intent.attempts {
          fault(
            "intent \(intent.ticket) is said again with attempt \(intent.attempts), after attempt \(was.attempt)"
          )
        }
        pending[intent.ticket]?.place = place
      } else if unseen > 0 || told == nil {
        unseen -= min(unseen, 1)
        kept.isLate = true
        pending[intent.ticket] = kept
      } else {
        fault("intent \(intent.ticket) is said again, and was not pending")
      }
      return
    }
    totals.kept += 1
    if pending[intent.ticket] != nil { fault("intent \(intent.ticket) is told twice") }
    if let said = announced.removeValue(forKey: intent.ticket) {
      compare(kept, with: said, ticket: intent.ticket, findings)
    } else {
      unannounced[intent.ticket] = kept
    }
    kept.place = place
    pending[intent.ticket] = kept
  }

  mutating func applyStep(
    _ record: UnsafePointer<ltp_step_record>, _ place: Place, _ findings: Findings
  ) {
    let step = record.pointee
    func fault(_ text: String) { findings.add(.deferral, at: place, text) }
    follow(step.sequence, slots: 1, "a step of intent \(step.ticket)", place, findings)
    told?.apply(record)
    guard step.step > 0, step.step < LTP_STEP_COUNT, step.end < LTP_END_COUNT,
      (step.step == LTP_STEP_ENDED) == (step.end != LTP_END_NONE)
    else { return fault("a STEP record of step \(step.step), end \(step.end)") }
    count(step)
    guard var intent = pending[step.ticket] else {
      if unseen > 0 || told == nil {
        if step.isEnd { unseen -= min(unseen, 1) }
      } else {
        fault(
          "intent \(step.ticket) is \(stepName(step.step)), and is not pending: it was never kept, or has ended before"
        )
      }
      if step.step == LTP_STEP_BEGUN, step.sequence > runStart { balance(step.ticket, -1) }
      return
    }
    // A lease ends with its run.
    let isHeld = intent.begunAt != 0 && !hasRunBegun(after: intent.begunAt, before: step.sequence)
    let who = "intent \(step.ticket) (frame \(intent.frame) of session \(intent.session))"
    switch step.step {
    case LTP_STEP_BEGUN:
      if isHeld { fault("\(who) is handed out while somebody has it") }
      if step.attempt != intent.attempt &+ 1 {
        fault("\(who) is handed out as attempt \(step.attempt), after attempt \(intent.attempt)")
      }
      if intent.attempt > 0 { totals.handedOutAgain += 1 }
      intent.begunAt = step.sequence
      // The decision that let it in may have died with its run.
      if step.sequence > runStart { balance(step.ticket, -1) }
    case LTP_STEP_RELEASED where step.isHastening:
      if isHeld || step.attempt != intent.attempt {
        fault("\(who) is hastened as attempt \(step.attempt), while somebody has it or after another attempt")
      }
      intent.begunAt = 0
    case LTP_STEP_COMMITTED, LTP_STEP_RELEASED:
      if !isHeld && !intent.isLate || step.attempt != intent.attempt {
        fault("\(who) is \(stepName(step.step)) as attempt \(step.attempt), and nobody had it so")
      }
      intent.begunAt = 0
    default: break
    }
    intent.isLate = false
    intent.attempt = step.attempt
    intent.untilUnixNanoseconds = step.until_unix_ns
    guard step.isEnd else {
      pending[step.ticket] = intent
      return
    }
    if step.unix_ns > intent.keptUnixNanoseconds {
      totals.longestWaitNanoseconds = max(
        totals.longestWaitNanoseconds, step.unix_ns - intent.keptUnixNanoseconds)
    }
    // An intent of which only a step is at hand has no time of its own.
    if step.step == LTP_STEP_COMMITTED, intent.keptUnixNanoseconds != 0 {
      waits.add(step.unix_ns - min(step.unix_ns, intent.keptUnixNanoseconds))
    }
    pending[step.ticket] = nil
  }

  /// A run began between two places of the deferral log.
  private func hasRunBegun(after begun: UInt64, before step: UInt64) -> Bool {
    var (low, high) = (0, runStarts.count)
    while low < high {
      let middle = (low + high) / 2
      if runStarts[middle] < begun { low = middle + 1 } else { high = middle }
    }
    return low < runStarts.count && runStarts[low] < step
  }

  private mutating func count(_ step: ltp_step_record) {
    switch (step.step, step.end) {
    case (LTP_STEP_BEGUN, _): totals.handedOut += 1
    case (LTP_STEP_COMMITTED, _): totals.committed += 1
    case (LTP_STEP_ENDED, LTP_END_EXPIRED): totals.expired += 1
    case (LTP_STEP_ENDED, LTP_END_ATTEMPTS): totals.attemptsUsedUp += 1
    case (LTP_STEP_ENDED, LTP_END_ABANDONED): totals.abandoned += 1
    case (LTP_STEP_ENDED, LTP_END_CANCELLED): totals.cancelled += 1
    default: break
    }
  }

  /// Slots of what the deferral log copies of an intent that has ended.
  private static let endedSlots = UInt64(MemoryLayout<ltp_deferral_ended>.size) / UInt64(LTP_SLOT_BYTES)

  /// The deferral log's records are told in its order, and all of them; what it copies of ended ones is not told.
  private func follow(
    _ sequence: UInt64, slots: UInt64, _ what: String, _ place: Place, _ findings: Findings
  ) {
    guard let told else {
      findings.add(.deferral, at: place, "\(what), and no DEFERRAL record before it")
      return
    }
    let gap = sequence &- told.sequence &- slots
    guard sequence >= told.sequence, sequence - told.sequence >= slots, gap % Self.endedSlots == 0 else {
      findings.add(
        .deferral, at: place,
        "\(what) ends at sequence \(sequence) of the deferral log, after \(told.sequence): something between is left out, or told twice"
      )
      return
    }
  }

  mutating func applyDeferral(
    _ record: UnsafePointer<ltp_deferral_record>, _ place: Place, _ findings: Findings
  ) {
    let said = ToldDeferral(record)
    func fault(_ text: String) { findings.add(.deferral, at: place, text) }
    guard (LTP_DEFERRAL_OPENED_HERE...LTP_DEFERRAL_CLOSED_HERE).contains(record.pointee.what) else {
      return fault("a DEFERRAL record of \(record.pointee.what)")
    }
    if let told {
      if told.logID != said.logID { fault("the deferral log is another one than before") }
      if told.sequence != said.sequence || told.pending != said.pending {
        fault(
          "the deferral log is told up to \(said.sequence) with \(said.pending) intents pending, and the records before come to "
            + "\(told.sequence) and \(told.pending)")
      }
    } else if said.sequence != 0 || said.pending != 0 {
      beginLate(said, place)
    }
    if UInt64(pending.count) + unseen != said.pending {
      fault(
        "\(said.pending) intents are said to be pending, and \(UInt64(pending.count) + unseen) have no end")
    }
    if said.proofSequence > said.sequence {
      fault(
        "what is told up to \(said.proofSequence) is said to prove no pending intent, and only \(said.sequence) has been told"
      )
    }
    if let due = proofDue, said.proofSequence >= due.sequence {
      proofDue = nil
      if unseen > 0 {
        fault(
          "every intent that was told in the segments that have left is said to be told again, and \(unseen) of \(due.pending) are not"
        )
      }
    }
    totals.pending = said.pending
    switch record.pointee.what {
    case LTP_DEFERRAL_OPENED_HERE: begin(said, place, findings)
    case LTP_DEFERRAL_CLOSED_HERE: end(place, findings)
    default: isOpen = true
    }
    told = said
  }

  /// The trace's beginning is not at hand, or it would have told.
  private mutating func beginLate(_ said: ToldDeferral, _ place: Place) {
    isRunWhole = false
    firstUntold = said.nextNumber
    unseen = said.pending - min(said.pending, UInt64(pending.count))
    // What is missing because of a break is told as a break.
    if unseen > 0, !isBroken { proofDue = (said.sequence, unseen, place) }
  }

  /// Nothing comes after this.
  func traceEnds(_ findings: Findings) {
    guard let due = proofDue else { return }
    findings.add(
      .deferral, at: due.place,
      "the segments in front have left, \(due.pending) intents were pending then, and the trace does not say that they were told again"
    )
  }

  /// What a run before left in the air: what was on disk is told from here on, the rest never was.
  private mutating func begin(_ said: ToldDeferral, _ place: Place, _ findings: Findings) {
    isOpen = true
    isRunWhole = true
    firstNumber = said.nextNumber
    if runStarts.count >= Self.runStartsMax { runStarts.removeFirst(Self.runStartsMax / 2) }
    runStarts.append(max(runStart, said.endSequence))
    for (ticket, _) in announced where ticket >> UInt64(LTP_TICKET_SLOT_BITS) >= said.nextNumber {
      announced[ticket] = nil
      totals.unacknowledged += 1
    }
    unannounced = [:]
    letIn = [:]
  }

  /// Closed in order: nothing is in the air.
  private mutating func end(_ place: Place, _ findings: Findings) {
    totals.neverHeld += UInt64(announced.count)
    for (ticket, intent) in announced.sorted(by: { $0.key < $1.key }) {
      findings.add(
        .deferral, at: intent.place,
        "frame \(intent.frame) of session \(intent.session) was deferred as intent \(ticket), which the deferral log never held"
      )
    }
    for (ticket, intent) in unannounced.sorted(by: { $0.key < $1.key })
    where isRunWhole && ticket >> UInt64(LTP_TICKET_SLOT_BITS) >= firstNumber {
      findings.add(
        .deferral, at: intent.place,
        "intent \(ticket) (frame \(intent.frame) of session \(intent.session)) is kept, and no decision kept it"
      )
    }
    for (ticket, count) in letIn.sorted(by: { $0.key < $1.key }) where count < 0 && isRunWhole {
      findings.add(
        .deferral, at: place, "intent \(ticket) is handed out more often than its replays were let in")
    }
    announced = [:]
    unannounced = [:]
    letIn = [:]
    isOpen = false
  }

  /// What is at hand is not all.
  mutating func forget() {
    self = DeferralHistory()
    (isRunWhole, isBroken) = (false, true)
  }

  /// A run begins. One without the log leaves it alone.
  mutating func beginRun() { isOpen = false }
}
