// SPDX-License-Identifier: Apache-2.0
// The deferral log of a core, and the lock that everyone passes who uses it: lanes that keep, workers that replay, operators, whoever waits
// for a record and so writes it, and the writer of the trace, whose turns make room for it and tell the trace.

import CLTP
import CLTPSystem
package import LTPDeferral
import LTPRecords
package import LTPStorage
import LTPTrace
package import Synchronization

package struct Keeper: ~Copyable {
  let front: KeeperFront
  package var log: DeferralLog
  /// The log's own: who waits for a write does it, on whatever thread.
  var queue: StorageQueue<HandedStorage>
  /// Somebody writes blocks just now. One at a time, so that those that come meanwhile share the next write.
  var isLed = false
  package var files: IntentFiles<SystemStorage>
  private let staging: UnsafeMutableRawPointer
  var isFinished = false
  /// A limit let no replay in: none before.
  var replaysFrom: UInt64 = 0
  /// Of the replays' frames.
  var lastFrame: UInt64

  init(
    log: consuming DeferralLog, storage: consuming HandedStorage, files: consuming IntentFiles<SystemStorage>,
    configuration: DeferralConfiguration, staging: UnsafeMutableRawPointer,
    memory: UnsafeMutableRawPointer, run: UInt32
  ) {
    self.log = log
    front = KeeperFront(memory: memory, news: self.log.news, configuration: configuration)
    queue = StorageQueue(storage)
    self.files = files
    self.staging = staging
    // No frame of a run before.
    lastFrame = UInt64(run) << 40
    front.durable.pointee.store(self.log.durableSequence, ordering: .releasing)
    notePending()
  }

  /// Tells how many intents have no end, for who looks without the mutex.
  package func notePending() {
    front.pending.pointee.store(UInt64(log.table.pendingCount), ordering: .releasing)
  }

  /// What the trace is told when the run begins.
  func toldAtOpening(_ before: ToldDeferral?) -> ToldDeferral {
    var told = before ?? ToldDeferral()
    told.logID = log.logID
    told.nextNumber = log.openedNumber
    told.ended = 0
    told.endSequence = log.durableSequence
    return told
  }

  mutating func releaseMemory() {
    log.releaseMemory()
    files.releaseMemory()
    ltp_system_unmap(staging, front.configuration.chain.stagingBytes)
  }

  // MARK: The writer's turn. Caller holds the mutex.

  /// `wantedAgain`: what the trace wants told again. True: something moved.
  mutating func step(
    progress: borrowing TraceProgress, toldSequence: UInt64, wantedAgain: UInt64, now: UInt64
  ) -> Bool {
    guard !isFinished else { return false }
    log.trace.wantedAgain = wantedAgain
    log.trace.blocks = progress.durableBlocks.load(ordering: .acquiring)
    log.trace.sealedBlocks = progress.sealedBlocks.load(ordering: .relaxed)
    log.trace.sealedSequence = toldSequence
    queue.reap(waitNanoseconds: 0)
    let hasMoved = log.step(&queue, now: now, unixNanoseconds: front.unixNanoseconds(now))
    notePending()
    publishFailure()
    return hasMoved
  }

  func publishFailure() {
    if let fault = log.failure { front.failure.pointee.store(OpenFault(fault).status, ordering: .releasing) }
  }

  /// More is durable than was said before.
  func publishDurable() -> Bool {
    let sequence = log.durableSequence
    guard front.durable.pointee.load(ordering: .relaxed) != sequence else { return false }
    front.durable.pointee.store(sequence, ordering: .sequentiallyConsistent)
    return true
  }

  /// When the pending intent was kept that has waited longest; 0: there is none.
  mutating func oldestUnixNanoseconds() -> UInt64 {
    guard let oldest = log.oldestPending else { return 0 }
    // One that is not on disk yet has waited for a moment.
    return log.keptUnixNanoseconds(oldest, &files) ?? front.unixNanoseconds(ltp_system_monotonic_ns())
  }

  /// Ends the log, once it is at rest and the trace has been told everything. False: not yet.
  mutating func finish() -> Bool {
    if isFinished || log.failure != nil { return true }
    guard log.isSettled, log.news.count == 0 else { return false }
    log.finish(&queue)
    isFinished = true
    return true
  }

  mutating func close() {
    guard !isFinished else { return }
    log.close(&queue)
    isFinished = true
  }
}

/// What of a keeper anybody looks at without the mutex: what does not change, and words that are read whole. Copies refer to the same.
package struct KeeperFront {
  let mutex: UnsafeMutablePointer<ltp_system_mutex>
  package let configuration: DeferralConfiguration
  let batches: KeeperBatches
  let teller: KeeperTeller
  /// Of the log: what is durable, for who waits for it, and why it takes nothing more.
  package let durable: UnsafeMutablePointer<Atomic<UInt64>>
  package let failure: UnsafeMutablePointer<Atomic<Int32>>
  /// Intents without an end.
  package let pending: UnsafeMutablePointer<Atomic<UInt64>>
  /// The wall clock when the log was opened, and the monotonic one: expiry and leases follow the latter, whatever is done to the former.
  private let openedUnix = ltp_system_unix_ns()
  private let openedMonotonic = ltp_system_monotonic_ns()

  /// Zeroed memory that it takes, in bytes.
  static var memoryBytes: Int { 128 + KeeperBatches.memoryBytes + KeeperTeller.memoryBytes }

  init(memory: UnsafeMutableRawPointer, news: DeferralNews, configuration: DeferralConfiguration) {
    mutex = memory.bindMemory(to: ltp_system_mutex.self, capacity: 1)
    ltp_system_mutex_init(mutex)
    durable = (memory + 64).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
    pending = (memory + 72).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
    failure = (memory + 80).bindMemory(to: Atomic<Int32>.self, capacity: 1)
    batches = KeeperBatches(memory: memory + 128)
    teller = KeeperTeller(memory: memory + 128 + KeeperBatches.memoryBytes, news: news)
    self.configuration = configuration
  }

  /// The time that expiry and leases follow.
  package func unixNanoseconds(_ monotonic: UInt64) -> UInt64 { openedUnix &+ (monotonic &- openedMonotonic) }
}

extension Core {
  /// Lets the writer have a turn, for who found no place.
  package func waitForWriterBriefly() {
    if !driveWhileWaiting() {
      wakeWriter()
      ltp_system_sleep_ns(50_000)
    }
  }

  /// Does it again while the log takes nothing for a moment, a thousand times at most; what it came to last.
  package func retryingBriefly(_ body: () -> Int32) -> Int32 {
    retrying(atMost: 1000, while: { $0 == LTP_ERROR_BACKPRESSURE }, body)
  }

  /// Does it again, the writer having had a turn, while its answer is to be had anew; the last answer.
  func retrying<Answer>(
    atMost attempts: Int, while isUnsettled: (Answer) -> Bool, _ body: () -> Answer
  ) -> Answer {
    var answer = body()
    var attemptsLeft = attempts
    while isUnsettled(answer), attemptsLeft > 0 {
      attemptsLeft -= 1
      waitForWriterBriefly()
      answer = body()
    }
    return answer
  }

  /// Calls `body` with the keeper, alone; nil: the core keeps nothing.
  package func withKeeper<R>(_ body: (UnsafeMutablePointer<Keeper>) -> R) -> R? {
    guard let keeper = state.pointee.keeper, let front = state.pointee.front else { return nil }
    ltp_system_mutex_lock(front.mutex)
    defer { ltp_system_mutex_unlock(front.mutex) }
    return body(keeper)
  }

  /// The writer's turn with the deferral log. True: something moved.
  func stepKeeper(now: UInt64) -> Bool {
    guard let front = state.pointee.front else { return false }
    let (progress, writer) = (state.pointee.progress, state.pointee.writer)
    let isStopping = progress.pointee.stop.load(ordering: .acquiring) >= 2
    // A core that closes does not wait for copies: whoever opens the log next makes them.
    let wantedAgain = isStopping ? 0 : writer.pointee.wantedAgain
    var hasMoved = false
    withKeeper { keeper in
      hasMoved = keeper.pointee.step(
        progress: progress.pointee, toldSequence: writer.pointee.toldSequence, wantedAgain: wantedAgain,
        now: now)
      let done = keeper.pointee.log.toldAgain
      writer.pointee.isCopied(upTo: done.wanted, toldAt: done.toldAt)
    }
    if leadKeeper() == .written { hasMoved = true }
    let interval = isStopping ? 0 : state.pointee.options.trace.commitIntervalNanoseconds
    let durable = front.durable.pointee.load(ordering: .acquiring)
    if front.teller.tell(writer, durable: durable, now: now, interval: interval) {
      hasMoved = true
    }
    // Space ahead: nobody waits for it.
    while let operation = withKeeper({ $0.pointee.queue.device.take(blocksOnly: false) }) ?? nil {
      let result = operation.perform()
      withKeeper { $0.pointee.queue.device.finish(operation, result: result) }
      hasMoved = true
    }
    return hasMoved
  }

  enum Lead {
    case written
    /// There is nothing to write, or no room for it now.
    case nothing
    case somebodyElse
  }

  /// Writes what the log has gathered, unless somebody does just now.
  func leadKeeper() -> Lead {
    guard let keeper = state.pointee.keeper, let front = state.pointee.front else { return .nothing }
    ltp_system_mutex_lock(front.mutex)
    guard !keeper.pointee.isLed, !keeper.pointee.isFinished else {
      let isLed = keeper.pointee.isLed
      ltp_system_mutex_unlock(front.mutex)
      return isLed ? .somebodyElse : .nothing
    }
    keeper.pointee.isLed = true
    let now = ltp_system_monotonic_ns()
    let batch = front.batches.seal()
    keeper.pointee.log.flush(
      &keeper.pointee.queue, now: now, unixNanoseconds: front.unixNanoseconds(now))
    var hasWritten = false
    while let operation = keeper.pointee.queue.device.take(blocksOnly: true) {
      ltp_system_mutex_unlock(front.mutex)
      let result = operation.perform()
      ltp_system_mutex_lock(front.mutex)
      keeper.pointee.queue.device.finish(operation, result: result)
      keeper.pointee.log.settle(&keeper.pointee.queue, now: now)
      hasWritten = true
    }
    keeper.pointee.isLed = false
    keeper.pointee.publishFailure()
    let isDurable = keeper.pointee.publishDurable()
    let next = front.batches.end(batch, all: hasWritten || keeper.pointee.log.failure != nil)
    ltp_system_mutex_unlock(front.mutex)
    next.wake()
    if isDurable { state.pointee.progress.pointee.notify() }
    return hasWritten ? .written : .nothing
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

/// Who waits for which write: those of one batch sleep on one word, so that a write wakes those whose records it had, and one more, who does the
/// next one. Under the keeper's mutex.
struct KeeperBatches {
  private static var count: Int { 4 }

  /// By batch, modulo `count`: a futex word, and how many sleep on it.
  private let words: UnsafeMutablePointer<Atomic<UInt32>>
  private let sleepers: UnsafeMutablePointer<Int>
  /// The batch that is being gathered.
  private let gathering: UnsafeMutablePointer<UInt64>

  static var memoryBytes: Int { 64 }

  init(memory: UnsafeMutableRawPointer) {
    words = memory.bindMemory(to: Atomic<UInt32>.self, capacity: Self.count)
    sleepers = (memory + 16).bindMemory(to: Int.self, capacity: Self.count)
    gathering = (memory + 48).bindMemory(to: UInt64.self, capacity: 1)
  }

  /// What is gathered is sealed; what comes is of the next batch. The number of the one that is sealed.
  func seal() -> UInt64 {
    gathering.pointee += 1
    return gathering.pointee - 1
  }

  /// A place to sleep for who waits for what is gathered, or for what is being written.
  func enter(isGathered: Bool) -> (word: UnsafeMutablePointer<Atomic<UInt32>>, expected: UInt32, place: Int) {
    let place = Int((isGathered ? gathering.pointee : gathering.pointee &- 1) % UInt64(Self.count))
    sleepers[place] += 1
    return (words + place, words[place].load(ordering: .relaxed), place)
  }

  func leave(_ place: Int) { sleepers[place] -= 1 }

  /// Whom to wake, once the mutex is free.
  struct Waking {
    fileprivate var all: UnsafeMutablePointer<Atomic<UInt32>>?
    fileprivate var one: UnsafeMutablePointer<Atomic<UInt32>>?

    func wake() {
      if let all { FutexWord.wakeAll(all) }
      if let one { FutexWord.wakeOne(one) }
    }
  }

  /// The batch is written, or could not be.
  func end(_ batch: UInt64, all: Bool) -> Waking {
    let (place, next) = (Int(batch % UInt64(Self.count)), Int(gathering.pointee % UInt64(Self.count)))
    var waking = Waking()
    words[place].wrappingAdd(1, ordering: .relaxed)
    words[next].wrappingAdd(1, ordering: .relaxed)
    if sleepers[place] > 0 { waking.all = words + place }
    if sleepers[next] > 0 { waking.one = words + next }
    return waking
  }
}

/// Tells the trace what is durable in the deferral log. The writer's alone, without the mutex.
struct KeeperTeller {
  static var memoryBytes: Int { 64 }
  /// So many are told without waiting for more.
  static var atOnce: Int { 1000 }

  private let toldAt: UnsafeMutablePointer<UInt64>
  private let news: DeferralNews

  init(memory: UnsafeMutableRawPointer, news: DeferralNews) {
    toldAt = memory.bindMemory(to: UInt64.self, capacity: 1)
    self.news = news
  }

  /// A block for what comes within an interval, rather than one for each. True: something was told.
  func tell(
    _ writer: UnsafeMutablePointer<TraceWriter<SystemStorage>>, durable: UInt64, now: UInt64,
    interval: UInt64
  ) -> Bool {
    guard now &- toldAt.pointee >= interval || news.count > Self.atOnce else { return false }
    var hasTold = false
    while let record = news.next(durable: durable), writer.pointee.tell(record) {
      news.isTold()
      hasTold = true
    }
    if hasTold { toldAt.pointee = now }
    return hasTold
  }
}
