// SPDX-License-Identifier: Apache-2.0

import CLTP
import Stage

/// The scenario's own trace, in which somebody has made a blocked MODIFY an EXECUTE, and sealed the chain again.
struct ForgedTrace {
  let flipped: IntentID
  /// What `ltp inspect violations` says of it: with the verdict flipped, and with the facts that would have allowed it as well.
  let verdicts: [(isGood: Bool, isNamed: Bool)]

  /// nil: nothing was blocked, so there is nothing to flip.
  init?(_ directory: String, blocked: [IntentID]) throws {
    guard !blocked.isEmpty else { return nil }
    flipped = blocked[blocked.count / 2]
    let forged = directory + ".forged"
    var verdicts: [(isGood: Bool, isNamed: Bool)] = []
    for changesFacts in [false, true] {
      let changed = try Forger.forge(from: directory, to: forged) { [flipped] record in
        guard record.frame_id == flipped.frame, record.session_id == flipped.session else { return }
        record.outcome = LTP_VERDICT_EXECUTE << LTP_OUTCOME_VERDICT_SHIFT | LTP_REASON_ADMITTED
        if changesFacts {
          record.inputs = LTP_CONTINUITY_VALID
          record.retry_and_shadow = 0
        }
      }
      guard changed == 1 else {
        throw ScenarioFailure(
          "frame \(flipped.frame) of session \(flipped.session) is \(changed) times in the trace")
      }
      let said = try Inspector.run(["violations", forged])
      let named = said.output.contains("frame \(flipped.frame) of session \(flipped.session),")
      verdicts.append((said.status == 0, named))
    }
    self.verdicts = verdicts
  }

  var isFound: Bool { verdicts.allSatisfy { !$0.isGood && $0.isNamed } }
}
