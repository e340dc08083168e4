// SPDX-License-Identifier: Apache-2.0
// Lanes: what they decide, and that each decision is a record.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPOrientation
@testable import LTPRules

@Suite(.guarded) struct LaneTests {
  @Test func seesATransitionWithItsNextDecision() {
    let harness = LaneHarness()
    let lane = harness.lane()
    #expect(lane.admit(request(25)).verdict == LTP_VERDICT_EXECUTE)
    for state in [LTP_STATE_UNSTABLE, LTP_STATE_HEALTHY, LTP_STATE_FAILED, LTP_STATE_SATURATED] {
      let word = harness.publish(state)
      let verdict = lane.admit(request(25))
      #expect(verdict.state == state)
      #expect(verdict.epoch == word.epoch)
      let observed = lane.slot(lane.issued - 2).loadUnaligned(as: ltp_observed_record.self)
      #expect(observed.kind == LTP_RECORD_OBSERVED)
      #expect(observed.orientation_word == word.rawValue)
    }
  }

  @Test("a change of any single bit of the word is seen, at any clock")
  func everyChangeIsSeen() {
    var random = TestSeed.random(3)
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 65536, blockCount: 2)
    for round in 0..<1000 {
      let state: UInt8 = [LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED].randomElement(
        using: &random)!
      var change = TransitionChange(to: state, reason: LTP_SIGNAL_OPERATOR)
      change.threshold = UInt8.random(in: 0...255, using: &random)
      if round % 3 == 0 { harness.tick(to: 1_000_000_000 + random.next() % (1 << 40)) }
      let word = try! harness.orientation.publish(change, now: 3)
      harness.drain()
      let verdict = lane.admit(request(8, priority: 255))
      #expect(verdict.epoch == word.epoch)
      lane.release()
    }
  }

  @Test func zombieOrderIsRefusedUntilItsSessionShakesHandsAgain() {
    let harness = LaneHarness()
    let lane = harness.lane()
    let life = lane.greet(77)
    #expect(life.header.flags == LTP_HELLO_ANSWER)
    let modify = request(43, sessionID: 77, life: life)
    #expect(lane.admit(modify).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.admit(request(43, sessionID: 78, life: life)).reason == LTP_REASON_CONTINUITY_FORGED)
    harness.publish(LTP_STATE_UNSTABLE)
    #expect(lane.admit(modify).reason == LTP_REASON_SYSTEM_UNSTABLE)
    harness.publish(LTP_STATE_RECOVERING)
    let zombie = lane.admit(modify)
    #expect(zombie.verdict == LTP_VERDICT_DENY)
    #expect(zombie.reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    harness.publish(LTP_STATE_HEALTHY)
    #expect(lane.admit(modify).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    // The zombie with one more step: a hello in front of the old intent.
    let next = lane.greet(77)
    var again = modify
    (again.continuity_token, again.incarnation) = (next.continuity_token, next.incarnation)
    #expect(lane.admit(again).reason == LTP_REASON_STALE_INTENT)
    #expect(lane.admit(request(43, sessionID: 77, life: next)).verdict == LTP_VERDICT_EXECUTE)
  }

  @Test("never list, 2: while RECOVERING nothing is EXECUTEd without a valid token")
  func recoveringNeedsContinuity() {
    let harness = LaneHarness(state: LTP_STATE_RECOVERING)
    let lane = harness.lane(blockBytes: 65536)
    for actionClass in UInt8(0)..<200 {
      let verdict = lane.admit(request(actionClass, priority: 255))
      #expect(verdict.verdict != LTP_VERDICT_EXECUTE)
    }
  }

  @Test("fault 25: deadlines are on the monotonic clock, to the tick")
  func deadlines() {
    let harness = LaneHarness(now: 5_000)
    let lane = harness.lane()
    #expect(lane.admit(request(8, deadline: 5_001)).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.admit(request(8, deadline: 5_000)).reason == LTP_REASON_DEADLINE_EXCEEDED)
    harness.tick(to: 4_000)
    #expect(lane.admit(request(8, deadline: 5_001)).verdict == LTP_VERDICT_EXECUTE)
    harness.tick(to: 9_000)
    #expect(lane.admit(request(8, deadline: 5_001)).reason == LTP_REASON_DEADLINE_EXCEEDED)
  }

  @Test("fault 31: a full ring denies at once, counts, and the next record tells how many")
  func backpressure() {
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 4096, blockCount: 2)
    let capacity = Int(lane.state.pointee.slotsPerBlock) * 2
    for index in 0..<capacity {
      #expect(lane.admit(request(8, frameID: UInt64(index))).verdict == LTP_VERDICT_EXECUTE)
    }
    for _ in 0..<7 {
      let verdict = lane.admit(request(8))
      #expect(verdict.verdict == LTP_VERDICT_DENY)
      #expect(verdict.reason == LTP_REASON_TRACE_BACKPRESSURE)
    }
    #expect(lane.issued == UInt64(capacity))
    #expect(lane.state.pointee.unrecordedTotal.load(ordering: .relaxed) == 7)
    lane.release()
    #expect(lane.admit(request(8)).verdict == LTP_VERDICT_EXECUTE)
    let gap = lane.slot(UInt64(capacity)).loadUnaligned(as: ltp_unrecorded_record.self)
    #expect(gap.kind == LTP_RECORD_UNRECORDED)
    #expect(gap.denied_count == 7)
    #expect(lane.kind(UInt64(capacity) + 1) == LTP_RECORD_DECISION)
  }

  @Test func aReplayAndItsOriginalShareABlock() {
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 4096, blockCount: 4)
    let perBlock = lane.state.pointee.slotsPerBlock
    for index in 0..<perBlock - 1 { _ = lane.admit(request(8, frameID: index)) }
    #expect(lane.admit(replay(of: 42, request(8, frameID: 500))).verdict == LTP_VERDICT_EXECUTE)
    #expect(lane.kind(perBlock - 1) == LTP_RECORD_OBSERVED)
    let decision = lane.decision(perBlock)
    #expect(decision.kind == LTP_RECORD_DECISION)
    #expect(decision.inputs & LTP_INPUT_REPLAY != 0)
    let replay = lane.slot(perBlock + 1).loadUnaligned(as: ltp_replay_record.self)
    #expect(replay.kind == LTP_RECORD_REPLAY)
    #expect(replay.original_frame_id == 42)
    #expect(replay.frame_id == 500)
    #expect(lane.issued == perBlock + 2)
  }

  @Test func aBlockFilledForLongMovesItsTimeBaseOn() {
    let harness = LaneHarness(now: 1_000_000)
    let lane = harness.lane()
    _ = lane.admit(request(8))
    harness.tick(to: 1_000_000 + 3_000_000_000_000)
    _ = lane.admit(request(8))
    #expect(lane.kind(1) == LTP_RECORD_TIME)
    let base = lane.slot(1).loadUnaligned(as: ltp_time_record.self)
    #expect(base.base_monotonic_ns == 3_000_001_000_000)
    #expect(lane.decision(2).time_us == 0)
  }

  @Test func malformedFramesAndUnknownClassesAreDeniedAndRecorded() {
    let harness = LaneHarness()
    let lane = harness.lane()
    var bad = request(8, frameID: 9)
    bad.reserved.2 = 1
    #expect(lane.admit(bad).reason == LTP_REASON_MALFORMED_FRAME)
    #expect(lane.decision(0).inputs == LTP_INPUT_MALFORMED)
    #expect(lane.decision(0).action_class == LTP_CLASS_NONE)
    #expect(lane.decision(0).frame_id == 9)
    #expect(lane.admit(nil, available: 0).cValue.reason == LTP_REASON_MALFORMED_FRAME)
    #expect(lane.admit(request(100)).reason == LTP_REASON_UNKNOWN_ACTION_CLASS)
    #expect(lane.admit(request(250)).reason == LTP_REASON_UNKNOWN_ACTION_CLASS)
    #expect(lane.issued == 4)
  }

  @Test func countersSumToWhatWasDecided() {
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 65536)
    for index in 0..<300 { _ = lane.admit(request(UInt8(index % 64))) }
    let totals = UnsafeMutablePointer<UInt64>.allocate(capacity: Lane.counterCount)
    defer { totals.deallocate() }
    totals.initialize(repeating: 0, count: Lane.counterCount)
    lane.addCounters(to: totals)
    #expect((0..<Lane.counterCount).reduce(0) { $0 + totals[$1] } == 300)
    for index in 0..<Lane.counterCount where totals[index] > 0 {
      #expect(Lane.counterKey(index).state == LTP_STATE_HEALTHY)
    }
  }

  @Test func aClosedOrientationDeniesEverything() {
    let harness = LaneHarness()
    let lane = harness.lane()
    _ = lane.admit(request(8))
    harness.orientation.close()
    let verdict = lane.admit(request(0))
    #expect(verdict.verdict == LTP_VERDICT_DENY)
    #expect(verdict.reason == LTP_REASON_TRACE_BACKPRESSURE)
    #expect(lane.issued == 1)
  }
}
