// SPDX-License-Identifier: Apache-2.0
// Verdict and reason of a decision as one byte: in rules, in counters, and in records for what a shadow policy said.

public import CLTP

/// Verdict and reason in one byte: the reason in the lower six bits. Zero is DENY without a reason.
public struct Outcome: Equatable, Sendable {
  public var rawValue: UInt8

  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  @inlinable
  public init(verdict: UInt8, reason: UInt8) {
    rawValue = verdict << UInt8(LTP_OUTCOME_VERDICT_SHIFT) | (reason & LTP_OUTCOME_REASON_MASK)
  }

  @inlinable
  public var verdict: UInt8 { rawValue >> UInt8(LTP_OUTCOME_VERDICT_SHIFT) }

  @inlinable
  public var reason: UInt8 { rawValue & LTP_OUTCOME_REASON_MASK }

  @inlinable
  public var isExecute: Bool {
    rawValue & (LTP_VERDICT_EXECUTE << UInt8(LTP_OUTCOME_VERDICT_SHIFT)) != 0
  }

  /// The same as 1 or 0, for what must not branch.
  @inlinable
  @inline(__always)
  public var executeCount: UInt64 { UInt64(rawValue) &>> 7 }

  /// How many values an outcome can take; counters are indexed by it.
  @inlinable
  public static var count: Int { Int(LTP_VERDICT_COUNT) << Int(LTP_OUTCOME_VERDICT_SHIFT) }
}
