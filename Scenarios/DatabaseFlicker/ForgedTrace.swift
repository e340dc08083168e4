// SPDX-License-Identifier: Apache-2.0

import CLTP
import Stage

/// The scenario's own trace, forged, and its chain sealed again: what `ltp inspect audit` says of it.
struct ForgedTrace: Encodable, Sendable {
  /// What was done to it.
  var forgery: String
  var frame: UInt64
  var session: UInt64
  var passes: Bool
  var isNamed: Bool

  /// Somebody has made a DEFER an EXECUTE, as if the order had been written in the outage.
  init(_ directory: String, executed order: Order) throws {
    let forged = directory + ".forged"
    var isDone = false
    let changed = try Forger.forge(from: directory, to: forged) { record in
      guard !isDone, record.frame_id == order.number, record.session_id == order.client,
        record.outcome >> LTP_OUTCOME_VERDICT_SHIFT == LTP_VERDICT_DEFER
      else { return }
      record.outcome = LTP_VERDICT_EXECUTE << LTP_OUTCOME_VERDICT_SHIFT | LTP_REASON_ADMITTED
      isDone = true
    }
    guard changed == 1 else {
      throw ScenarioFailure(
        "frame \(order.number) of session \(order.client) is not deferred in the trace")
    }
    try self.init("a DEFER flipped to EXECUTE", forged, order)
  }

  /// Somebody has taken out how a deferred order ended. `order`: whose ticket it is.
  init(_ directory: String, withoutEndOf order: (UInt64) -> Order?) throws {
    let forged = directory + ".endless"
    var found: Order?
    let isDone = try Forger.forge(from: directory, to: forged) { step in
      guard step.step == LTP_STEP_COMMITTED, let order = order(step.ticket) else { return false }
      found = order
      return true
    }
    guard isDone, let found else { throw ScenarioFailure("no end stands beside something else in the trace") }
    try self.init("the end of a DEFER taken out", forged, found)
  }

  private init(_ forgery: String, _ forged: String, _ order: Order) throws {
    self.forgery = forgery
    (frame, session) = (order.number, order.client)
    let said = try Inspector.run(["audit", forged])
    passes = said.status == 0
    isNamed = said.output.contains("frame \(frame) of session \(session)")
  }

  var promise: Promise {
    Promise(
      text: "\(forgery), the chain sealed again, fails the audit, which names it",
      measured: "frame \(frame) of session \(session) "
        + (passes ? "passes" : isNamed ? "found and named" : "found, but not named"),
      isMet: !passes && isNamed)
  }
}
