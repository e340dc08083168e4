// SPDX-License-Identifier: Apache-2.0
// A verdict as the two registers that it is returned in. The layout is ltp_verdict's; LTPAdmissionTests compares
// the two. Kept as two words up to the C ABI, because fields apart would be packed and unpacked on each return.

public import CLTP

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

  init(_ decision: Decision, word: OrientationWord, policyGeneration: UInt32) {
    let outcome = decision.outcome
    let commitment =
      outcome.verdict == LTP_VERDICT_DEFER ? LTP_COMMITMENT_WHEN_STABLE : LTP_COMMITMENT_NONE
    low = UInt64(word.epoch) | UInt64(decision.retryAfterMilliseconds) << 32
    high =
      UInt64(policyGeneration) | UInt64(outcome.verdict) << 32 | UInt64(outcome.reason) << 40
      | UInt64(word.state) << 48 | UInt64(commitment) << 56
  }

  @inlinable
  @inline(__always)
  public var cValue: ltp_verdict { unsafeBitCast(self, to: ltp_verdict.self) }

  @inlinable
  @inline(__always)
  public var isExecute: Bool { UInt8(truncatingIfNeeded: high >> 32) == LTP_VERDICT_EXECUTE }
}
