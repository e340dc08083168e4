// SPDX-License-Identifier: Apache-2.0
// One history of both chains from a seed: runs of a core that keeps intents, with its trace and its deferral log on one disk, with load,
// faults and sudden ends. After each, both are recovered and held against each other and against what senders and workers were told
// (KeptHistory+Check.swift).

import CLTP
import CLTPSystem
import Glibc
import LTPRecords
import LTPTestSupport

@testable import LTPDeferral
@testable import LTPStorage
@testable import LTPTrace

final class KeptHistory {
  typealias Core = SimulatedCore<SimulatedStorage>

  /// What a worker has in hand.
  struct Held {
    let handout: Handout
    let intent: SentIntent
    let leaseUntil: UInt64
  }

  let disk: SimulatedDisk
  let clock: SimulatedClock
  let ledger = HostLedger()
  let book = IntentBook()
  let planted: PlantedBug?
  var random: SplitMix64
  var configuration = TraceConfiguration()
  var setup: KeeperSetup
  var facts = KeptFacts()
  var held: [Held] = []
  let payload: UnsafeMutableRawBufferPointer
  private var sessionCount: Int
  /// Much is kept, block by block, so that segments change and space is given back.
  private let isHeavy: Bool

  /// `planted`: a bug in the storage of the deferral log.
  init(seed: UInt64, planted: PlantedBug? = nil, inKeeper: PlantedInKeeper? = nil) {
    self.planted = planted
    random = SplitMix64(seed: seed)
    disk = SimulatedDisk(seed: random.next())
    clock = SimulatedClock(disk)
    payload = .allocate(byteCount: SomeBytes.countMax, alignment: 32)
    ledger.intents = book
    sessionCount = 1 + random.below(5)
    isHeavy = random.oneIn(8)
    configuration.chain.blockBytes = 16 << 10
    // With room for the largest preamble here, a whole block, and the summary.
    configuration.chain.segmentBytes = [112 << 10, 128 << 10][random.below(2)]
    configuration.chain.inflightMax = [1, 2, 4][random.below(3)]
    setup = KeeperSetup(book: book)
    setup.planted = inKeeper
    setup.configuration.chain.blockBytes = 16 << 10
    setup.configuration.chain.segmentBytes = [32 << 10, 48 << 10][random.below(2)]
    setup.configuration.chain.inflightMax = [1, 2, 4][random.below(3)]
    setup.configuration.chain.stagingCount = 4
    setup.configuration.capacity = [8, 64][random.below(2)]
    setup.configuration.perSessionMax = [3, 100][random.below(2)]
    // Short: what has ended is forgotten soon, and its segments go.
    setup.configuration.rememberNanoseconds = [1, 10, 3_600_000][random.below(3)] * millisecond
    setup.tellInterval = [1, 10][random.below(2)] * millisecond
  }

  deinit { payload.deallocate() }

  /// What a run ends right after, if it happens: where a crash is worst.
  private enum Moment: CaseIterable { case none, drop, move, segment }

  private func hasCome(_ moment: Moment, _ log: borrowing DeferralLog) -> Bool {
    switch moment {
    case .none: false
    case .drop: log.chain.segments.oldest > oldestAtOpening
    case .move: log.counts.moved > 0
    case .segment: log.chain.position.segmentIndex > segmentAtOpening + 1
    }
  }

  /// Runs the whole history; throws what must not be.
  static func run(
    seed: UInt64, planted: PlantedBug? = nil, inKeeper: PlantedInKeeper? = nil
  ) throws(Violation) -> KeptFacts {
    let history = KeptHistory(seed: seed, planted: planted, inKeeper: inKeeper)
    do throws(Violation) { try history.run() } catch { throw Violation("seed \(seed): \(error)") }
    return history.facts
  }

  private func run() throws(Violation) {
    for _ in 0..<1 + random.below(3) {
      let core = try open(withFaults: true)
      facts.runs += 1
      try act(on: core)
      try end(core)
    }
    try goOnInPeace()
  }

  /// After all faults: both logs open, take more, end in order, and open again with all of it.
  private func goOnInPeace() throws(Violation) {
    var core = try open(withFaults: false)
    let takesIn = random.oneIn(2)
    core.publish(takesIn ? LTP_STATE_UNSTABLE : LTP_STATE_HEALTHY)
    try core.openLane()
    guard try core.run(until: { core.keeper!.log.isOpen && core.keeper!.isDrained }) else {
      throw Violation("the deferral log does not get ready, or does not come to rest")
    }
    for _ in 0..<3 {
      if takesIn {
        try send(core)
      } else {
        try handOut(core)
        try settleOne(core)
      }
    }
    guard try core.shutDown() else { throw Violation("does not close: \(core.failure) \(core.hindrance)") }
    count(core)
    losePower(core)
    core = try open(withFaults: false)
    try checkAtRest(core)
    disk.losePower()
    withExtendedLifetime(core) {}
  }

  // MARK: Opening

  private func open(withFaults: Bool) throws(Violation) -> Core {
    var tries = 0
    while true {
      var faults = withFaults ? SimulatedFaults.some(&random, now: disk.now) : SimulatedFaults()
      faults.planted = planted
      faults.plantedPrefix = SimulatedKeeper.prefix
      let mayDie = withFaults && tries < 3 && random.oneIn(3)
      if mayDie { faults.diesAtCall = 1 + random.below(50) }
      disk.plan(faults)
      tries += 1
      let fault: OpenFault
      switch recover() {
      case .success(let core):
        disk.faults.diesAtCall = 0
        try check(core)
        return core
      case .failure(let refusal): fault = refusal
      }
      let open = disk.openHandleCount
      guard open == 0 else { throw Violation("\(open) descriptors left open: \(fault.text)") }
      // What a crash leaves is never refused; a call that fails, or the death of the machine, is.
      guard mayDie || !faults.planned.isEmpty,
        fault.status == LTP_ERROR_TRACE_IO || fault.status == LTP_ERROR_TRACE_NO_SPACE
      else {
        throw Violation(
          "refused with \(fault.status): \(fault.text), segment \(fault.segment) at \(fault.offset)")
      }
      if disk.isDead {
        facts.recoveriesInterrupted += 1
        disk.losePower()
      } else {
        facts.opensRefused += 1
      }
    }
  }

  private func recover() -> Result<Core, OpenFault> {
    do throws(OpenFault) {
      return .success(
        try Core(
          SimulatedStorage(disk), clock: clock, configuration: configuration, ledger: ledger, keeping: setup))
    } catch {
      return .failure(error)
    }
  }

  // MARK: Load

  private func act(on core: Core) throws(Violation) {
    core.publish(random.oneIn(3) ? LTP_STATE_HEALTHY : LTP_STATE_UNSTABLE)
    try core.openLane()
    let keeper = core.keeper!
    let moment = random.oneIn(2) ? .none : Moment.allCases[random.below(4)]
    // As the core's opening waits, but not always.
    if !random.oneIn(5) {
      _ = try core.run(limit: 60, until: { keeper.log.isOpen || core.failure != LTP_OK })
    }
    if random.oneIn(4) { disk.faults.diesAtCall = disk.callCount + 1 + random.below(isHeavy ? 800 : 250) }
    for _ in 0..<(isHeavy ? 40 + random.below(40) : 6 + random.below(30)) where !disk.isDead {
      keeper.gathers = !isHeavy && random.oneIn(3)
      switch random.below(16) {
      case 0..<5: for _ in 0..<1 + random.below(3) { try send(core) }
      case 5: try sendAgain(core)
      case 6..<9: try handOut(core)
      case 9..<12: try settleOne(core)
      case 12: cancel(core)
      case 13: core.publish(random.oneIn(2) ? LTP_STATE_HEALTHY : LTP_STATE_UNSTABLE)
      case 14: try decide(core)
      default: break
      }
      if isHeavy || random.oneIn(2) { try core.step(after: UInt64(random.below(2_000_000))) }
      if hasCome(moment, keeper.log) { return }
    }
    // Workers who catch up, so that space is given back.
    if random.oneIn(isHeavy ? 1 : 4), !disk.isDead {
      keeper.gathers = false
      core.publish(LTP_STATE_HEALTHY)
      for _ in 0..<16 where !disk.isDead && !hasCome(moment, keeper.log) {
        for _ in 0..<(isHeavy ? 5 : 2) {
          try handOut(core)
          try settleOne(core)
        }
        try core.step(after: UInt64(random.below(2_500_000)))
      }
    }
    if disk.isDead { facts.diedAtWork += 1 }
  }

  private func decide(_ core: Core) throws(Violation) {
    guard let lane = core.openLanes.first else { return }
    for number in 0..<1 + random.below(20) { try core.admit(lane, Scene.request(UInt64(1 << 32 + number))) }
    core.wantDurable(0)
  }

  private func send(_ core: Core) throws(Violation) {
    let session = UInt64(1 + random.below(sessionCount))
    let letter = book.letter(session: session, now: clock.unix, &random)
    guard let lane = core.openLanes.first else { return }
    switch try core.keeper!.send(letter, lane, now: clock.unix) {
    case .kept(let ticket, let sequence):
      guard book.byTicket[ticket.rawValue] == nil else { throw Violation("ticket \(ticket) is given twice") }
      _ = book.enter(letter, ticket, sequence: sequence)
      facts.kept += 1
    case .full, .later, nil: break
    case let answer?: throw Violation("a new intent is answered with \(answer)")
    }
    lane.enterNewSlots(ledger)
  }

  /// A sender refreshes, or somebody takes the key for something else.
  private func sendAgain(_ core: Core) throws(Violation) {
    guard let lane = core.openLanes.first, let one = book.intents.randomElement(using: &random) else {
      return
    }
    let isOther = random.oneIn(5)
    var letter = one.letter
    letter.expires = clock.unix + second
    if isOther {
      letter.payload = UnsafeRawBufferPointer(rebasing: letter.payload.dropLast())
      guard letter.payload.count > 0 else { return }
      letter.hash = Digest(of: letter.payload.baseAddress!, count: letter.payload.count)!
    }
    facts.sentAgain += 1
    let answer = try core.keeper!.send(letter, lane, now: clock.unix)
    lane.enterNewSlots(ledger)
    switch answer {
    case .pending(one.ticket, _) where !isOther && one.end == nil && !one.isLost: return
    case .ended(one.ticket, let end) where !isOther && one.end == end: return
    case .ended(one.ticket, let end)
    where !isOther && one.end == nil && one.mayEndByItself(as: end, at: clock.unix):
      endedByItself(one, end, core)
    case .differs(one.ticket) where isOther && !one.isLost: return
    // Lost before it was acknowledged, or forgotten, so that it is new.
    case .kept(let ticket, let sequence) where one.isLost || one.endIsAcknowledged || hasLeft(one, core):
      if !one.isLost { one.endIsAcknowledged = true }
      _ = book.enter(letter, ticket, sequence: sequence)
      facts.kept += 1
    case .full where one.isLost || one.endIsAcknowledged || hasLeft(one, core), .later, nil: return
    case let answer?:
      throw Violation(
        "frame \(one.frame) of ticket \(one.ticket), sent again, is answered with \(answer); it ended: "
          + "\(String(describing: one.end)), lost: \(one.isLost)")
    }
  }

  /// It ended by itself, and was forgotten before the host saw it.
  func hasLeft(_ one: SentIntent, _ core: Core) -> Bool {
    core.keeper!.log.table.slot(of: one.ticket) == nil
      && (one.mayEndByItself(as: LTP_END_EXPIRED, at: clock.unix)
        || one.mayEndByItself(as: LTP_END_ATTEMPTS, at: clock.unix))
  }

  private func endedByItself(_ one: SentIntent, _ end: UInt8, _ core: Core) {
    let table = core.keeper!.log.table
    facts.endedByThemselves += 1
    let isAwaited = table[table.slot(of: one.ticket)!].isAwaited
    book.end(
      one, as: end, sequence: isAwaited ? core.keeper!.log.sequence : core.keeper!.log.durableSequence)
  }

  private func handOut(_ core: Core) throws(Violation) {
    guard let lane = core.openLanes.first else { return }
    let lease = random.oneIn(5) ? millisecond : 3600 * second
    let handing = core.keeper!.handOut(lane, into: payload, disk, now: clock.unix, lease: lease)
    lane.enterNewSlots(ledger)
    switch handing {
    case .nothing: return
    case .unread(let ticket):
      guard disk.isDead || !disk.faults.planned.isEmpty else {
        throw Violation("intent \(ticket) cannot be read back")
      }
    case .begun(let handout): try take(handout, core, leaseUntil: clock.unix + lease)
    }
  }

  private func take(_ handout: Handout, _ core: Core, leaseUntil: UInt64) throws(Violation) {
    guard let one = book.byTicket[handout.ticket.rawValue], !one.isLost else {
      throw Violation("intent \(handout.ticket) is handed out, and nobody has sent it")
    }
    guard one.end == nil, !one.endIsAcknowledged else {
      throw Violation("intent \(handout.ticket) is handed out after its end")
    }
    guard one.isAcknowledged else {
      throw Violation("intent \(handout.ticket) is handed out before it is on disk")
    }
    try checkPayload(of: one)
    // The first of its session: nobody overtakes.
    let table = core.keeper!.log.table
    for other in book.intents where other.session == one.session && other.end == nil && !other.isLost {
      guard other.ticket.number < one.ticket.number, let slot = table.slot(of: other.ticket) else { continue }
      guard table[slot].state == .ended else {
        throw Violation("intent \(one.ticket) is handed out before \(other.ticket) of the same session")
      }
    }
    facts.handedOut += 1
    if handout.mayHaveHappened { facts.handedOutAgain += 1 }
    if one.handedOut > 0, handout.attempt == 1 {
      facts.handedOutUnrecorded += 1
      guard handout.mayHaveHappened else {
        throw Violation("intent \(one.ticket) was handed out before, and it is said that it did not happen")
      }
    }
    guard handout.attempt > 1 || !handout.mayHaveHappened || facts.runs > 1 else {
      throw Violation("a first attempt of the first run that may have happened")
    }
    one.handedOut += 1
    held.append(Held(handout: handout, intent: one, leaseUntil: leaseUntil))
  }

  /// What was read back into `payload`.
  func checkPayload(of one: SentIntent) throws(Violation) {
    guard memcmp(payload.baseAddress!, one.payload.baseAddress!, one.payload.count) == 0 else {
      throw Violation("intent \(one.ticket) is read back with another payload")
    }
  }

  private func settleOne(_ core: Core) throws(Violation) {
    guard !held.isEmpty else { return }
    let place = random.below(held.count)
    // Some workers never come back, so that old intents hold their segments.
    guard held[place].handout.ticket.number % 8 != 3 || held[place].handout.attempt > 1 else { return }
    let one = held.remove(at: place)
    let keeper = core.keeper!
    let (ticket, attempt, now) = (one.handout.ticket, one.handout.attempt, clock.unix)
    let (answer, end): (StepAnswer, UInt8?) =
      switch random.below(5) {
      case 0..<3: (keeper.log.commit(ticket, attempt: attempt, unixNanoseconds: now), LTP_END_NONE)
      case 3: (keeper.log.abandon(ticket, attempt: attempt, unixNanoseconds: now), LTP_END_ABANDONED)
      default: (keeper.log.release(ticket, attempt: attempt, notBefore: now, unixNanoseconds: now), nil)
      }
    switch answer {
    case .later:
      held.append(one)
      return
    case .done where one.intent.end == nil: break
    case .notYours where one.leaseUntil <= now: return
    case .ended where one.intent.end != nil || one.intent.expires <= now || one.leaseUntil <= now: return
    case .unknown where one.intent.endIsAcknowledged || hasLeft(one.intent, core): return
    default:
      throw Violation(
        "a step of intent \(ticket) is answered with \(answer); it ended: \(String(describing: one.intent.end))"
      )
    }
    // A release may have used its attempts up.
    let isUsedUp = keeper.log.table.slot(of: ticket).map { keeper.log.table[$0].state == .ended } ?? true
    if let end = end ?? (isUsedUp ? LTP_END_ATTEMPTS : nil) {
      facts.ended += 1
      book.end(one.intent, as: end, sequence: keeper.log.sequence)
    }
    let again = keeper.log.commit(ticket, attempt: attempt, unixNanoseconds: now)
    guard again == .ended || again == .notYours else { throw Violation("settled twice: \(again)") }
    // Planted ones acknowledge here.
    keeper.acknowledge()
  }

  private func cancel(_ core: Core) {
    guard random.oneIn(2), let one = book.intents.first(where: { $0.end == nil && !$0.isLost }) else {
      return
    }
    let keeper = core.keeper!
    guard keeper.log.end(one.ticket, as: LTP_END_CANCELLED, unixNanoseconds: clock.unix) == .done else {
      return
    }
    facts.ended += 1
    book.end(one, as: LTP_END_CANCELLED, sequence: keeper.log.sequence)
  }

  // MARK: Ends

  private func end(_ core: Core) throws(Violation) {
    if !disk.isDead, random.oneIn(6) {
      let closed = try core.shutDown()
      guard closed || disk.isDead || !disk.faults.planned.isEmpty else {
        throw Violation(
          "does not close: \(core.failure) \(core.hindrance), \(String(describing: core.keeper!.log.failure))"
        )
      }
    }
    count(core)
    if random.oneIn(4) {
      facts.kills += 1
      disk.kill()
      held = []
      book.forgetWaiting()
    } else {
      losePower(core)
    }
  }

  private func losePower(_ core: Core) {
    facts.powerLosses += 1
    disk.losePower()
    held = []
    book.forgetWaiting()
    withExtendedLifetime(core) {}
  }

  private func count(_ core: Core) {
    let keeper = core.keeper!
    facts.moved += keeper.log.counts.moved
    facts.segmentsDropped += keeper.log.chain.segments.oldest - oldestAtOpening
    facts.segmentsBegun += keeper.log.chain.position.segmentIndex - segmentAtOpening
    facts.traceSegmentsBegun +=
      core.progress.pointee.segmentIndex.load(ordering: .relaxed) - core.log.chain.position.segmentIndex
    if keeper.hasFailed, !disk.isDead { facts.failures += 1 }
    if core.failure != LTP_OK, !disk.isDead { facts.traceFailures += 1 }
  }

  /// Of the deferral log: what it was recovered with.
  var oldestAtOpening: UInt64 = 0
  var segmentAtOpening: UInt64 = 0
}
