// SPDX-License-Identifier: Apache-2.0
// An admission core over simulated storage: the same rooms that the C library puts together, without threads. The
// test is lanes, publishers, writer's thread and clock at once, in an order that it chooses.

import CLTP
import CLTPSystem
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPTestSupport
import Synchronization

@testable import LTPAdmission
@testable import LTPRules
@testable import LTPStorage
@testable import LTPTrace

/// A lane and the host's book of it.
final class SimulatedLane {
  let lane: Lane
  let index: Int
  let id: UInt32
  private var written: UInt64 = 0

  init(lane: Lane, index: Int, id: UInt32) {
    self.lane = lane
    self.index = index
    self.id = id
  }

  var published: UInt64 { lane.state.pointee.published.load(ordering: .acquiring) }
  var durable: UInt64 { lane.state.pointee.durable.load(ordering: .acquiring) }

  private func slot(_ sequence: UInt64) -> UnsafeRawPointer {
    let state = lane.state
    let number = sequence / state.pointee.slotsPerBlock
    let offset = Int(sequence % state.pointee.slotsPerBlock) * 32 + 256
    return UnsafeRawPointer(
      state.pointee.ring + Int(number % UInt64(state.pointee.blockCount)) * state.pointee.blockBytes + offset)
  }

  /// Copies what was issued since the last call into the host's book.
  func enterNewSlots(_ ledger: HostLedger) {
    let end = published
    while written < end {
      ledger.lanes[id]!.slots.append(SlotBytes(slot(written)))
      written += 1
    }
  }
}

final class SimulatedCore<Storage: StorageDevice & ~Copyable> {
  static var policy: UnsafePointer<ltp_policy> { sharedPolicy }

  let clock: SimulatedClock
  let ledger: HostLedger
  let configuration: TraceConfiguration
  let log: RecoveredTrace
  let orientation: Orientation
  let lanes: LaneTable
  let progress: UnsafeMutablePointer<TraceProgress>
  let texts: UnsafeMutablePointer<TextRegistry>
  let writer: UnsafeMutablePointer<TraceWriter<Storage>>
  /// A second log on the same disk, through the same queue.
  let notes: NoteLog?
  /// The deferral log beside the trace.
  let keeper: SimulatedKeeper?
  private let limits: SharedLimits
  private let memory: UnsafeMutableRawPointer
  private let staging: UnsafeMutableRawPointer
  var openLanes: [SimulatedLane] = []
  var laneBlocks = 3
  var backpressureWaitNanoseconds: UInt64 = 0
  private var generation: UInt32

  private static var lanesOffset: Int { Orientation.memoryBytes }
  private static var progressOffset: Int { lanesOffset + 4096 }
  private static var textsOffset: Int { progressOffset + 4096 }
  private static var limitsOffset: Int { (textsOffset + 4096 + TextRegistry.memoryBytes + 63) / 64 * 64 }
  private static var voidedOffset: Int { (limitsOffset + SharedLimits.memoryBytes + 63) / 64 * 64 }
  private static var bytes: Int { (voidedOffset + VoidedSessions.memoryBytes + 4095) / 4096 * 4096 }

  /// Recovers the log in `storage` and starts a run, as the C library does. `notes`: so does a second log beside it; `keeping`: so does a
  /// deferral log.
  init(
    _ storage: consuming Storage, clock: SimulatedClock, configuration: TraceConfiguration,
    ledger: HostLedger, notes book: NoteBook? = nil, keeping: KeeperSetup? = nil
  ) throws(OpenFault) {
    let log = try RecoveredTrace.open(&storage, configuration: configuration)
    do throws(OpenFault) {
      notes = try Self.openNotes(book, beside: configuration.chain, in: &storage)
      keeper = try Self.openKeeper(keeping, beside: log, in: &storage)
    } catch {
      log.abandon(&storage)
      throw error
    }
    self.clock = clock
    self.ledger = ledger
    self.configuration = configuration
    self.log = log
    memory = ltp_system_map(Self.bytes, 0)!
    staging = ltp_system_map(configuration.chain.stagingBytes, 0)!
    orientation = Orientation(memory: memory, resuming: OrientationWord(rawValue: log.word))
    limits = SharedLimits(memory: memory + Self.limitsOffset, tick: 1_000_000)
    lanes = LaneTable(memory: memory + Self.lanesOffset)
    progress = (memory + Self.progressOffset).bindMemory(to: TraceProgress.self, capacity: 1)
    progress.initialize(to: TraceProgress(words: memory + Self.progressOffset + 2048))
    progress.pointee.nextLaneID.store(log.nextLaneID, ordering: .relaxed)
    texts = (memory + Self.textsOffset).bindMemory(to: TextRegistry.self, capacity: 1)
    texts.initialize(to: TextRegistry(memory: memory + Self.textsOffset + 4096))
    writer = .allocate(capacity: 1)
    writer.initialize(
      to: TraceWriter(
        storage: storage, configuration: configuration, log: log, progress: progress,
        orientation: orientation, lanes: lanes, texts: texts, staging: staging))
    if let keeper { writer.pointee.open(keeper.toldAtOpening) }
    generation = log.policyGeneration
    tick()
    loadPolicy(starting: true)
    writer.pointee.attachToThread()
  }

  deinit {
    writer.pointee.releaseMemory()
    writer.deinitialize(count: 1)
    writer.deallocate()
    for lane in openLanes { free(lane) }
    texts.deinitialize(count: 1)
    progress.deinitialize(count: 1)
    ltp_system_unmap(staging, configuration.chain.stagingBytes)
    ltp_system_unmap(memory, Self.bytes)
  }

  private static func openNotes(
    _ book: NoteBook?, beside trace: ChainConfiguration, in storage: inout Storage
  ) throws(OpenFault) -> NoteLog? {
    guard let book else { return nil }
    return try NoteLog(&storage, beside: trace, book: book)
  }

  private static func openKeeper(
    _ setup: KeeperSetup?, beside trace: RecoveredTrace, in storage: inout Storage
  ) throws(OpenFault) -> SimulatedKeeper? {
    guard let setup else { return nil }
    return try SimulatedKeeper(&storage, beside: trace, setup)
  }

  // MARK: Publishers

  func loadPolicy(starting: Bool = false, hasShadow: Bool = false) {
    do throws(PublishRefusal) {
      try orientation.load(
        Self.policy, shadow: hasShadow ? Self.policy : nil, generation: generation + 1, starting: starting,
        now: clock.monotonic)
      generation += 1
      ledger.publishedWords.append(orientation.current.rawValue)
    } catch {}
  }

  func publish(_ state: UInt8, reason: UInt8 = LTP_SIGNAL_CPU_PRESSURE, value: Int64 = 0) {
    var evidence = ltp_evidence()
    evidence.signal = reason
    evidence.value = value
    do throws(PublishRefusal) {
      let word = try orientation.publish(
        TransitionChange(to: state, reason: reason), evidence: &evidence, evidenceCount: 1, text: nil,
        now: clock.monotonic)
      ledger.publishedWords.append(word.rawValue)
    } catch {}
  }

  func intern(_ text: String) {
    _ = text.withCString { texts.pointee.intern($0, length: text.utf8.count) }
  }

  func tick() { orientation.line.pointee.tick(monotonic: clock.monotonic, unix: clock.unix) }

  // MARK: Lanes

  @discardableResult
  func openLane(limit: Int = 4) throws(Violation) -> SimulatedLane? {
    guard let index = lanes.freeIndex(limit: limit) else { return nil }
    let id = progress.pointee.nextLaneID.load(ordering: .relaxed)
    guard ledger.lanes[id]?.acknowledged ?? 0 == 0 else { throw Violation("lane id \(id) is used again") }
    progress.pointee.nextLaneID.store(id + 1, ordering: .releasing)
    let ring = ltp_system_map(configuration.chain.blockBytes * laneBlocks, 0)!
    let lane = Lane(
      memory: ltp_system_map(Lane.memoryBytes, 0)!, ring: ring, orientation: orientation,
      limits: limits,
      configuration: LaneConfiguration(
        id: id, blockBytes: configuration.chain.blockBytes, blockCount: laneBlocks,
        backpressureWaitNanoseconds: backpressureWaitNanoseconds, runKey: SipKey(low: 1, high: 2),
        voided: VoidedSessions(memory: memory + Self.voidedOffset)),
      owner: memory)
    lanes.enter(lane, at: index)
    let opened = SimulatedLane(lane: lane, index: index, id: id)
    ledger.lanes[id] = HostLedger.LaneBook()
    openLanes.append(opened)
    return opened
  }

  func close(_ lane: SimulatedLane) {
    lane.lane.close()
    lane.enterNewSlots(ledger)
  }

  private func free(_ lane: SimulatedLane) {
    let state = lane.lane.state
    ltp_system_unmap(state.pointee.ring, state.pointee.blockBytes * state.pointee.blockCount)
    ltp_system_unmap(lane.lane.memory, Lane.memoryBytes)
  }

  /// Decides one request and enters it in the host's book. Throws when the record does not say the verdict.
  @discardableResult
  func admit(_ lane: SimulatedLane, _ long: ltp_long_request) throws(Violation) -> ltp_verdict {
    var long = long
    let request = long.request
    let before = lane.published
    let verdict = lane.lane.admit(&long, available: MemoryLayout<ltp_long_request>.size).cValue
    lane.enterNewSlots(ledger)
    if verdict.reason == LTP_REASON_TRACE_BACKPRESSURE {
      ledger.lanes[lane.id]!.unrecorded += 1
      guard verdict.verdict == LTP_VERDICT_DENY else { throw Violation("EXECUTE without a record") }
      return verdict
    }
    let slots = ledger.lanes[lane.id]!.slots
    let place = slots.count - 1 - (request.header.flags & LTP_REQUEST_REPLAY != 0 ? 1 : 0)
    guard lane.published > before, slots[place].kind == LTP_RECORD_DECISION else {
      throw Violation("a verdict without a record in lane \(lane.id)")
    }
    let record = unsafeBitCast(slots[place].words, to: ltp_decision_record.self)
    guard record.verdict == verdict.verdict, record.reason == verdict.reason,
      record.frame_id == request.frame_id, record.session_id == request.session_id,
      record.action_class == request.action_class, record.priority == request.priority,
      record.retryAfterMilliseconds == verdict.retry_after_ms
    else { throw Violation("the record differs from the verdict in lane \(lane.id)") }
    return verdict
  }

  // MARK: The writer's thread

  var failure: Int32 { progress.pointee.failure.load(ordering: .acquiring) }
  var hindrance: Int32 { progress.pointee.hindrance.load(ordering: .acquiring) }

  /// One turn of the writer after `nanoseconds`; then the host looks at the watermarks.
  @discardableResult
  func step(after nanoseconds: UInt64, isStopping: Bool = false) throws(Violation) -> StepResult {
    clock.advance(nanoseconds)
    tick()
    let result = writer.pointee.step(now: clock.monotonic, nowUnix: clock.unix, waitNanoseconds: 0)
    if let broken = writer.pointee.checkInvariants() { throw Violation("\(broken)") }
    try notes?.step(&writer.pointee.queue, now: clock.monotonic)
    try keeper?.step(writer, progress, now: clock.monotonic, unix: clock.unix, isStopping: isStopping)
    try observe()
    return result
  }

  /// Somebody wants what a lane has written so far on disk, one of them by number.
  func wantDurable(_ number: Int) {
    guard !openLanes.isEmpty else { return }
    let lane = openLanes[number % openLanes.count]
    lane.lane.state.pointee.wanted.max(lane.published, ordering: .sequentiallyConsistent)
    progress.pointee.flushWanted.store(1, ordering: .releasing)
  }

  /// Reads what is said to be durable, as a host that waits for it does.
  private func observe() throws(Violation) {
    for lane in openLanes {
      let durable = Int(lane.durable)
      guard durable <= ledger.lanes[lane.id]!.slots.count else {
        throw Violation("lane \(lane.id): more is durable than was issued")
      }
      guard durable >= ledger.lanes[lane.id]!.acknowledged else {
        throw Violation("lane \(lane.id): the durable watermark went back")
      }
      ledger.lanes[lane.id]!.acknowledged = durable
    }
    ledger.durableBlocks = max(
      ledger.durableBlocks, progress.pointee.durableBlocks.load(ordering: .acquiring))
    openLanes.removeAll { lane in
      guard lane.lane.isDismissed else { return false }
      let unrecorded = lane.lane.state.pointee.unrecordedTotal.load(ordering: .acquiring)
      progress.pointee.unrecorded.add(unrecorded, ordering: .acquiringAndReleasing)
      lanes.remove(lane.index)
      free(lane)
      return true
    }
  }

  /// Steps until `done` says so; false after `limit` turns.
  func run(limit: Int = 4000, after nanoseconds: UInt64 = 500_000, until done: () -> Bool) throws(Violation)
    -> Bool
  {
    for _ in 0..<limit {
      if done() { return true }
      try step(after: nanoseconds)
    }
    return done()
  }

  /// Everything issued so far is durable.
  var isDrained: Bool {
    openLanes.allSatisfy { $0.durable == $0.published }
      && progress.pointee.sealedBlocks.load(ordering: .acquiring)
        == progress.pointee.durableBlocks.load(ordering: .acquiring)
      && orientation.drainedEpoch == orientation.current.epoch
  }

  /// Ends the run in order. False: the writer cannot finish.
  func shutDown(after nanoseconds: UInt64 = 500_000) throws(Violation) -> Bool {
    orientation.close()
    for lane in openLanes where !lane.lane.isClosing { close(lane) }
    guard try run(limit: 40_000, after: nanoseconds, until: { openLanes.isEmpty || failure != LTP_OK }),
      failure == LTP_OK
    else {
      return false
    }
    for _ in 0..<40_000 {
      if keeper?.finish(&writer.pointee.queue) ?? true, writer.pointee.finish() { break }
      if failure != LTP_OK { return false }
      try step(after: nanoseconds, isStopping: true)
    }
    guard writer.pointee.isFinished, failure == LTP_OK, !(keeper?.hasFailed ?? false) else { return false }
    if let notes {
      guard try run(limit: 40_000, after: nanoseconds, until: { notes.isDrained || notes.hasFailed }),
        !notes.hasFailed
      else { return false }
      notes.finish(&writer.pointee.queue)
      guard !notes.hasFailed else { return false }
    }
    writer.pointee.closeFiles()
    return true
  }
}

/// The built-in policy, written once.
nonisolated(unsafe) private let sharedPolicy: UnsafePointer<ltp_policy> = {
  let policy = UnsafeMutablePointer<ltp_policy>.allocate(capacity: 1)
  DefaultPolicy.write(to: policy)
  return UnsafePointer(policy)
}()
