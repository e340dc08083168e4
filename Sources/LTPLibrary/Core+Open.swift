// SPDX-License-Identifier: Apache-2.0
// Opening a core: storage, recovery, memory, policy, threads, in this order; undone in the reverse one.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPObservation
import LTPRecords
import LTPTrace
import Synchronization

/// Why a core did not open. Becomes an `ltp_error`.
typealias OpenFault = TraceOpenFault

extension Core {
  private static let startWaitNanoseconds: UInt64 = 30_000_000_000

  /// Opens the trace in `path` and starts the threads. `policy` has passed `PolicyCheck`. `page` belongs to the core
  /// once it is open.
  static func open(
    path: UnsafePointer<CChar>, options: CoreOptions, policy: UnsafePointer<ltp_policy>,
    following page: MappedPage?
  ) throws(OpenFault) -> Core {
    let rules = options.rules(under: policy, isFollowing: page != nil)
    guard SystemObserver.canRead(rules?.flags ?? 0) else {
      throw OpenFault(LTP_ERROR_PRESSURE, statusText(LTP_ERROR_PRESSURE))
    }
    var storage = try openStorage(path: path, options: options)
    let log = try Recovery.open(&storage, configuration: options.trace)
    guard let random = randomKey(), let secret = options.key ?? randomKey() else {
      storage.close(log.watermarkHandle)
      if let handle = log.handle { storage.close(handle) }
      throw OpenFault(LTP_ERROR_TRACE_IO, "the system gave no random bytes")
    }
    guard
      let memory = ltp_system_handle_take(LTP_SYSTEM_HANDLE_CORE, CoreMemory.wholeBytes)
    else {
      storage.close(log.watermarkHandle)
      if let handle = log.handle { storage.close(handle) }
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    guard let staging = ltp_system_map(options.trace.stagingBytes, LTP_SYSTEM_NOT_IN_CHILD) else {
      ltp_system_handle_give(LTP_SYSTEM_HANDLE_CORE, memory, CoreMemory.wholeBytes)
      storage.close(log.watermarkHandle)
      if let handle = log.handle { storage.close(handle) }
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    let core = layOut(
      memory: memory, staging: staging, storage: storage, log: log, options: options, rules: rules,
      runKey: .ofRun(
        secret: secret, random: random, logID: (log.position.logID.low, log.position.logID.high)),
      page: page)
    do throws(OpenFault) {
      try core.start(policy: policy, firstBlock: log.position.blockIndex)
    } catch {
      core.takeDown(releasingPage: false)
      throw error
    }
    return core
  }

  private static func openStorage(
    path: UnsafePointer<CChar>, options: CoreOptions
  ) throws(OpenFault) -> SystemStorage {
    let storage: SystemStorage
    do throws(StorageFault) {
      storage = try SystemStorage(
        path: path, storage: options.storage, queueDepth: options.trace.queueDepth,
        bufferCount: TraceConfiguration.bufferCount)
    } catch {
      throw Recovery.openFault(error)
    }
    if options.storage == LTP_STORAGE_IO_URING, storage.choice.storage != LTP_STORAGE_IO_URING {
      throw OpenFault(
        LTP_ERROR_STORAGE_UNAVAILABLE, "io_uring cannot be had here; use LTP_STORAGE_AUTO",
        code: storage.choice.ringFault)
    }
    let fault = storage.writeFault()
    guard fault == 0 else { throw Recovery.openFault(StorageFault(.open, code: fault)) }
    return storage
  }

  private static func randomKey() -> SipKey? {
    var words: (UInt64, UInt64) = (0, 0)
    let failed = withUnsafeMutableBytes(of: &words) { ltp_system_random($0.baseAddress, $0.count) != 0 }
    return failed ? nil : SipKey(low: words.0, high: words.1)
  }

  private static func layOut(
    memory: UnsafeMutableRawPointer, staging: UnsafeMutableRawPointer, storage: consuming SystemStorage,
    log: RecoveredLog, options: CoreOptions, rules: ltp_signal_rules?, runKey: SipKey, page: MappedPage?
  ) -> Core {
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
    let core = Core(memory)
    core.state.initialize(
      to: CoreState(
        magic: CoreState.live, orientation: orientation, lanes: lanes, texts: texts, progress: progress,
        writer: writer, clockStop: clockStop,
        closedCounters: (memory + CoreMemory.countersOffset)
          .bindMemory(to: UInt64.self, capacity: Lane.counterCount),
        staging: staging, options: options, choice: choice,
        coreKey: runKey,
        regulator: Regulator(
          memory: memory + CoreMemory.regulatorOffset, orientation: orientation, lanes: lanes,
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
      || orientation.drainedEpoch != orientation.current.epoch
    {
      let signal = progress.pointee.durableSignal.pointee.load(ordering: .sequentiallyConsistent)
      let failure = progress.pointee.failure.load(ordering: .acquiring)
      let hindrance = progress.pointee.hindrance.load(ordering: .acquiring)
      let code = progress.pointee.failureCode.load(ordering: .relaxed)
      // What hinders the space ahead is not in the way once the opening's own space was found.
      let isBegun = progress.pointee.sealedBlocks.load(ordering: .acquiring) > firstBlock
      let isLate = ltp_system_monotonic_ns() > deadline
      var status = failure != LTP_OK ? failure : isBegun && !isLate ? LTP_OK : hindrance
      if status == LTP_OK, isLate { status = LTP_ERROR_TIMED_OUT }
      if status != LTP_OK {
        stop(drain: false)
        throw OpenFault(status, statusText(status), code: code)
      }
      waitForWriter(signal: signal, timeoutNanoseconds: 1_000_000)
    }
  }

  /// Sleeps until the writer has moved on from `signal`, or drives it, if that is this thread's to do.
  func waitForWriter(signal: UInt32, timeoutNanoseconds: UInt64) {
    let progress = state.pointee.progress
    if driveWhileWaiting() { return }
    progress.pointee.waiters.add(1, ordering: .sequentiallyConsistent)
    callWriter()
    FutexWord.wait(
      progress.pointee.durableSignal, expected: signal,
      // The thread that drives may stop doing so.
      timeoutNanoseconds: isHostDriven ? min(timeoutNanoseconds, 1_000_000) : timeoutNanoseconds)
    progress.pointee.waiters.subtract(1, ordering: .sequentiallyConsistent)
  }

  private func stop(drain: Bool) {
    if isHostDriven { stopHostDriven(drain: drain) } else { stopThreads(drain: drain) }
  }

  // MARK: The end

  /// LTP_OK once everything is durable and the core is gone; LTP_ERROR_LANES_OPEN: it is still there.
  func close(timeoutNanoseconds: UInt64, error: UnsafeMutablePointer<ltp_error>?) -> Int32 {
    guard !isHostDriven || !isPolledElsewhere else { return report(error, LTP_ERROR_IN_USE) }
    let progress = state.pointee.progress
    progress.pointee.stop.store(1, ordering: .releasing)
    state.pointee.orientation.close()
    let deadline = ltp_system_monotonic_ns().addingReportingOverflow(timeoutNanoseconds)
    let end = deadline.overflow ? UInt64.max : deadline.partialValue
    while progress.pointee.openLanes.load(ordering: .acquiring) > 0 {
      guard ltp_system_monotonic_ns() < end else { return report(error, LTP_ERROR_LANES_OPEN) }
      // A lane may wait for the disk before it is closed.
      if !driveWhileWaiting() { ltp_system_sleep_ns(200_000) }
    }
    guard !isHostDriven || enterDriving(orTakingOver: true) else { return report(error, LTP_ERROR_IN_USE) }
    stop(drain: true)
    let failure = progress.pointee.failure.load(ordering: .acquiring)
    let sealed = progress.pointee.sealedBlocks.load(ordering: .acquiring)
    let durable = progress.pointee.durableBlocks.load(ordering: .acquiring)
    let code = progress.pointee.failureCode.load(ordering: .relaxed)
    var result = LTP_OK
    if failure != LTP_OK {
      result = failure
    } else if durable < sealed || !state.pointee.writer.pointee.isFinished {
      result = progress.pointee.hindrance.load(ordering: .acquiring)
      if result == LTP_OK { result = LTP_ERROR_TRACE_IO }
    }
    takeDown(releasingPage: true)
    guard result != LTP_OK else { return report(error, LTP_OK) }
    return report(
      error, result, code: code, block: durable,
      text: "closed, but records from this block on are not durable")
  }

  /// Gives everything back. The threads have ended.
  private func takeDown(releasingPage: Bool) {
    for index in 0..<LaneTable.lanesMax {
      if let lane = state.pointee.lanes.lane(index) { reclaim(lane, at: index) }
    }
    // Bound first: the thread sanitizer's build of Swift 6.3 stops at a change through two pointers in a row.
    let writer = state.pointee.writer
    writer.pointee.closeFiles()
    writer.pointee.giveBack()
    writer.deinitialize(count: 1)
    writer.deallocate()
    ltp_system_unmap(state.pointee.staging, state.pointee.options.trace.stagingBytes)
    if releasingPage { state.pointee.page?.release() }
    state.pointee.magic = 0
    ltp_system_handle_give(LTP_SYSTEM_HANDLE_CORE, state, CoreMemory.wholeBytes)
  }
}
