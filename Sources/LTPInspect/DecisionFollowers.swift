// SPDX-License-Identifier: Apache-2.0
// The records that belong to a decision and follow it, as far as they are there.

import CLTP
import LTPRecords

struct DecisionFollowers {
  var replay: ltp_replay_record?
  var kept: ltp_kept_record?

  /// Of the decision before `slot`, in a body that ends at `end`.
  init(of inputs: UInt16, _ body: UnsafeRawPointer, _ slot: Int, _ end: Int) {
    var slot = slot
    if inputs & LTP_INPUT_REPLAY != 0 {
      guard slot < end, RecordView(body, slot: slot).kind == .replay else { return }
      replay = RecordView(body, slot: slot).replay.pointee
      slot += 1
    }
    if inputs & LTP_INPUT_TENANT != 0 { slot += 1 }
    guard inputs & LTP_INPUT_KEPT != 0, slot < end, RecordView(body, slot: slot).kind == .kept else { return }
    kept = RecordView(body, slot: slot).kept.pointee
  }
}

extension ltp_decision_record {
  /// The core decided a kept intent again. The session alone does not say so: anybody may call himself what the core calls itself.
  var isCoreReplay: Bool {
    let followed = LTP_INPUT_REPLAY | LTP_INPUT_KEPT
    return session_id == LTP_SESSION_REPLAY && inputs & followed == followed
  }
}
