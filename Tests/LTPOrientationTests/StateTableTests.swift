// SPDX-License-Identifier: Apache-2.0
// The state table, every entry of it, against the protocol's words.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPOrientation

@Suite("The state table", .guarded)
struct StateTableTests {
  /// By state, then nothing, clear, strained, saturated, unstable, failed, recovered.
  private static let expected: [(from: UInt8, to: [UInt8])] = {
    let (unknown, healthy, degraded, saturated) = (
      LTP_STATE_UNKNOWN, LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED
    )
    let (unstable, failed, recovering) = (LTP_STATE_UNSTABLE, LTP_STATE_FAILED, LTP_STATE_RECOVERING)
    let calm = [unknown, healthy, degraded, saturated, unstable, failed, healthy]
    let outage = [unknown, recovering, recovering, recovering, unstable, failed, recovering]
    return [
      (unknown, outage), (healthy, calm), (degraded, calm), (saturated, calm), (unstable, outage),
      (failed, [failed] + outage.dropFirst()),
      (recovering, [unknown, recovering, recovering, recovering, unstable, failed, healthy]),
    ]
  }()

  @Test("every state under every condition", arguments: 0..<7)
  func entries(_ row: Int) {
    let (from, to) = Self.expected[row]
    for condition in Condition.allCases {
      #expect(
        StateTable.next(from, condition) == to[Int(condition.rawValue)], "\(stateName(from)), \(condition)")
    }
  }

  @Test("a failure is never masked, and nobody skips RECOVERING")
  func rules() {
    let calm = [LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED]
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      #expect(StateTable.next(state, .failed) == LTP_STATE_FAILED)
      #expect(StateTable.next(state, .unstable) == LTP_STATE_UNSTABLE)
      #expect([LTP_STATE_UNKNOWN, LTP_STATE_FAILED].contains(StateTable.next(state, .nothing)))
      for condition in Condition.allCases where !calm.contains(state) {
        let next = StateTable.next(state, condition)
        let isEndOfRecovery = state == LTP_STATE_RECOVERING && condition == .recovered
        #expect(!calm.contains(next) || isEndOfRecovery)
      }
    }
  }
}
