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
/// From the lowest bit: outcome (8), outcome below the threshold (8), least priority (8), flags (8),
/// retry_after in milliseconds (32).
public struct CompiledRule: Equatable, Sendable {
  public var rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public init(
    outcome: Outcome, below: Outcome, priorityMin: UInt8, needsContinuity: Bool, exempt: Bool,
    retryAfterMilliseconds: UInt32
  ) {
    rawValue =
      UInt64(outcome.rawValue) | UInt64(below.rawValue) << 8 | UInt64(priorityMin) << 16
      | (needsContinuity ? 1 << 24 : 0) | (exempt ? 1 << 25 : 0) | UInt64(retryAfterMilliseconds) << 32
  }

  /// The rule of every class that the policy does not name.
  @inlinable
  public static var unknownClass: CompiledRule {
    CompiledRule(rawValue: UInt64(LTP_REASON_UNKNOWN_ACTION_CLASS))
  }

  @inlinable
  public var outcome: Outcome { Outcome(rawValue: UInt8(truncatingIfNeeded: rawValue)) }

  @inlinable
  public var below: Outcome { Outcome(rawValue: UInt8(truncatingIfNeeded: rawValue >> 8)) }

  @inlinable
  public var priorityMin: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 16) }

  @inlinable
  public var needsContinuity: Bool { rawValue & (1 << 24) != 0 }

  @inlinable
  public var exempt: Bool { rawValue & (1 << 25) != 0 }

  @inlinable
  public var retryAfterMilliseconds: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
}

public struct Decision: Equatable, Sendable {
  public var outcome: Outcome
  public var retryAfterMilliseconds: UInt32

  @inlinable
  public init(outcome: Outcome, retryAfterMilliseconds: UInt32) {
    self.outcome = outcome
    self.retryAfterMilliseconds = retryAfterMilliseconds
  }
}

extension CompiledRule {
  /// Decides. `inputs` is a set of LTP_INPUT_* facts; `threshold` is the orientation's.
  ///
  /// What counts first: a malformed frame, then the rule's own DENY, the deadline, continuity, the threshold.
  /// Written as selections rather than branches: the mix of classes is random, and a mispredicted branch costs
  /// more than the whole decision.
  @inlinable
  @inline(__always)
  public func decide(threshold: UInt8, priority: UInt8, inputs: UInt8, sessionID: UInt64) -> Decision {
    let ruled = outcome
    let least = exempt ? priorityMin : max(priorityMin, threshold)
    var chosen = priority < least ? below : ruled
    let continuityMissing = needsContinuity && inputs & LTP_INPUT_CONTINUITY_VALID == 0
    chosen =
      continuityMissing
      ? Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_REHANDSHAKE_REQUIRED) : chosen
    chosen =
      inputs & LTP_INPUT_DEADLINE_EXCEEDED != 0
      ? Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_DEADLINE_EXCEEDED) : chosen
    chosen = ruled.verdict == LTP_VERDICT_DENY ? ruled : chosen
    let malformed = inputs & LTP_INPUT_MALFORMED != 0
    chosen = malformed ? Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_MALFORMED_FRAME) : chosen
    let admitted = chosen.verdict == LTP_VERDICT_EXECUTE
    let retry = admitted || malformed ? 0 : spreadRetryAfter(sessionID: sessionID)
    return Decision(outcome: chosen, retryAfterMilliseconds: retry)
  }

  /// Between once and twice the rule's wait, by session, so that refused clients do not come back together.
  @inlinable
  @inline(__always)
  func spreadRetryAfter(sessionID: UInt64) -> UInt32 {
    let base = rawValue >> 32
    let fraction = (sessionID &* 0x9E37_79B9_7F4A_7C15) >> 32
    return UInt32(truncatingIfNeeded: base &+ (base &* fraction) >> 32)
  }
}
