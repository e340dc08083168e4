// SPDX-License-Identifier: Apache-2.0
// The orientation word, the limits word and outcomes: every part comes back, and no part reaches into another.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPRecords

@Suite("Words", .guarded)
struct WordTests {
  @Test("parts of the orientation word are where LTP_WORD_*_SHIFT has them")
  func orientation() {
    #expect(OrientationWord(rawValue: 0).state == LTP_STATE_UNKNOWN)
    let full = OrientationWord(
      state: 0xF, policySlot: 3, threshold: 0xFF, continuityEpoch: UInt32(LTP_WORD_CONTINUITY_MASK),
      epoch: .max, scope: 3)
    #expect(full.rawValue == .max)
    #expect(full.state == OrientationWord.closed)
    func word(
      state: UInt8 = 0, policySlot: UInt8 = 0, threshold: UInt8 = 0, continuityEpoch: UInt32 = 0,
      epoch: UInt32 = 0, scope: UInt8 = 0
    ) -> OrientationWord {
      OrientationWord(
        state: state, policySlot: policySlot, threshold: threshold, continuityEpoch: continuityEpoch,
        epoch: epoch, scope: scope)
    }
    #expect(word(state: 1).rawValue == 1 << UInt64(LTP_WORD_STATE_SHIFT))
    #expect(word(policySlot: 1).rawValue == 1 << UInt64(LTP_WORD_POLICY_SLOT_SHIFT))
    #expect(word(threshold: 1).rawValue == 1 << UInt64(LTP_WORD_THRESHOLD_SHIFT))
    #expect(word(continuityEpoch: 1).rawValue == 1 << UInt64(LTP_WORD_CONTINUITY_SHIFT))
    #expect(word(scope: 1).rawValue == 1 << UInt64(LTP_WORD_SCOPE_SHIFT))
    #expect(word(epoch: 1).rawValue == 1 << UInt64(LTP_WORD_EPOCH_SHIFT))
    let mixed = word(
      state: 5, policySlot: 2, threshold: 77, continuityEpoch: 12_345, epoch: 987_654_321, scope: 2)
    #expect(mixed.state == 5 && mixed.policySlot == 2 && mixed.threshold == 77)
    #expect(mixed.continuityEpoch == 12_345 && mixed.scope == 2 && mixed.epoch == 987_654_321)
  }

  @Test("the limits word holds what was put in")
  func holdsItsParts() {
    let word = LimitsWord(
      shedLevel: 0x64C8, retryFloorMilliseconds: 3_600_000, concurrency: 65_535, isContended: true)
    #expect(word.shedLevel == 0x64C8 && word.retryFloorMilliseconds == 3_600_000)
    #expect(word.concurrency == 65_535 && word.isContended && word.isWellFormed)
    #expect(!LimitsWord(rawValue: 1 << 55).isWellFormed)
  }

  @Test("a word's low bits and numbers nearby are the numbers in full, either way and over every wrap")
  func numbers() {
    var numbers = EpochNumbers(epoch: 0xFFFF_FFF0, continuityEpoch: 0x1_FFF0)
    var words: [(OrientationWord, EpochNumbers)] = []
    for step in 0..<64 {
      numbers.epoch = EpochNumbers.epoch(after: numbers.epoch)
      numbers.continuityEpoch += UInt64(step & 1)
      #expect(EpochNumbers.low(epoch: numbers.epoch) != 0, "0 says that nothing is published")
      let word = OrientationWord(
        state: 1, policySlot: 0, threshold: 0,
        continuityEpoch: UInt32(truncatingIfNeeded: numbers.continuityEpoch),
        epoch: EpochNumbers.low(epoch: numbers.epoch))
      #expect(numbers.fit(word))
      words.append((word, numbers))
    }
    #expect(numbers.epoch > 1 << 32 && numbers.continuityEpoch > 0x2_0000)
    for (word, full) in words { for (_, other) in words { #expect(other.extended(to: word) == full) } }
  }

  @Test("an outcome is its verdict and its reason, whatever they are, below Outcome.count")
  func outcomes() {
    for verdict in 0..<UInt8(LTP_VERDICT_COUNT) {
      for reason in 0..<UInt8(LTP_REASON_COUNT) {
        let outcome = Outcome(verdict: verdict, reason: reason)
        #expect(outcome.verdict == verdict && outcome.reason == reason)
        #expect(Int(outcome.rawValue) < Outcome.count)
        #expect(outcome.isExecute == (verdict == LTP_VERDICT_EXECUTE))
        #expect(outcome.executeCount == (outcome.isExecute ? 1 : 0))
      }
    }
  }

  @Test("every value of the protocol has a name of its own")
  func names() {
    func check(_ count: UInt8, _ name: (UInt8) -> StaticString) {
      let names = Set((0..<count).map { "\(name($0))" })
      #expect(names.count == Int(count) && !names.contains("INVALID"))
      #expect("\(name(count))" == "INVALID")
    }
    check(UInt8(LTP_STATE_COUNT), stateName)
    check(UInt8(LTP_VERDICT_COUNT), verdictName)
    check(UInt8(LTP_REASON_COUNT), reasonName)
    check(UInt8(LTP_OBSERVATION_COUNT + 1), signalName)
  }

  @Test("observations and the core's own signals have names of their own, and nothing else has one")
  func signals() {
    let named = (0...UInt8.max).filter { "\(signalName($0))" != "INVALID" && $0 != LTP_SIGNAL_NONE }
    #expect(named == (0...UInt8.max).filter(isSignal))
    #expect(named.count == Int(LTP_OBSERVATION_COUNT + LTP_SIGNAL_OWN_COUNT))
    #expect(Set(named.map { "\(signalName($0))" }).count == named.count)
    #expect(named.filter(isObservation) == Array(1...UInt8(LTP_OBSERVATION_COUNT)))
  }
}
