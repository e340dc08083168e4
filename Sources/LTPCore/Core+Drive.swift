// SPDX-License-Identifier: Apache-2.0
// What moves a core: ticks of its clock, and turns of its writer. The background threads call these, or, in a core
// that the host drives, whoever polls or waits.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPStorage
import LTPTrace
import Synchronization

extension Core {
  /// How long the writer waits for a completion before it looks at the lanes again.
  static let completionWaitNanoseconds: UInt64 = 100_000
  /// Turns of a poll in which something moved, at most: lanes may keep it busy for ever.
  private static let turnsMax = 64

  /// Moves the coarse clock on. One thread at a time.
  func tick() {
    let orientation = state.pointee.orientation
    let now = ltp_system_monotonic_ns()
    orientation.followPage(now: now)
    stepDomains(now: now)
    if let observer = state.pointee.observer {
      let system = state.pointee.system
      system.pointee.observe(
        into: observer, now: now, hellos: orientation.hellos.pointee.load(ordering: .relaxed))
      observer.step(now: now)
    }
    let observer = state.pointee.observer
    state.pointee.regulator.step(now: now, serviceState: orientation.current.state) {
      observer?.lastValue($0, now: now)
    }
    orientation.line.pointee.tick(monotonic: now, unix: ltp_system_unix_ns())
  }

  /// One turn of the writer, and what belongs to it. One thread at a time.
  func drive(waitNanoseconds: UInt64) -> StepResult {
    let progress = state.pointee.progress
    let writer = state.pointee.writer
    let now = ltp_system_monotonic_ns()
    var result = writer.pointee.step(
      now: now, nowUnix: ltp_system_unix_ns(), waitNanoseconds: waitNanoseconds)
    if stepKeeper(now: now) { result.progressed = true }
    reclaimDismissed()
    progress.pointee.directIO.store(writer.pointee.writesDirect ? 1 : 0, ordering: .relaxed)
    if !isHostDriven { progress.pointee.writerCPU.store(ltp_system_thread_cpu_ns(), ordering: .relaxed) }
    return result
  }

  private func reclaimDismissed() {
    for index in 0..<LaneTable.lanesMax {
      guard let lane = state.pointee.lanes.lane(index), lane.isDismissed else { continue }
      // Somebody may still wait for its records, or release a permit: later, then.
      if Latch(of: lane.memory).isEmpty { reclaim(lane, at: index) }
    }
  }

  fileprivate var allLanesAreGone: Bool {
    for index in 0..<LaneTable.lanesMax where state.pointee.lanes.lane(index) != nil { return false }
    return true
  }

  /// The writer's last turn is over.
  func endWriter() {
    let writer = state.pointee.writer
    writer.pointee.settleInFlight()
    withKeeper { $0.pointee.close() }
    writer.pointee.closeFiles()
  }

  // MARK: Driven by the host

  // One thread polls, and the ring is its own from its first poll on until it says that it ends polling. Before and
  // after that, whoever waits writes without a ring.

  func startHostDriven() throws(OpenFault) {
    let options = state.pointee.options
    let interval = min(options.clockIntervalNanoseconds, options.trace.commitIntervalNanoseconds)
    let result = ltp_system_events_open(&state.pointee.events, interval)
    guard result == 0 else {
      throw OpenFault(
        LTP_ERROR_TRACE_DESCRIPTORS, statusText(LTP_ERROR_TRACE_DESCRIPTORS), code: -result)
    }
  }

  /// Ends the writer's turns. The caller drives for good: `enterDriving(orTakingOver: true)`.
  func stopHostDriven(drain: Bool) {
    state.pointee.progress.pointee.stop.store(drain ? 2 : 3, ordering: .releasing)
    let writer = state.pointee.writer
    if !isOursToDrive {
      // The thread that polled is no more.
      if writer.pointee.isUnderWay { writer.pointee.abandon() }
      writer.pointee.detachFromThread()
    }
    var end = WriterEnd()
    repeat { driveOrSleep() } while !end.hasCome(for: self)
    endWriter()
    ltp_system_events_close(&state.pointee.events)
  }

  package func endPolling() -> Int32 {
    guard isHostDriven else { return LTP_ERROR_NOT_HOST_DRIVEN }
    guard enterDriving(orTakingOver: false) else { return LTP_ERROR_IN_USE }
    defer { leaveDriving() }
    let writer = state.pointee.writer
    writer.pointee.detachFromThread()
    state.pointee.pollingThread.store(0, ordering: .releasing)
    return state.pointee.progress.pointee.failure.load(ordering: .acquiring)
  }

  package func poll() -> Int32 {
    guard isHostDriven else { return LTP_ERROR_NOT_HOST_DRIVEN }
    guard enterDriving(orTakingOver: false) else { return LTP_ERROR_IN_USE }
    defer { leaveDriving() }
    becomePollingThread()
    ltp_system_events_clear(&state.pointee.events)
    tick()
    var turns = 0
    while turns < Self.turnsMax, drive(waitNanoseconds: 0).progressed { turns += 1 }
    // Not all of it was done: the host's next look shall bring it back here.
    if turns == Self.turnsMax { ltp_system_events_raise(&state.pointee.events) }
    return state.pointee.progress.pointee.failure.load(ordering: .acquiring)
  }

  private func becomePollingThread() {
    guard state.pointee.pollingThread.load(ordering: .acquiring) == 0 else { return }
    state.pointee.pollingThread.store(ltp_system_thread_id(), ordering: .releasing)
    let writer = state.pointee.writer
    writer.pointee.attachToThread(notifying: state.pointee.events.raised)
  }

  /// Drives for a thread that waits for the disk, or for others. False: that is another thread's to do.
  func driveWhileWaiting() -> Bool {
    guard isHostDriven, isOursToDrive, tryDriving() else { return false }
    defer { leaveDriving() }
    guard isOursToDrive else { return false }
    driveOrSleep()
    return true
  }

  private func driveOrSleep() {
    tick()
    let result = drive(waitNanoseconds: Core.completionWaitNanoseconds)
    if !result.progressed, !result.isWaiting { ltp_system_sleep_ns(Core.completionWaitNanoseconds) }
  }

  /// Nobody polls, or the caller does.
  private var isOursToDrive: Bool {
    let polling = state.pointee.pollingThread.load(ordering: .acquiring)
    return polling == 0 || polling == ltp_system_thread_id()
  }

  /// Another thread polls, and lives.
  var isPolledElsewhere: Bool {
    guard !isOursToDrive else { return false }
    return ltp_system_thread_is_there(state.pointee.pollingThread.load(ordering: .acquiring)) != 0
  }

  /// Waits for whoever drives just now. False: another thread is the one that polls, or, `orTakingOver`, polls and lives.
  func enterDriving(orTakingOver takesOver: Bool) -> Bool {
    while true {
      guard isOursToDrive || takesOver && !isPolledElsewhere else { return false }
      if tryDriving() {
        if isOursToDrive || takesOver && !isPolledElsewhere { return true }
        leaveDriving()
      }
      ltp_system_sleep_ns(20_000)
    }
  }

  private func tryDriving() -> Bool { state.pointee.driving.exchange(1, ordering: .acquiring) == 0 }
  private func leaveDriving() { state.pointee.driving.store(0, ordering: .releasing) }
}

/// When a writer that was told to stop may do so.
struct WriterEnd {
  /// How long a close waits for the writer to drain what cannot be written (no space).
  private static let drainWaitNanoseconds: UInt64 = 10_000_000_000

  private var drainingSince: UInt64 = 0

  /// After a turn of the writer: everything is durable, or no longer to be waited for.
  mutating func hasCome(for core: Core) -> Bool {
    let stop = core.state.pointee.progress.pointee.stop.load(ordering: .acquiring)
    guard stop >= 2 else { return false }
    let writer = core.state.pointee.writer
    let now = ltp_system_monotonic_ns()
    if drainingSince == 0 { drainingSince = now }
    let isTooLong = now - drainingSince > Self.drainWaitNanoseconds
    if stop == 3 || writer.pointee.hasFailed || isTooLong { return true }
    return core.allLanesAreGone && core.withKeeper { $0.pointee.finish() } ?? true
      && writer.pointee.finish()
  }
}
