// SPDX-License-Identifier: Apache-2.0
// The orientation of one core: the word, the policy slots behind it, and the transitions that the trace has not
// taken yet.
//
// Publishing is one compare-and-exchange on the word. Who wins an epoch owns the transition slot of that number,
// fills in its evidence, and marks it filled; the trace's writer takes transitions in the order of their epochs.
// So no lock, no lost transition, and a word in the trace always has its reason before it.

public import CLTP
public import CLTPSystem
public import LTPRecords
public import Synchronization

/// Why a transition was not published. `status` is an LTP_ERROR_*.
public struct PublishRefusal: Error, Equatable {
  public let status: Int32

  package init(status: Int32) { self.status = status }
}

/// What changes with a transition.
public struct TransitionChange {
  public var to: UInt8
  public var reason: UInt8
  public var advancesContinuity = false
  /// nil: the threshold that the policy has for the state.
  public var threshold: UInt8?
  /// nil: the policy stays.
  public var policySlot: UInt8?
  /// nil: it concerns the core as a whole. Else the state and the threshold stay, and continuity moves for this domain only. Its publisher
  /// holds the domains' mutex.
  package var domain: DomainChange?
  /// A bit a state: from others nothing is published, and the word is returned as it is.
  package var fromStates = UInt16.max

  public init(to: UInt8, reason: UInt8) {
    self.to = to
    self.reason = reason
  }
}

/// A handle: copies refer to the same orientation, whose memory the core owns.
public struct Orientation {
  /// How many transitions may wait for the trace. One more is let through to UNKNOWN, then publishing is refused.
  public static let transitionsMax = 4096

  public let line: UnsafeMutablePointer<SharedLine>
  package let slots: UnsafeMutablePointer<PolicySlot>
  /// Transition e lies at e modulo transitionsMax, and is whole once its `filledEpochs` entry says e.
  let transitions: UnsafeMutablePointer<ltp_transition_record>
  let filledEpochs: UnsafeMutablePointer<Atomic<UInt32>>
  /// The numbers of the last transition that the trace has taken, in full: epoch, then continuity epoch. Those of any word of
  /// today follow from them, because words are never far ahead.
  let drained: UnsafeMutablePointer<Atomic<UInt64>>
  /// The first continuity epoch of this run, in full: tokens of those before it are of earlier runs.
  public let firstContinuityEpoch: UInt64
  /// Hellos answered, by all lanes that there have been.
  public let hellos: UnsafeMutablePointer<Atomic<UInt64>>
  public let controlMutex: UnsafeMutablePointer<ltp_system_mutex>
  /// One thread is making a transition of what the followed page says; the others wait for it.
  let followMutex: UnsafeMutablePointer<ltp_system_mutex>
  let follower: UnsafeMutablePointer<PageFollower>
  package let domains: Domains
  /// The word that lanes load with each decision.
  package let watched: UnsafeMutablePointer<Atomic<UInt64>>

  /// Zeroed memory that an orientation takes, in bytes.
  public static var memoryBytes: Int {
    4096 + PolicySlot.count * (slotBytes + PolicySlot.tableBytes)
      + transitionsMax * (MemoryLayout<ltp_transition_record>.stride + 4) + Domains.memoryBytes
  }

  private static var slotBytes: Int { (MemoryLayout<PolicySlot>.size + 63) / 64 * 64 }

  /// Lays an orientation out in `memoryBytes` zeroed bytes. `word` is where the log left off (0 for a new one):
  /// the next transition gets its epoch plus one. `page`: what another process publishes, to be followed.
  public init(
    memory: UnsafeMutableRawPointer, resuming word: OrientationWord, numbers: EpochNumbers? = nil,
    following page: OrientationPage? = nil
  ) {
    line = memory.bindMemory(to: SharedLine.self, capacity: 1)
    line.initialize(to: SharedLine())
    let numbers =
      numbers ?? EpochNumbers(epoch: UInt64(word.epoch), continuityEpoch: UInt64(word.continuityEpoch))
    // The core's start begins one.
    firstContinuityEpoch = numbers.continuityEpoch + UInt64(LTP_CONTINUITY_RUN_STEP)
    drained = (memory + 128).bindMemory(to: Atomic<UInt64>.self, capacity: 2)
    drained.initialize(to: Atomic(numbers.epoch))
    (drained + 1).initialize(to: Atomic(numbers.continuityEpoch))
    hellos = (memory + 192).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
    hellos.initialize(to: Atomic(0))
    controlMutex = (memory + 256).bindMemory(to: ltp_system_mutex.self, capacity: 1)
    ltp_system_mutex_init(controlMutex)
    followMutex = (memory + 320).bindMemory(to: ltp_system_mutex.self, capacity: 1)
    ltp_system_mutex_init(followMutex)
    follower = (memory + 512).bindMemory(to: PageFollower.self, capacity: 1)
    follower.initialize(to: PageFollower(page: page))
    watched = page?.word ?? (memory + SharedLine.wordOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
    var next = memory + 4096
    transitions = next.bindMemory(to: ltp_transition_record.self, capacity: Self.transitionsMax)
    next += Self.transitionsMax * MemoryLayout<ltp_transition_record>.stride
    filledEpochs = next.bindMemory(to: Atomic<UInt32>.self, capacity: Self.transitionsMax)
    next += Self.transitionsMax * 4
    domains = Domains(memory: next, number: numbers.continuityEpoch)
    next += Domains.memoryBytes
    let tables = next
    next += PolicySlot.count * PolicySlot.tableBytes
    slots = next.bindMemory(to: PolicySlot.self, capacity: PolicySlot.count)
    for index in 0..<PolicySlot.count {
      (slots + index).initialize(to: PolicySlot(tables: tables + index * PolicySlot.tableBytes))
    }
    line.pointee.word.store(word.rawValue, ordering: .releasing)
  }

  /// The line's `limits`, for whoever moves them.
  public var limitsWord: UnsafeMutablePointer<Atomic<UInt64>> {
    (UnsafeMutableRawPointer(line) + SharedLine.limitsOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  public var current: OrientationWord {
    OrientationWord(rawValue: line.pointee.word.load(ordering: .acquiring))
  }

  /// The numbers of a word of today in full.
  package func numbers(of word: OrientationWord) -> EpochNumbers {
    EpochNumbers(
      epoch: drained[0].load(ordering: .acquiring), continuityEpoch: drained[1].load(ordering: .acquiring)
    ).extended(to: word)
  }

  /// Enters what a word of today says of domains, so that they are as of the word.
  package func enterDomains(of word: OrientationWord) {
    guard word.scope != LTP_SCOPE_NONE else { return }
    let numbers = numbers(of: word)
    // Read so long ago that others have entered it, and its low bits may mean another number by now.
    guard numbers.epoch &+ UInt64(Self.transitionsMax) >= drainedEpoch else { return }
    domains.enter(word, numbers)
  }

  /// How many transitions up to this word the trace has not taken.
  private func waiting(_ word: OrientationWord) -> UInt32 {
    let ahead = word.epoch &- EpochNumbers.low(epoch: drainedEpoch)
    // The trace may be past a word that was read a while ago; whoever publishes after it will see that it has changed.
    return Int32(bitPattern: ahead) < 0 ? 0 : ahead
  }

  // MARK: Publishing

  /// Publishes a transition; returns the new word. Lock-free. Any thread.
  public func publish(
    _ change: TransitionChange, evidence: UnsafePointer<ltp_evidence>? = nil, evidenceCount: Int = 0,
    text: UnsafePointer<CChar>? = nil, now: UInt64
  ) throws(PublishRefusal) -> OrientationWord {
    while true {
      let before = current
      guard before.state != OrientationWord.closed else { throw PublishRefusal(status: LTP_ERROR_CLOSING) }
      let waiting = waiting(before)
      guard waiting < UInt32(Self.transitionsMax) else {
        throw PublishRefusal(status: LTP_ERROR_BACKPRESSURE)
      }
      var change = change
      // The last free slot goes to UNKNOWN: whatever comes after cannot be recorded, so nothing may be assumed.
      let overrun = waiting == UInt32(Self.transitionsMax) - 1
      // A domain can be reported again; the service is not to be lost for it.
      guard !overrun || change.domain == nil else { throw PublishRefusal(status: LTP_ERROR_BACKPRESSURE) }
      guard change.fromStates & 1 << UInt16(before.state) != 0 else { return before }
      if overrun { change.reason = LTP_SIGNAL_ORIENTATION_OVERRUN }
      let after = word(after: before, change, overrun: overrun)
      enterDomains(of: before)
      if let domain = change.domain {
        domains.announce(
          domain, epoch: after.epoch, advances: after.continuityEpoch != before.continuityEpoch)
      }
      let generation = slots[Int(after.policySlot)].generation.load(ordering: .acquiring)
      let (won, _) = line.pointee.word.compareExchange(
        expected: before.rawValue, desired: after.rawValue, ordering: .acquiringAndReleasing)
      guard won else { continue }
      enterDomains(of: after)
      nudgeLanes()
      fill(
        before: before, after: after, reason: change.reason, domain: change.domain, generation: generation,
        evidence: evidence, evidenceCount: evidenceCount, text: text, now: now)
      guard !overrun else { throw PublishRefusal(status: LTP_ERROR_BACKPRESSURE) }
      return after
    }
  }

  private func word(
    after before: OrientationWord, _ change: TransitionChange, overrun: Bool
  ) -> OrientationWord {
    if change.domain != nil {
      return before.next(
        to: before.state, advancesContinuity: change.advancesContinuity, policySlot: before.policySlot,
        threshold: before.threshold, isDomains: true)
    }
    let to = overrun ? LTP_STATE_UNKNOWN : change.to
    let slot = change.policySlot ?? before.policySlot
    return before.next(
      to: to, advancesContinuity: change.advancesContinuity, policySlot: slot,
      threshold: change.threshold ?? slots[Int(slot)].threshold(state: to),
      isRunsFirst: change.reason == LTP_SIGNAL_CORE_STARTED)
  }

  private func fill(
    before: OrientationWord, after: OrientationWord, reason: UInt8, domain: DomainChange? = nil,
    generation: UInt32, evidence: UnsafePointer<ltp_evidence>?, evidenceCount: Int,
    text: UnsafePointer<CChar>?, now: UInt64
  ) {
    let index = Int(after.epoch) % Self.transitionsMax
    var record = ltp_transition_record()
    record.header = ltp_control_header(.transition)
    record.word_before = before.rawValue
    record.word_after = after.rawValue
    // The writer takes transitions in order, so it is not past this one.
    let numbers = numbers(of: after)
    record.epoch = numbers.epoch
    record.continuity_epoch = numbers.continuityEpoch
    record.time_monotonic_ns = now
    record.policy_generation = generation
    record.reason = reason
    record.domain = domain?.domain ?? 0
    record.domain_state = domain?.state ?? 0
    record.evidence_count = UInt8(evidenceCount)
    copyFacts(evidence: evidence, count: evidenceCount, to: &record.evidence)
    copyText(text, to: &record.text)
    // So that nobody takes the old number for that of a record which is half written.
    _ = filledEpochs[index].exchange(0, ordering: .acquiringAndReleasing)
    transitions[index] = record
    filledEpochs[index].store(after.epoch, ordering: .releasing)
  }

  /// From now on every lane denies without a record, and nothing is published.
  public func close() {
    while true {
      let before = current
      guard before.state != OrientationWord.closed else { return }
      let after = OrientationWord(rawValue: before.rawValue | UInt64(OrientationWord.closed))
      let (won, _) = line.pointee.word.compareExchange(
        expected: before.rawValue, desired: after.rawValue, ordering: .acquiringAndReleasing)
      if won { return nudgeLanes() }
    }
  }

  // MARK: Policies

  /// Throws what would refuse a policy just now; only transitions that others publish meanwhile can refuse it then. Caller
  /// holds the control mutex.
  public func expectRoomForPolicy() throws(PublishRefusal) {
    let word = current
    guard word.state != OrientationWord.closed else { throw PublishRefusal(status: LTP_ERROR_CLOSING) }
    guard freeSlot(current: word, drainedEpoch: drainedEpoch) != nil,
      waiting(word) < UInt32(Self.transitionsMax) - 1
    else { throw PublishRefusal(status: LTP_ERROR_BACKPRESSURE) }
  }

  /// Puts a policy that passed `PolicyCheck` into a free slot, with the one that decides beside it, and publishes it with
  /// the state unchanged. Caller holds the control mutex. `starting`: the policy that the core starts with, under UNKNOWN.
  public func load(
    _ policy: UnsafePointer<ltp_policy>, shadow: UnsafePointer<ltp_policy>? = nil, generation: UInt32,
    starting: Bool, now: UInt64
  ) throws(PublishRefusal) {
    let word = current
    guard let free = freeSlot(current: word, drainedEpoch: drainedEpoch) else {
      throw PublishRefusal(status: LTP_ERROR_BACKPRESSURE)
    }
    slots[Int(free)].load(policy, shadow: shadow, generation: generation)
    var isPublished = false
    // The number goes to the next policy that is loaded; no slot may claim it meanwhile.
    defer { if !isPublished { slots[Int(free)].generation.store(0, ordering: .releasing) } }
    while true {
      let before = current
      var change = TransitionChange(to: before.state, reason: LTP_SIGNAL_POLICY_CHANGED)
      if starting {
        change = TransitionChange(to: LTP_STATE_UNKNOWN, reason: LTP_SIGNAL_CORE_STARTED)
        // Sessions of an earlier run are not this run's.
        change.advancesContinuity = true
      }
      change.policySlot = free
      change.threshold = followedThreshold
      // A state published meanwhile must not be undone: this one is published only against the word it read.
      let waiting = waiting(before)
      guard before.state != OrientationWord.closed else { throw PublishRefusal(status: LTP_ERROR_CLOSING) }
      guard waiting < UInt32(Self.transitionsMax) - 1 else {
        throw PublishRefusal(status: LTP_ERROR_BACKPRESSURE)
      }
      let after = self.word(after: before, change, overrun: false)
      // Set first: the writer may take the transition at once, and a later load must see this slot as in use.
      slots[Int(free)].sinceEpoch.store(numbers(of: after).epoch, ordering: .releasing)
      enterDomains(of: before)
      let (won, _) = line.pointee.word.compareExchange(
        expected: before.rawValue, desired: after.rawValue, ordering: .acquiringAndReleasing)
      guard won else { continue }
      isPublished = true
      enterDomains(of: after)
      nudgeLanes()
      fill(
        before: before, after: after, reason: change.reason, generation: generation, evidence: nil,
        evidenceCount: 0, text: nil, now: now)
      return
    }
  }

  /// A slot that neither the current word nor any transition still to be drained refers to.
  private func freeSlot(current: OrientationWord, drainedEpoch: UInt64) -> UInt8? {
    // Policies become current one after the other: once the current one's transition is drained, so is every
    // transition that refers to another slot.
    let currentDrained = slots[Int(current.policySlot)].sinceEpoch.load(ordering: .acquiring) <= drainedEpoch
    // The oldest one: a segment's preamble repeats policies until the newest is in a sealed block.
    var oldest: (index: UInt8, generation: UInt32)?
    for index in 0..<UInt8(PolicySlot.count) where index != current.policySlot {
      let generation = slots[Int(index)].generation.load(ordering: .relaxed)
      if generation < oldest?.generation ?? .max { oldest = (index, generation) }
    }
    guard let oldest, currentDrained || oldest.generation == 0 else { return nil }
    return oldest.index
  }

  /// The slot of a policy generation. Caller holds the control mutex.
  public func policySlot(_ index: UInt8) -> UnsafeMutablePointer<PolicySlot> {
    slots + Int(index)
  }

  // MARK: What the trace's writer takes

  /// The next transition in epoch order, or nil when there is none, or its publisher is still filling it in.
  public func nextTransition() -> UnsafePointer<ltp_transition_record>? {
    let word = current
    let next = EpochNumbers.epoch(after: drainedEpoch)
    guard next <= numbers(of: word).epoch else { return nil }
    let epoch = EpochNumbers.low(epoch: next)
    let index = Int(epoch) % Self.transitionsMax
    guard filledEpochs[index].load(ordering: .acquiring) == epoch else { return nil }
    return UnsafePointer(transitions + index)
  }

  /// The transition that `nextTransition` returned is in the trace; its slot may be used again.
  package func markDrained(_ numbers: EpochNumbers) {
    drained[1].store(numbers.continuityEpoch, ordering: .releasing)
    drained[0].store(numbers.epoch, ordering: .releasing)
  }

  public var drainedEpoch: UInt64 { drained[0].load(ordering: .acquiring) }

  /// The word in force and a copy of its transition. Whoever published it may still be filling that in, which takes a moment: waits for it,
  /// a second at most, in case the publisher was stopped in between; then the transition is nil.
  package func currentTransition() -> (word: OrientationWord, transition: ltp_transition_record?) {
    for _ in 0..<20_000 {
      let word = current
      if let record = transition(epoch: word.epoch) { return (word, record) }
      guard word.state != OrientationWord.closed else { break }
      ltp_system_sleep_ns(50_000)
    }
    return (current, nil)
  }

  /// A copy of the transition with this epoch, if its slot has not been used again.
  public func transition(epoch: UInt32) -> ltp_transition_record? {
    let index = Int(epoch) % Self.transitionsMax
    guard filledEpochs[index].load(ordering: .acquiring) == epoch else { return nil }
    let record = transitions[index]
    return filledEpochs[index].load(ordering: .acquiring) == epoch ? record : nil
  }
}
