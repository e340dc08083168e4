// SPDX-License-Identifier: Apache-2.0
// Which records `show` prints.

public struct ShowFilter: Sendable {
  /// Unix nanoseconds, inclusive.
  public var from: UInt64 = 0
  /// Unix nanoseconds, exclusive.
  public var to = UInt64.max
  /// Only decisions and hellos of this session, between the transitions.
  public var session: UInt64?
  /// LTP_VERDICT_*: only decisions with this verdict, between the transitions.
  public var verdict: UInt8?
  /// Stop after so many decisions and hellos.
  public var limit = UInt64.max
  public var json = false

  public init() {}
}
