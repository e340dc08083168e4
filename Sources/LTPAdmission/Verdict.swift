// SPDX-License-Identifier: Apache-2.0
// A verdict as the two registers that it is returned in. The layout is ltp_verdict's; LTPAdmissionTests compares
// the two. Kept as two words up to the C ABI, because fields apart would be packed and unpacked on each return.

public import CLTP
import LTPRecords
import LTPRules

public struct Verdict: Equatable, Sendable {
  /// Epoch, then retry_after in milliseconds.
  public var low: UInt64
  /// Policy generation, then verdict, reason, state, commitment.
  public var high: UInt64

  @inlinable
  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// Of retry_after in `low`.
  @inlinable
  @inline(__always)
  static var retryAfterShift: UInt64 { UInt64(LTP_AT_verdict_retry_after_ms * 8) }

  /// Of a field in `high`, which begins at its own eight bytes.
  @inlinable
  @inline(__always)
  static func highShift(_ offset: Int) -> UInt64 { UInt64((offset - 8) * 8) }

  init(_ decision: Decision, word: OrientationWord, policyGeneration: UInt32) {
    let outcome = decision.outcome
    let commitment =
      outcome.verdict == LTP_VERDICT_DEFER ? LTP_COMMITMENT_WHEN_STABLE : LTP_COMMITMENT_NONE
    low = UInt64(word.epoch) | UInt64(decision.retryAfterMilliseconds) << Self.retryAfterShift
    high =
      UInt64(policyGeneration) << Self.highShift(LTP_AT_verdict_policy_generation)
      | UInt64(outcome.verdict) << Self.highShift(LTP_AT_verdict_verdict)
      | UInt64(outcome.reason) << Self.highShift(LTP_AT_verdict_reason)
      | UInt64(word.state) << Self.highShift(LTP_AT_verdict_state)
      | UInt64(commitment) << Self.highShift(LTP_AT_verdict_commitment)
  }

  /// The same, given under the state of a domain.
  func inState(_ state: UInt8) -> Verdict {
    let shift = Self.highShift(LTP_AT_verdict_state)
    return Verdict(low: low, high: high & ~(0xFF << shift) | UInt64(state) << shift)
  }

  @inlinable
  @inline(__always)
  public var cValue: ltp_verdict { unsafeBitCast(self, to: ltp_verdict.self) }

  @inlinable
  @inline(__always)
  public var isExecute: Bool {
    UInt8(truncatingIfNeeded: high >> Self.highShift(LTP_AT_verdict_verdict)) == LTP_VERDICT_EXECUTE
  }
}
