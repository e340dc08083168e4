// SPDX-License-Identifier: Apache-2.0
// The system's storage on a real directory: both roads, rings of one and two entries, and the same bytes from both.

import CLTP
import CLTPSystem
import Foundation
import LTPInspect
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPStorage
@testable import LTPTrace

/// The system's storage, with a log id that does not change from one run of the test to the next.
private struct FixedStorage: StorageDevice, ~Copyable {
  var system: SystemStorage

  mutating func list(_ body: (FileName) -> Void) throws(StorageFault) { try system.list(body) }
  mutating func open(_ name: FileName, _ mode: OpenMode) throws(StorageFault) -> Int32 {
    try system.open(name, mode)
  }
  mutating func close(_ handle: Int32, isIdle: Bool) { system.close(handle, isIdle: isIdle) }
  mutating func lock(_ handle: Int32?) throws(StorageFault) -> Bool { try system.lock(handle) }
  mutating func size(_ handle: Int32) throws(StorageFault) -> UInt64 { try system.size(handle) }
  mutating func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int { try system.read(handle, into: memory, count: count, offset: offset) }
  mutating func write(
    _ handle: Int32, from memory: UnsafeRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) { try system.write(handle, from: memory, count: count, offset: offset) }
  mutating func truncate(_ handle: Int32, to bytes: UInt64) throws(StorageFault) {
    try system.truncate(handle, to: bytes)
  }
  mutating func sync(_ handle: Int32) throws(StorageFault) { try system.sync(handle) }
  mutating func syncDirectory() throws(StorageFault) { try system.syncDirectory() }
  mutating func rename(_ from: FileName, to: FileName, replaces: Bool) throws(StorageFault) {
    try system.rename(from, to: to, replaces: replaces)
  }
  mutating func remove(_ name: FileName) throws(StorageFault) { try system.remove(name) }
  mutating func attach() throws(StorageFault) { try system.attach() }
  mutating func start(_ write: StorageWrite) -> Bool { system.start(write) }
  mutating func startSync(_ handle: Int32, token: UInt64) -> Bool { system.startSync(handle, token: token) }
  mutating func complete(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int, waitNanoseconds: UInt64
  ) throws(StorageFault) -> Int {
    // The test's clock stands still meanwhile, so a little real waiting changes nothing in the log.
    try system.complete(into: completions, capacity: capacity, waitNanoseconds: max(waitNanoseconds, 200_000))
  }
  mutating func register(memory: UnsafeMutableRawPointer, bytes: Int, index: Int32) -> Bool {
    system.register(memory: memory, bytes: bytes, index: index)
  }
  mutating func unregister(index: Int32) { system.unregister(index: index) }
  mutating func randomLogID() -> LogID? { LogID(low: 11, high: 12) }
  mutating func sleep(nanoseconds: UInt64) { system.sleep(nanoseconds: nanoseconds) }
}

@Suite("The system's storage", .guarded)
struct SystemStorageTests {
  /// Whether this machine lets a process have a ring; told apart from a broken one by trying once.
  static let hasRing: Bool = {
    do throws(StorageFault) {
      let storage = try SystemStorage(
        path: NSTemporaryDirectory(), storage: LTP_STORAGE_AUTO, queueDepth: 2, bufferCount: 1)
      return storage.choice.storage == LTP_STORAGE_IO_URING
    } catch {
      return false
    }
  }()

  /// Writes a log of several segments and closes it; everything but the device's pace is fixed. Returns its files.
  private func writeLog(storage: UInt32, queueDepth: Int, inflightMax: Int = 4) throws -> [String: Data] {
    let directory = TemporaryDirectory()
    let path = directory.path
    var configuration = TraceConfiguration()
    configuration.chain.blockBytes = 16 << 10
    configuration.chain.segmentBytes = 256 << 10
    configuration.chain.inflightMax = inflightMax
    let ledger = HostLedger()
    for run in 0..<2 {
      let system = try SystemStorage(
        path: path, storage: storage, queueDepth: queueDepth, bufferCount: TraceConfiguration.bufferCount)
      #expect(system.choice.storage == storage)
      let core = try SimulatedCore(
        FixedStorage(system: system), clock: SimulatedClock(), configuration: configuration, ledger: ledger)
      #expect(core.log.run == UInt32(run) + 1)
      try fill(core)
      #expect(
        try core.shutDown(after: 0),
        "\(core.failure) \(core.progress.pointee.failureCode.load(ordering: .relaxed))")
    }
    var files: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: path) {
      files[name] = try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
    }
    return files
  }

  @Test(
    "two logs go through one ring, or one descriptor, and both open again with all that was acknowledged",
    arguments: [LTP_STORAGE_PWRITEV, LTP_STORAGE_IO_URING])
  func twoLogs(storage: UInt32) throws {
    guard storage == LTP_STORAGE_PWRITEV || Self.hasRing else {
      print("no io_uring here: two logs through one ring were not written")
      return
    }
    let directory = TemporaryDirectory()
    var configuration = TraceConfiguration()
    configuration.chain.blockBytes = 16 << 10
    configuration.chain.segmentBytes = 256 << 10
    let (ledger, book) = (HostLedger(), NoteBook())
    for _ in 0..<3 {
      let system = try SystemStorage(
        path: directory.path, storage: storage, queueDepth: 2 * configuration.chain.queueDepth,
        bufferCount: TraceConfiguration.bufferCount + 1)
      let core = try SimulatedCore(
        FixedStorage(system: system), clock: SimulatedClock(), configuration: configuration, ledger: ledger,
        notes: book)
      core.publish(LTP_STATE_HEALTHY)
      let lane = try core.openLane()!
      for frame in 0..<6000 {
        try core.admit(lane, Scene.request(UInt64(frame)))
        core.notes?.write(frame % 7)
        if frame % 200 == 0 { try core.step(after: 500_000) }
      }
      #expect(try core.shutDown())
      #expect(book.issued > 0 && book.acknowledged == book.issued)
    }
    #expect(book.recoveries == 3 && book.rotations > 2)
    let report = try Inspector(directory.path).verify()
    #expect(report.violations.map(\.text) == [])
    #expect(report.scan.segmentCount > 2)
  }

  private func fill(_ core: SimulatedCore<FixedStorage>) throws {
    core.publish(LTP_STATE_HEALTHY)
    let lane = try core.openLane()!
    try settle(core)
    for frame in 0..<12_000 {
      try core.admit(lane, Scene.request(UInt64(frame)))
      if frame % 504 == 400 { try settle(core) }
      if frame % 3000 == 10 {
        try settle(core)
        core.publish(UInt8(1 + frame % 5))
        try settle(core)
      }
    }
    try settle(core)
  }

  /// Steps until everything is durable and what is being prepared is ready. How far the test's clock moves does not
  /// depend on how long the device takes.
  private func settle(_ core: SimulatedCore<FixedStorage>) throws {
    // Twice: what came after a full block waits for its own commit interval.
    for _ in 0..<2 {
      core.clock.advance(2_000_000)
      core.tick()
      var quiet = 0
      for _ in 0..<20_000 where quiet < 3 {
        let result = try core.step(after: 0)
        quiet = result.isWaiting || result.progressed ? 0 : quiet + 1
      }
      guard quiet == 3 else { throw Violation("does not come to rest: \(core.failure) \(core.hindrance)") }
    }
    guard core.isDrained else { throw Violation("rests before it is drained") }
  }

  /// Opens what is in `files` on a simulated disk, and checks it block by block.
  private func check(_ files: [String: Data]) throws {
    let scene = Scene()
    for (name, content) in files {
      guard let file = name.withCString({ FileName($0) }).flatMap({ ChainNaming.trace.file(named: $0) })
      else {
        throw Violation("a file named \(name)")
      }
      scene.put([UInt8](content), as: file)
    }
    scene.configuration.chain.segmentBytes = 256 << 10
    #expect(scene.openStatus().status == LTP_OK)
    #expect(scene.disk.segmentIndices().count > 2)
  }

  @Test("pwritev writes a log that opens and checks", arguments: [1, 8])
  func pwritev(_ queueDepth: Int) throws {
    try check(try writeLog(storage: LTP_STORAGE_PWRITEV, queueDepth: queueDepth))
  }

  @Test(
    "faults 13 and 14: a ring of one or two entries takes everything",
    .enabled(if: hasRing, "io_uring cannot be had on this machine (seccomp or kernel.io_uring_disabled)"),
    arguments: [1, 2])
  func tinyRing(_ queueDepth: Int) throws {
    try check(try writeLog(storage: LTP_STORAGE_IO_URING, queueDepth: queueDepth))
  }

  @Test(
    "fault 15: io_uring and pwritev write the same bytes",
    .enabled(if: hasRing, "io_uring cannot be had on this machine (seccomp or kernel.io_uring_disabled)"))
  func sameBytes() throws {
    // What a block says of the blocks before it depends on the device's pace, unless they go one by one.
    let ring = try writeLog(storage: LTP_STORAGE_IO_URING, queueDepth: 8, inflightMax: 1)
    let plain = try writeLog(storage: LTP_STORAGE_PWRITEV, queueDepth: 8, inflightMax: 1)
    #expect(Set(ring.keys) == Set(plain.keys))
    for (name, content) in ring { #expect(content == plain[name], "\(name)") }
  }

  @Test("fault 22: the second writer of a directory is told that it is locked")
  func locked() throws {
    let directory = TemporaryDirectory()
    let path = directory.path
    var configuration = TraceConfiguration()
    configuration.chain.lockWaitNanoseconds = 5_000_000
    var first = try SystemStorage(path: path, storage: LTP_STORAGE_PWRITEV, queueDepth: 4, bufferCount: 1)
    var second = try SystemStorage(path: path, storage: LTP_STORAGE_PWRITEV, queueDepth: 4, bufferCount: 1)
    let log = try RecoveredTrace.open(&first, configuration: configuration)
    do throws(OpenFault) {
      _ = try RecoveredTrace.open(&second, configuration: configuration)
      Issue.record("two writers")
    } catch {
      #expect(error.status == LTP_ERROR_TRACE_LOCKED)
    }
    log.abandon(&first)
  }

  @Test("fault 31: a lane that may wait does so until the writer has made room")
  func waitsForRoom() throws {
    let scene = Scene()
    let core = try scene.open()
    core.publish(LTP_STATE_HEALTHY)
    core.backpressureWaitNanoseconds = 60_000_000_000
    let lane = try core.openLane()!
    scene.plan { $0.stalledUntil = scene.disk.now + 1_000_000_000 }
    // The writer's turn comes on another thread, after the lane has filled its ring and waits.
    nonisolated(unsafe) let turn = core
    nonisolated(unsafe) let state = lane.lane.state
    let capacity = UInt64(core.laneBlocks) * lane.lane.state.pointee.slotsPerBlock
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      defer { done.signal() }
      while state.pointee.published.load(ordering: .acquiring) < capacity { usleep(100) }
      usleep(20_000)
      for _ in 0..<200 {
        turn.clock.advance(100_000_000)
        _ = turn.writer.pointee.step(now: turn.clock.monotonic, nowUnix: turn.clock.unix, waitNanoseconds: 0)
        if state.pointee.releasedBlocks.load(ordering: .acquiring) > 0 { return }
      }
    }
    thread.start()
    for frame in 0...capacity {
      #expect(try core.admit(lane, Scene.request(frame)).reason != LTP_REASON_TRACE_BACKPRESSURE)
    }
    done.wait()
    #expect(scene.ledger.lanes[lane.id]!.unrecorded == 0)
    #expect(lane.published > capacity)
    #expect(try core.shutDown())
    scene.disk.losePower()
  }
}
