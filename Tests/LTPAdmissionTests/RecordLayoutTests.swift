// SPDX-License-Identifier: Apache-2.0
// A decision's record and its verdict, field by field.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission

@Suite(.guarded) struct RecordLayoutTests {
  @Test func recordAndVerdictHaveTheContractsLayout() {
    let harness = LaneHarness()
    let lane = harness.lane()
    var asked = request(
      40, frameID: 0x1122_3344_5566_7788, sessionID: 0x99AA, priority: 77,
      life: harness.life(of: 0x99AA, domain: 200))
    asked.cohort = 66
    let verdict = lane.admit(asked)
    #expect(verdict.verdict == LTP_VERDICT_EXECUTE)
    #expect(verdict.reason == LTP_REASON_ADMITTED)
    #expect(verdict.state == LTP_STATE_HEALTHY)
    #expect(verdict.epoch == harness.orientation.current.epoch)
    #expect(verdict.policy_generation == 1)
    #expect(verdict.commitment == LTP_COMMITMENT_NONE)
    let record = lane.decision(0)
    #expect(record.kind == LTP_RECORD_DECISION)
    #expect(record.verdict == LTP_VERDICT_EXECUTE)
    #expect(record.reason == LTP_REASON_ADMITTED)
    #expect(record.inputs == LTP_CONTINUITY_VALID)
    #expect(record.action_class == 40)
    #expect(record.domain == 200)
    #expect(record.priority == 77)
    #expect(record.cohort == 66)
    #expect(record.shadow.rawValue == 0)
    #expect(record.frame_id == 0x1122_3344_5566_7788)
    #expect(record.session_id == 0x99AA)
    harness.publish(LTP_STATE_UNSTABLE)
    let deferred = lane.admit(request(24))
    #expect(deferred.verdict == LTP_VERDICT_DEFER)
    #expect(deferred.reason == LTP_REASON_SYSTEM_UNSTABLE)
    #expect(deferred.commitment == LTP_COMMITMENT_WHEN_STABLE)
    #expect((1000...2000).contains(deferred.retry_after_ms))
    #expect(lane.decision(2).retryAfterMilliseconds == deferred.retry_after_ms)
  }
}
