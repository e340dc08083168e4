// SPDX-License-Identifier: Apache-2.0
// Opening a core: storage, recovery, memory, policy, threads, in this order; undone in the reverse one (Core+Close.swift).

package import CLTP
import CLTPSystem
import LTPAdmission
import LTPDeferral
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
package import LTPStorage
import LTPTrace
import Synchronization

extension Core {
  private static let startWaitNanoseconds: UInt64 = 30_000_000_000

  /// Opens the trace in `path` and starts the threads. `policy` has passed `PolicyCheck`. `page` belongs to the core
  /// once it is open. Returns the handle.
  package static func open(
    path: UnsafePointer<CChar>, options: CoreOptions, policy: UnsafePointer<ltp_policy>,
    following page: MappedPage?
  ) throws(OpenFault) -> OpaquePointer {
    let rules = options.rules(under: policy, isFollowing: page != nil)
    guard SystemObserver.canRead(rules?.flags ?? 0) else {
      throw OpenFault(LTP_ERROR_PRESSURE, statusText(LTP_ERROR_PRESSURE))
    }
    var storage = try openStorage(path: path, options: options)
    let log = try RecoveredTrace.open(&storage, configuration: options.trace)
    guard let random = randomKey(), let secret = options.key ?? randomKey() else {
      log.abandon(&storage)
      throw OpenFault(LTP_ERROR_TRACE_IO, "the system gave no random bytes")
    }
    guard let latch = Latch(.core, bytes: CoreMemory.wholeBytes) else {
      log.abandon(&storage)
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    guard let staging = ltp_system_map(options.trace.chain.stagingBytes, LTP_SYSTEM_NOT_IN_CHILD) else {
      latch.discardMemory()
      log.abandon(&storage)
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    let keeper: UnsafeMutablePointer<Keeper>?
    do throws(OpenFault) {
      keeper = try openKeeper(path: path, options, log, latch)
    } catch {
      ltp_system_unmap(staging, options.trace.chain.stagingBytes)
      latch.discardMemory()
      log.abandon(&storage)
      throw error
    }
    let core = layOut(
      latch: latch, staging: staging, keeper: keeper, storage: storage, log: log, options: options,
      rules: rules,
      runKey: .ofRun(
        secret: secret, random: random, logID: (log.chain.position.logID.low, log.chain.position.logID.high)),
      page: page)
    do throws(OpenFault) {
      try core.start(policy: policy, firstBlock: log.chain.position.blockIndex)
    } catch {
      core.tearDown(releasingPage: false)
      throw error
    }
    latch.open()
    return latch.handle
  }

  private static func openStorage(
    path: UnsafePointer<CChar>, options: CoreOptions
  ) throws(OpenFault) -> SystemStorage {
    let storage: SystemStorage
    do throws(StorageFault) {
      storage = try SystemStorage(
        path: path, storage: options.storage, queueDepth: options.trace.chain.queueDepth,
        bufferCount: TraceConfiguration.bufferCount)
    } catch {
      throw OpenFault(error)
    }
    if options.storage == LTP_STORAGE_IO_URING, storage.choice.storage != LTP_STORAGE_IO_URING {
      throw OpenFault(
        LTP_ERROR_STORAGE_UNAVAILABLE, "io_uring cannot be had here; use LTP_STORAGE_AUTO",
        code: storage.choice.ringFault)
    }
    let fault = storage.writeFault()
    guard fault == 0 else { throw OpenFault(StorageFault(.open, code: fault)) }
    return storage
  }

  /// Recovers the deferral log beside the trace, if the options ask for one.
  private static func openKeeper(
    path: UnsafePointer<CChar>, _ options: CoreOptions, _ log: RecoveredTrace,
    _ latch: Latch
  ) throws(OpenFault) -> UnsafeMutablePointer<Keeper>? {
    guard var configuration = options.deferral else {
      let isEmpty: Bool
      if let told = log.told {
        isEmpty = told.pending == 0 && told.isClosed
      } else {
        isEmpty = try !hasKeptIntents(path)
      }
      guard isEmpty else {
        throw OpenFault(
          LTP_ERROR_DEFERRAL_APART,
          "deferred intents may be pending in this directory; open it with options.deferral")
      }
      return nil
    }
    guard let secret = randomKey() else {
      throw OpenFault(LTP_ERROR_TRACE_IO, "the system gave no random bytes")
    }
    configuration.secret = secret
    configuration.trace.logID = log.chain.position.logID
    configuration.trace.blocks = log.chain.position.blockIndex
    configuration.trace.sealedBlocks = log.chain.position.blockIndex
    configuration.trace.told = log.told
    var storage = try handedStorage(path)
    let reading = try readingStorage(path)
    guard let staging = ltp_system_map(configuration.chain.stagingBytes, LTP_SYSTEM_NOT_IN_CHILD) else {
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    guard var files = IntentFiles(reading) else {
      ltp_system_unmap(staging, configuration.chain.stagingBytes)
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    let kept: DeferralLog
    do throws(OpenFault) {
      kept = try DeferralLog.open(&storage, configuration: configuration, staging: staging)
    } catch {
      files.releaseMemory()
      ltp_system_unmap(staging, configuration.chain.stagingBytes)
      throw error
    }
    let keeper = UnsafeMutablePointer<Keeper>.allocate(capacity: 1)
    keeper.initialize(
      to: Keeper(
        log: kept, storage: storage, files: files, configuration: configuration, staging: staging,
        memory: latch.memory + CoreMemory.keeperOffset, run: log.run))
    return keeper
  }

  /// There is a deferral log, of which the trace says nothing.
  private static func hasKeptIntents(_ path: UnsafePointer<CChar>) throws(OpenFault) -> Bool {
    var storage = try handedStorage(path)
    var isThere = false
    do throws(StorageFault) {
      try storage.list { name in
        if case .segment = DeferralConfiguration.naming.file(named: name) { isThere = true }
      }
    } catch { throw OpenFault(error) }
    return isThere
  }

  private static func handedStorage(_ path: UnsafePointer<CChar>) throws(OpenFault) -> HandedStorage {
    do throws(StorageFault) { return try HandedStorage(path: path) } catch { throw OpenFault(error) }
  }

  private static func readingStorage(_ path: UnsafePointer<CChar>) throws(OpenFault) -> SystemStorage {
    do throws(StorageFault) {
      return try SystemStorage(path: path, storage: LTP_STORAGE_PWRITEV, queueDepth: 1, bufferCount: 0)
    } catch { throw OpenFault(error) }
  }

  private static func randomKey() -> SipKey? {
    var words: (UInt64, UInt64) = (0, 0)
    let failed = withUnsafeMutableBytes(of: &words) { ltp_system_random($0.baseAddress, $0.count) != 0 }
    return failed ? nil : SipKey(low: words.0, high: words.1)
  }

  private static func layOut(
    latch: Latch, staging: UnsafeMutableRawPointer, keeper: UnsafeMutablePointer<Keeper>?,
    storage: consuming SystemStorage, log: RecoveredTrace,
    options: CoreOptions, rules: ltp_signal_rules?, runKey: SipKey, page: MappedPage?
  ) -> Core {
    let memory = latch.memory
    let orientation = Orientation(
      memory: memory + CoreMemory.orientationOffset, resuming: OrientationWord(rawValue: log.word),
      numbers: log.numbers,
      following: page?.page)
    let lanes = LaneTable(memory: memory + CoreMemory.lanesOffset)
    let progress = (memory + CoreMemory.progressOffset)
      .bindMemory(to: TraceProgress.self, capacity: 1)
    progress.initialize(to: TraceProgress(words: memory + CoreMemory.wordsOffset))
    progress.pointee.nextLaneID.store(log.nextLaneID, ordering: .relaxed)
    let clockStop = (memory + CoreMemory.wordsOffset + 16)
      .bindMemory(to: Atomic<UInt32>.self, capacity: 1)
    let texts = (memory + CoreMemory.textsOffset).bindMemory(to: TextRegistry.self, capacity: 1)
    texts.initialize(to: TextRegistry(memory: memory + CoreMemory.textMemoryOffset))
    let observer = rules.map {
      Observer(
        memory: memory + CoreMemory.observerOffset, rules: $0, orientation: orientation,
        now: ltp_system_monotonic_ns())
    }
    let system = (memory + CoreMemory.systemOffset).bindMemory(to: SystemObserver.self, capacity: 1)
    system.initialize(to: SystemObserver())
    let choice = storage.choice
    let writer = UnsafeMutablePointer<TraceWriter<SystemStorage>>.allocate(capacity: 1)
    writer.initialize(
      to: TraceWriter(
        storage: storage, configuration: options.trace, log: log, progress: progress,
        orientation: orientation, lanes: lanes, texts: texts, staging: staging))
    if let keeper { writer.pointee.open(keeper.pointee.toldAtOpening(log.told)) }
    let core = Core(latch)
    core.state.initialize(
      to: CoreState(
        latch: latch, orientation: orientation, lanes: lanes, texts: texts, progress: progress,
        writer: writer, clockStop: clockStop,
        closedCounters: (memory + CoreMemory.countersOffset)
          .bindMemory(to: UInt64.self, capacity: Lane.counterCount),
        staging: staging, keeper: keeper, front: keeper?.pointee.front, options: options, choice: choice,
        runKey: runKey, voided: VoidedSessions(memory: memory + CoreMemory.voidedOffset),
        regulator: Regulator(
          memory: memory + CoreMemory.regulatorOffset, word: orientation.limitsWord, lanes: lanes,
          tick: options.clockIntervalNanoseconds),
        observer: observer, system: system,
        page: page, run: log.run, policyGeneration: log.policyGeneration + 1))
    return core
  }

  /// Publishes UNKNOWN under the first policy, starts the threads, and waits until the opening is durable.
  private func start(policy: UnsafePointer<ltp_policy>, firstBlock: UInt64) throws(OpenFault) {
    let now = ltp_system_monotonic_ns()
    let orientation = state.pointee.orientation
    orientation.line.pointee.tick(monotonic: now, unix: ltp_system_unix_ns())
    let generation = state.pointee.policyGeneration
    state.pointee.regulator.configure(policy, now: now)
    do throws(PublishRefusal) {
      try orientation.load(policy, generation: generation, starting: true, now: now)
    } catch {
      throw OpenFault(error.status, statusText(error.status))
    }
    // So that the first decision has it.
    orientation.followPage(now: now)
    if isHostDriven { try startHostDriven() } else { try startThreads() }
    let progress = state.pointee.progress
    let deadline = now + Self.startWaitNanoseconds
    // The run's opening and its first transition: two blocks in a new segment, one in an old one.
    while progress.pointee.durableBlocks.load(ordering: .acquiring) <= firstBlock
      || orientation.drainedEpoch != orientation.current.epoch || !keeperIsReady
    {
      let signal = progress.pointee.durableSignal.pointee.load(ordering: .sequentiallyConsistent)
      let failure = progress.pointee.failure.load(ordering: .acquiring)
      let hindrance = progress.pointee.hindrance.load(ordering: .acquiring)
      let code = progress.pointee.failureCode.load(ordering: .relaxed)
      // What hinders the space ahead is not in the way once the opening's own space was found.
      let isBegun = progress.pointee.sealedBlocks.load(ordering: .acquiring) > firstBlock
      let isLate = ltp_system_monotonic_ns() > deadline
      var status = failure != LTP_OK ? failure : isBegun && !isLate ? LTP_OK : hindrance
      if status == LTP_OK, isBegun, let fault = keeperFault { status = fault }
      if status == LTP_OK, isLate { status = LTP_ERROR_TIMED_OUT }
      if status != LTP_OK {
        stop(drain: false)
        throw OpenFault(status, statusText(status), code: code)
      }
      waitForWriter(signal: signal, timeoutNanoseconds: 1_000_000)
    }
  }

  /// Sleeps until the writer has moved on from `signal`, or drives it, if that is this thread's to do.
  package func waitForWriter(signal: UInt32, timeoutNanoseconds: UInt64) {
    let progress = state.pointee.progress
    if driveWhileWaiting() { return }
    progress.pointee.waiters.add(1, ordering: .sequentiallyConsistent)
    wakeWriter()
    FutexWord.wait(
      progress.pointee.durableSignal, expected: signal,
      // The thread that drives may stop doing so.
      timeoutNanoseconds: isHostDriven ? min(timeoutNanoseconds, 1_000_000) : timeoutNanoseconds)
    progress.pointee.waiters.subtract(1, ordering: .sequentiallyConsistent)
  }

  /// Has the writer look at what lanes want on disk, without waiting for it.
  package func askForFlush() {
    state.pointee.progress.pointee.flushWanted.store(1, ordering: .releasing)
    wakeWriter()
  }

  /// The eventfd that tells an event loop of what it wants on disk, made for whoever asks first; -errno when there is none left.
  package func durableDescriptor() -> Int32 {
    let progress = state.pointee.progress
    return withControlMutex {
      let made = progress.pointee.notified.load(ordering: .acquiring)
      if made >= 0 { return made }
      let descriptor = ltp_system_event_open()
      guard descriptor >= 0 else { return descriptor }
      progress.pointee.notified.store(descriptor, ordering: .sequentiallyConsistent)
      // What was wanted before may be on disk by now, or the trace may have failed: whoever looks for nothing looks once.
      ltp_system_event_raise(descriptor)
      return descriptor
    }
  }

  func stop(drain: Bool) {
    if isHostDriven { stopHostDriven(drain: drain) } else { stopThreads(drain: drain) }
  }
}
