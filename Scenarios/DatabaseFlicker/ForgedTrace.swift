// SPDX-License-Identifier: Apache-2.0

import CLTP
import Stage

/// The scenario's own trace, in which somebody has made a DEFER an EXECUTE, as if the order had been written in the outage, and sealed the
/// chain again.
struct ForgedTrace: Encodable, Sendable {
  var frame: UInt64
  var session: UInt64
  /// What `ltp inspect audit` says of it.
  var passes: Bool
  var isNamed: Bool

  init(_ directory: String, _ order: Order) throws {
    (frame, session) = (order.number, order.client)
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
      throw ScenarioFailure("frame \(frame) of session \(session) is not deferred in the trace")
    }
    let said = try Inspector.run(["audit", forged])
    passes = said.status == 0
    isNamed = said.output.contains("frame \(frame) of session \(session)")
  }

  var promise: Promise {
    Promise(
      text: "a DEFER flipped to EXECUTE, the chain sealed again, fails the audit, which names it",
      measured: "frame \(frame) of session \(session) "
        + (passes ? "passes" : isNamed ? "found and named" : "found, but not named"),
      isMet: !passes && isNamed)
  }
}
