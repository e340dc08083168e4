// SPDX-License-Identifier: Apache-2.0
// The decision against a second one written as plainly as can be, and the packed layouts against the contract.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPRules

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
        return switch inputs & LTP_INPUT_CONTINUITY_MASK {
        case LTP_CONTINUITY_STALE: deny(LTP_REASON_STALE_INTENT)
        case LTP_CONTINUITY_FORGED: deny(LTP_REASON_CONTINUITY_FORGED)
        default: deny(LTP_REASON_REHANDSHAKE_REQUIRED)
        }
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
        | [
          LTP_CONTINUITY_NOT_ASKED, LTP_CONTINUITY_VALID, LTP_CONTINUITY_STALE, LTP_CONTINUITY_NONE,
          LTP_CONTINUITY_FORGED,
        ].randomElement(using: &random)!
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
}
