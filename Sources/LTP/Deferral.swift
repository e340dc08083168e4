// SPDX-License-Identifier: Apache-2.0
// Intents that are kept while the service cannot act, and their replay. What is exactly-once is an intent's end; what is at-least-once
// is its hand-over to a worker (docs/DEFERRAL.md).

public import CLTP

/// What to keep of an intent, beside its request.
public struct Keep: Sendable {
  /// Opaque; lies in the deferral log and nowhere else. Not empty.
  public var payload: [UInt8]
  /// 16 bytes that make two sendings one intent; nil: session and frame id do.
  public var key: [UInt8]?
  /// nil: the core's.
  public var expiresAfter: Duration?
  /// nil: the core's.
  public var attemptsMax: UInt16?

  public init(payload: [UInt8], key: [UInt8]? = nil) {
    self.payload = payload
    self.key = key
  }
}

/// What became of an intent that may have had to be kept.
public struct Kept: Sendable {
  /// The C contract's form of it.
  public var fields: ltp_kept

  init(_ fields: ltp_kept) { self.fields = fields }

  /// To ask what became of it; nil: it has none.
  public var ticket: UInt64? { fields.ticket == 0 ? nil : fields.ticket }
  /// Kept under this ticket, now or before: to be answered with DEFER once `sequence` is durable.
  public var isPending: Bool { fields.result == LTP_KEPT_NEW || fields.result == LTP_KEPT_SAME }
  /// Of the deferral log.
  public var sequence: UInt64 { fields.sequence }
  /// "Will retry when state == STABLE"
  public var commitment: String { String(cString: ltp_commitment_text(fields.condition)) }
  /// How it ended, if it was kept before and has; `.carriedOut` goes with ALREADY_REPLAYED.
  public var end: IntentEnd? { fields.result == LTP_KEPT_ENDED ? IntentEnd(rawValue: fields.end) : nil }
}

/// How a kept intent ended.
public enum IntentEnd: UInt8, Sendable, CustomStringConvertible {
  case carriedOut = 0
  case expired, attemptsUsedUp, abandoned, cancelled

  public var description: String { String(cString: ltp_end_name(rawValue)) }
}

/// An intent in a worker's hands, until it says what became of it or the lease ends.
public struct Handout: Sendable {
  /// The C contract's form of it.
  public let fields: ltp_handout
  public let payload: [UInt8]

  public var ticket: UInt64 { fields.ticket }
  /// 1, 2, 3, ...
  public var attempt: UInt16 { fields.attempt }
  /// It was handed out before, and nobody has said that it was not carried out.
  public var mayHaveHappened: Bool { fields.may_have_happened != 0 }
  /// 16 bytes, the same each time: for a transaction that makes the effect once.
  public var key: [UInt8] { withUnsafeBytes(of: fields.key) { [UInt8]($0) } }
  public var request: ltp_route_request { fields.request }
  public var verdict: Verdict { Verdict(fields.verdict) }
}

/// What a worker's closure comes to.
public enum CarriedOut: Sendable {
  case done
  /// To be tried again, not before so long from now.
  case later(Duration)
  case givenUp
}

extension Lane {
  /// `admit` for a request whose intent is kept when the verdict is DEFER. A known intent gets its ticket again, or is told its end.
  public mutating func admit(_ frame: RawSpan, keeping keep: Keep) throws(LTPError) -> (Verdict, Kept) {
    var given = ltp_keep()
    given.struct_size = UInt32(MemoryLayout<ltp_keep>.size)
    if let key = keep.key {
      guard key.count == 16 else { throw LTPError(status: LTP_ERROR_COMMITMENT) }
      withUnsafeMutableBytes(of: &given.key) { $0.copyBytes(from: key) }
    }
    given.attempts_max = keep.attemptsMax ?? 0
    given.expires_after_ms = keep.expiresAfter.map { max(1, $0.nanoseconds / 1_000_000) } ?? 0
    given.payload_bytes = UInt64(keep.payload.count)
    var (verdict, kept) = (ltp_verdict(), ltp_kept())
    let status = keep.payload.withUnsafeBytes { bytes in
      given.payload = bytes.baseAddress
      return frame.withUnsafeBytes {
        ltp_admit_keeping(handle, $0.baseAddress, $0.count, &given, &verdict, &kept)
      }
    }
    try check(status)
    return (Verdict(verdict), Kept(kept))
  }

  public mutating func admit(_ request: borrowing RouteRequest, keeping keep: Keep) throws(LTPError) -> (
    Verdict, Kept
  ) {
    let fields = request.fields
    var answer: (Verdict, Kept)?
    var failure: LTPError?
    withUnsafeBytes(of: fields) { bytes in
      do throws(LTPError) { answer = try admit(RawSpan(_unsafeBytes: bytes), keeping: keep) } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return answer!
  }

  /// The next intent that can be carried out now; nil: none can. `payloadBytesMax`: of the longest that the core keeps.
  public mutating func beginIntent(payloadBytesMax: Int = 64 << 10) throws(LTPError) -> Handout? {
    var handout = ltp_handout()
    var status = LTP_OK
    let payload = [UInt8](unsafeUninitializedCapacity: payloadBytesMax) { memory, count in
      status = ltp_intent_begin(handle, &handout, memory.baseAddress, memory.count)
      count = status == LTP_OK ? Int(handout.payload_bytes) : 0
    }
    if status == LTP_ERROR_NOTHING_DUE { return nil }
    try check(status)
    return Handout(fields: handout, payload: payload)
  }

  /// Carries out up to `count` intents, one after the other. What throws is released, and thrown on. Returns how many were handed
  /// out.
  @discardableResult
  public mutating func carryOut(atMost count: Int = .max, _ body: (Handout) throws -> CarriedOut) throws
    -> Int
  {
    var done = 0
    while done < count, let handout = try beginIntent() {
      done += 1
      let outcome: CarriedOut
      do { outcome = try body(handout) } catch {
        try? settle(handout, .later(.seconds(1)))
        throw error
      }
      try settle(handout, outcome)
    }
    return done
  }

  /// The same where carrying out takes tasks.
  @discardableResult
  public mutating func carryOut(
    atMost count: Int = .max, _ body: (Handout) async throws -> CarriedOut
  ) async throws -> Int {
    var done = 0
    while done < count, !Task.isCancelled, let handout = try beginIntent() {
      done += 1
      let outcome: CarriedOut
      do { outcome = try await body(handout) } catch {
        try? settle(handout, .later(.seconds(1)))
        throw error
      }
      try settle(handout, outcome)
    }
    return done
  }
}

extension Lane {
  /// Says what became of an intent that this lane began, and gives its permit back. Throws `LTP_ERROR_NOT_YOURS` when the lease has run out.
  public func settle(_ handout: Handout, _ outcome: CarriedOut) throws(LTPError) {
    if let permit = handout.verdict.permit {
      let isDone = if case .done = outcome { true } else { false }
      _ = ltp_permit_release(
        handle, permit.number, isDone ? LTP_OUTCOME_SUCCESS : LTP_OUTCOME_DROPPED, 0)
    }
    try owner.core.settle(handout, outcome)
  }
}

extension Core {
  /// Says what became of an intent that was handed out, on any thread; a permit is its lane's to give back. Throws `LTP_ERROR_NOT_YOURS` when the lease has run out.
  public func settle(_ handout: Handout, _ outcome: CarriedOut) throws(LTPError) {
    try retryingBriefly { core in
      switch outcome {
      case .done: ltp_intent_commit(core, handout.ticket, handout.attempt)
      case .later(let delay):
        ltp_intent_release(core, handout.ticket, handout.attempt, delay.nanoseconds / 1_000_000)
      case .givenUp: ltp_intent_abandon(core, handout.ticket, handout.attempt)
      }
    }
  }

  /// Does it again while the deferral log takes nothing for a moment, a thousand times at most.
  package func retryingBriefly(_ body: (OpaquePointer) -> Int32) throws(LTPError) {
    let core = try live
    for _ in 0..<1000 {
      let status = body(core)
      guard status == LTP_ERROR_BACKPRESSURE else { return try check(status) }
      _ = try ltp_kept_wait(core, deferralStatus().sequence, 10_000_000)
    }
    throw LTPError(status: LTP_ERROR_BACKPRESSURE)
  }

  /// Sleeps until the deferral log is durable up to a kept intent. Blocks the thread.
  public func waitDurable(_ kept: Kept, atMost limit: Duration = .seconds(10)) throws(LTPError) {
    try check(ltp_kept_wait(live, kept.sequence, limit.nanoseconds))
  }

  /// Has what is kept up to now written at once, and does not wait.
  public func wantDurableKept() throws(LTPError) { try check(ltp_kept_want(live)) }

  /// Whether it is: for an event loop, when the descriptor of `durableDescriptor()` was raised.
  public func isDurable(_ kept: Kept) throws(LTPError) -> Bool { ltp_kept_durable(try live) >= kept.sequence }

  /// The same for a task, without a thread of the pool being held.
  public func durable(_ kept: Kept, atMost limit: Duration = .seconds(10)) async throws(LTPError) {
    let deadline = ContinuousClock.now + limit
    var pause = Duration.microseconds(100)
    while try !isDurable(kept) {
      let status = ltp_kept_wait(try live, kept.sequence, 0)
      if status == LTP_OK { return }
      guard status == LTP_ERROR_TIMED_OUT, ContinuousClock.now < deadline else {
        throw LTPError(status: status)
      }
      do { try await Task.sleep(for: pause) } catch { throw LTPError(status: LTPError.cancelled) }
      pause = min(pause * 2, .milliseconds(5))
    }
  }

  /// What became of an intent; nil: it is not known, or not any more.
  public func intent(_ ticket: UInt64) throws(LTPError) -> ltp_intent? {
    var intent = ltp_intent()
    let status = ltp_intent_get(try live, ticket, &intent)
    if status == LTP_ERROR_TICKET { return nil }
    try check(status)
    return intent
  }

  /// An operator ends an intent, whoever has it.
  public func endIntent(_ ticket: UInt64, as end: IntentEnd = .cancelled) throws(LTPError) {
    try check(ltp_intent_end(live, ticket, end.rawValue))
  }

  /// An operator makes an intent due that waits for the delay of a release. It fails while a worker has it.
  public func hastenIntent(_ ticket: UInt64) throws(LTPError) {
    try check(ltp_intent_hasten(live, ticket))
  }

  /// All that are pending or remembered.
  public func intents() throws(LTPError) -> [ltp_intent] {
    var (all, place, count) = ([ltp_intent](), UInt64(0), 0)
    var piece = [ltp_intent](repeating: ltp_intent(), count: 256)
    repeat {
      try check(ltp_intent_list(live, &place, &piece, piece.count, &count))
      all += piece.prefix(count)
    } while count > 0
    return all
  }

  public func deferralStatus() throws(LTPError) -> ltp_deferral_status {
    var status = ltp_deferral_status()
    try check(ltp_deferral_status_get(live, &status, MemoryLayout<ltp_deferral_status>.size))
    return status
  }
}
