// SPDX-License-Identifier: Apache-2.0
// The writer: takes slots from lanes and transitions from the orientation, seals them into chained blocks, and
// has them written. One thread drives it by calling `step`; it never sleeps and starts no thread itself.
//
// Invariants
//   - Blocks are sealed in the order of their index and acknowledged in that order, whatever order the device
//     completes them in. "Durable" is said only after the covering write's completion returned success.
//   - A transition is in the log before any decision made under it.
//   - Any fault that could mean lost data is final: `fail` closes the orientation, so that lanes deny at once.
//   - A segment begins with a preamble that makes it readable by itself.

import CLTP
import CLTPSystem
public import LTPAdmission
import LTPRecords
import Synchronization

/// A sealed block on its way to the device. Entries stand in the order of their block index.
struct BlockInFlight {
  var index: UInt64
  var segment: UInt64
  var file: Int32
  var memory: UnsafeRawPointer
  var bytes: Int
  var offset: UInt64
  var bufferIndex: Int32
  var done = 0
  var isStarted = false
  var isComplete = false
  var tries = 0
  /// Lane whose slots below `endSequence` are durable with this block; -1: control.
  var laneIndex: Int
  var endSequence: UInt64
  /// Staging buffer to give back; -1: the block lies in the lane's ring.
  var staging: Int
  var decisions: UInt64
}

/// The writer's place in one lane.
struct LaneCursor {
  var taken: UInt64 = 0
  var head: UInt64 = 0
  var durable: UInt64 = 0
  var takenAt: UInt64 = 0
  var isRegistered = false
  var isKnown = false
  // What the next slot's record counts from, if it is not the first of a ring block.
  var word: UInt64 = 0
  var limitsWord: UInt64 = 0
  var baseMonotonic: UInt64 = 0
  var baseUnix: UInt64 = 0
}

/// A segment that is being written.
struct OpenSegment {
  var index: UInt64
  var handle: Int32
  var offset: UInt64
  /// Bytes from the start that are on disk as zeros or data, and can be overwritten in place.
  var zeroed: UInt64
  var blocks: UInt64 = 0
  var decisions: UInt64 = 0
  /// Its last block has been said; the next segment comes once that is durable.
  var isSealed = false
}

/// What a call of `step` did, for the thread that decides how long to sleep.
public struct StepResult {
  /// Something was taken, started or acknowledged.
  public var progressed: Bool
  /// Operations are under way.
  public var isWaiting: Bool
}

public struct TraceWriter<Storage: TraceStorage & ~Copyable>: ~Copyable {
  var storage: Storage
  let configuration: TraceConfiguration
  let progress: UnsafeMutablePointer<TraceProgress>
  let orientation: Orientation
  let lanes: LaneTable
  let texts: UnsafeMutablePointer<TextRegistry>
  let log: RecoveredLog

  // The chain.
  var position: ChainPosition
  var durableBlocks: UInt64
  var segment: OpenSegment?
  /// What the segment's blocks hold: its summary, once it is full.
  let counts: SegmentCounts
  var controlSequence: UInt64
  var runDecisions: UInt64 = 0

  // Blocks on their way.
  let entries: UnsafeMutablePointer<BlockInFlight>
  var firstEntry = 0
  var entryCount = 0

  static var completionsMax: Int { 32 }
  let completions: UnsafeMutablePointer<StorageCompletion>

  // Staging memory.
  let staging: UnsafeMutableRawPointer
  let freeStaging: UnsafeMutablePointer<Int>
  var freeStagingCount: Int
  var stagingIsRegistered = false

  var cursors = InlineArray<64, LaneCursor>(repeating: LaneCursor())
  var controlBlocks = InlineArray<2, ControlBlock>(repeating: ControlBlock())
  var preamble = Preamble()
  /// By gathering: the generation whose policy has been said, and not yet the shadow beside it; 0: none.
  var pairsBegun = InlineArray<2, UInt32>(repeating: 0)
  /// What control records say, with those that are still being gathered ...
  var said: Said
  /// ... and what sealed blocks say: only that may be repeated in a preamble, which goes before what is gathered.
  var sealed: Said
  var closedIsGathered = false
  var saidClosed = false
  /// Everything that was handed over is durable, and the run's end is said.
  public internal(set) var isFinished = false
  var filesAreClosed = false

  var preparer = SegmentPreparer()
  var oldestSegment: UInt64
  var now: UInt64 = 0
  var nowUnix: UInt64 = 0
  var progressed = false

  /// `staging`: `configuration.stagingBytes` of page-aligned memory. All memory must outlive the writer.
  public init(
    storage: consuming Storage, configuration: TraceConfiguration, log: RecoveredLog,
    progress: UnsafeMutablePointer<TraceProgress>, orientation: Orientation, lanes: LaneTable,
    texts: UnsafeMutablePointer<TextRegistry>, staging: UnsafeMutableRawPointer
  ) {
    self.storage = storage
    self.configuration = configuration
    self.log = log
    self.progress = progress
    self.orientation = orientation
    self.lanes = lanes
    self.texts = texts
    self.staging = staging
    position = log.position
    counts = log.counts
    durableBlocks = log.position.blockIndex
    controlSequence = log.controlSequence
    said = Said(
      generation: log.policyGeneration, word: log.word, wordGeneration: log.wordGeneration,
      numbers: log.numbers)
    sealed = said
    oldestSegment = log.oldestSegment
    if let handle = log.handle {
      segment = OpenSegment(
        index: log.position.segmentIndex, handle: handle, offset: log.offset, zeroed: log.offset,
        blocks: log.segmentBlocks, decisions: log.segmentDecisions)
      preamble.isDone = log.offset > 0
    } else {
      segment = nil
    }
    entries = .allocate(capacity: configuration.inflightMax)
    freeStaging = .allocate(capacity: configuration.stagingCount)
    for index in 0..<configuration.stagingCount { freeStaging[index] = index }
    freeStagingCount = configuration.stagingCount
    completions = .allocate(capacity: Self.completionsMax)
    progress.pointee.sealedBlocks.store(position.blockIndex, ordering: .relaxed)
    progress.pointee.durableBlocks.store(position.blockIndex, ordering: .relaxed)
    progress.pointee.segmentIndex.store(position.segmentIndex, ordering: .relaxed)
  }

  /// Gives the writer's memory back; nothing else may be called after it. Not a deinit: Swift 6.3 destroys the
  /// fields of a generic noncopyable structure behind a pointer without running it.
  public mutating func giveBack() {
    if let zeros = preparer.memory { ltp_system_unmap(zeros, configuration.zeroBytes) }
    preparer.memory = nil
    counts.giveBack()
    entries.deallocate()
    freeStaging.deallocate()
    completions.deallocate()
  }

  /// The calling thread is the one that steps from now on.
  public mutating func attachToThread() {
    do throws(StorageFault) { try storage.attach() } catch { fail(error) }
  }

  /// Waits until the device has let go of every block, however it ended, so that their memory can be given back.
  public mutating func settleInFlight() {
    var rounds = 0
    while entryCount > 0 || preparer.isBusy, rounds < 1000 {
      var pending = preparer.isBusy
      for position in 0..<entryCount {
        let block = entry(position).pointee
        pending = pending || (block.isStarted && !block.isComplete)
      }
      guard pending else { return }
      do throws(StorageFault) {
        let count = try storage.complete(
          into: completions, capacity: Self.completionsMax, waitNanoseconds: 10_000_000)
        for index in 0..<count { letGo(completions[index]) }
      } catch {
        return
      }
      rounds += 1
    }
  }

  public var hasFailed: Bool { progress.pointee.failure.load(ordering: .relaxed) != LTP_OK }

  /// Does what can be done now, without waiting longer than `waitNanoseconds` for a completion.
  public mutating func step(now: UInt64, nowUnix: UInt64, waitNanoseconds: UInt64) -> StepResult {
    self.now = now
    self.nowUnix = nowUnix
    progressed = false
    if !stagingIsRegistered {
      stagingIsRegistered = true
      stagingBuffer =
        storage.register(
          memory: staging, bytes: configuration.stagingBytes,
          index: TraceConfiguration.stagingBufferIndex)
        ? TraceConfiguration.stagingBufferIndex : -1
    }
    reap(waitNanoseconds: waitNanoseconds)
    if !hasFailed { advance() }
    startPending()
    if !hasFailed { prepareSegments() }
    reap(waitNanoseconds: 0)
    assert(invariantsHold)
    return StepResult(progressed: progressed, isWaiting: !hasFailed && (entryCount > 0 || preparer.isBusy))
  }

  var stagingBuffer: Int32 = -1

  /// Seals what lanes and publishers have handed over, in order, as far as there is room.
  private mutating func advance() {
    guard ensureSegment() else { return }
    let flush = progress.pointee.flushWanted.exchange(0, ordering: .acquiring) != 0
    readHeads()
    guard drainTransitions(), sayTexts(), flushControl(.control) else {
      if flush { progress.pointee.flushWanted.store(1, ordering: .relaxed) }
      return
    }
    if !takeLanes(flush: flush), flush { progress.pointee.flushWanted.store(1, ordering: .relaxed) }
  }

  /// No record may be accepted any more: lanes deny from their next decision on, waiters are told.
  mutating func fail(_ status: Int32, code: Int32) {
    guard !hasFailed else { return }
    progress.pointee.failureCode.store(code, ordering: .relaxed)
    progress.pointee.failure.store(status, ordering: .releasing)
    orientation.close()
    wakeWaiters()
  }

  mutating func fail(_ fault: StorageFault) {
    let noSpace =
      fault.code == LTP_SYSTEM_ENOSPC || fault.code == LTP_SYSTEM_EDQUOT || fault.code == LTP_SYSTEM_EFBIG
    fail(noSpace ? LTP_ERROR_TRACE_NO_SPACE : LTP_ERROR_TRACE_IO, code: fault.code)
  }

  func wakeWaiters() {
    // Both sequentially consistent, as on the waiters' side: either they see the new signal or we see them.
    progress.pointee.durableSignal.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if progress.pointee.waiters.load(ordering: .sequentiallyConsistent) > 0 {
      FutexWord.wakeAll(progress.pointee.durableSignal)
    }
  }
}
