// SPDX-License-Identifier: Apache-2.0
// Which decisions `count` counts. Nil: all of them.

import CLTP
import LTPRecords

public struct CountFilter: Sendable, Equatable {
  /// By name, as the policy in force called it, or "class-N".
  public var actionClass: String?
  /// LTP_STATE_*: of the service.
  public var state: UInt8?
  /// LTP_VERDICT_*
  public var verdict: UInt8?
  /// LTP_REASON_*
  public var reason: UInt8?
  public var domain: UInt8?
  /// Segments' summaries do not count by sessions, so each decision in the window is looked at.
  public var session: UInt64?

  public init() {}

  func wants(_ entry: ltp_counts_entry, _ name: String) -> Bool {
    let outcome = Outcome(rawValue: entry.outcome)
    return (actionClass == nil || actionClass == name) && (state == nil || state == entry.state)
      && (verdict == nil || verdict == outcome.verdict) && (reason == nil || reason == outcome.reason)
      && (domain == nil || domain == entry.domain)
  }
}
