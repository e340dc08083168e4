// SPDX-License-Identifier: Apache-2.0
// The two background threads: the writer ("ltp-writer") and the clock ("ltp-clock").

import CLTP
import CLTPSystem
import LTPAdmission
import LTPTrace
import Synchronization

extension Core {
  /// How long the writer waits for a completion before it looks at the lanes again.
  private static let completionWaitNanoseconds: UInt64 = 100_000
  /// How long a close waits for the writer to drain what cannot be written (no space).
  private static let drainWaitNanoseconds: UInt64 = 10_000_000_000

  func startThreads() throws(OpenFault) {
    let writer = ltp_system_thread_start(
      &state.pointee.writerThread, { Core($0!).runWriter() }, state, "ltp-writer")
    guard writer == 0 else {
      throw OpenFault(LTP_ERROR_THREAD, statusText(LTP_ERROR_THREAD), code: -writer)
    }
    let clock = ltp_system_thread_start(
      &state.pointee.clockThread, { Core($0!).runClock() }, state, "ltp-clock")
    guard clock == 0 else {
      stopWriter(drain: false)
      throw OpenFault(LTP_ERROR_THREAD, statusText(LTP_ERROR_THREAD), code: -clock)
    }
  }

  /// Ends both threads. `drain`: only after everything that lanes and publishers handed over is durable.
  func stopThreads(drain: Bool) {
    state.pointee.clockStop.pointee.store(1, ordering: .releasing)
    FutexWord.wakeAll(state.pointee.clockStop)
    ltp_system_thread_join(&state.pointee.clockThread)
    stopWriter(drain: drain)
  }

  private func stopWriter(drain: Bool) {
    state.pointee.progress.pointee.stop.store(drain ? 2 : 3, ordering: .releasing)
    callWriter()
    ltp_system_thread_join(&state.pointee.writerThread)
  }

  private func runClock() {
    let orientation = state.pointee.orientation
    let interval = state.pointee.options.clockIntervalNanoseconds
    while state.pointee.clockStop.pointee.load(ordering: .acquiring) == 0 {
      let now = ltp_system_monotonic_ns()
      orientation.followPage(now: now)
      orientation.line.pointee.tick(monotonic: now, unix: ltp_system_unix_ns())
      FutexWord.wait(state.pointee.clockStop, expected: 0, timeoutNanoseconds: interval)
    }
  }

  private func runWriter() {
    let progress = state.pointee.progress
    let writer = state.pointee.writer
    let interval = state.pointee.options.trace.commitIntervalNanoseconds
    writer.pointee.attachToThread()
    var wait: UInt64 = 0
    var drainingSince: UInt64 = 0
    while true {
      let attention = progress.pointee.attention.pointee.load(ordering: .sequentiallyConsistent)
      let now = ltp_system_monotonic_ns()
      let result = writer.pointee.step(now: now, nowUnix: ltp_system_unix_ns(), waitNanoseconds: wait)
      reclaimDismissed()
      progress.pointee.directIO.store(writer.pointee.writesDirect ? 1 : 0, ordering: .relaxed)
      progress.pointee.writerCPU.store(ltp_system_thread_cpu_ns(), ordering: .relaxed)
      let stop = progress.pointee.stop.load(ordering: .acquiring)
      if stop >= 2 {
        if drainingSince == 0 { drainingSince = now }
        let tooLong = now - drainingSince > Self.drainWaitNanoseconds
        if stop == 3 || writer.pointee.hasFailed || tooLong { break }
        if allLanesAreGone, writer.pointee.finish() { break }
      }
      if result.progressed {
        wait = 0
      } else if result.isWaiting {
        wait = Self.completionWaitNanoseconds
      } else {
        wait = 0
        FutexWord.wait(
          progress.pointee.attention, expected: attention,
          timeoutNanoseconds: stop >= 2 ? Self.completionWaitNanoseconds : interval)
      }
    }
    writer.pointee.settleInFlight()
    writer.pointee.closeFiles()
  }

  private var allLanesAreGone: Bool {
    for index in 0..<LaneTable.lanesMax where state.pointee.lanes.lane(index) != nil { return false }
    return true
  }

  private func reclaimDismissed() {
    for index in 0..<LaneTable.lanesMax {
      if let lane = state.pointee.lanes.lane(index), lane.isDismissed { reclaim(lane, at: index) }
    }
  }
}
