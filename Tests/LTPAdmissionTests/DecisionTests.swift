// SPDX-License-Identifier: Apache-2.0
// The decision against a second one written as plainly as can be, and the packed layouts against the contract.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission

@Suite(.guarded) struct DecisionTests {
  /// One rule in words.
  struct PlainRule {
    var outcome: Outcome
    var below: Outcome
    var priorityMin: UInt8
    var needsContinuity: Bool
    var exempt: Bool
    var retry: UInt32

    func decide(threshold: UInt8, priority: UInt8, inputs: UInt16, session: UInt64) -> Decision {
      func refuse(_ outcome: Outcome) -> Decision {
        let fraction = (session &* 0x9E37_79B9_7F4A_7C15) >> 32
        let wait = UInt64(retry) + (UInt64(retry) * fraction) >> 32
        return Decision(outcome: outcome, retryAfterMilliseconds: UInt32(wait))
      }
      func deny(_ reason: UInt8) -> Decision {
        refuse(Outcome(verdict: LTP_VERDICT_DENY, reason: reason))
      }
      if inputs & LTP_INPUT_MALFORMED != 0 { return .malformed }
      if outcome.verdict == LTP_VERDICT_DENY { return refuse(outcome) }
      if inputs & LTP_INPUT_DEADLINE_EXCEEDED != 0 { return deny(LTP_REASON_DEADLINE_EXCEEDED) }
      if needsContinuity, inputs & LTP_INPUT_CONTINUITY_MASK != LTP_CONTINUITY_VALID {
        return deny(LTP_REASON_REHANDSHAKE_REQUIRED)
      }
      let least = exempt ? priorityMin : max(priorityMin, threshold)
      if priority < least { return refuse(below) }
      if outcome.verdict == LTP_VERDICT_EXECUTE {
        return Decision(outcome: outcome, retryAfterMilliseconds: 0)
      }
      return refuse(outcome)
    }
  }

  @Test("the branch-free decision equals the plain one, for 200,000 random rules and requests")
  func equalsPlain() {
    var random = TestSeed.random(1)
    let outcomes = [
      Outcome(verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED),
      Outcome(verdict: LTP_VERDICT_DEFER, reason: LTP_REASON_SYSTEM_UNSTABLE),
      Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_SYSTEM_FAILED),
    ]
    for _ in 0..<200_000 {
      let plain = PlainRule(
        outcome: outcomes.randomElement(using: &random)!,
        below: Outcome(
          verdict: Bool.random(using: &random) ? LTP_VERDICT_DENY : LTP_VERDICT_DEFER,
          reason: LTP_REASON_PRIORITY_BELOW_THRESHOLD),
        priorityMin: .random(in: 0...255, using: &random),
        needsContinuity: .random(using: &random), exempt: .random(using: &random),
        retry: .random(in: 0...UInt32(LTP_RETRY_AFTER_MS_MAX), using: &random))
      let packed = CompiledRule(
        outcome: plain.outcome, below: plain.below, priorityMin: plain.priorityMin,
        needsContinuity: plain.needsContinuity, exempt: plain.exempt, retryAfterMilliseconds: plain.retry)
      let threshold = UInt8.random(in: 0...255, using: &random)
      let priority = UInt8.random(in: 0...255, using: &random)
      let inputs =
        UInt16.random(in: 0...3, using: &random) << 3
        | [LTP_CONTINUITY_NOT_ASKED, LTP_CONTINUITY_VALID, LTP_CONTINUITY_STALE, LTP_CONTINUITY_INVALID]
        .randomElement(using: &random)!
      let session = random.next()
      let expected = plain.decide(
        threshold: threshold, priority: priority, inputs: inputs, session: session)
      let got = packed.decide(
        threshold: threshold, priority: priority, inputs: inputs, sessionID: session)
      if got != expected {
        Issue.record("\(plain) threshold \(threshold) priority \(priority) inputs \(inputs): \(got)")
        return
      }
    }
  }

  @Test func retryAfterIsSpreadBetweenOnceAndTwice() {
    let rule = CompiledRule(
      outcome: Outcome(verdict: LTP_VERDICT_DENY, reason: LTP_REASON_SYSTEM_FAILED),
      below: Outcome(rawValue: 0), priorityMin: 0, needsContinuity: false, exempt: false,
      retryAfterMilliseconds: 1000)
    let waits = (1...10_000).map {
      rule.decide(threshold: 0, priority: 0, inputs: 0, sessionID: UInt64($0)).retryAfterMilliseconds
    }
    #expect(waits.allSatisfy { (1000...2000).contains($0) })
    // Spread, not bunched: each tenth of the range gets about its share.
    for tenth in 0..<10 {
      let share = waits.filter { (1000 + tenth * 100..<1100 + tenth * 100).contains(Int($0)) }.count
      #expect((800...1200).contains(share))
    }
  }

  @Test func recordAndVerdictHaveTheContractsLayout() {
    let harness = LaneHarness()
    let lane = harness.lane()
    let key = ContinuityKey(
      coreKey: LaneHarness.coreKey,
      continuityEpoch: harness.orientation.numbers(of: harness.orientation.current).continuityEpoch)
    let asked = request(
      40, frameID: 0x1122_3344_5566_7788, sessionID: 0x99AA, priority: 77, token: key.token(sessionID: 0x99AA)
    )
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
    #expect(record.priority == 77)
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

  @Test("SipHash-2-4 gives the reference vector for the bytes 0 to 7 under the key 0 to 15")
  func sipHashVector() {
    let key = SipKey(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
    #expect(key.hash(0x0706_0504_0302_0100) == 0x93F5_F579_9A93_2462)
    #expect(key.hash([0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908]) == 0x3F2A_CC7F_57C2_9BDB)
  }

  @Test func tokensAreBoundToSessionEpochAndKey() {
    let key = ContinuityKey(coreKey: SipKey(low: 1, high: 2), continuityEpoch: 5)
    let token = key.token(sessionID: 9)
    #expect(key.isValid(token: token, sessionID: 9))
    #expect(!key.isValid(token: token, sessionID: 10))
    #expect(!key.isValid(token: token ^ 1, sessionID: 9))
    #expect(!key.isValid(token: 0, sessionID: 9))
    let next = ContinuityKey(coreKey: SipKey(low: 1, high: 2), continuityEpoch: 6)
    #expect(!next.isValid(token: token, sessionID: 9))
    let other = ContinuityKey(coreKey: SipKey(low: 1, high: 3), continuityEpoch: 5)
    #expect(!other.isValid(token: token, sessionID: 9))
  }
}
