// SPDX-License-Identifier: Apache-2.0
// From one orientation to the next: which numbers move on.

import CLTP
import LTPRecords

extension OrientationWord {
  /// The word after this one; nil when no number is left to tell it apart from an older one. Going to UNSTABLE or
  /// FAILED always moves continuity on.
  func next(
    to state: UInt8, advancesContinuity: Bool, policySlot: UInt8, threshold: UInt8
  ) -> OrientationWord? {
    let entersOutage = (state == LTP_STATE_UNSTABLE || state == LTP_STATE_FAILED) && self.state != state
    let advances = advancesContinuity || entersOutage
    guard epoch < UInt32.max, !advances || continuityEpoch < UInt32(LTP_CONTINUITY_EPOCH_MAX) else {
      return nil
    }
    return OrientationWord(
      state: state, policySlot: policySlot, threshold: threshold,
      continuityEpoch: continuityEpoch + (advances ? 1 : 0), epoch: epoch + 1)
  }
}
