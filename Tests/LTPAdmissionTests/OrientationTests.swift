// SPDX-License-Identifier: Apache-2.0
// Publishing: no transition lost, epochs that only grow, and failing closed when the trace falls behind.

import CLTP
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPOrientation
@testable import LTPRules

@Suite(.guarded) struct OrientationTests {
  @Test func whatTheRegulatorWritesIsWhatLanesRead() {
    let harness = LaneHarness()
    withExtendedLifetime(harness) {
      harness.orientation.limitsWord.pointee.store(0x1234, ordering: .relaxed)
      #expect(harness.orientation.line.pointee.limits.load(ordering: .relaxed) == 0x1234)
    }
  }

  @Test func concurrentPublishersLoseNoTransition() {
    let harness = LaneHarness()
    harness.drain()
    let before = harness.orientation.current.epoch
    let stop = Flag()
    let drained = Tally()
    runThreads(5) { worker in
      if worker == 4 {
        // The writer's part: epochs come one by one, each with its own evidence.
        var expected = before
        while !stop.isSet || harness.orientation.drainedEpoch != harness.orientation.current.epoch {
          guard let record = harness.orientation.nextTransition() else { continue }
          expected += 1
          let word = OrientationWord(rawValue: record.pointee.word_after)
          if word.epoch != expected || record.pointee.evidence.0.value != Int64(word.threshold) {
            Issue.record("epoch \(word.epoch) instead of \(expected)")
          }
          drained.add()
          harness.orientation.markDrained(record.numbers)
          if drained.count == 4000 { stop.set() }
        }
        return
      }
      for index in 0..<1000 {
        var change = TransitionChange(to: LTP_STATE_DEGRADED, reason: LTP_SIGNAL_CPU_PRESSURE)
        change.threshold = UInt8((worker * 60 + index) % 256)
        var evidence = ltp_evidence()
        evidence.signal = LTP_SIGNAL_CPU_PRESSURE
        evidence.value = Int64(change.threshold!)
        while true {
          do throws(PublishRefusal) {
            _ = try harness.orientation.publish(change, evidence: &evidence, evidenceCount: 1, now: 1)
            break
          } catch { continue }
        }
      }
    }
    #expect(drained.count == 4000)
    #expect(harness.orientation.current.epoch == before + 4000)
  }

  @Test("fault 31: transitions that outrun the trace end in UNKNOWN, then are refused, and none is lost")
  func overrun() {
    let harness = LaneHarness()
    harness.drain()
    var accepted = 0
    var refused: Int32 = LTP_OK
    while refused == LTP_OK {
      do throws(PublishRefusal) {
        _ = try harness.orientation.publish(
          TransitionChange(to: LTP_STATE_HEALTHY, reason: LTP_SIGNAL_OPERATOR), now: 1)
        accepted += 1
      } catch { refused = error.status }
    }
    #expect(refused == LTP_ERROR_BACKPRESSURE)
    #expect(accepted == Orientation.transitionsMax - 1)
    #expect(harness.orientation.current.state == LTP_STATE_UNKNOWN)
    harness.drain()
    #expect(harness.orientation.drainedEpoch == harness.orientation.current.epoch)
    let last = harness.orientation.transition(epoch: harness.orientation.current.epoch)
    #expect(last?.reason == LTP_SIGNAL_ORIENTATION_OVERRUN)
    #expect(harness.publish(LTP_STATE_HEALTHY).state == LTP_STATE_HEALTHY)
  }

  @Test func outagesAdvanceContinuity() {
    let harness = LaneHarness()
    let start = harness.orientation.current.continuityEpoch
    #expect(harness.publish(LTP_STATE_DEGRADED).continuityEpoch == start)
    #expect(harness.publish(LTP_STATE_UNSTABLE).continuityEpoch == start + 1)
    #expect(harness.publish(LTP_STATE_UNSTABLE).continuityEpoch == start + 1)
    #expect(harness.publish(LTP_STATE_FAILED).continuityEpoch == start + 2)
    #expect(harness.publish(LTP_STATE_RECOVERING).continuityEpoch == start + 2)
  }

  @Test("no number runs out: the low bits come round, and tokens of the number before are void by key")
  func numbersComeRound() {
    let end = UInt64(LTP_WORD_CONTINUITY_MASK)
    let nearEnd = OrientationWord(
      state: LTP_STATE_HEALTHY, policySlot: 0, threshold: 0, continuityEpoch: UInt32(end) - 2,
      epoch: .max - 2)
    let harness = LaneHarness(resuming: nearEnd.rawValue)
    let lane = harness.lane()
    var last = harness.orientation.numbers(of: harness.orientation.current)
    for outage in 0..<8 {
      harness.drain()
      harness.publish(outage % 2 == 0 ? LTP_STATE_FAILED : LTP_STATE_UNSTABLE)
      let numbers = harness.orientation.numbers(of: harness.orientation.current)
      #expect(numbers.epoch == EpochNumbers.epoch(after: last.epoch))
      #expect(numbers.continuityEpoch == last.continuityEpoch + 1)
      #expect(harness.orientation.current.epoch != 0)
      last = numbers
    }
    #expect(last.epoch > UInt64(UInt32.max) && last.continuityEpoch > end)
    harness.publish(LTP_STATE_HEALTHY)
    let session: UInt64 = 5
    func cancel(epoch: UInt64) -> ltp_verdict {
      var asked = request(40, sessionID: session, life: harness.life(of: session, epoch: epoch))
      asked.intent_epoch = UInt32(truncatingIfNeeded: last.continuityEpoch)
      return lane.admit(asked)
    }
    #expect(cancel(epoch: last.continuityEpoch).verdict == LTP_VERDICT_EXECUTE)
    // The same low bits, a round before.
    #expect(cancel(epoch: last.continuityEpoch - end - 1).reason == LTP_REASON_CONTINUITY_FORGED)
    #expect(cancel(epoch: last.continuityEpoch - 1).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
  }

  @Test("a policy is swapped while lanes decide: each verdict is one policy's whole answer")
  func policySwap() {
    let harness = LaneHarness()
    // Odd generations let class 8 in, even ones deny it; the generation in the verdict must agree.
    var denying = builtInPolicy()
    setRule(&denying, state: LTP_STATE_HEALTHY, 8) {
      $0.verdict = LTP_VERDICT_DENY
      $0.reason = LTP_REASON_POLICY_FORBIDS
    }
    let policies = [denying, builtInPolicy()]
    nonisolated(unsafe) let lanes = [
      harness.lane(id: 1, blockBytes: 65536), harness.lane(id: 2, blockBytes: 65536),
    ]
    let stop = Flag()
    runThreads(3) { worker in
      if worker == 2 {
        for generation in UInt32(2)..<400 {
          harness.load(policies[Int(generation % 2)], generation: generation)
          harness.drain()
        }
        stop.set()
        return
      }
      while !stop.isSet {
        let verdict = lanes[worker].admit(request(8))
        let lets = verdict.policy_generation % 2 == 1
        if (verdict.verdict == LTP_VERDICT_EXECUTE) != lets {
          Issue.record("generation \(verdict.policy_generation) said \(verdict.verdict)")
          return
        }
        lanes[worker].release()
      }
    }
    #expect(harness.orientation.current.epoch >= 400)
  }

  @Test("whether there is room for a policy is known before it is loaded")
  func roomForPolicies() throws {
    let harness = LaneHarness()
    func refusal(_ body: () throws -> Void) -> Int32 {
      do { try body() } catch { return (error as? PublishRefusal)?.status ?? -1 }
      return LTP_OK
    }
    var policy = builtInPolicy()
    var generation: UInt32 = 2
    harness.drain()
    for round in 0..<20 {
      let foretold = refusal { try harness.orientation.expectRoomForPolicy() }
      let status = refusal {
        try harness.orientation.load(&policy, generation: generation, starting: false, now: 1)
      }
      #expect(foretold == status, "round \(round)")
      if status == LTP_OK { generation += 1 } else { #expect(status == LTP_ERROR_BACKPRESSURE) }
      if round % 7 == 6 { harness.drain() }
    }
    #expect(generation > 6 && generation < 22, "some had room, and some had none")
    harness.orientation.close()
    #expect(refusal { try harness.orientation.expectRoomForPolicy() } == LTP_ERROR_CLOSING)
  }
}
