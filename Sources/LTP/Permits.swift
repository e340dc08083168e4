// SPDX-License-Identifier: Apache-2.0
// Permits of the concurrency limit, and how they are given back.

import CLTP

/// One unit of the concurrency limit that work which may run holds.
public struct Permit: Hashable, Sendable {
  public let number: UInt32

  @inlinable
  public init(number: UInt32) { self.number = number }
}

/// What became of work that held a permit.
public enum Outcome: UInt8, Sendable {
  case success = 0
  /// Overload: it timed out, or was refused further down.
  case dropped = 1
  /// It says nothing about the load: a bad request, a cache's answer.
  case ignored = 2
}

/// Takes the permits of one lane back, in any thread or task. Keeps the lane open.
public struct Permits: Sendable {
  let owner: LaneOwner

  /// `latency`: how long the work took, which moves the limit; nil: since the verdict, by the core's coarse clock. Throws
  /// `LTP_ERROR_PERMIT` when the permit is not out: released already, or expired.
  public func release(
    _ permit: Permit, _ outcome: Outcome = .success, latency: Duration? = nil
  ) throws(LTPError) {
    let nanoseconds = latency.map { max($0.nanoseconds, 1) } ?? 0
    try check(ltp_permit_release(owner.handle, permit.number, outcome.rawValue, nanoseconds))
  }
}

extension Lane {
  public var permits: Permits { Permits(owner: owner) }
}
