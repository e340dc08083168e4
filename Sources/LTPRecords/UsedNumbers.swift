// SPDX-License-Identifier: Apache-2.0
// The numbers of a log that it cannot give twice, as far as its blocks tell. Recovery goes on behind them, and `ltp doctor`
// says how many are left.

import CLTP

package struct UsedNumbers: Equatable, Sendable {
  package var run: UInt32 = 0
  package var nextLaneID: UInt32 = 1
  /// The highest number that any policy has.
  package var policyGeneration: UInt32 = 0

  package init() {}

  /// A lane of this id has a block.
  package mutating func include(laneID: UInt32) { nextLaneID = max(nextLaneID, laneID &+ 1) }

  package mutating func include(_ kind: RecordKind, _ record: RecordView) {
    switch kind {
    case .opened:
      run = max(run, record.opened.pointee.run)
      nextLaneID = max(nextLaneID, record.opened.pointee.next_lane_id)
    case .segment:
      run = max(run, record.segment.pointee.run)
      nextLaneID = max(nextLaneID, record.segment.pointee.next_lane_id)
      policyGeneration = max(policyGeneration, record.segment.pointee.policy_generation)
    case .transition:
      policyGeneration = max(policyGeneration, record.transition.pointee.policy_generation)
    case .policy:
      // Its transition may never have come: the number is used all the same.
      policyGeneration = max(policyGeneration, record.policy.pointee.policy_generation)
    case .text, .sealed, .closed, .counts, .domains, .intent, .step, .deferral: break
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant, .voided, .kept: break
    }
  }
}
