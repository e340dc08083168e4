// SPDX-License-Identifier: Apache-2.0
// A disk with a deferral log on it, for tests that say step by step what happens.

import CLTP
import CLTPSystem
import Glibc
import LTPTestSupport

@testable import LTPDeferral
@testable import LTPRecords
@testable import LTPStorage

/// The disk, and what the host knows. Outlives every crash.
final class DeferralScene {
  /// What the host knows of an intent.
  final class Sent {
    let frame: UInt64
    let ticket: Ticket
    let payload: UnsafeRawBufferPointer
    var isAcknowledged = false
    var isCommitted = false
    var commitIsAcknowledged = false

    init(_ frame: UInt64, _ ticket: Ticket, _ payload: UnsafeRawBufferPointer) {
      self.frame = frame
      self.ticket = ticket
      self.payload = payload
    }

    var request: ltp_route_request { LTPTestSupport.request(25, frameID: frame, sessionID: 1 + frame % 3) }
  }

  let disk: SimulatedDisk
  let clock: SimulatedClock
  var configuration = DeferralConfiguration()
  var sent: [Sent] = []
  private var lastFrame: UInt64 = 0

  init(seed: UInt64 = TestSeed.value(1)) {
    disk = SimulatedDisk(seed: seed)
    clock = SimulatedClock(disk)
    configuration.chain.blockBytes = 16 << 10
    configuration.chain.segmentBytes = 32 << 10
    configuration.chain.inflightMax = 4
    configuration.chain.stagingCount = 6
    configuration.capacity = 400
    calm()
  }

  /// No faults; completions at once.
  func calm() { plan { _ in } }

  func plan(_ change: (inout SimulatedFaults) -> Void) {
    var faults = SimulatedFaults()
    faults.delayNanosecondsMax = 0
    change(&faults)
    disk.plan(faults)
  }

  func nextFrame() -> UInt64 {
    lastFrame += 1
    return lastFrame
  }

  static func name(_ file: ChainFile) -> FileName { DeferralConfiguration.naming.name(of: file) }

  var segments: [UInt64] { disk.segmentIndices(of: DeferralConfiguration.naming) }

  func open() -> Result<DeferralRun, OpenFault> {
    do throws(OpenFault) { return .success(try DeferralRun(self)) } catch { return .failure(error) }
  }

  /// Opens it, and waits until it takes intents.
  func openReady() throws -> DeferralRun {
    let run = try DeferralRun(self)
    guard run.runs(until: { run.log.isOpen }) else { throw DeferralViolation("it does not get ready") }
    return run
  }

  /// Fills so many segments, and begins one more; ends in order.
  func write(segments: Int) throws {
    let run = try openReady()
    let first = run.log.chain.position.segmentIndex
    while run.log.chain.position.segmentIndex < first + UInt64(segments) {
      run.keep(2)
      if sent.count % 5 == 0 { run.commitOne() }
      run.step(after: 1_000_000)
    }
    run.keep(3)
    guard run.runs(until: { run.isSettled }) else { throw DeferralViolation("it does not come to rest") }
    run.log.finish(&run.queue)
    disk.losePower()
    calm()
  }

  /// What was acknowledged is there, as it was kept; and it goes on.
  func loseAndReopen(kills: Bool = false) throws {
    if kills { disk.kill() } else { disk.losePower() }
    calm()
    let run = try openReady()
    try run.check()
    run.keep(5)
    run.commitOne()
    guard run.runs(until: { run.isSettled }) else { throw DeferralViolation("it does not go on") }
    run.log.finish(&run.queue)
    disk.losePower()
    calm()
    let last = try DeferralRun(self)
    try last.check()
    disk.kill()
    calm()
  }

  /// The status with which the log is refused; LTP_OK when it opens, and is whole. The process ends afterwards.
  func openStatus() -> OpenFault {
    defer {
      disk.kill()
      calm()
    }
    switch open() {
    case .success(let run):
      let broken = run.log.checkInvariants()
      return OpenFault(
        broken == nil ? LTP_OK : -1, broken ?? "", segment: run.log.chain.position.segmentIndex,
        offset: run.log.chain.nextOffset)
    case .failure(let fault): return fault
    }
  }

  // MARK: Files

  func bytes(_ name: FileName) -> [UInt8] {
    let file = disk.file(name)!
    return [UInt8](UnsafeRawBufferPointer(start: file.visible, count: file.size))
  }

  func put(_ bytes: [UInt8], as name: FileName) {
    if disk.file(name) != nil { _ = disk.remove(name) }
    let file = disk.create(name)
    bytes.withUnsafeBytes { file.writeDurably($0.baseAddress!, count: $0.count, offset: 0) }
    disk.syncDirectory()
  }

  /// Offsets of the blocks of a segment, and where the last one ends.
  static func blocks(_ content: [UInt8]) -> [Int] {
    var offsets: [Int] = [0]
    content.withUnsafeBytes { raw in
      while offsets.last! + 256 <= raw.count,
        raw.loadUnaligned(fromByteOffset: offsets.last!, as: UInt64.self) == LTP_BLOCK_MAGIC
      {
        offsets.append(
          offsets.last! + Int(raw.loadUnaligned(fromByteOffset: offsets.last! + 60, as: UInt32.self)))
      }
    }
    return offsets
  }
}

/// A run of a process that keeps intents, beside a trace that has everything on disk at once.
final class DeferralRun {
  let scene: DeferralScene
  var log: DeferralLog
  var queue: StorageQueue<SimulatedStorage>
  private let staging: UnsafeMutableRawPointer
  private var waiting: [(sequence: UInt64, sent: DeferralScene.Sent, isCommit: Bool)] = []

  init(_ scene: DeferralScene) throws(OpenFault) {
    self.scene = scene
    let staging = ltp_system_map(scene.configuration.chain.stagingBytes, 0)!
    self.staging = staging
    var storage = SimulatedStorage(scene.disk)
    do throws(OpenFault) {
      log = try DeferralLog.open(&storage, configuration: scene.configuration, staging: staging)
    } catch {
      ltp_system_unmap(staging, scene.configuration.chain.stagingBytes)
      throw error
    }
    queue = StorageQueue(storage)
  }

  deinit {
    log.releaseMemory()
    ltp_system_unmap(staging, scene.configuration.chain.stagingBytes)
  }

  var failure: StorageFault? { log.failure }
  var hindrance: StorageFault? { log.hindrance }
  var isSettled: Bool { log.isSettled }

  // MARK: Work

  /// Keeps intents, as many as it takes. How many it took.
  @discardableResult
  func keep(_ count: Int, payloadBytes: Int = 100) -> Int {
    for number in 0..<count {
      let frame = scene.nextFrame()
      let request = LTPTestSupport.request(25, frameID: frame, sessionID: 1 + frame % 3)
      let payload = SomeBytes.piece(frame, count: payloadBytes)
      let draft = IntentDraft(request, expiresUnixNanoseconds: scene.clock.unix + 3600 * second)
      let hash = Digest(of: payload.baseAddress!, count: payload.count)!
      guard
        case .kept(let ticket, let sequence) = log.keep(
          draft, payload: payload, hash: hash, unixNanoseconds: scene.clock.unix)
      else { return number }
      let sent = DeferralScene.Sent(frame, ticket, payload)
      scene.sent.append(sent)
      waiting.append((sequence, sent, false))
    }
    return count
  }

  /// The next intent, once the log hands any out.
  func next() -> Ticket? {
    var next = log.next(unixNanoseconds: scene.clock.unix, looks: 100, { _, _ in true })
    for _ in 0..<100 where next == .unsaid && log.failure == nil {
      step(after: 1_000_000)
      next = log.next(unixNanoseconds: scene.clock.unix, looks: 100, { _, _ in true })
    }
    return next.ticket
  }

  /// Hands an intent out, and ends it.
  @discardableResult
  func commitOne() -> Bool {
    guard let ticket = next() else { return false }
    let now = scene.clock.unix
    guard
      let handout = log.begin(ticket, unixNanoseconds: now, leaseUntil: now + 3600 * second),
      log.commit(ticket, attempt: handout.attempt, unixNanoseconds: now) == .done
    else { return false }
    let sent = scene.sent.first { $0.ticket == ticket }!
    sent.isCommitted = true
    waiting.append((log.sequence, sent, true))
    return true
  }

  /// A turn of the writer, and of who waits.
  func step(after nanoseconds: UInt64) {
    scene.clock.advance(nanoseconds)
    log.trace.blocks += 1
    log.trace.sealedBlocks = log.trace.blocks
    queue.reap(waitNanoseconds: 0)
    _ = log.step(&queue, now: scene.clock.monotonic, unixNanoseconds: scene.clock.unix)
    log.flush(&queue, now: scene.clock.monotonic, unixNanoseconds: scene.clock.unix)
    log.settle(&queue, now: scene.clock.monotonic)
    tell()
    let durable = log.durableSequence
    for wait in waiting where wait.sequence <= durable {
      if wait.isCommit { wait.sent.commitIsAcknowledged = true } else { wait.sent.isAcknowledged = true }
    }
    waiting.removeAll { $0.sequence <= durable }
    precondition(log.checkInvariants() == nil, "\(log.checkInvariants()!)")
  }

  /// The trace has it on disk with the next step.
  private func tell() {
    var told = scene.configuration.trace.told ?? ToldDeferral()
    told.logID = log.logID
    while let record = log.news.next(durable: log.durableSequence) {
      let view = RecordView(record)
      if view.kind == .intent { told.apply(view.intent) } else { told.apply(view.step) }
      log.news.isTold()
    }
    log.trace.sealedSequence = told.sequence
    scene.configuration.trace = log.trace
    scene.configuration.trace.told = told
  }

  /// Steps until `done` says so; false after `limit` turns.
  func runs(limit: Int = 4000, until done: () -> Bool) -> Bool {
    for _ in 0..<limit where !done() { step(after: 500_000) }
    return done()
  }

  var acknowledgedCount: Int { scene.sent.count { $0.isAcknowledged } }

  // MARK: After a crash

  func check() throws {
    if let broken = log.checkInvariants() { throw DeferralViolation("after recovery: \(broken)") }
    var files = IntentFiles(SimulatedStorage(scene.disk))!
    defer { files.releaseMemory() }
    let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: SomeBytes.countMax, alignment: 32)
    defer { payload.deallocate() }
    for sent in scene.sent {
      guard let slot = log.table.slot(of: IntentKey((0, 0), sent.request)) else {
        if sent.isAcknowledged {
          throw DeferralViolation("frame \(sent.frame) was acknowledged, and is gone")
        }
        continue
      }
      guard log.table.ticket(slot) == sent.ticket else {
        throw DeferralViolation("frame \(sent.frame) has another ticket")
      }
      if log.table[slot].state == .ended {
        guard sent.isCommitted else {
          throw DeferralViolation("frame \(sent.frame) ended, and nobody ended it")
        }
        sent.commitIsAcknowledged = true
      } else {
        guard !sent.commitIsAcknowledged else { throw DeferralViolation("frame \(sent.frame) had ended") }
        sent.isCommitted = false
        guard let kept = log.read(sent.ticket, payload: payload, &files),
          kept.payloadBytes == sent.payload.count,
          memcmp(payload.baseAddress!, sent.payload.baseAddress!, kept.payloadBytes) == 0
        else { throw DeferralViolation("frame \(sent.frame) has another payload") }
      }
      sent.isAcknowledged = true
    }
    // What a crash took is gone for good.
    scene.sent.removeAll { !$0.isAcknowledged }
    guard log.table.pendingCount + log.table.endedCount == scene.sent.count else {
      throw DeferralViolation(
        "\(log.table.pendingCount + log.table.endedCount) intents, of \(scene.sent.count)")
    }
  }
}
