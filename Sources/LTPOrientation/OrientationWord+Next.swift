// SPDX-License-Identifier: Apache-2.0
// From one orientation to the next: which numbers move on.

import CLTP
import LTPRecords

extension OrientationWord {
  /// The word after this one. Going to UNSTABLE or FAILED always moves continuity on.
  func next(
    to state: UInt8, advancesContinuity: Bool, policySlot: UInt8, threshold: UInt8, isDomains: Bool = false,
    isRunsFirst: Bool = false
  ) -> OrientationWord {
    let entersOutage = (state == LTP_STATE_UNSTABLE || state == LTP_STATE_FAILED) && self.state != state
    let advances = advancesContinuity || entersOutage
    return OrientationWord(
      state: state, policySlot: policySlot, threshold: threshold,
      continuityEpoch: continuityEpoch
        &+ (isRunsFirst ? UInt32(LTP_CONTINUITY_RUN_STEP) : advances ? 1 : 0),
      epoch: EpochNumbers.low(epoch: EpochNumbers.epoch(after: UInt64(epoch))),
      scope: isDomains ? LTP_SCOPE_DOMAIN : advances ? LTP_SCOPE_ALL : LTP_SCOPE_NONE)
  }
}
