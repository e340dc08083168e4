// SPDX-License-Identifier: Apache-2.0
// What lanes, workers and operators ask of the deferral log.

package import CLTP
import CLTPSystem
package import LTPAdmission
package import LTPDeferral
import LTPFrames
import LTPOrientation
package import LTPRecords
import LTPRules
import LTPStorage
import LTPTrace
import Synchronization

extension Core {
  /// Sessions that one call looks at: the mutex is held meanwhile.
  private static var looksMax: Int { 4096 }
  /// A limit that let a replay not in is asked again after so long.
  private static var replayPauseNanoseconds: UInt64 { 2_000_000 }
  private static var damagedPauseNanoseconds: UInt64 { 10_000_000_000 }

  /// Decides a request that does not change, and keeps its intent if it is deferred. The payload does not change either.
  package func admitKeeping(
    _ lane: Lane, _ frame: UnsafeRawPointer, available: Int, _ draft: IntentDraft,
    expiresAfter nanoseconds: UInt64, payload: UnsafeRawBufferPointer, hash: Digest
  ) -> (Verdict, ltp_kept) {
    var told = ltp_kept()
    if let refused = lane.prepareKeeping(frame, available: available) { return (refused, told) }
    let request = RouteRequestView(checked: frame)
    let content = KeptContent(payloadBytes: UInt32(payload.count), word: hash.firstWord)
    var draft = draft
    draft.request = request.fields
    var isNews = false
    let verdict = withKeeper { keeper in
      let now = keeper.pointee.front.unixNanoseconds(ltp_system_monotonic_ns())
      draft.expiresUnixNanoseconds = now.addingReportingOverflow(nanoseconds).partialValue
      let verdict = lane.decideKeeping(request, content) {
        let known = keeper.pointee.log.look(draft, hash: hash)
        return known.map { Self.answer($0, &told) }
          ?? KeepAnswer(
            LTP_KEPT_NONE, isBehind: keeper.pointee.log.isPending(session: draft.request.session_id))
      } keep: { needsHello in
        draft.needsHello = needsHello
        let kept = keeper.pointee.log.keep(draft, payload: payload, hash: hash, unixNanoseconds: now)
        return Self.answer(kept, &told)
      }
      if told.ticket != 0, let slot = keeper.pointee.log.table.slot(of: Ticket(rawValue: told.ticket)) {
        told.expires_unix_ns = keeper.pointee.log.table[slot].expiresUnixNanoseconds
      }
      keeper.pointee.notePending()
      // Else the trace would hold the log up.
      isNews = keeper.pointee.log.news.count % KeeperTeller.atOnce == 0
      return verdict
    }
    if isNews { wakeWriter() }
    if told.result == LTP_KEPT_NEW || told.result == LTP_KEPT_SAME {
      told.condition = LTP_COMMITMENT_WHEN_STABLE
    }
    return (verdict!, told)
  }

  private static func answer(_ keeping: Keeping, _ told: inout ltp_kept) -> KeepAnswer {
    let answer: KeepAnswer
    switch keeping {
    case .kept(let ticket, let sequence):
      told.sequence = sequence
      answer = KeepAnswer(LTP_KEPT_NEW, ticket: ticket.rawValue)
    case .pending(let ticket, let sequence):
      told.sequence = sequence
      answer = KeepAnswer(LTP_KEPT_SAME, ticket: ticket.rawValue)
    case .ended(let ticket, let end): answer = KeepAnswer(LTP_KEPT_ENDED, end: end, ticket: ticket.rawValue)
    case .differs(let ticket): answer = KeepAnswer(LTP_KEPT_DIFFERS, ticket: ticket.rawValue)
    case .full: answer = KeepAnswer(LTP_KEPT_FULL)
    // `refused` is what the caller has been checked for.
    case .later, .refused: answer = KeepAnswer(LTP_KEPT_LATER)
    }
    (told.result, told.end, told.ticket) = (answer.fact.result, answer.fact.end, answer.ticket)
    return answer
  }

  /// A session has shaken hands: what waits for that goes on.
  package func confirm(session: UInt64, domain: UInt8, _ lane: Lane) {
    guard let front = state.pointee.front, front.pending.pointee.load(ordering: .relaxed) > 0 else {
      return
    }
    let number = lane.continuityNumber(of: domain)
    withKeeper { $0.pointee.log.confirm(session: session, number: number) }
  }

  /// Waits until the deferral log is durable up to `sequence`: by writing it, or, while somebody else writes, asleep.
  package func waitKept(_ sequence: UInt64, timeoutNanoseconds: UInt64) -> Int32 {
    guard let keeper = state.pointee.keeper, let front = state.pointee.front else {
      return LTP_ERROR_NO_DEFERRAL
    }
    let begun = ltp_system_monotonic_ns()
    let (end, isEndless) = begun.addingReportingOverflow(timeoutNanoseconds)
    while true {
      if front.durable.pointee.load(ordering: .sequentiallyConsistent) >= sequence { return LTP_OK }
      let failure = front.failure.pointee.load(ordering: .acquiring)
      guard failure == LTP_OK else { return failure }
      guard !isClosing else { return LTP_ERROR_CLOSING }
      let now = ltp_system_monotonic_ns()
      let left = isEndless ? UInt64.max : end &- min(now, end)
      ltp_system_mutex_lock(front.mutex)
      guard keeper.pointee.log.sequence >= sequence else {
        ltp_system_mutex_unlock(front.mutex)
        return LTP_ERROR_SEQUENCE_AHEAD
      }
      guard left > 0 else {
        ltp_system_mutex_unlock(front.mutex)
        return LTP_ERROR_TIMED_OUT
      }
      guard keeper.pointee.isLed else {
        ltp_system_mutex_unlock(front.mutex)
        // Nothing could be written: the writer makes room first.
        if leadKeeper() == .nothing, front.durable.pointee.load(ordering: .sequentiallyConsistent) < sequence
        {
          waitForWriterBriefly()
        }
        continue
      }
      let bed = front.batches.enter(isGathered: sequence > keeper.pointee.log.sealedSequence)
      ltp_system_mutex_unlock(front.mutex)
      FutexWord.wait(bed.word, expected: bed.expected, timeoutNanoseconds: min(left, 20_000_000))
      withKeeper { _ in front.batches.leave(bed.place) }
    }
  }

  /// Has what is kept up to now written at once, without waiting for it.
  package func wantKept() -> Int32 {
    guard state.pointee.keeper != nil else { return LTP_ERROR_NO_DEFERRAL }
    wakeWriter()
    return LTP_OK
  }

  // MARK: Replay

  /// Hands out the next intent that is let in now. `payload`: where its payload goes. The first one of a run waits for the disk: the log
  /// says there first that the run hands intents out.
  package func beginIntent(
    _ lane: Lane, _ handout: inout ltp_handout, payload: UnsafeMutableRawBufferPointer
  ) -> Int32 {
    let status = retrying(
      atMost: 20_000, while: { $0 == nil },
      { tryBeginIntent(lane, &handout, payload: payload) })
    return status ?? LTP_ERROR_BACKPRESSURE
  }

  /// nil: the log does not hand out yet.
  private func tryBeginIntent(
    _ lane: Lane, _ handout: inout ltp_handout, payload: UnsafeMutableRawBufferPointer
  ) -> Int32? {
    guard state.pointee.keeper != nil else { return LTP_ERROR_NO_DEFERRAL }
    guard lane.prepareReplay() else { return LTP_ERROR_BACKPRESSURE }
    return withKeeper { (keeper) -> Int32? in
      let monotonic = ltp_system_monotonic_ns()
      guard monotonic >= keeper.pointee.replaysFrom else { return LTP_ERROR_NOTHING_DUE }
      let now = keeper.pointee.front.unixNanoseconds(monotonic)
      let found = keeper.pointee.log.next(unixNanoseconds: now, looks: Self.looksMax) { (intent, confirmed) in
        let isConfirmed =
          !intent.needsHello || confirmed == lane.continuityNumber(of: intent.domain)
        return isConfirmed
          && lane.wouldReplay(
            actionClass: intent.actionClass, priority: intent.priority, domain: intent.domain)
      }
      switch found {
      case .intent(let ticket):
        return begin(ticket, lane, keeper, &handout, payload, monotonic: monotonic, now: now)
      case .nothing: return LTP_ERROR_NOTHING_DUE
      case .later: return backpressure
      case .unsaid: return backpressure == LTP_ERROR_BACKPRESSURE ? nil : backpressure
      }
    } ?? nil
  }

  private func begin(
    _ ticket: Ticket, _ lane: Lane, _ keeper: UnsafeMutablePointer<Keeper>, _ handout: inout ltp_handout,
    _ payload: UnsafeMutableRawBufferPointer, monotonic: UInt64, now: UInt64
  ) -> Int32 {
    let bytes = keeper.pointee.log.payloadBytes(of: ticket)
    handout.payload_bytes = UInt64(bytes)
    guard bytes <= payload.count else {
      keeper.pointee.log.turnBack(ticket)
      return LTP_ERROR_BUFFER_TOO_SMALL
    }
    guard let kept = keeper.pointee.log.read(ticket, payload: payload, &keeper.pointee.files) else {
      keeper.pointee.log.putOff(ticket, until: now &+ Self.damagedPauseNanoseconds)
      return LTP_ERROR_TRACE_CORRUPT
    }
    let frame = keeper.pointee.lastFrame + 1
    let content = KeptContent(payloadBytes: UInt32(bytes), word: kept.contentHash)
    guard let verdict = lane.replay(kept.request, as: frame, ticket: ticket.rawValue, content)?.cValue else {
      keeper.pointee.log.turnBack(ticket)
      return LTP_ERROR_BACKPRESSURE
    }
    keeper.pointee.lastFrame = frame
    guard verdict.verdict == LTP_VERDICT_EXECUTE else {
      // The limits' word, or the state moved on: for all of them.
      keeper.pointee.log.turnBack(ticket)
      keeper.pointee.replaysFrom = monotonic &+ Self.replayPauseNanoseconds
      return LTP_ERROR_NOTHING_DUE
    }
    let lease = now &+ keeper.pointee.front.configuration.leaseNanoseconds
    guard let begun = keeper.pointee.log.begin(ticket, unixNanoseconds: now, leaseUntil: lease) else {
      return LTP_ERROR_BACKPRESSURE
    }
    handout.ticket = ticket.rawValue
    handout.lease_until_unix_ns = lease
    handout.kept_unix_ns = kept.keptUnixNanoseconds
    handout.frame_id = frame
    handout.attempt = begun.attempt
    handout.may_have_happened = begun.mayHaveHappened ? 1 : 0
    handout.verdict = verdict
    // A host that has none of its own needs one for its transaction all the same.
    let hasKey = kept.key.0 | kept.key.1 != 0
    let key = hasKey ? kept.key : (kept.request.session_id, kept.request.frame_id)
    withUnsafeMutableBytes(of: &handout.key) { KeyWords.store(key, to: $0.baseAddress!) }
    handout.request = kept.request
    return LTP_OK
  }

  /// One step of an intent, at the log's time.
  package func stepIntent(_ body: (inout DeferralLog, _ unixNanoseconds: UInt64) -> StepAnswer) -> Int32 {
    let answer = withKeeper { keeper in
      let answer = body(&keeper.pointee.log, keeper.pointee.front.unixNanoseconds(ltp_system_monotonic_ns()))
      keeper.pointee.notePending()
      return answer
    }
    switch answer {
    case nil: return LTP_ERROR_NO_DEFERRAL
    case .done: return LTP_OK
    case .unknown: return LTP_ERROR_TICKET
    case .ended: return LTP_ERROR_INTENT_ENDED
    case .notYours: return LTP_ERROR_NOT_YOURS
    case .later: return backpressure
    }
  }

  /// The log takes nothing just now, or nothing any more.
  private var backpressure: Int32 {
    let failure = state.pointee.front!.failure.pointee.load(ordering: .acquiring)
    return failure == LTP_OK ? LTP_ERROR_BACKPRESSURE : failure
  }

  // MARK: Looking

  package func intent(_ ticket: UInt64) -> ltp_intent? {
    withKeeper { keeper in
      keeper.pointee.log.table.slot(of: Ticket(rawValue: ticket))
        .map { Self.described(keeper.pointee.log.table, $0) }
    } ?? nil
  }

  private static func described(_ table: borrowing IntentTable, _ slot: Int) -> ltp_intent {
    let intent = table[slot]
    var told = ltp_intent()
    told.ticket = table.ticket(slot).rawValue
    told.session_id = table.session(of: slot)
    told.expires_unix_ns = intent.expiresUnixNanoseconds
    told.until_unix_ns = intent.until
    told.payload_bytes = intent.payloadBytes
    told.attempts = intent.attempts
    told.attempts_max = intent.attemptsMax
    told.state =
      switch intent.state {
      case .waiting: LTP_INTENT_WAITING
      case .begun: LTP_INTENT_BEGUN
      case .ended: LTP_INTENT_OVER
      }
    told.end = intent.end
    told.action_class = intent.actionClass
    told.may_have_happened =
      intent.state == .begun || intent.mayHaveHappened && intent.state == .waiting ? 1 : 0
    told.needs_hello = intent.needsHello ? 1 : 0
    return told
  }

  /// Writes intents from a place on, which is moved on; how many there were. Nil: the core keeps nothing.
  package func listIntents(
    from place: inout UInt64, into intents: UnsafeMutablePointer<ltp_intent>, capacity: Int
  ) -> Int? {
    var next = place
    let count: Int? = withKeeper { keeper in
      var count = 0
      while count < capacity, next < UInt64(keeper.pointee.log.table.usedSlots) {
        if keeper.pointee.log.table.isTaken(Int(next)) {
          intents[count] = Self.described(keeper.pointee.log.table, Int(next))
          count += 1
        }
        next += 1
      }
      return count
    }
    place = next
    return count
  }

  package func deferralStatus() -> ltp_deferral_status? {
    withKeeper { keeper in
      let table = keeper.pointee.log.table
      let counts = keeper.pointee.log.counts
      var status = ltp_deferral_status()
      status.log_status = keeper.pointee.front.failure.pointee.load(ordering: .acquiring)
      if status.log_status == LTP_OK, let hindrance = keeper.pointee.log.hindrance {
        status.log_status = OpenFault(hindrance).status
      }
      status.pending = UInt64(table.pendingCount)
      status.begun = UInt64(table.begunCount)
      status.remembered = UInt64(table.endedCount)
      status.sessions = UInt64(table.sessionCount)
      status.pending_bytes = table.pendingBytes
      status.kept = counts.kept
      status.committed = counts.committed
      status.expired = counts.ends[Int(LTP_END_EXPIRED)]
      status.attempts_used_up = counts.ends[Int(LTP_END_ATTEMPTS)]
      status.abandoned = counts.ends[Int(LTP_END_ABANDONED)]
      status.cancelled = counts.ends[Int(LTP_END_CANCELLED)]
      status.refused_full = counts.refusedFull
      status.oldest_unix_ns = keeper.pointee.oldestUnixNanoseconds()
      status.memory_bytes = UInt64(table.memoryBytes)
      status.log_bytes = keeper.pointee.log.logBytes
      status.sequence = keeper.pointee.log.sequence
      status.durable = keeper.pointee.log.durableSequence
      return status
    }
  }
}
