// SPDX-License-Identifier: Apache-2.0
// The decision: a pure function of (rule, threshold, request's priority and session, inputs). The lane calls it
// on the hot path and `ltp inspect redecide` calls it again on the record; there is no second version of it.

public import CLTP

/// Verdict and reason in one byte: the reason in the lower five bits. Zero is DENY without a reason.
public struct Outcome: Equatable, Sendable {
  public var rawValue: UInt8

  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  @inlinable
  public init(verdict: UInt8, reason: UInt8) { rawValue = verdict << 5 | (reason & 0x1F) }

  @inlinable
  public var verdict: UInt8 { rawValue >> 5 }

  @inlinable
  public var reason: UInt8 { rawValue & 0x1F }

  /// How many values an outcome can take; counters are indexed by it.
  @inlinable
  public static var count: Int { 96 }
}

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

  @inlinable
  public var needsContinuity: Bool { rawValue & (1 << 40) != 0 }
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

extension CompiledRule {
  /// Decides. `inputs` is a set of LTP_INPUT_* facts; `threshold` is the orientation's.
  @inlinable
  public func decide(threshold: UInt8, priority: UInt8, inputs: UInt8, sessionID: UInt64) -> Decision {
    inputs & LTP_INPUT_MALFORMED != 0
      ? .malformed
      : decideWellFormed(
        threshold: threshold, priority: priority, inputs: inputs, sessionID: sessionID)
  }

  /// The same for a request that is well formed. The deadline counts before continuity, continuity before the
  /// threshold.
  ///
  /// Arithmetic rather than branches: the mix of classes is random, and one mispredicted branch costs more than
  /// all of this.
  @inlinable
  @inline(__always)
  public func decideWellFormed(
    threshold: UInt8, priority: UInt8, inputs: UInt8, sessionID: UInt64
  ) -> Decision {
    let rule = rawValue
    let facts = UInt64(inputs)
    let appliedThreshold = UInt64(threshold) & ((rule >> 41 & 1) &- 1)
    let least = max(rule >> 32 & 0xFF, appliedThreshold)
    let isBelow = (UInt64(priority) &- least) >> 63
    let lacksContinuity = (rule >> 40) & ~(facts / UInt64(LTP_INPUT_CONTINUITY_VALID)) & 1
    let isLate = facts / UInt64(LTP_INPUT_DEADLINE_EXCEEDED) & 1
    // Which outcome counts, by the three conditions as a number: 0, 1, 2, 2, 3, 3, 3, 3.
    let conditions = isBelow | lacksContinuity &<< 1 | isLate &<< 2
    let place = UInt64(0x3333_2210) &>> (conditions &* 4) & 3
    let outcome = UInt64(UInt8(truncatingIfNeeded: rule &>> (place &* 8)))
    // EXECUTE is the verdict with the upper of the two verdict bits set.
    let isRefused = (outcome >> 6 & 1) &- 1
    let retry = spreadRetryAfter(sessionID: sessionID) & isRefused
    return Decision(
      outcome: Outcome(rawValue: UInt8(truncatingIfNeeded: outcome)),
      retryAfterMilliseconds: UInt32(truncatingIfNeeded: retry))
  }

  /// Between once and twice the rule's wait, by session, so that refused clients do not come back together.
  @inlinable
  @inline(__always)
  func spreadRetryAfter(sessionID: UInt64) -> UInt64 {
    let base = rawValue >> 42
    let fraction = (sessionID &* 0x9E37_79B9_7F4A_7C15) >> 32
    return base &+ (base &* fraction) >> 32
  }
}
