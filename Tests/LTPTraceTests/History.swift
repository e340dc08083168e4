// SPDX-License-Identifier: Apache-2.0
// One history from a seed: runs of a core on one disk, with load, faults and sudden ends, and the checker after
// each. Everything in it comes from the seed.

import CLTP
import CLTPSystem
import LTPTestSupport

@testable import LTPStorage
@testable import LTPTrace

/// How a history was, so that a test can see that histories are not all dull.
struct HistoryFacts {
  var runs = 0
  var decisions = 0
  var rotations = 0
  var cuts = 0
  var failures = 0
  var recoveriesInterrupted = 0
  var opensRefused = 0
  var unrecorded = 0
  /// Of the second log.
  var notes = 0
  var noteRotations = 0
  var noteFailures = 0

  static func += (total: inout HistoryFacts, one: HistoryFacts) {
    total.runs += one.runs
    total.decisions += one.decisions
    total.rotations += one.rotations
    total.cuts += one.cuts
    total.failures += one.failures
    total.recoveriesInterrupted += one.recoveriesInterrupted
    total.opensRefused += one.opensRefused
    total.unrecorded += one.unrecorded
    total.notes += one.notes
    total.noteRotations += one.noteRotations
    total.noteFailures += one.noteFailures
  }
}

struct History {
  typealias Core = SimulatedCore<SimulatedStorage>

  let disk: SimulatedDisk
  let clock: SimulatedClock
  let ledger = HostLedger()
  /// Of the second log, if there is one.
  let notes: NoteBook?
  let planted: PlantedBug?
  var random: SplitMix64
  var configuration = TraceConfiguration()
  var facts = HistoryFacts()
  private var isHeavy: Bool
  private var frameID: UInt64 = 0

  init(seed: UInt64, planted: PlantedBug? = nil, hasNotes: Bool = false) {
    self.planted = planted
    notes = hasNotes ? NoteBook() : nil
    random = SplitMix64(seed: seed)
    disk = SimulatedDisk(seed: random.next())
    clock = SimulatedClock(disk)
    isHeavy = random.oneIn(4)
    configuration.chain.blockBytes = 16 << 10
    // Below the smallest that the options allow, so that segments change often; but with room for the largest preamble here
    // (76 KiB), a whole block, and the summary of one in which every decision is of another kind (12 KiB).
    configuration.chain.segmentBytes = [256 << 10, 128 << 10, 112 << 10, 112 << 10][random.below(4)]
    configuration.chain.inflightMax = [1, 2, 4, 8][random.below(4)]
    if random.oneIn(8) {
      configuration.chain.retainSegments = 2
      ledger.retainsEverything = false
    }
  }

  /// Runs the whole history; throws what must not be.
  static func run(
    seed: UInt64, planted: PlantedBug? = nil, hasNotes: Bool = false
  ) throws(Violation) -> HistoryFacts {
    var history = History(seed: seed, planted: planted, hasNotes: hasNotes)
    do throws(Violation) { try history.run() } catch {
      throw Violation("seed \(seed): \(error)")
    }
    if let notes = history.notes {
      history.facts.notes += Int(notes.issued)
      history.facts.noteRotations += notes.rotations
    }
    return history.facts
  }

  private mutating func run() throws(Violation) {
    for _ in 0..<1 + random.below(3) {
      guard let core = try open(withFaults: true) else { continue }
      facts.runs += 1
      try act(on: core)
      try end(core)
    }
    try goOnInPeace()
  }

  /// After all faults: the log opens, takes more, closes, and opens again with all of it.
  private mutating func goOnInPeace() throws(Violation) {
    guard let core = try open(withFaults: false) else { throw Violation("does not open") }
    core.publish(LTP_STATE_HEALTHY)
    try core.openLane()
    try admit(core, count: 5)
    core.notes?.write(5)
    guard try core.shutDown() else { throw Violation("does not close: \(core.failure) \(core.hindrance)") }
    disk.losePower()
    let last = try open(withFaults: false, planted: nil)!
    let walk = try TraceWalk(disk, ledger: ledger)
    guard walk.closedRuns.contains(walk.run) else { throw Violation("the end of a run is not said") }
    if let notes, notes.acknowledged != notes.issued { throw Violation("a note was left behind") }
    disk.losePower()
    _ = last
  }

  // MARK: Opening

  private mutating func open(withFaults: Bool, planted: PlantedBug?? = .none) throws(Violation) -> Core? {
    var tries = 0
    while true {
      var faults = withFaults ? SimulatedFaults.some(&random, now: disk.now) : SimulatedFaults()
      faults.planted = planted ?? self.planted
      faults.plantedPrefix = notes == nil ? "" : NoteLog.prefix
      let mayDie = withFaults && tries < 3 && random.oneIn(3)
      if mayDie { faults.diesAtCall = 1 + random.below(30) }
      disk.plan(faults)
      tries += 1
      let fault: OpenFault
      switch recover() {
      case .success(let core):
        disk.faults.diesAtCall = 0
        try check(core.log)
        return core
      case .failure(let refusal): fault = refusal
      }
      let open = disk.openHandleCount
      guard open == 0 else { throw Violation("\(open) descriptors left open: \(fault.text)") }
      guard fault.status != NoteLog.brokenStatus, mayDie || !faults.planned.isEmpty else {
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
          SimulatedStorage(disk), clock: clock, configuration: configuration, ledger: ledger, notes: notes))
    } catch {
      return .failure(error)
    }
  }

  /// What recovery says and what is on the disk are the same, and nothing that was acknowledged is gone.
  private mutating func check(_ log: RecoveredTrace) throws(Violation) {
    let walk = try TraceWalk(disk, ledger: ledger)
    try walk.checkAcknowledged(ledger)
    if log.chain.cutBytes > 0 {
      facts.cuts += 1
      guard let copy = disk.file(.torn(segment: log.chain.cutSegment, offset: log.chain.cutOffset)),
        UInt64(copy.size) == log.chain.cutBytes
      else { throw Violation("no copy of what was cut") }
    }
    guard walk.blockCount == log.chain.position.blockIndex else {
      throw Violation("goes on with block \(log.chain.position.blockIndex) after \(walk.blockCount)")
    }
    var hash = [UInt8](repeating: 0, count: 32)
    hash.withUnsafeMutableBytes { log.chain.position.previousHash.store(to: $0.baseAddress!) }
    guard hash == walk.lastHash else { throw Violation("goes on with another hash") }
    guard walk.blockCount > 0 else { return }
    guard log.run == walk.run + 1, log.nextLaneID > walk.laneIDMax, log.controlSequence == walk.controlEnd
    else {
      throw Violation("goes on with run \(log.run) lane \(log.nextLaneID) control \(log.controlSequence)")
    }
    guard log.word == walk.word, log.wordGeneration == walk.wordGeneration else {
      throw Violation("goes on with word \(log.word), not \(walk.word)")
    }
    guard log.policyGeneration >= walk.policyGeneration else {
      throw Violation("uses policy \(walk.policyGeneration) again")
    }
    guard log.chain.handle != nil else {
      guard walk.isSealed, log.chain.position.segmentIndex == walk.segmentIndex + 1 else {
        throw Violation("begins a segment too early")
      }
      return
    }
    guard !walk.isSealed, log.chain.position.segmentIndex == walk.segmentIndex,
      log.chain.offset == UInt64(walk.endOffset),
      log.chain.segmentBlocks == walk.segmentBlocks, log.counts.decisionCount == walk.segmentDecisions
    else { throw Violation("goes on in another place") }
  }

  // MARK: Load

  private mutating func act(on core: Core) throws(Violation) {
    if random.oneIn(6) { core.laneBlocks = 2 }
    core.publish(LTP_STATE_HEALTHY)
    try core.openLane()
    let segment = core.progress.pointee.segmentIndex.load(ordering: .relaxed)
    for _ in 0..<10 + random.below(30) {
      if let second = core.notes {
        second.write(random.below(isHeavy ? 300 : 30))
        // Either log may be the one that takes what has completed.
        if random.oneIn(3) { try second.step(&core.writer.pointee.queue, now: disk.now) }
      }
      switch random.below(16) {
      case 0..<7:
        try admit(core, count: 1 + random.below(isHeavy ? 300 : 30))
        if isHeavy { for _ in 0..<4 { try core.step(after: 400_000) } }
      case 7..<12: try core.step(after: UInt64(random.below(2_000_000)))
      case 12: core.publish(UInt8(random.below(Int(LTP_STATE_COUNT))), value: Int64(random.below(100)))
      case 13: try changeLanes(core)
      case 14:
        if random.oneIn(3) { core.loadPolicy() } else { core.intern("text \(random.below(40))") }
      default: core.wantDurable(random.below(4))
      }
    }
    facts.rotations += Int(core.progress.pointee.segmentIndex.load(ordering: .relaxed) - segment)
    if core.failure != LTP_OK { facts.failures += 1 }
    if core.notes?.hasFailed ?? false { facts.noteFailures += 1 }
  }

  private mutating func changeLanes(_ core: Core) throws(Violation) {
    if core.openLanes.count < 3 {
      try core.openLane()
    } else if let lane = core.openLanes.first(where: { !$0.lane.isClosing }) {
      core.close(lane)
    }
  }

  private mutating func admit(_ core: Core, count: Int) throws(Violation) {
    let live = core.openLanes.filter { !$0.lane.isClosing }
    guard !live.isEmpty else { return }
    let lane = live[random.below(live.count)]
    for _ in 0..<count {
      let verdict = try core.admit(lane, request())
      facts.decisions += 1
      if verdict.reason == LTP_REASON_TRACE_BACKPRESSURE { facts.unrecorded += 1 }
    }
    // The host goes on as soon as a failed trace denies.
    if core.failure != LTP_OK, core.orientation.current.state < LTP_STATE_COUNT {
      throw Violation("the trace failed, and lanes were not told")
    }
  }

  private mutating func request() -> ltp_long_request {
    frameID += 1
    let bits = random.next()
    let request = LTPTestSupport.request(
      [0, 8, 24, 40, 56, 63, 9, 25][Int(bits >> 8 & 7)], frameID: frameID, sessionID: 1 + bits & 0xFF,
      priority: UInt8(truncatingIfNeeded: bits >> 16), deadline: bits >> 28 & 15 == 0 ? disk.now : nil)
    return bits >> 24 & 15 == 0 ? replay(of: bits >> 32 | 1, request) : long(request)
  }

  // MARK: Ends

  private mutating func end(_ core: Core) throws(Violation) {
    switch random.below(8) {
    case 0: disk.kill()
    case 1:
      let closed = try core.shutDown()
      guard closed || disk.faults.planned.count > 0 else {
        throw Violation("does not close: \(core.failure) \(core.hindrance)")
      }
      disk.losePower()
    default: disk.losePower()
    }
  }
}
