// SPDX-License-Identifier: Apache-2.0

public import CLTP

/// The answer to one request: 16 bytes, returned in registers. Its record was in the trace's memory before it was.
public struct Verdict: Sendable {
  /// The C contract's form of it.
  public var fields: ltp_verdict

  @inlinable
  public init(_ fields: ltp_verdict) { self.fields = fields }

  /// Whether the intent may run now.
  @inlinable
  public var isExecute: Bool { fields.verdict == LTP_VERDICT_EXECUTE }

  public var decision: Decision { Decision(rawValue: fields.verdict) ?? .deny }
  public var reason: Reason { Reason(rawValue: fields.reason) }
  /// The state that it was decided under, and that orientation's number.
  public var state: State { State(rawValue: fields.state) ?? .unknown }
  @inlinable public var epoch: UInt32 { fields.epoch }
  @inlinable public var policyGeneration: UInt32 { fields.policy_generation }
  /// When to try again, for a denial; spread over sessions, so that callers do not come back together.
  public var retryAfter: Duration { isExecute ? .zero : .milliseconds(Int64(fields.retry_after_ms)) }
  /// What the work holds of the concurrency limit, to be released through `Lane.permits` when it is done; nil: nothing.
  @inlinable
  public var permit: Permit? {
    isExecute && fields.retry_after_ms != 0 ? Permit(number: fields.retry_after_ms) : nil
  }
}

extension Verdict: CustomStringConvertible {
  public var description: String { "\(decision): \(reason)" }
}
