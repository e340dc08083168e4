// SPDX-License-Identifier: Apache-2.0
// One history of a deferral log from a seed: runs on one disk, with intents that are kept, handed out and ended, with faults and sudden
// ends; and after each, what the log says beside what its host was told.

import CLTP
import CLTPSystem
import Glibc
import LTPTestSupport

@testable import LTPDeferral
@testable import LTPRecords
@testable import LTPStorage

/// What the host knows of one intent.
private final class Known {
  let payload: UnsafeRawBufferPointer
  let hash: Digest
  let request: ltp_route_request
  let ticket: Ticket
  var isAcknowledged = false
  /// How it ended, by a call; and whether that was acknowledged.
  var end: UInt8?
  var endIsAcknowledged = false

  init(_ payload: UnsafeRawBufferPointer, _ hash: Digest, _ request: ltp_route_request, _ ticket: Ticket) {
    self.payload = payload
    self.hash = hash
    self.request = request
    self.ticket = ticket
  }
}

final class DeferralHistory {
  private let disk: SimulatedDisk
  private let clock: SimulatedClock
  private let planted: PlantedBug?
  private let plantedInHost: PlantedInHost?
  private var random: SplitMix64
  private var configuration = DeferralConfiguration()
  /// By frame; and the frames, in the order in which they were sent first.
  private var known: [UInt64: Known] = [:]
  private var frames: [UInt64] = []
  /// Every ticket that was ever given, and whose it was.
  private var byTicket: [UInt64: Known] = [:]
  private var lastFrame: UInt64 = 0
  private var facts = DeferralFacts()
  /// Waits for the disk: slots of the log, and what is acknowledged then.
  private var waiting: [(sequence: UInt64, one: Known, isEnd: Bool)] = []
  private var held: [Handout] = []
  private var trace = ModelTrace()
  private var traceSealed: UInt64 = 0
  /// So far it was checked in this run that pending intents were told again.
  private var checkedProofs: UInt64 = 0
  /// Something was handed out that nobody has sent.
  private var isStray = false
  private let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: SomeBytes.countMax, alignment: 32)

  init(seed: UInt64, planted: PlantedBug? = nil, inHost: PlantedInHost? = nil) {
    random = SplitMix64(seed: seed)
    self.planted = planted
    plantedInHost = inHost
    disk = SimulatedDisk(seed: random.next())
    clock = SimulatedClock(disk)
    configuration.chain.blockBytes = 16 << 10
    configuration.chain.segmentBytes = [64 << 10, 96 << 10, 256 << 10][random.below(3)]
    configuration.chain.inflightMax = [1, 2, 4][random.below(3)]
    configuration.chain.stagingCount = 4
    configuration.capacity = [8, 40, 400][random.below(3)]
    configuration.perSessionMax = [3, 100][random.below(2)]
    // Short: what has ended is forgotten soon, and its segments go.
    configuration.rememberNanoseconds = random.oneIn(2) ? 20 * millisecond : 3600 * second
  }

  deinit { payload.deallocate() }

  static func run(
    seed: UInt64, planted: PlantedBug? = nil, inHost: PlantedInHost? = nil
  ) throws(DeferralViolation) -> DeferralFacts {
    let history = DeferralHistory(seed: seed, planted: planted, inHost: inHost)
    for _ in 0..<(1 + history.random.below(4)) { try history.runOnce() }
    return history.facts
  }

  // MARK: One run

  private func runOnce() throws(DeferralViolation) {
    plan()
    facts.runs += 1
    let staging = ltp_system_map(configuration.chain.stagingBytes, 0)!
    defer { ltp_system_unmap(staging, configuration.chain.stagingBytes) }
    var storage = SimulatedStorage(disk)
    var log: DeferralLog
    do throws(OpenFault) {
      trace.crash()
      checkedProofs = 0
      configuration.trace.told = trace.isOpened ? trace.told : nil
      configuration.trace.blocks = traceSealed
      configuration.trace.sealedBlocks = traceSealed
      log = try DeferralLog.open(&storage, configuration: configuration, staging: staging)
      trace.open(log.logID)
    } catch {
      throw DeferralViolation("the log is refused with \(error.status): \(error.text)")
    }
    var queue = StorageQueue(storage)
    do throws(StorageFault) { try queue.device.attach() } catch {
      throw DeferralViolation("the device cannot be attached")
    }
    var failed: DeferralViolation?
    do throws(DeferralViolation) {
      try check(&log)
      try load(&log, &queue)
      if random.oneIn(3), log.failure == nil { try end(&log, &queue) }
    } catch {
      failed = error
    }
    if log.failure != nil { facts.failures += 1 }
    facts.moved += log.counts.moved
    facts.segmentsDropped = max(
      facts.segmentsDropped, disk.segmentIndices(of: DeferralConfiguration.naming).min() ?? 0)
    // What was under way may land, whole, torn or not at all.
    if random.oneIn(2) { disk.losePower() } else { disk.kill() }
    log.releaseMemory()
    waiting = []
    held = []
    if let failed { throw failed }
  }

  private func plan() {
    var faults = SimulatedFaults()
    faults.delayNanosecondsMax = [0, 500_000, 3_000_000][random.below(3)]
    faults.passingErrorOneIn = random.oneIn(4) ? 20 : 0
    faults.shortWriteOneIn = random.oneIn(4) ? 20 : 0
    faults.planted = planted
    if random.oneIn(10) {
      faults.planned = [PlannedFault(call: .blockWrite, nth: 1 + random.below(20), code: LTP_SYSTEM_EIO)]
    }
    disk.plan(faults)
  }

  private func load(_ log: inout DeferralLog, _ queue: inout StorageQueue<SimulatedStorage>)
    throws(DeferralViolation)
  {
    for _ in 0..<(20 + random.below(150)) {
      switch random.below(12) {
      case 0..<4: for _ in 0..<(1 + random.below(4)) { try keep(&log) }
      case 4: try keepAgain(&log)
      case 5..<7: handOut(&log)
      case 7..<9: try settleOne(&log)
      case 9: cancel(&log)
      default: try step(&log, &queue, after: UInt64(random.below(2_000_000)))
      }
      if random.oneIn(3) { try step(&log, &queue, after: UInt64(random.below(400_000))) }
    }
  }

  private func step(
    _ log: inout DeferralLog, _ queue: inout StorageQueue<SimulatedStorage>, after nanoseconds: UInt64
  ) throws(DeferralViolation) {
    clock.advance(nanoseconds)
    queue.reap(waitNanoseconds: 0)
    // A trace that is always a little behind.
    log.trace.blocks = traceSealed
    traceSealed += 1
    log.trace.sealedBlocks = traceSealed
    log.trace.sealedSequence = trace.told.sequence
    // Its oldest segments are to go.
    if random.oneIn(10) { log.trace.wantedAgain = trace.durablyTold }
    trace.settle(below: log.trace.blocks)
    _ = log.step(&queue, now: clock.monotonic, unixNanoseconds: clock.unix)
    log.flush(&queue, now: clock.monotonic, unixNanoseconds: clock.unix)
    if random.oneIn(2) { log.settle(&queue, now: clock.monotonic) }
    try tell(&log)
    try checkProofs(log)
    // All of the table, so not at each step; what is broken stays so.
    if random.oneIn(8), let broken = log.checkInvariants() { throw DeferralViolation("\(broken)") }
    if isStray { throw DeferralViolation("an intent is handed out that nobody has sent") }
    let durable = log.durableSequence
    waiting.removeAll { wait in
      guard wait.sequence <= durable else { return false }
      if wait.isEnd { wait.one.endIsAcknowledged = true } else { wait.one.isAcknowledged = true }
      return true
    }
  }

  /// Tells the trace what it is to be told, and looks at it: each thing once, and in order.
  private func tell(_ log: inout DeferralLog) throws(DeferralViolation) {
    defer { trace.seal(traceSealed) }
    for _ in 0..<random.below(40) {
      guard let record = log.news.next(durable: log.durableSequence) else { return }
      try trace.take(RecordView(record), dropsRetelling: plantedInHost == .dropsRetelling)
      log.news.isTold()
    }
  }

  /// What the log says to be told again, is; as far as the trace has been told.
  private func checkProofs(_ log: borrowing DeferralLog) throws(DeferralViolation) {
    let done = log.toldAgain
    guard done.wanted > checkedProofs, done.toldAt <= trace.told.sequence else { return }
    checkedProofs = done.wanted
    facts.toldAgain += 1
    guard trace.oldestProof > done.wanted else {
      throw DeferralViolation(
        "an intent is pending that was told last before \(done.wanted), though all were told again")
    }
  }

  private func end(_ log: inout DeferralLog, _ queue: inout StorageQueue<SimulatedStorage>)
    throws(DeferralViolation)
  {
    for _ in 0..<2000 where !log.isSettled && log.failure == nil { try step(&log, &queue, after: 500_000) }
    guard log.failure == nil else { return }
    guard log.isSettled else { throw DeferralViolation("the log does not come to rest") }
    log.finish(&queue)
  }

  // MARK: What hosts do

  private func request(_ frame: UInt64, session: UInt64) -> ltp_route_request {
    LTPTestSupport.request(25, frameID: frame, sessionID: session)
  }

  private func keep(_ log: inout DeferralLog) throws(DeferralViolation) {
    lastFrame += 1
    let payload = SomeBytes.piece(
      lastFrame, count: 1 + random.below(random.oneIn(6) ? SomeBytes.countMax : 90))
    let hash = Digest(of: payload.baseAddress!, count: payload.count)!
    let asked = request(lastFrame, session: 1 + UInt64(random.below(6)))
    let draft = IntentDraft(asked, expiresUnixNanoseconds: clock.unix + 3600 * second)
    switch ask(draft, payload, hash, &log) {
    case .kept(let ticket, let sequence):
      frames.append(lastFrame)
      facts.kept += 1
      try isKept(Known(payload, hash, asked, ticket), sequence)
    case .full, .later: break
    case let answer: throw DeferralViolation("a new intent is answered with \(answer)")
    }
  }

  private func isKept(_ one: Known, _ sequence: UInt64) throws(DeferralViolation) {
    guard byTicket.updateValue(one, forKey: one.ticket.rawValue) == nil else {
      throw DeferralViolation("the ticket \(one.ticket) is given twice")
    }
    known[one.request.frame_id] = one
    if plantedInHost == .acknowledgesBeforeSync { one.isAcknowledged = true }
    waiting.append((sequence, one, false))
  }

  /// As lanes do: what is known first.
  private func ask(
    _ draft: IntentDraft, _ payload: UnsafeRawBufferPointer, _ hash: Digest, _ log: inout DeferralLog
  ) -> Keeping {
    log.look(draft, hash: hash)
      ?? log.keep(draft, payload: payload, hash: hash, unixNanoseconds: clock.unix)
  }

  /// Its sender refreshes; or somebody takes its key for something else.
  private func keepAgain(_ log: inout DeferralLog) throws(DeferralViolation) {
    guard let frame = frames.randomElement(using: &random), let one = known[frame] else { return }
    let isOther = random.oneIn(4)
    let draft = IntentDraft(one.request, expiresUnixNanoseconds: clock.unix + second)
    let payload = isOther ? SomeBytes.piece(frame + 1, count: (one.payload.count & 63) + 2) : one.payload
    let hash = isOther ? Digest(of: payload.baseAddress!, count: payload.count)! : one.hash
    let answer = ask(draft, payload, hash, &log)
    switch answer {
    case .pending(let ticket, _) where !isOther && one.end == nil && ticket == one.ticket: return
    case .ended(let ticket, let end) where !isOther && one.end == end && ticket == one.ticket: return
    case .differs(let ticket) where isOther && ticket == one.ticket: return
    // Forgotten, so that it is new.
    case .kept(let ticket, let sequence) where one.endIsAcknowledged:
      try isKept(Known(payload, hash, one.request, ticket), sequence)
    case .full where one.endIsAcknowledged: known[frame] = nil
    case .later where one.endIsAcknowledged: known[frame] = nil
    default:
      throw DeferralViolation(
        "sent again, frame \(frame) is answered with \(answer); it ended: \(String(describing: one.end))")
    }
  }

  private func handOut(_ log: inout DeferralLog) {
    guard let ticket = log.next(unixNanoseconds: clock.unix, looks: 4096, { _, _ in true }).ticket,
      let handout = log.begin(ticket, unixNanoseconds: clock.unix, leaseUntil: clock.unix + 3600 * second)
    else { return }
    if handout.mayHaveHappened { facts.handedOutAgain += 1 }
    guard of(handout.ticket) != nil else {
      isStray = true
      return
    }
    held.append(handout)
  }

  /// Whose ticket it is, unless its key is a new intent's by now.
  private func of(_ ticket: Ticket) -> Known? {
    guard let one = byTicket[ticket.rawValue], known[one.request.frame_id] === one else { return nil }
    return one
  }

  private func settleOne(_ log: inout DeferralLog) throws(DeferralViolation) {
    guard !held.isEmpty else { return }
    let place = random.below(held.count)
    let handout = held[place]
    guard let one = of(handout.ticket) else {
      // It was cancelled meanwhile, forgotten, and its key is a new intent's.
      let answer = log.commit(handout.ticket, attempt: handout.attempt, unixNanoseconds: clock.unix)
      guard answer == .unknown || answer == .ended else {
        throw DeferralViolation("a forgotten ticket is answered with \(answer)")
      }
      held.remove(at: place)
      return
    }
    guard one.isAcknowledged || plantedInHost != nil || planted != nil else {
      throw DeferralViolation("an intent is handed out before it is on disk")
    }
    let now = clock.unix
    let (answer, end): (StepAnswer, UInt8?) =
      switch random.below(4) {
      case 0..<2: (log.commit(handout.ticket, attempt: handout.attempt, unixNanoseconds: now), LTP_END_NONE)
      case 2: (log.abandon(handout.ticket, attempt: handout.attempt, unixNanoseconds: now), LTP_END_ABANDONED)
      default:
        (log.release(handout.ticket, attempt: handout.attempt, notBefore: now, unixNanoseconds: now), nil)
      }
    switch answer {
    case .later: return
    case .done where one.end == nil: held.remove(at: place)
    case .ended where one.end != nil, .unknown where one.endIsAcknowledged:
      held.remove(at: place)
      return
    default:
      throw DeferralViolation(
        "a step is answered with \(answer), and the intent ended: \(String(describing: one.end))")
    }
    // Used up by this release.
    if let end = end
      ?? (log.table.slot(of: handout.ticket).flatMap {
        log.table[$0].state == .ended ? LTP_END_ATTEMPTS : nil
      })
    {
      hasEnded(one, end, log.sequence)
    }
    // Twice is refused.
    let again = log.commit(handout.ticket, attempt: handout.attempt, unixNanoseconds: now)
    guard again == .ended || again == .notYours else { throw DeferralViolation("settled twice: \(again)") }
  }

  private func cancel(_ log: inout DeferralLog) {
    guard random.oneIn(2) else { return }
    // The one that has waited longest, about: frames that are sent again keep their place.
    let oldest = frames.lazy.compactMap { self.known[$0] }.first { $0.end == nil }
    guard let one = oldest else { return }
    guard log.end(one.ticket, as: LTP_END_CANCELLED, unixNanoseconds: clock.unix) == .done else { return }
    hasEnded(one, LTP_END_CANCELLED, log.sequence)
  }

  private func hasEnded(_ one: Known, _ end: UInt8, _ sequence: UInt64) {
    one.end = end
    facts.ended += 1
    if plantedInHost == .endsBeforeSync { one.endIsAcknowledged = true }
    waiting.append((sequence, one, true))
  }

  // MARK: After a crash

  private func check(_ log: inout DeferralLog) throws(DeferralViolation) {
    var files = IntentFiles(SimulatedStorage(disk))!
    defer { files.releaseMemory() }
    if let broken = log.checkInvariants() { throw DeferralViolation("after recovery: \(broken)") }
    var seen = 0
    for frame in frames {
      guard let one = known[frame] else { continue }
      let key = IntentKey((0, 0), one.request)
      guard let slot = log.table.slot(of: key) else {
        if one.isAcknowledged, !one.endIsAcknowledged {
          throw DeferralViolation("frame \(frame) was acknowledged and is gone")
        }
        if !one.isAcknowledged { facts.lostUnacknowledged += 1 }
        known[frame] = nil
        continue
      }
      let intent = log.table[slot]
      guard log.table.ticket(slot) == one.ticket else {
        guard intent.state == .ended, !one.isAcknowledged else {
          throw DeferralViolation("frame \(frame) has another ticket")
        }
        // The intent before it, which had ended and was forgotten: the new one did not get to disk.
        known[frame] = nil
        continue
      }
      if intent.state == .ended {
        guard let end = one.end, end == intent.end else {
          throw DeferralViolation(
            "frame \(frame) ended as \(intent.end), and nobody ended it so: \(String(describing: one.end))")
        }
        one.endIsAcknowledged = true
      } else {
        if one.endIsAcknowledged { throw DeferralViolation("frame \(frame) had ended, and is pending again") }
        one.end = nil
        guard intent.state == .waiting else { throw DeferralViolation("a lease outlived its process") }
        seen += 1
        try checkPayload(one, frame, log, &files)
      }
      // What recovery found is durable, or it would not have found it.
      one.isAcknowledged = true
    }
    // The trace is told the rest from here on: together with that it has every intent, and the end of each that has one.
    guard trace.countsAgree else {
      throw DeferralViolation("the trace's count of pending intents is not that of what it was told")
    }
    // What had ended and was forgotten may be remembered again, as long as its segment is there.
    guard seen == log.table.pendingCount else {
      throw DeferralViolation("\(log.table.pendingCount) intents are pending, of which \(seen) were sent")
    }
  }

  private func checkPayload(
    _ one: Known, _ frame: UInt64, _ log: borrowing DeferralLog, _ files: inout IntentFiles<SimulatedStorage>
  ) throws(DeferralViolation) {
    let kept = log.read(one.ticket, payload: payload, &files)
    guard let kept, kept.payloadBytes == one.payload.count,
      memcmp(payload.baseAddress!, one.payload.baseAddress!, one.payload.count) == 0
    else {
      throw DeferralViolation("frame \(frame) has another payload, or none")
    }
    guard kept.request.frame_id == frame, kept.request.session_id == one.request.session_id else {
      throw DeferralViolation("frame \(frame) has another request")
    }
  }
}
