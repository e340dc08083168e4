// SPDX-License-Identifier: Apache-2.0
// The fast path: one request in, one verdict out, one record in the lane's ring.
//
// Reads the orientation word (the core's own, or in the page that it follows) and the clock, its own rules, and the
// request; writes one 32-byte record, one counter and the published count. No allocation, lock, system call or
// reference count.

public import CLTP
public import CLTPSystem
public import LTPFrames
public import LTPOrientation
public import LTPRecords
public import LTPRules
public import Synchronization

/// Where a lane stands: what has to be as it was for the short path.
@frozen
@usableFromInline
struct LaneStanding {
  @usableFromInline let line: UnsafeMutablePointer<SharedLine>
  @usableFromInline let watched: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline let watchedWord: UInt64
  @usableFromInline let clock: UInt64
  @usableFromInline let end: UnsafeMutableRawPointer

  @inlinable
  @inline(__always)
  init(_ state: UnsafeMutablePointer<LaneState>) {
    line = state.pointee.line
    watched = state.pointee.watched
    watchedWord = state.pointee.watchedWord
    clock = state.pointee.clock
    end = state.pointee.end
  }

  /// Nothing has changed since the lane last looked.
  @inlinable
  @inline(__always)
  var isCurrent: Bool {
    watched.pointee.load(ordering: .acquiring) == watchedWord
      && line.pointee.monotonic.load(ordering: .relaxed) == clock
  }

  /// That, and there is room for a record at `cursor`.
  @inlinable
  @inline(__always)
  func isSettled(_ cursor: UnsafeMutableRawPointer) -> Bool { isCurrent && cursor != end }
}

/// What a decision reads of its lane. A batch loads it once: nothing in it changes until the lane settles again.
@frozen
@usableFromInline
struct LaneView {
  @usableFromInline let epoch: UInt64
  @usableFromInline let clock: UInt64
  @usableFromInline let rules: UnsafeMutablePointer<UInt64>
  @usableFromInline let verdicts: UnsafeMutablePointer<UInt64>
  @usableFromInline let counters: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline let timeMicroseconds: UInt64

  @inlinable
  @inline(__always)
  init(_ state: UnsafeMutablePointer<LaneState>, _ standing: LaneStanding) {
    epoch = state.pointee.epoch
    clock = standing.clock
    rules = state.pointee.rules
    verdicts = state.pointee.verdicts
    counters = state.pointee.stateCounters
    timeMicroseconds = UInt64(state.pointee.timeMicroseconds)
  }

  /// Where a class's rule and counters are: classes that cannot be share the last place.
  @inlinable
  @inline(__always)
  func column(_ request: RouteRequestView) -> Int {
    min(Int(request.actionClass), Int(LTP_CLASS_COUNT))
  }

  /// Decides a well-formed request by a plain rule, writes its record at `cursor` and counts it. Does not publish the record.
  @inlinable
  @inline(__always)
  func decide(
    _ request: RouteRequestView, by rule: CompiledRule, inputs: UInt64, column: Int,
    at cursor: UnsafeMutableRawPointer
  ) -> Verdict {
    record(
      rule.decideWellFormed(priority: request.priority, inputs: inputs, sessionID: request.sessionID),
      of: request, inputs: inputs, column: column, at: cursor)
  }

  /// Writes the record of a decision about a well-formed request at `cursor`, and counts it. Does not publish the record.
  @inlinable
  @inline(__always)
  func record(
    _ decision: Decision, of request: RouteRequestView, inputs: UInt64, column: Int,
    at cursor: UnsafeMutableRawPointer
  ) -> Verdict {
    record(
      decision, inputs: inputs, attributes: request.attributes, frameID: request.frameID,
      sessionID: request.sessionID, column: column, at: cursor)
  }

  @inlinable
  @inline(__always)
  func record(
    _ decision: Decision, inputs: UInt64, attributes: UInt64, frameID: UInt64, sessionID: UInt64,
    column: Int, shadow: UInt64 = 0, at cursor: UnsafeMutableRawPointer
  ) -> Verdict {
    let place = Int(decision.outcome.rawValue)
    let high = verdicts[place]
    // Where a verdict and a record have it: in the upper half of the word.
    let retry = UInt64(decision.retryAfterMilliseconds) &<< Verdict.retryAfterShift
    // The writer's core has read these lines when the ring comes round: have them here in time.
    ltp_system_prefetch_for_write(cursor + 1024)
    let shadowShift = Verdict.retryAfterShift &+ UInt64(LTP_DECISION_SHADOW_SHIFT)
    DecisionRecord.store(
      outcome: UInt64(decision.outcome.rawValue), inputs: inputs, attributes: attributes,
      timeMicroseconds: timeMicroseconds, retryAndShadow: retry | shadow &<< shadowShift, frameID: frameID,
      sessionID: sessionID, at: cursor)
    let counter = counters + (column &* Outcome.count &+ place)
    // Only this thread writes it, so a load and a store do; readers see whole values.
    let count = counter.pointee.load(ordering: .relaxed)
    counter.pointee.store(count &+ 1, ordering: .relaxed)
    return Verdict(low: epoch | retry, high: high)
  }
}

extension Lane {
  /// Decides the request at `frame`, of which `available` bytes can be read.
  @inlinable
  @inline(__always)
  public func admit(_ frame: UnsafeRawPointer?, available: Int) -> Verdict {
    let standing = LaneStanding(state)
    let cursor = state.pointee.cursor
    guard standing.isSettled(cursor), let frame, RouteRequestView.isCommon(frame, available: available) else {
      return admitUncommon(frame, available: available)
    }
    let view = LaneView(state, standing)
    let request = RouteRequestView(checked: frame)
    let column = view.column(request)
    // Out of line: registers saved for limits, or for the token's hash, would cost every decision.
    let rule = CompiledRule(rawValue: view.rules[column])
    guard rule.isPlain else {
      return rule.isLimited
        ? admitLimited(request, column: column) : admitWithContinuity(request, column: column)
    }
    let verdict = view.decide(
      request, by: rule, inputs: request.lateness(view.clock), column: column, at: cursor)
    publish(to: cursor + Int(LTP_SLOT_BYTES), slots: 1)
    return verdict
  }

  /// The same where the rule asks for a token, and for nothing else.
  @inline(never)
  @usableFromInline
  func admitWithContinuity(_ request: RouteRequestView, column: Int) -> Verdict {
    let inputs = request.lateness(state.pointee.clock) | continuityInputs(of: request)
    let view = LaneView(state, LaneStanding(state))
    let cursor = state.pointee.cursor
    let rule = CompiledRule(rawValue: view.rules[column])
    let verdict = view.record(
      rule.decideGuarded(priority: request.priority, inputs: inputs, sessionID: request.sessionID),
      of: request, inputs: inputs, column: column, at: cursor)
    publish(to: cursor + Int(LTP_SLOT_BYTES), slots: 1)
    return verdict
  }

  /// What the request shows of its session's continuity: LTP_CONTINUITY_*.
  @inlinable
  @inline(__always)
  func continuityInputs(of request: RouteRequestView) -> UInt64 {
    let domain = state.pointee.domains + Int(request.domain)
    guard domain.pointee.maskedNumber == domain.pointee.number else {
      return continuityInputsAnew(of: request)
    }
    let token = domain.pointee.token(
      state.pointee.tokenKey, sessionID: request.sessionID, incarnation: request.incarnation,
      voids: state.pointee.voided.count(request.sessionID))
    // One comparison: whichever bits differ, something is wrong.
    let differs =
      token ^ request.continuityToken
      | (UInt64(request.intentEpoch) ^ domain.pointee.number & UInt64(UInt32.max))
    return differs == 0 && token != 0 ? UInt64(LTP_CONTINUITY_VALID) : continuityFault(of: request)
  }

  /// What a common request by a rule that is not plain may take: its record, and its tenant's.
  @inlinable
  static var guardedBytesMax: Int { 2 * Int(LTP_SLOT_BYTES) }

  /// How many slots the decision at `cursor` takes with the records that belong to it.
  @inlinable
  @inline(__always)
  static func slotCount(at cursor: UnsafeMutableRawPointer) -> Int {
    let inputs = cursor.load(fromByteOffset: LTP_AT_decision_record_inputs, as: UInt16.self)
    return 1 &+ (inputs & LTP_INPUT_REPLAY != 0 ? 1 : 0) &+ (inputs & LTP_INPUT_TENANT != 0 ? 1 : 0)
  }

  /// Publishes the decision at `cursor`, and the records that belong to it.
  @inline(__always)
  func publishDecision(at cursor: UnsafeMutableRawPointer) {
    let slots = Self.slotCount(at: cursor)
    publish(to: cursor + slots * Int(LTP_SLOT_BYTES), slots: UInt64(slots))
  }

  /// Lets the writer see the records before `cursor`, of which `slots` are new.
  @inlinable
  @inline(__always)
  func publish(to cursor: UnsafeMutableRawPointer, slots: UInt64) {
    state.pointee.cursor = cursor
    let issued = state.pointee.published.load(ordering: .relaxed)
    // Releasing: the writer that reads this count sees the records.
    state.pointee.published.store(issued &+ slots, ordering: .releasing)
  }

  /// Decides `count` requests, `stride` bytes apart; returns how many say EXECUTE.
  @inlinable
  @inline(__always)
  public func admitBatch(
    _ frames: UnsafeRawPointer, stride: Int, count: Int, into verdicts: UnsafeMutablePointer<ltp_verdict>
  ) -> Int {
    var executed = 0
    var index = 0
    while true {
      index = admitRun(frames, stride: stride, from: index, to: count, into: verdicts, &executed)
      guard index < count else { return executed }
      let verdict = admitUncommon(frames + index &* stride, available: stride)
      verdicts[index] = verdict.cValue
      executed &+= verdict.isExecute ? 1 : 0
      index &+= 1
    }
  }

  /// Decides common requests until one is not, or something has changed; returns where it stopped. Their records
  /// are published together, before anyone has a verdict.
  @inlinable
  @inline(__always)
  func admitRun(
    _ frames: UnsafeRawPointer, stride: Int, from first: Int, to count: Int,
    into verdicts: UnsafeMutablePointer<ltp_verdict>, _ executed: inout Int
  ) -> Int {
    let standing = LaneStanding(state)
    let view = LaneView(state, standing)
    let start = state.pointee.cursor
    var cursor = start
    // How far the run could come if every frame took one slot; what follows a decision takes from it.
    var roomEnd = first &+ (standing.end - start) / Int(LTP_SLOT_BYTES)
    var limit = min(count, roomEnd)
    var index = first
    while index < limit, standing.isCurrent {
      let frame = frames + index &* stride
      guard RouteRequestView.isCommon(frame, available: stride) else { break }
      let request = RouteRequestView(checked: frame)
      let column = view.column(request)
      let inputs = request.lateness(view.clock)
      let rule = CompiledRule(rawValue: view.rules[column])
      let verdict: Verdict
      if rule.isPlain {
        verdict = view.decide(request, by: rule, inputs: inputs, column: column, at: cursor)
      } else {
        guard standing.end - cursor >= Self.guardedBytesMax else { break }
        verdict = decideGuarded(request, view, column: column, inputs: inputs, at: cursor)
        let followers = Self.slotCount(at: cursor) &- 1
        cursor += followers &* Int(LTP_SLOT_BYTES)
        roomEnd &-= followers
        limit = min(count, roomEnd)
      }
      verdicts[index] = verdict.cValue
      executed &+= verdict.isExecute ? 1 : 0
      cursor += Int(LTP_SLOT_BYTES)
      index &+= 1
    }
    if index != first { publish(to: cursor, slots: UInt64((cursor - start) / Int(LTP_SLOT_BYTES))) }
    return index
  }
}
