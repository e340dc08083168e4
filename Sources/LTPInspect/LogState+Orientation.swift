// SPDX-License-Identifier: Apache-2.0
// Transitions and policies: each transition takes up where the one before it ended, each policy is the bytes that
// its digest says and passes the check that every policy passes before it is loaded.

import CLTP
import LTPRecords
import LTPRules

extension LogState {
  func applyTransition(_ record: UnsafePointer<ltp_transition_record>, _ place: Place) {
    let before = OrientationWord(rawValue: record.pointee.word_before)
    let after = OrientationWord(rawValue: record.pointee.word_after)
    let generation = record.pointee.policy_generation
    checkFields(record, before, after, place)
    if record.isRepeated {
      checkRepeated(
        PublishedOrientation(word: after, numbers: record.numbers, policyGeneration: generation), place)
      return
    }
    totals.transitions += 1
    if let current = history.current, current.word != before {
      findings.add(
        .transition, at: place,
        "the transition starts from \(describe(before)), and the one before it ended at "
          + describe(current.word))
    }
    checkStep(before, after, record, place)
    checkPolicy(after, generation, place)
    history.record(
      PublishedOrientation(word: after, numbers: record.numbers, policyGeneration: generation))
    domains.apply(record)
  }

  /// The full epoch of a word that a lane names.
  func epoch(of word: OrientationWord) -> UInt64? {
    history.current?.numbers.extended(to: word).epoch
  }

  /// The continuity epoch of a domain under a word that a lane names, in full; nil: it is not known.
  func domainNumber(_ domain: UInt8, under word: OrientationWord) -> UInt64? {
    epoch(of: word).flatMap { domains.number(of: domain, at: $0) }
  }

  private func checkRepeated(_ said: PublishedOrientation, _ place: Place) {
    guard let current = history.current else { return history.beginAt(said) }
    if current != said {
      findings.add(
        .transition, at: place,
        "the repeated transition says \(describe(said.word)) and policy \(said.policyGeneration), and the last one brought "
          + "\(describe(current.word)) and policy \(current.policyGeneration)")
    }
  }

  private func checkFields(
    _ record: UnsafePointer<ltp_transition_record>, _ before: OrientationWord, _ after: OrientationWord,
    _ place: Place
  ) {
    let reason = record.pointee.reason
    let evidenceCount = Int(record.pointee.evidence_count)
    if before.state >= LTP_STATE_COUNT || after.state >= LTP_STATE_COUNT {
      findings.add(.transition, at: place, "the transition names a state that the protocol does not have")
    }
    if !isSignal(reason) {
      findings.add(.transition, at: place, "the transition's reason \(reason) is not a signal")
    }
    let isOfDomain = after.scope == LTP_SCOPE_DOMAIN
    if !Self.isDomainState(record.pointee.domain_state)
      || !isOfDomain && (record.pointee.domain != 0 || record.pointee.domain_state != 0)
    {
      findings.add(.transition, at: place, "the transition tells of a domain what cannot be")
    }
    if record.pointee.flags & ~LTP_TRANSITION_REPEATED != 0 {
      findings.add(.transition, at: place, "the transition has a flag that is not known")
    }
    guard evidenceCount <= Int(LTP_EVIDENCE_MAX) else {
      findings.add(.transition, at: place, "\(evidenceCount) pieces of evidence, and there is room for 3")
      return
    }
    for index in 0..<Int(LTP_EVIDENCE_MAX) {
      let entry = record.evidence(index)
      let isFit =
        index < evidenceCount
        ? entry.pointee.status == LTP_OK
        : firstNonZero(entry, from: 0, to: MemoryLayout<ltp_evidence>.size) == nil
      if !isFit {
        findings.add(.transition, at: place, "evidence \(index + 1) is malformed")
      }
    }
    if text(inField: record.text) == nil {
      findings.add(.transition, at: place, "the transition's text is not ended by zeros")
    }
  }

  /// What a step of the orientation may do.
  private func checkStep(
    _ before: OrientationWord, _ after: OrientationWord, _ record: UnsafePointer<ltp_transition_record>,
    _ place: Place
  ) {
    let (numbers, reason) = (record.numbers, record.pointee.reason)
    if !numbers.fit(after) {
      findings.add(.transition, at: place, "the transition's epochs are not those of the word that it brings")
    }
    let old = history.current.map(\.numbers) ?? numbers.extended(to: before)
    if numbers.epoch != EpochNumbers.epoch(after: old.epoch) {
      findings.add(
        .transition, at: place, "the epoch goes from \(old.epoch) to \(numbers.epoch), and not up by one")
    }
    let advanced = numbers.continuityEpoch &- old.continuityEpoch
    let isRunsFirst = reason == LTP_SIGNAL_CORE_STARTED
    if isRunsFirst ? advanced != UInt64(LTP_CONTINUITY_RUN_STEP) : advanced > 1 {
      findings.add(
        .transition, at: place,
        "the continuity epoch goes from \(old.continuityEpoch) to \(numbers.continuityEpoch)")
    }
    let isOutage = after.state == LTP_STATE_UNSTABLE || after.state == LTP_STATE_FAILED
    if isOutage, before.state != after.state, advanced == 0 {
      findings.add(
        .transition, at: place, "going to \(stateName(after.state)) did not advance the continuity epoch")
    }
    checkScope(before, after, record, advanced, place)
    if reason == LTP_SIGNAL_POLICY_CHANGED, before.state != after.state {
      findings.add(.transition, at: place, "a change of policy changed the state")
    }
  }

  /// Whom the transition concerned.
  private func checkScope(
    _ before: OrientationWord, _ after: OrientationWord, _ record: UnsafePointer<ltp_transition_record>,
    _ advanced: UInt64, _ place: Place
  ) {
    let state = record.pointee.domain_state
    let isFit =
      switch after.scope {
      case LTP_SCOPE_NONE: advanced == 0 && record.pointee.reason != LTP_SIGNAL_CORE_STARTED
      case LTP_SCOPE_ALL: advanced > 0
      // A domain that is well is lost, and moves, whether it is its own outage or the service's; or its own outage ends.
      case LTP_SCOPE_DOMAIN:
        before.state == after.state && before.threshold == after.threshold
          && before.policySlot == after.policySlot && (advanced == 1 || advanced == 0 && state == 0)
          && (history.current == nil
            || (domains.current.state(of: record.pointee.domain) != 0) == (advanced == 0))
      default: false
      }
    if !isFit {
      findings.add(
        .transition, at: place,
        "the transition says that it concerns scope \(after.scope), and does otherwise")
    }
  }

  private func checkPolicy(_ after: OrientationWord, _ generation: UInt32, _ place: Place) {
    guard let policy = shelf.policy(generation: generation) else {
      findings.add(
        .policy, at: place,
        "the transition names policy \(generation), which the trace does not hold before it")
      return
    }
    if policy.slot != UInt32(after.policySlot) {
      findings.add(
        .policy, at: place,
        "policy \(generation) is in slot \(policy.slot), and the transition's word names slot "
          + "\(after.policySlot)")
    }
  }

  func applyPolicy(_ record: UnsafePointer<ltp_policy_record>, _ place: Place) {
    let generation = record.pointee.policy_generation
    let isShadow = record.isShadow
    let slot = record.slot
    let digest = record.digest
    let bytes = UnsafeRawPointer(record.policy)
    if slot > 3 { findings.add(.policy, at: place, "policy slot \(slot) does not exist") }
    let said = shelf.policy(generation: generation)
    if let known = isShadow ? said?.shadow : said, known.digest == digest, known.slot == slot,
      Digest(of: bytes, count: MemoryLayout<ltp_policy>.size) == digest
    {
      return  // said again
    }
    if Digest(of: bytes, count: MemoryLayout<ltp_policy>.size) != digest {
      findings.add(.policy, at: place, "the digest is not the SHA-256 of policy \(generation)")
    }
    if let known = isShadow ? said?.shadow : said, known.run == totals.runs {
      findings.add(.policy, at: place, "policy \(generation) is said again, and it is another one")
    }
    let policy = RecordedPolicy(bytes, generation: generation, slot: slot, digest: digest, run: totals.runs)
    if let refusal = policy.refusal {
      findings.add(.policy, at: place, "policy \(generation) cannot have been loaded: \(refusal)")
    }
    totals.policies += 1
    guard isShadow else { return shelf.add(policy) }
    if said?.slot != slot {
      findings.add(
        .policy, at: place, "a shadow of policy \(generation), which the trace does not hold before it")
    }
    said?.shadow = policy
  }

  /// Puts the limits' word in force for the records to come.
  func enter(_ word: LimitsWord, slot: Int, _ context: inout RecordContext) {
    if !word.isWellFormed {
      findings.add(
        .record, at: context.place(slot: slot),
        "the limits word \(word.rawValue) has bits that mean nothing, or a retry floor of more than an hour")
    }
    context.limitsWord = word
  }

  /// Puts a word in force for the records to come, and finds its policy. `generation` is what the record says.
  func enter(
    _ word: OrientationWord, generation: UInt32?, slot: Int, _ context: inout RecordContext
  ) {
    // Zero: the lane has said none yet. Low bits come round, so which is older is a matter of their distance.
    if let lane = lanes[context.lane], lane.word != 0,
      Int32(bitPattern: word.epoch &- OrientationWord(rawValue: lane.word).epoch) < 0
    {
      findings.add(
        .transition, at: context.place(slot: slot),
        "the lane goes back to \(describe(word)) from \(describe(OrientationWord(rawValue: lane.word)))")
    }
    lanes.setWord(context.lane, word.rawValue)
    context.policy = nil
    switch history.look(up: word) {
    case .known(let known):
      context.policy = shelf.policy(generation: known)
      if let generation, generation != known {
        findings.add(
          .policy, at: context.place(slot: slot),
          "the lane saw policy \(generation) with epoch \(word.epoch), whose transition brought policy \(known)"
        )
      }
    case .forgotten:
      context.policy = generation.map { shelf.policy(generation: $0) } ?? shelf.policy(slot: word.policySlot)
    case .ahead:
      findings.add(
        .transition, at: context.place(slot: slot),
        "the lane decided under \(describe(word)), and no transition before it brought that")
    case .differs(let other):
      findings.add(
        .transition, at: context.place(slot: slot),
        "the lane decided under \(describe(word)), and the transition of that epoch brought "
          + describe(OrientationWord(rawValue: other)))
    }
    guard word.state < LTP_STATE_COUNT else {
      findings.add(
        .transition, at: context.place(slot: slot),
        "the lane decided under state \(word.state), which the protocol does not have")
      context.word = OrientationWord(rawValue: 0)
      context.policy = nil
      return
    }
    context.word = word
    context.mayHaveOutages = false
    context.outages = nil
    guard CompiledRule.isTouchedByOutages(word.state), let epoch = epoch(of: word) else { return }
    context.mayHaveOutages = domains.isForgotten(epoch)
    context.outages = domains.outages(at: epoch)
  }
}
