// SPDX-License-Identifier: Apache-2.0
// The deferral log beside a simulated core's trace, on the same disk and through the same queue: what LTPCore's keeper does with it,
// without threads and without its lock.

import CLTP
import CLTPSystem
import LTPFrames
import LTPRecords
import LTPTestSupport
import Synchronization

@testable import LTPAdmission
@testable import LTPDeferral
@testable import LTPStorage
@testable import LTPTrace

/// A bug in the deferral log, or in who acknowledges by it, which the checker must find.
enum PlantedInKeeper: CaseIterable {
  /// An intent is acknowledged when its record is handed over, not when it is on disk.
  case acknowledgesBeforeSync
  /// An end is.
  case endsBeforeSync
  /// The index of keys is not made anew at recovery.
  case losesKeys
  /// A segment goes before what an intent has in it was copied.
  case dropsLiveIntents
  /// A segment goes once the trace was told what it holds, and not only when the trace has that on disk.
  case dropsTooEarly
  /// The trace is told of what is not durable yet.
  case tellsTooEarly
  /// The trace is not told of one record.
  case forgetsToTell
}

final class SimulatedKeeper {
  static let prefix: StaticString = "deferred-"
  /// What the trace is told within so many nanoseconds is one block.
  private let tellInterval: UInt64

  let book: IntentBook
  var log: DeferralLog
  /// What the trace is told when the run begins.
  let toldAtOpening: ToldDeferral
  private let staging: UnsafeMutableRawPointer
  private let stagingBytes: Int
  private let planted: PlantedInKeeper?
  private var toldAt: UInt64 = 0
  private var isFinished = false
  private var drops = DropCheck()
  /// Nobody waits for a write just now: what is kept is gathered.
  var gathers = false
  /// Of the replays' frames.
  private var lastFrame: UInt64

  /// Recovers the deferral log beside a trace that was just recovered, as `Core.openKeeper` does.
  init<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, beside trace: RecoveredTrace, _ setup: KeeperSetup
  ) throws(OpenFault) {
    var configuration = setup.configuration
    configuration.chain.owner = 1
    configuration.chain.stagingBufferIndex = 65
    configuration.trace.logID = trace.chain.position.logID
    configuration.trace.blocks = trace.chain.position.blockIndex
    configuration.trace.sealedBlocks = trace.chain.position.blockIndex
    configuration.trace.told = trace.told
    book = setup.book
    planted = setup.planted
    tellInterval = setup.tellInterval
    stagingBytes = configuration.chain.stagingBytes
    let staging = ltp_system_map(stagingBytes, 0)!
    self.staging = staging
    do throws(OpenFault) {
      log = try DeferralLog.open(&device, configuration: configuration, staging: staging)
    } catch {
      ltp_system_unmap(staging, configuration.chain.stagingBytes)
      throw error
    }
    var told = trace.told ?? ToldDeferral()
    told.logID = log.logID
    told.nextNumber = log.openedNumber
    told.ended = 0
    told.endSequence = log.durableSequence
    toldAtOpening = told
    lastFrame = UInt64(trace.run) << 40
    if planted == .losesKeys { loseKeys() }
  }

  deinit {
    log.releaseMemory()
    ltp_system_unmap(staging, stagingBytes)
  }

  var hasFailed: Bool { log.failure != nil }
  /// Everything is durable, and the trace has been told all of it.
  var isDrained: Bool { log.isSettled && log.news.count == 0 }

  // MARK: The writer's turn

  /// As `Core.stepKeeper`.
  func step<Device: StorageDevice & ~Copyable>(
    _ writer: UnsafeMutablePointer<TraceWriter<Device>>, _ progress: UnsafeMutablePointer<TraceProgress>,
    now: UInt64, unix: UInt64, isStopping: Bool = false
  ) throws(Violation) {
    guard !isFinished else { return }
    log.trace.blocks = progress.pointee.durableBlocks.load(ordering: .acquiring)
    log.trace.sealedBlocks = progress.pointee.sealedBlocks.load(ordering: .relaxed)
    log.trace.sealedSequence = writer.pointee.toldSequence
    drops.note(log.trace)
    if planted == .dropsTooEarly, let told = writer.pointee.control.gathered.told {
      (log.trace.sealedSequence, log.dropAt) = (told.sequence, 0)
    }
    if planted == .dropsLiveIntents { skipACopy() }
    writer.pointee.queue.reap(waitNanoseconds: 0)
    _ = log.step(&writer.pointee.queue, now: now, unixNanoseconds: unix)
    try drops.check(log)
    if !gathers || isStopping {
      log.flush(&writer.pointee.queue, now: now, unixNanoseconds: unix)
      log.settle(&writer.pointee.queue, now: now)
    }
    acknowledge()
    tell(writer, now: now, isStopping: isStopping)
    if planted == nil, let broken = log.checkInvariants() { throw Violation("\(broken)") }
  }

  /// Senders and workers are told what is durable.
  func acknowledge() {
    book.acknowledge(below: log.durableSequence)
    if planted == .acknowledgesBeforeSync { book.acknowledge(below: log.sequence, .intents) }
    if planted == .endsBeforeSync { book.acknowledge(below: log.sequence, .ends) }
  }

  /// As `KeeperTeller`.
  private func tell<Device: StorageDevice & ~Copyable>(
    _ writer: UnsafeMutablePointer<TraceWriter<Device>>, now: UInt64, isStopping: Bool
  ) {
    guard isStopping || now &- toldAt >= tellInterval || log.news.count > 1000 else { return }
    var hasTold = false
    let durable = planted == .tellsTooEarly ? log.sequence : log.durableSequence
    while let record = log.news.next(durable: durable) {
      let isForgotten = planted == .forgetsToTell && log.news.count % 16 == 7
      guard isForgotten || writer.pointee.tell(record) else { break }
      log.news.isTold()
      hasTold = true
    }
    if hasTold { toldAt = now }
  }

  /// As `Keeper.finish`. False: not yet.
  func finish<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) -> Bool {
    if isFinished || hasFailed { return true }
    guard isDrained else { return false }
    log.finish(&queue)
    isFinished = true
    return true
  }

  /// As `Keeper.close`, of a run that does not end in order.
  func close<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    guard !isFinished else { return }
    log.close(&queue)
    isFinished = true
  }

  // MARK: Lanes

  /// Sends a letter through a lane, as `Core.admitKeeping` does. nil: nothing became of it that the deferral log would know.
  func send(_ letter: IntentLetter, _ lane: SimulatedLane, now: UInt64) throws(Violation) -> Keeping? {
    var draft = letter.draft
    var found: Keeping?
    var frame = letter.request
    let verdict = withUnsafeBytes(of: &frame) { bytes -> ltp_verdict in
      if let denied = lane.lane.prepareKeeping(bytes.baseAddress!, available: bytes.count) {
        return denied.cValue
      }
      let content = KeptContent(payloadBytes: UInt32(letter.payload.count), word: letter.hash.firstWord)
      return lane.lane.decideKeeping(RouteRequestView(checked: bytes.baseAddress!), content) {
        found = log.look(draft, hash: letter.hash)
        let isBehind = log.isPending(session: letter.request.session_id)
        return found.map(Self.answer) ?? KeepAnswer(LTP_KEPT_NONE, isBehind: isBehind)
      } keep: { needsHello in
        draft.needsHello = needsHello
        found = log.keep(draft, payload: letter.payload, hash: letter.hash, unixNanoseconds: now)
        return Self.answer(found!)
      }.cValue
    }
    let isDeferred = verdict.verdict == LTP_VERDICT_DEFER
    let isRight =
      switch found {
      case .kept, .pending: isDeferred
      case .ended, .differs, .full: verdict.verdict == LTP_VERDICT_DENY
      case .later, .refused, nil: true
      }
    guard isRight else {
      throw Violation("\(String(describing: found)) is answered with \(verdict.verdict), \(verdict.reason)")
    }
    return found
  }

  private static func answer(_ keeping: Keeping) -> KeepAnswer {
    switch keeping {
    case .kept(let ticket, _): KeepAnswer(LTP_KEPT_NEW, ticket: ticket.rawValue)
    case .pending(let ticket, _): KeepAnswer(LTP_KEPT_SAME, ticket: ticket.rawValue)
    case .ended(let ticket, let end): KeepAnswer(LTP_KEPT_ENDED, end: end, ticket: ticket.rawValue)
    case .differs(let ticket): KeepAnswer(LTP_KEPT_DIFFERS, ticket: ticket.rawValue)
    case .full: KeepAnswer(LTP_KEPT_FULL)
    case .later, .refused: KeepAnswer(LTP_KEPT_LATER)
    }
  }

  enum HandingOut {
    case nothing
    /// It could not be read back.
    case unread(Ticket)
    case begun(Handout)
  }

  /// Hands out the next intent, as `Core.beginIntent` does. Its payload goes to `payload`.
  func handOut(
    _ lane: SimulatedLane, into payload: UnsafeMutableRawBufferPointer, _ disk: SimulatedDisk, now: UInt64,
    lease: UInt64
  ) -> HandingOut {
    guard lane.lane.prepareReplay() else { return .nothing }
    let next = log.next(unixNanoseconds: now, looks: 4096) { intent, _ in
      lane.lane.wouldReplay(
        actionClass: intent.actionClass, priority: intent.priority, domain: intent.domain)
    }
    guard let ticket = next.ticket else { return .nothing }
    guard let kept = read(ticket, into: payload, disk) else {
      log.putOff(ticket, until: now + 2 * millisecond)
      return .unread(ticket)
    }
    lastFrame += 1
    let content = KeptContent(payloadBytes: UInt32(kept.payloadBytes), word: kept.contentHash)
    let verdict = lane.lane.replay(kept.request, as: lastFrame, ticket: ticket.rawValue, content)?.cValue
    guard verdict?.verdict == LTP_VERDICT_EXECUTE,
      let handout = log.begin(ticket, unixNanoseconds: now, leaseUntil: now + lease)
    else {
      log.turnBack(ticket)
      return .nothing
    }
    return .begun(handout)
  }

  /// Reads an intent back, by another descriptor than the log's.
  func read(_ ticket: Ticket, into payload: UnsafeMutableRawBufferPointer, _ disk: SimulatedDisk)
    -> KeptIntent?
  {
    var files = IntentFiles(SimulatedStorage(disk))!
    defer { files.releaseMemory() }
    return log.read(ticket, payload: payload, &files)
  }

  // MARK: Planted bugs

  private func loseKeys() {
    for slot in 0..<log.table.usedSlots where log.table.isTaken(slot) {
      let table = log.table
      table.keys.remove(table[slot].keyHash, slot) { table[$0].keyHash }
    }
  }

  /// The next intent that was to be copied counts as copied.
  private func skipACopy() {
    let slot = log.compaction.slot
    guard let segment = log.compaction.segment, slot < log.table.usedSlots, log.table.isTaken(slot) else {
      return
    }
    guard let place = log.table.place(slot), place.segment == segment, log.table[slot].state != .ended else {
      return
    }
    let current = log.chain.position.segmentIndex
    _ = log.table.move(slot, toSegment: current, offset: place.offset)
    log.use.add(segment, -1)
    log.use.add(current, 1)
  }
}

/// What a keeper is made with.
struct KeeperSetup {
  let book: IntentBook
  var configuration = DeferralConfiguration()
  var tellInterval: UInt64 = 1_000_000
  var planted: PlantedInKeeper?
}

/// Whether a segment of the deferral log goes only once the trace has on disk all that it held: a crash would show it, but comes seldom in
/// between.
struct DropCheck {
  /// Blocks of the trace that were sealed, and how much they tell.
  private var told: [(blocks: UInt64, sequence: UInt64)] = []
  /// Where in the log the segments begin that were begun in this run.
  private var starts: [UInt64: UInt64] = [:]
  private var toldDurably: UInt64 = 0
  private var oldest: UInt64?

  mutating func note(_ trace: TraceStanding) {
    if told.last?.sequence != trace.sealedSequence { told.append((trace.sealedBlocks, trace.sealedSequence)) }
    while let first = told.first, first.blocks <= trace.blocks {
      toldDurably = first.sequence
      told.removeFirst()
    }
  }

  mutating func check(_ log: borrowing DeferralLog) throws(Violation) {
    let current = log.chain.position.segmentIndex
    if starts[current] == nil { starts[current] = starts.isEmpty ? 0 : log.segmentStart }
    let now = log.chain.segments.oldest
    defer { oldest = now }
    guard let oldest, now > oldest, let start = starts[now] else { return }
    guard start <= toldDurably else {
      throw Violation("segments below \(now) went, and the trace tells \(toldDurably) of \(start) durably")
    }
  }
}
