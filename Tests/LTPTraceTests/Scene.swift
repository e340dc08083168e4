// SPDX-License-Identifier: Apache-2.0
// A disk with a log on it, for tests that say step by step what happens.

import CLTP
import CLTPSystem
import LTPTestSupport

@testable import LTPStorage
@testable import LTPTrace

final class Scene {
  typealias Core = SimulatedCore<SimulatedStorage>

  let disk: SimulatedDisk
  let clock: SimulatedClock
  let ledger = HostLedger()
  var configuration = TraceConfiguration()
  private var frameID: UInt64 = 0

  init(seed: UInt64 = TestSeed.value(1)) {
    disk = SimulatedDisk(seed: seed)
    clock = SimulatedClock(disk)
    configuration.chain.blockBytes = 16 << 10
    configuration.chain.segmentBytes = 64 << 10
    configuration.chain.inflightMax = 4
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

  func open() throws(OpenFault) -> Core {
    try Core(SimulatedStorage(disk), clock: clock, configuration: configuration, ledger: ledger)
  }

  /// The status with which the log is refused; LTP_OK when it opens. The process ends afterwards.
  func openStatus() -> (status: Int32, segment: UInt64, offset: UInt64) {
    defer {
      disk.kill()
      calm()
    }
    do throws(OpenFault) {
      let core = try open()
      withExtendedLifetime(core) {}
      return (LTP_OK, core.log.chain.position.segmentIndex, core.log.chain.offset)
    } catch {
      return (error.status, error.segment, error.offset)
    }
  }

  static func request(_ frameID: UInt64, actionClass: UInt8 = 8) -> ltp_long_request {
    long(LTPTestSupport.request(actionClass, frameID: frameID, sessionID: 1 + frameID % 7))
  }

  func admit(_ core: Core, _ lane: SimulatedLane, count: Int) throws(Violation) {
    for _ in 0..<count {
      frameID += 1
      try core.admit(lane, Self.request(frameID))
    }
  }

  /// Runs a core until `segments` segments are full and something is in the next; closes it in order.
  @discardableResult
  func writeLog(segments: Int) throws -> TraceWalk {
    calm()
    let core = try open()
    core.publish(LTP_STATE_HEALTHY)
    let lane = try core.openLane()!
    let first = core.log.chain.position.segmentIndex
    while core.progress.pointee.segmentIndex.load(ordering: .relaxed) < first + UInt64(segments) {
      try admit(core, lane, count: 100)
      try core.step(after: 1_000_000)
    }
    try admit(core, lane, count: 10)
    guard try core.shutDown() else { throw Violation("does not close") }
    disk.losePower()
    calm()
    return try TraceWalk(disk, ledger: ledger)
  }

  /// Opens a core with a lane, HEALTHY, and all of that durable.
  func openWithLane() throws -> (Core, SimulatedLane) {
    let core = try open()
    core.publish(LTP_STATE_HEALTHY)
    let lane = try core.openLane()!
    guard try core.run(until: { core.isDrained }) else { throw Violation("does not start") }
    return (core, lane)
  }

  /// Loses the power, opens again, checks everything, and goes on working.
  func loseAndReopen() throws {
    disk.losePower()
    calm()
    let core = try open()
    let walk = try TraceWalk(disk, ledger: ledger)
    try walk.checkAcknowledged(ledger)
    core.publish(LTP_STATE_HEALTHY)
    let lane = try core.openLane()!
    try admit(core, lane, count: 20)
    guard try core.shutDown() else { throw Violation("does not close") }
    disk.losePower()
    calm()
    let after = try TraceWalk(disk, ledger: ledger)
    try after.checkAcknowledged(ledger)
    guard after.blockCount > walk.blockCount, after.closedRuns.contains(after.run) else {
      throw Violation("did not go on")
    }
  }

  /// The content of a file on the disk.
  func bytes(_ name: ChainFile) -> [UInt8] {
    let file = disk.file(name)!
    return [UInt8](UnsafeRawBufferPointer(start: file.visible, count: file.size))
  }

  /// Puts a file in the directory in place of what is there.
  func put(_ bytes: [UInt8], as name: ChainFile) {
    if disk.file(name) != nil { _ = disk.remove(name) }
    let file = disk.create(name)
    bytes.withUnsafeBytes { file.writeDurably($0.baseAddress!, count: $0.count, offset: 0) }
    disk.syncDirectory()
  }

  func drop(_ name: ChainFile) {
    _ = disk.remove(name)
    disk.syncDirectory()
  }

  /// Offsets of the blocks of a segment.
  func blockOffsets(_ index: UInt64) -> [Int] {
    let content = bytes(.segment(index))
    var offsets: [Int] = []
    var offset = 0
    content.withUnsafeBytes { raw in
      while offset + 256 <= raw.count,
        raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == LTP_BLOCK_MAGIC
      {
        offsets.append(offset)
        offset += Int(raw.loadUnaligned(fromByteOffset: offset + 60, as: UInt32.self))
      }
    }
    return offsets
  }
}
