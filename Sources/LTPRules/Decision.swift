// SPDX-License-Identifier: Apache-2.0
// The decision: a pure function of (rule, threshold, request's priority and session, inputs). The lane calls it
// on the hot path and `ltp inspect redecide` calls it again on the record; there is no second version of it.

public import CLTP
public import LTPRecords

/// One rule of a compiled policy, packed into 64 bits so that a row is copied and read atomically.
///
/// The four outcomes that a request of the class can have in the state lie side by side, a byte each, from the
/// lowest: as ruled, below the threshold, without continuity, too late. A rule that denies has the same in all
/// four. Above them: least priority (8 bits), needs continuity (1), exempt (1), retry_after in ms (22).
public struct CompiledRule: Equatable, Sendable {
  public var rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public init(
    outcome: Outcome, below: Outcome, priorityMin: UInt8, needsContinuity: Bool, exempt: Bool,
    retryAfterMilliseconds: UInt32
  ) {
    let denies = outcome.verdict == LTP_VERDICT_DENY
    let rehandshake = Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_REHANDSHAKE_REQUIRED)
    let late = Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_DEADLINE_EXCEEDED)
    rawValue =
      UInt64(outcome.rawValue) | UInt64((denies ? outcome : below).rawValue) << 8
      | UInt64((denies ? outcome : rehandshake).rawValue) << 16
      | UInt64((denies ? outcome : late).rawValue) << 24
      | UInt64(priorityMin) << 32 | (needsContinuity ? 1 << 40 : 0) | (exempt ? 1 << 41 : 0)
      | UInt64(retryAfterMilliseconds) << 42
  }

  /// The rule of every class that the policy does not name.
  @inlinable
  public static var unknownClass: CompiledRule {
    CompiledRule(rawValue: UInt64(LTP_REASON_UNKNOWN_ACTION_CLASS) * 0x0101_0101)
  }

  /// The rule of a class whose own rule is none.
  static var impossible: CompiledRule {
    let denied = Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_POLICY_FORBIDS)
    return CompiledRule(
      outcome: denied, below: denied, priorityMin: 0, needsContinuity: false, exempt: false,
      retryAfterMilliseconds: 0)
  }

  @inlinable
  public var needsContinuity: Bool { rawValue & (1 << 40) != 0 }

  /// What becomes of a request that lacks nothing.
  public var ruled: Outcome { Outcome(rawValue: UInt8(truncatingIfNeeded: rawValue)) }
}

/// What the deferral log said of a request's intent, which decides with the rule: LTP_KEPT_*, LTP_END_*.
public struct KeptFact: Equatable, Sendable {
  public var result: UInt8
  public var end: UInt8
  /// It is kept because an earlier intent of its session is pending.
  public var isBehind: Bool

  public init(result: UInt8, end: UInt8 = LTP_END_NONE, isBehind: Bool = false) {
    self.result = result
    self.end = end
    self.isBehind = isBehind
  }

  /// Neither limits nor a shadow policy were asked.
  public var isDecidedByLog: Bool {
    isBehind || result == LTP_KEPT_SAME || result == LTP_KEPT_ENDED || result == LTP_KEPT_DIFFERS
  }
}

public struct Decision: Equatable, Sendable {
  public var outcome: Outcome
  public var retryAfterMilliseconds: UInt32

  @inlinable
  public init(outcome: Outcome, retryAfterMilliseconds: UInt32) {
    self.outcome = outcome
    self.retryAfterMilliseconds = retryAfterMilliseconds
  }

  /// What a frame that cannot be trusted gets, whatever the policy says.
  @inlinable
  public static var malformed: Decision {
    Decision(
      outcome: Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_MALFORMED_FRAME),
      retryAfterMilliseconds: 0)
  }
}

extension Decision {
  /// What a frame gets that is not of the life which its connection is bound to.
  @inlinable
  public static var otherIncarnation: Decision {
    Decision(
      outcome: Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_OTHER_INCARNATION),
      retryAfterMilliseconds: 0)
  }
}

extension CompiledRule {
  /// The rule under an orientation's threshold: a lane keeps its rules like that, so that a decision need not
  /// look at the threshold. The least priority becomes the higher of the two, unless the class is exempt; so does
  /// retry_after of the policy's and the limits'. Whether the class is exempt has been said then: the bit tells whether
  /// limits concern it.
  @inlinable
  public func under(
    threshold: UInt8, retryFloorMilliseconds: UInt32 = 0, isLimited: Bool = false
  ) -> CompiledRule {
    let ownLeast = UInt8(truncatingIfNeeded: rawValue >> 32)
    let isExempt = rawValue & (1 << 41) != 0
    let least = isExempt ? ownLeast : max(ownLeast, threshold)
    let retry = max(rawValue >> 42, UInt64(retryFloorMilliseconds))
    return CompiledRule(
      rawValue: rawValue & 0x1_00_FFFF_FFFF | UInt64(least) << 32 | (isLimited ? 1 << 41 : 0) | retry << 42)
  }

  /// Whether an outage of one domain changes anything under this state of the service. It does not under one that is as bad, or worse.
  public static func isTouchedByOutages(_ state: UInt8) -> Bool {
    switch state {
    case LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED, LTP_STATE_RECOVERING: true
    default: false
    }
  }

  /// This rule, which is the class's in UNSTABLE, for a domain in an outage of its own, while the service is in a state with the rule
  /// `own`. What the service's state asks of continuity is asked for still: the never list is the service's.
  public func inOutage(under own: CompiledRule) -> CompiledRule {
    CompiledRule(rawValue: rawValue | own.rawValue & (1 << 40))
  }

  /// A lane's rule: neither a token nor a limit is to be looked at.
  @inlinable
  @inline(__always)
  public var isPlain: Bool { rawValue & (3 << 40) == 0 }

  /// A lane's rule: limits concern the class, or a shadow policy does.
  @inlinable
  public var isLimited: Bool { rawValue & (1 << 41) != 0 }

  /// What becomes of an EXECUTE that a limit refused: the rule's DENY or DEFER of what is below the threshold, with the
  /// limit's reason.
  public func refused(byGate gate: UInt8, sessionID: UInt64) -> Decision {
    let below = Outcome(rawValue: UInt8(truncatingIfNeeded: rawValue >> 8))
    return Decision(
      outcome: Outcome(verdict: below.verdict, reason: reason(ofGate: gate)),
      retryAfterMilliseconds: UInt32(truncatingIfNeeded: spreadRetryAfter(sessionID: sessionID)))
  }

  /// Decides. `inputs` is a set of LTP_INPUT_* facts; the others are the orientation's and the limits'.
  @inlinable
  public func decide(
    threshold: UInt8, retryFloorMilliseconds: UInt32 = 0, priority: UInt8, inputs: UInt16, sessionID: UInt64
  ) -> Decision {
    if inputs & LTP_INPUT_MALFORMED != 0 { return .malformed }
    if inputs & LTP_INPUT_OTHER_INCARNATION != 0 { return .otherIncarnation }
    let rule = under(threshold: threshold, retryFloorMilliseconds: retryFloorMilliseconds)
    let decision = rule.decideGuarded(priority: priority, inputs: UInt64(inputs), sessionID: sessionID)
    let gate = gateOf(inputs: inputs)
    return gate != LTP_GATE_NONE && decision.outcome.isExecute
      ? rule.refused(byGate: gate, sessionID: sessionID) : decision
  }

  /// The same for a request that is well formed, by a plain rule under the orientation's threshold.
  @inlinable
  @inline(__always)
  public func decideWellFormed(priority: UInt8, inputs: UInt64, sessionID: UInt64) -> Decision {
    decide(outcome(priority: priority, inputs: inputs), sessionID: sessionID)
  }

  /// The same by any rule.
  @inlinable
  @inline(__always)
  public func decideGuarded(priority: UInt8, inputs: UInt64, sessionID: UInt64) -> Decision {
    decide(guardedOutcome(priority: priority, inputs: inputs), sessionID: sessionID)
  }

  /// `outcome`, with what exactly is wrong with the request's continuity for its reason: there are three ways to lack it, and a
  /// rule has one outcome for them.
  @inlinable
  @inline(__always)
  public func guardedOutcome(priority: UInt8, inputs: UInt64) -> Outcome {
    let outcome = outcome(priority: priority, inputs: inputs)
    guard outcome.reason == LTP_REASON_REHANDSHAKE_REQUIRED else { return outcome }
    return switch UInt16(truncatingIfNeeded: inputs) & LTP_INPUT_CONTINUITY_MASK {
    case LTP_CONTINUITY_STALE: Outcome(verdict: outcome.verdict, reason: LTP_REASON_STALE_INTENT)
    case LTP_CONTINUITY_FORGED: Outcome(verdict: outcome.verdict, reason: LTP_REASON_CONTINUITY_FORGED)
    default: outcome
    }
  }

  /// Which of the rule's outcomes counts. The deadline counts before continuity, continuity before the threshold.
  ///
  /// Arithmetic rather than branches: the mix of classes is random, and one mispredicted branch costs more than
  /// all of this.
  @inlinable
  @inline(__always)
  public func outcome(priority: UInt8, inputs: UInt64) -> Outcome {
    let rule = rawValue
    let isBelow = (UInt64(priority) &- (rule &>> 32 & 0xFF)) &>> 63
    let lacksContinuity = (rule &>> 40) & ~(inputs / UInt64(LTP_CONTINUITY_VALID)) & 1
    let isLate = inputs / UInt64(LTP_INPUT_DEADLINE_EXCEEDED) & 1
    // 3 late, else 2 without continuity, else 1 below, else 0.
    let place = isBelow & ~lacksContinuity | lacksContinuity &<< 1 | isLate &* 3
    return Outcome(rawValue: UInt8(truncatingIfNeeded: rule &>> (place &* 8)))
  }

  /// What goes with an outcome.
  @inlinable
  @inline(__always)
  public func decide(_ outcome: Outcome, sessionID: UInt64) -> Decision {
    let retry = spreadRetryAfter(sessionID: sessionID) & (outcome.executeCount &- 1)
    return Decision(outcome: outcome, retryAfterMilliseconds: UInt32(truncatingIfNeeded: retry))
  }

  /// Between once and twice the rule's wait, by session, so that refused clients do not come back together.
  @inlinable
  @inline(__always)
  public func spreadRetryAfter(sessionID: UInt64) -> UInt64 {
    Self.spread(rawValue &>> 42, sessionID: sessionID)
  }

  /// Between once and twice `least`, which has at most 31 bits, by session.
  @inlinable
  @inline(__always)
  public static func spread(_ least: UInt64, sessionID: UInt64) -> UInt64 {
    let fraction = (sessionID &* 0x9E37_79B9_7F4A_7C15) &>> 32
    return (least &* (1 &<< 32 | fraction)) &>> 32
  }
}

extension CompiledRule {
  /// What becomes of `decision`, which the rule and the limits came to, when the deferral log says this of the intent. Nil: with that decision it
  /// says no such thing.
  public func decide(_ decision: Decision, kept: KeptFact, sessionID: UInt64) -> Decision? {
    let waits = UInt32(truncatingIfNeeded: spreadRetryAfter(sessionID: sessionID))
    func made(_ verdict: UInt8, _ reason: UInt8, retry: UInt32) -> Decision {
      Decision(outcome: Outcome(verdict: verdict, reason: reason), retryAfterMilliseconds: retry)
    }
    let isDeferred = decision.outcome.verdict == LTP_VERDICT_DEFER
    let isForKeeping = isDeferred || kept.isBehind && decision.outcome.isExecute
    guard kept.result == LTP_KEPT_ENDED || kept.end == LTP_END_NONE else { return nil }
    switch kept.result {
    case LTP_KEPT_NEW where isForKeeping:
      return kept.isBehind ? made(LTP_VERDICT_DEFER, LTP_REASON_INTENT_PENDING, retry: waits) : decision
    case LTP_KEPT_FULL where isForKeeping:
      return made(LTP_VERDICT_DENY, LTP_REASON_DEFER_QUEUE_FULL, retry: waits)
    case LTP_KEPT_LATER where isForKeeping:
      return made(LTP_VERDICT_DENY, LTP_REASON_TRACE_BACKPRESSURE, retry: waits)
    case LTP_KEPT_SAME where !kept.isBehind:
      return made(LTP_VERDICT_DEFER, LTP_REASON_INTENT_PENDING, retry: waits)
    case LTP_KEPT_ENDED where !kept.isBehind && kept.end < LTP_END_COUNT:
      let reason = kept.end == LTP_END_NONE ? LTP_REASON_ALREADY_REPLAYED : LTP_REASON_INTENT_ENDED
      return made(LTP_VERDICT_DENY, reason, retry: 0)
    case LTP_KEPT_DIFFERS where !kept.isBehind: return made(LTP_VERDICT_DENY, LTP_REASON_KEY_REUSED, retry: 0)
    case LTP_KEPT_REPLAY where !kept.isBehind: return decision
    default: return nil
    }
  }
}
