// SPDX-License-Identifier: Apache-2.0
// What a lane does when something changed under it: a new orientation word, a tick of the clock, a full block.
// Off the fast path: a few thousand times a second at most. Nothing here allocates; a follower's lane may wait for another's publication.

import CLTP
import CLTPSystem
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

extension Lane {
  /// Brings the lane up to date, with room for one slot. False: the trace can take no record now, or the core is
  /// closing; the caller denies.
  @inline(never)
  @usableFromInline
  func settle() -> Bool {
    var number: UInt64
    repeat {
      let needsBlock = state.pointee.cursor == state.pointee.end
      guard !needsBlock || waitForBlock() else { return false }
      // The clock before the words: whatever changes after them moves it on, and the next decision looks again.
      let now = state.pointee.line.pointee.monotonic.load(ordering: .acquiring)
      let watched = state.pointee.watched.pointee.load(ordering: .acquiring)
      state.pointee.orientation.follow(now: now)
      let limitsWord = LimitsWord(
        rawValue: state.pointee.line.pointee.limits.load(ordering: .relaxed))
      guard let word = copyRules(limitsWord) else { return false }
      let hasMoved = word.rawValue != state.pointee.word || limitsWord.rawValue != state.pointee.limitsWord
      // A new block's header carries the time and the word that its first record was decided under.
      if needsBlock { openBlock(word: word, limitsWord: limitsWord.rawValue, now: now) }
      number = state.pointee.blockNumber
      guard needsBlock || moveClock(to: now) else { return false }
      if !needsBlock, hasMoved {
        guard append(observed(word, limitsWord: limitsWord.rawValue)) else { return false }
      }
      state.pointee.limitsWord = limitsWord.rawValue
      state.pointee.word = word.rawValue
      state.pointee.epoch = UInt64(word.epoch)
      state.pointee.watchedWord = state.pointee.orientation.isFollowing ? watched : word.rawValue
      guard appendUnrecorded() else { return false }
      // What was said may have filled the block, or gone over to the next one with its own time.
    } while state.pointee.cursor == state.pointee.end || state.pointee.blockNumber != number
    return true
  }

  /// Copies the current state's row under the word's threshold and the limits' retry floor, and what else depends on the
  /// words. Nil when the core is closing.
  private func copyRules(_ limitsWord: LimitsWord) -> OrientationWord? {
    let orientation = state.pointee.orientation
    while true {
      let word = orientation.current
      guard word.state < LTP_STATE_COUNT else { return nil }
      guard word.rawValue != state.pointee.word || limitsWord.rawValue != state.pointee.limitsWord else {
        return word
      }
      let slot = orientation.slots + Int(word.policySlot)
      let first = Int(word.state) * PolicyTable.classCount
      let hasShadow = slot.pointee.hasShadow.load(ordering: .acquiring) != 0
      let generation = slot.pointee.generation.load(ordering: .acquiring)
      if generation != state.pointee.policyGeneration { state.pointee.limits.resetRates() }
      orientation.enterDomains(of: word)
      copyDomains(under: word)
      let hasOutages = state.pointee.hasOutages
      state.pointee.helloRate = slot.pointee.helloRate
      state.pointee.deferrable = slot.pointee.deferrableClasses
      state.pointee.confirmed = slot.pointee.confirmedClasses
      for index in 0..<PolicyTable.classCount {
        let rule = CompiledRule(rawValue: slot.pointee.rules[first + index].load(ordering: .acquiring))
        let gates = Gates(rawValue: slot.pointee.gates[first + index].load(ordering: .acquiring))
        state.pointee.limits.setClass(index, gates: gates, word: limitsWord, hasShadow: hasShadow)
        state.pointee.rules[index] =
          rule.under(
            threshold: word.threshold, retryFloorMilliseconds: limitsWord.retryFloor(under: gates),
            isLimited: hasShadow || hasOutages || !gates.isEmpty
          ).rawValue
      }
      state.pointee.rules[PolicyTable.classCount] =
        CompiledRule.unknownClass.under(threshold: 0, isLimited: hasShadow || hasOutages).rawValue
      if hasOutages { copyOutageRules(slot, word, limitsWord, hasShadow: hasShadow) }
      state.pointee.limits.setClass(
        PolicyTable.classCount, gates: [], word: limitsWord, hasShadow: hasShadow)
      if hasShadow { copyShadow(slot, word) }
      state.pointee.hasShadow = hasShadow
      // Still current: then the slot was not overwritten while we copied it.
      guard orientation.current == word else { continue }
      state.pointee.policyGeneration = generation
      for place in 0..<Outcome.count {
        let decision = Decision(outcome: Outcome(rawValue: UInt8(place)), retryAfterMilliseconds: 0)
        state.pointee.verdicts[place] = Verdict(decision, word: word, policyGeneration: generation).high
      }
      state.pointee.stateCounters =
        state.pointee.counters + Int(word.state) * LaneState.countersPerState
      return word
    }
  }

  /// The row of domains that are in an outage of their own.
  private func copyOutageRules(
    _ slot: UnsafeMutablePointer<PolicySlot>, _ word: OrientationWord, _ limitsWord: LimitsWord,
    hasShadow: Bool
  ) {
    let threshold = max(word.threshold, slot.pointee.threshold(state: LTP_STATE_UNSTABLE))
    state.pointee.outageRules[PolicyTable.classCount] =
      CompiledRule.unknownClass.under(threshold: 0, isLimited: hasShadow).rawValue
    for index in 0..<PolicyTable.classCount {
      let own = Int(word.state) * PolicyTable.classCount + index
      let outage = Int(LTP_STATE_UNSTABLE) * PolicyTable.classCount + index
      let gates = Gates(rawValue: slot.pointee.gates[own].load(ordering: .acquiring))
      let rule = CompiledRule(rawValue: slot.pointee.rules[outage].load(ordering: .acquiring))
      state.pointee.outageRules[index] =
        rule.inOutage(
          under: CompiledRule(rawValue: slot.pointee.rules[own].load(ordering: .acquiring))
        ).under(
          threshold: threshold, retryFloorMilliseconds: limitsWord.retryFloor(under: gates),
          isLimited: hasShadow || !gates.isEmpty
        ).rawValue
    }
  }

  /// The shadow's row. A threshold that the host set counts for both policies.
  private func copyShadow(_ slot: UnsafeMutablePointer<PolicySlot>, _ word: OrientationWord) {
    let first = Int(word.state) * PolicyTable.classCount
    let own = slot.pointee.threshold(state: word.state)
    let threshold = own == word.threshold ? slot.pointee.shadowThreshold(state: word.state) : word.threshold
    for index in 0..<PolicyTable.classCount {
      let rule = CompiledRule(rawValue: slot.pointee.shadowRules[first + index].load(ordering: .acquiring))
      state.pointee.shadowRules[index] = rule.under(threshold: threshold).rawValue
    }
  }

  /// Begins the next ring block, which is free.
  private func openBlock(word: OrientationWord, limitsWord: UInt64, now: UInt64) {
    let number = state.pointee.blockNumber &+ 1
    let block =
      state.pointee.ring + Int(number % UInt64(state.pointee.blockCount)) * state.pointee.blockBytes
    var header = ltp_block_header()
    header.base_monotonic_ns = now
    header.base_unix_ns = state.pointee.line.pointee.unix.load(ordering: .relaxed)
    header.orientation_word = word.rawValue
    header.limits_word = limitsWord
    block.storeBytes(of: header, as: ltp_block_header.self)
    state.pointee.blockNumber = number
    state.pointee.baseMonotonic = now
    state.pointee.clock = now
    state.pointee.limits.endLeases(now: now)
    state.pointee.timeMicroseconds = 0
    state.pointee.cursor = block + Int(LTP_BLOCK_HEADER_BYTES)
    state.pointee.end =
      state.pointee.cursor + Int(state.pointee.slotsPerBlock) * Int(LTP_SLOT_BYTES)
  }

  /// Whether the next ring block is free, after waiting for the writer as long as the options allow.
  private func waitForBlock() -> Bool {
    if nextBlockIsFree { return true }
    guard state.pointee.backpressureWaitNanoseconds > 0 else { return false }
    let deadline = ltp_system_monotonic_ns() &+ state.pointee.backpressureWaitNanoseconds
    var spins = 0
    while !nextBlockIsFree {
      guard state.pointee.orientation.current.state < LTP_STATE_COUNT else { return false }
      guard ltp_system_monotonic_ns() < deadline else { return false }
      spins += 1
      if spins < 32 { ltp_system_pause() } else { ltp_system_sleep_ns(20_000) }
    }
    return true
  }

  private var nextBlockIsFree: Bool {
    let released = state.pointee.releasedBlocks.load(ordering: .acquiring)
    return state.pointee.blockNumber &+ 1 &- released < UInt64(state.pointee.blockCount)
  }

  /// Takes over the clock's time; moves the block's base on before an offset would overflow.
  private func moveClock(to now: UInt64) -> Bool {
    guard now != state.pointee.clock else { return true }
    var offset = (now &- state.pointee.baseMonotonic) / 1000
    if offset > UInt64(UInt32.max / 2) {
      var record = ltp_time_record()
      record.kind = LTP_RECORD_TIME
      record.base_monotonic_ns = now
      record.base_unix_ns = state.pointee.line.pointee.unix.load(ordering: .relaxed)
      guard append(record) else { return false }
      state.pointee.baseMonotonic = now
      offset = 0
    }
    state.pointee.clock = now
    state.pointee.limits.endLeases(now: now)
    state.pointee.timeMicroseconds = UInt32(offset)
    return true
  }

  func observed(_ word: OrientationWord, limitsWord: UInt64) -> ltp_observed_record {
    var record = ltp_observed_record()
    record.kind = LTP_RECORD_OBSERVED
    record.time_us = state.pointee.timeMicroseconds
    record.policy_generation = state.pointee.policyGeneration
    record.orientation_word = word.rawValue
    record.limits_word = limitsWord
    return record
  }

  /// Records what was denied without a record, a slot a reason. False: there is no room now.
  private func appendUnrecorded() -> Bool {
    while let reason = state.pointee.unrecorded.first {
      var record = ltp_unrecorded_record()
      record.kind = LTP_RECORD_UNRECORDED
      record.reason = reason
      record.time_us = state.pointee.timeMicroseconds
      record.denied_count = state.pointee.unrecorded[reason]
      guard append(record) else { return false }
      state.pointee.unrecorded.clear(reason)
    }
    return true
  }

  /// Writes one slot of a rare kind and publishes it.
  func append<Record>(_ record: Record) -> Bool {
    if state.pointee.cursor == state.pointee.end {
      guard waitForBlock() else { return false }
      let now = state.pointee.line.pointee.monotonic.load(ordering: .acquiring)
      openBlock(
        word: OrientationWord(rawValue: state.pointee.word), limitsWord: state.pointee.limitsWord, now: now)
    }
    state.pointee.cursor.storeBytes(of: record, as: Record.self)
    state.pointee.cursor += Int(LTP_SLOT_BYTES)
    let count = state.pointee.published.load(ordering: .relaxed)
    state.pointee.published.store(count &+ 1, ordering: .releasing)
    return true
  }
}
