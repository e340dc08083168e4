// SPDX-License-Identifier: Apache-2.0
// The deferral log of a core, and the lock that everyone passes who uses it: lanes that keep, workers that replay, operators, and the writer, whose
// turns write it through the trace's queue and tell the trace.

import CLTP
import CLTPSystem
package import LTPDeferral
import LTPRecords
package import LTPStorage
import LTPTrace
package import Synchronization

package struct Keeper: ~Copyable {
  let mutex: UnsafeMutablePointer<ltp_system_mutex>
  package var log: DeferralLog
  package var files: IntentFiles<SystemStorage>
  package let configuration: DeferralConfiguration
  private let staging: UnsafeMutableRawPointer
  /// Of the log: what is durable, for who waits for it, and why it takes nothing more.
  package let durable = Atomic<UInt64>(0)
  package let failure = Atomic<Int32>(0)
  /// Intents without an end.
  package let pending = Atomic<UInt64>(0)
  /// The wall clock when the log was opened, and the monotonic one: expiry and leases follow the latter, whatever is done to the former.
  private let openedUnix: UInt64
  private let openedMonotonic: UInt64
  private var toldAt: UInt64 = 0
  var isFinished = false
  /// A limit let no replay in: none before.
  var replaysFrom: UInt64 = 0
  /// Of the replays' frames.
  var lastFrame: UInt64

  init(
    log: consuming DeferralLog, files: consuming IntentFiles<SystemStorage>,
    configuration: DeferralConfiguration, staging: UnsafeMutableRawPointer,
    mutex: UnsafeMutablePointer<ltp_system_mutex>, run: UInt32
  ) {
    self.log = log
    self.files = files
    self.configuration = configuration
    self.staging = staging
    self.mutex = mutex
    ltp_system_mutex_init(mutex)
    openedUnix = ltp_system_unix_ns()
    openedMonotonic = ltp_system_monotonic_ns()
    // No frame of a run before.
    lastFrame = UInt64(run) << 40
    durable.store(self.log.durableSequence, ordering: .releasing)
    pending.store(UInt64(self.log.table.pendingCount), ordering: .releasing)
  }

  /// The time that expiry and leases follow.
  package func unixNanoseconds(_ monotonic: UInt64) -> UInt64 { openedUnix &+ (monotonic &- openedMonotonic) }

  /// What the trace is told when the run begins.
  func toldAtOpening(_ before: ToldDeferral?) -> ToldDeferral {
    var told = before ?? ToldDeferral()
    told.logID = log.logID
    told.nextNumber = log.openedNumber
    told.ended = 0
    return told
  }

  mutating func releaseMemory() {
    log.releaseMemory()
    files.releaseMemory()
    ltp_system_unmap(staging, configuration.chain.stagingBytes)
  }

  // MARK: The writer's turn. Caller holds the mutex.

  /// True: something moved.
  mutating func step(
    _ writer: UnsafeMutablePointer<TraceWriter<SystemStorage>>, progress: borrowing TraceProgress,
    now: UInt64, tellsAtOnce: Bool, interval: UInt64
  ) -> Bool {
    guard !isFinished else { return false }
    log.trace.blocks = progress.durableBlocks.load(ordering: .acquiring)
    log.trace.sealedBlocks = progress.sealedBlocks.load(ordering: .relaxed)
    var hasMoved = log.step(&writer.pointee.queue, now: now, unixNanoseconds: unixNanoseconds(now))
    // A block for what came together, rather than one for each.
    if tellsAtOnce || now &- toldAt >= interval || log.news.count > 1000 {
      while let record = log.nextToTell, writer.pointee.tell(record) {
        log.isTold()
        toldAt = now
        hasMoved = true
      }
    }
    pending.store(UInt64(log.table.pendingCount), ordering: .releasing)
    if let fault = log.failure { failure.store(OpenFault(fault).status, ordering: .releasing) }
    return hasMoved
  }

  /// More is durable than was said before.
  func publishDurable() -> Bool {
    let sequence = log.durableSequence
    guard durable.load(ordering: .relaxed) != sequence else { return false }
    durable.store(sequence, ordering: .sequentiallyConsistent)
    return true
  }

  /// Ends the log, once it is at rest and the trace has been told everything. False: not yet.
  mutating func finish(_ writer: UnsafeMutablePointer<TraceWriter<SystemStorage>>) -> Bool {
    if isFinished || log.failure != nil { return true }
    guard log.isSettled, log.news.count == 0 else { return false }
    log.finish(&writer.pointee.queue)
    isFinished = true
    return true
  }

  mutating func close(_ writer: UnsafeMutablePointer<TraceWriter<SystemStorage>>) {
    guard !isFinished else { return }
    log.close(&writer.pointee.queue)
    isFinished = true
  }
}

extension Core {
  /// Lets the writer have a turn, for who found no place.
  package func waitForWriterBriefly() {
    if !driveWhileWaiting() {
      wakeWriter()
      ltp_system_sleep_ns(50_000)
    }
  }

  /// Calls `body` with the keeper, alone; nil: the core keeps nothing.
  package func withKeeper<R>(_ body: (UnsafeMutablePointer<Keeper>) -> R) -> R? {
    guard let keeper = state.pointee.keeper else { return nil }
    ltp_system_mutex_lock(keeper.pointee.mutex)
    defer { ltp_system_mutex_unlock(keeper.pointee.mutex) }
    return body(keeper)
  }

  /// The writer's turn with the deferral log. True: something moved.
  func stepKeeper(now: UInt64) -> (hasMoved: Bool, isWaiting: Bool) {
    guard state.pointee.keeper != nil else { return (false, false) }
    let (progress, writer) = (state.pointee.progress, state.pointee.writer)
    let isStopping = progress.pointee.stop.load(ordering: .acquiring) >= 2
    var isDurable = false
    let result = withKeeper { keeper in
      let hasMoved = keeper.pointee.step(
        writer, progress: progress.pointee, now: now, tellsAtOnce: isStopping,
        interval: state.pointee.options.trace.commitIntervalNanoseconds)
      isDurable = keeper.pointee.publishDurable()
      return (hasMoved, keeper.pointee.log.isWaiting)
    }
    if isDurable {
      wakeWaiters()
      let notified = progress.pointee.notified.load(ordering: .acquiring)
      if notified >= 0 { ltp_system_event_raise(notified) }
    }
    return result ?? (false, false)
  }

  /// The deferral log takes intents, or there is none.
  var keeperIsReady: Bool { withKeeper { $0.pointee.log.isOpen } ?? true }

  /// Why it takes none: its failure, or what is in its way now.
  var keeperFault: Int32? {
    withKeeper { keeper in
      (keeper.pointee.log.failure ?? keeper.pointee.log.hindrance).map { OpenFault($0).status }
    } ?? nil
  }
}
