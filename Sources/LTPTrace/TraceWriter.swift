// SPDX-License-Identifier: Apache-2.0
// The writer: takes slots from lanes and transitions from the orientation, and appends them to the trace's chain. One
// thread drives it by calling `step`; it never sleeps and starts no thread itself.
//
// Invariants
//   - A transition is in the log before any decision made under it.
//   - Any fault that could mean lost data is final: `fail` closes the orientation, so that lanes deny at once.
//   - A segment begins with a preamble that makes it readable by itself.
//   - "Durable" is said only of what the chain has acknowledged.

import CLTP
import CLTPSystem
public import LTPAdmission
public import LTPOrientation
import LTPRecords
public import LTPStorage
import Synchronization

/// The writer's place in one lane.
struct LaneCursor {
  var drained: UInt64 = 0
  var head: UInt64 = 0
  /// What somebody waits for, at most the head.
  var wanted: UInt64 = 0
  var durable: UInt64 = 0
  var drainedAt: UInt64 = 0
  /// As read with the head: each look at the lane's own lines costs the lane a cache miss.
  var isClosing = false
  var isRegistered = false
  var isKnown = false
  // What the next slot's record counts from, if it is not the first of a ring block.
  var word: UInt64 = 0
  var limitsWord: UInt64 = 0
  var baseMonotonic: UInt64 = 0
  var baseUnix: UInt64 = 0

  var isWaitedFor: Bool { wanted > drained }

  /// nil: all is as it must be; else what is not.
  func checkInvariants(_ lane: Lane) -> StaticString? {
    let ringSlots = lane.state.pointee.slotsPerBlock * UInt64(lane.state.pointee.blockCount)
    if durable > drained { return "cursor: more is durable than was drained" }
    if drained > head { return "cursor: more was drained than is there" }
    return head - durable > ringSlots ? "cursor: the ring was used again before it was durable" : nil
  }
}

/// What a call of `step` did, for the thread that decides how long to sleep.
public struct StepResult {
  /// Something was drained, started or acknowledged.
  public var progressed: Bool
  /// Operations are under way.
  public var isWaiting: Bool
}

public struct TraceWriter<Device: StorageDevice & ~Copyable>: ~Copyable {
  /// Other chains may write through it: each `step` reaps for them too.
  public var queue: StorageQueue<Device>
  var chain: Chain
  let configuration: TraceConfiguration
  let progress: UnsafeMutablePointer<TraceProgress>
  let orientation: Orientation
  let lanes: LaneTable
  let texts: UnsafeMutablePointer<TextRegistry>
  let log: RecoveredTrace

  /// Which lane is served first, of all and of those that somebody waits for: who found no room comes before who did.
  var turn = 0
  var turnOfWaitedFor = 0
  /// Lanes that are waited for have had theirs, and the others have not: these come first.
  var isTurnOfAll = false
  var cursors = InlineArray<64, LaneCursor>(repeating: LaneCursor())
  var control: ControlLane
  var runDecisions: UInt64 = 0
  /// This run has a deferral log.
  var isDeferring = false
  /// Which of the oldest segments may go.
  var retention: Retention
  /// Of the current segment, for its summary.
  let counts: SegmentCounts
  /// Everything that was handed over is durable, and the run's end is appended.
  public private(set) var isFinished = false

  var now: UInt64 = 0
  var nowUnix: UInt64 = 0
  /// Something was gathered or dismissed; appended or completed blocks are the chain's to tell.
  var progressed = false

  /// `staging`: `configuration.chain.stagingBytes` of page-aligned memory. All memory must outlive the writer.
  public init(
    storage: consuming Device, configuration: TraceConfiguration, log: RecoveredTrace,
    progress: UnsafeMutablePointer<TraceProgress>, orientation: Orientation, lanes: LaneTable,
    texts: UnsafeMutablePointer<TextRegistry>, staging: UnsafeMutableRawPointer
  ) {
    queue = StorageQueue(storage)
    chain = Chain(log.chain, configuration: configuration.chain, staging: staging)
    self.configuration = configuration
    self.log = log
    self.progress = progress
    self.orientation = orientation
    self.lanes = lanes
    self.texts = texts
    control = ControlLane(log)
    retention = Retention(log.told, segment: log.chain.position.segmentIndex)
    counts = log.counts
    let position = log.chain.position
    progress.pointee.sealedBlocks.store(position.blockIndex, ordering: .relaxed)
    progress.pointee.durableBlocks.store(position.blockIndex, ordering: .relaxed)
    progress.pointee.segmentIndex.store(position.segmentIndex, ordering: .relaxed)
  }

  /// Gives the writer's memory back; nothing else may be called after it. Not a deinit: Swift 6.3 destroys the
  /// fields of a generic noncopyable structure behind a pointer without running it.
  public mutating func releaseMemory() { counts.releaseMemory() }

  /// The calling thread is the one that steps from now on.
  public mutating func attachToThread() {
    do throws(StorageFault) { try queue.device.attach() } catch { fail(error) }
  }

  /// Waits until the device has let go of every block, however it ended, so that their memory can be given back.
  public mutating func settleInFlight() { chain.waitUntilIdle(&queue) }

  public var hasFailed: Bool { progress.pointee.failure.load(ordering: .relaxed) != LTP_OK }

  /// Does what can be done now, without waiting longer than `waitNanoseconds` for a completion.
  public mutating func step(now: UInt64, nowUnix: UInt64, waitNanoseconds: UInt64) -> StepResult {
    self.now = now
    self.nowUnix = nowUnix
    progressed = false
    chain.hasProgressed = false
    reap(waitNanoseconds: waitNanoseconds)
    if !hasFailed { advance() }
    chain.pump(&queue)
    reap(waitNanoseconds: 0)
    assert(checkInvariants() == nil)
    return StepResult(
      progressed: progressed || chain.hasProgressed, isWaiting: !hasFailed && chain.isWaiting)
  }

  /// Takes what has completed, for every chain of the queue, and tells everyone else what came of the trace's.
  private mutating func reap(waitNanoseconds: UInt64) {
    queue.reap(waitNanoseconds: waitNanoseconds)
    chain.settle(now: now, &queue)
    publishProgress()
  }

  /// Seals what lanes and publishers have handed over, in order, as far as there is room.
  private mutating func advance() {
    guard ensureSegment() else { return }
    let isWaitedFor = progress.pointee.flushWanted.exchange(0, ordering: .acquiring) != 0
    readHeads(isWaitedFor: isWaitedFor)
    guard drainTransitions(), gatherTexts(), flushControl(.control), drainLanes() else {
      if isWaitedFor { progress.pointee.flushWanted.store(1, ordering: .relaxed) }
      return
    }
  }

  // MARK: The end

  /// Appends the run's end. False: something is still on its way; call `step` and try again.
  public mutating func finish() -> Bool {
    guard !hasFailed, chain.isSettled else { return false }
    if !control.closedIsSealed {
      guard ensureSegment(), drainTransitions(), gatherTexts(), gatherClosed(), flushControl(.control) else {
        return false
      }
      control.closedIsSealed = true
      return false
    }
    isFinished = true
    chain.finish(&queue)
    publishProgress()
    return true
  }

  /// Closes every descriptor. The log's lock goes with them. To be called by the thread that stepped, if any did:
  /// the ring lets go of files at once only for its own thread.
  public mutating func closeFiles() { chain.closeFiles(&queue) }

  // MARK: Invariants

  /// nil: what the writer and its chain promise holds; else what does not. Between any two steps.
  public func checkInvariants() -> StaticString? {
    guard !hasFailed else { return nil }
    if let broken = control.checkInvariants() ?? chain.checkInvariants(stagedOutside: control.stagingCount) {
      return broken
    }
    for index in 0..<LaneTable.lanesMax {
      guard cursors[index].isKnown, let lane = lanes.lane(index) else { continue }
      if let broken = cursors[index].checkInvariants(lane) { return broken }
    }
    return nil
  }
}

extension TraceWriter where Device == SystemStorage {
  /// Whether segments are written past the page cache.
  public var writesDirect: Bool { queue.device.choice.direct }

  /// `attachToThread` for a thread that does not wait for completions: an eventfd is raised with each.
  public mutating func attachToThread(notifying descriptor: Int32) {
    do throws(StorageFault) { try queue.device.attach(notifying: descriptor) } catch { fail(error) }
  }

  /// Waits for what the device has under way, and lets any thread attach itself. The thread that did so before calls,
  /// or nothing is under way.
  public mutating func detachFromThread() {
    while queue.device.isUnderWay, !hasFailed { reap(waitNanoseconds: 10_000_000) }
    // A failure: the kernel waits for the device, and the memory that it reads stays until then.
    queue.device.detach()
  }

  public var isUnderWay: Bool { queue.device.isUnderWay }

  /// The thread that attached itself has ended with writes under way, whose fate only it could have been told.
  public mutating func abandon() { fail(StorageFault(.write, code: 0)) }
}
