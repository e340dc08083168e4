// SPDX-License-Identifier: Apache-2.0
// The two background threads: the writer ("ltp-writer") and the clock ("ltp-clock"). Each does what Core+Drive.swift
// says; a host-driven core has neither.

import CLTP
import CLTPSystem
import LTPStorage
import LTPTrace
import Synchronization

extension Core {
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
    wakeWriter()
    ltp_system_thread_join(&state.pointee.writerThread)
  }

  private func runClock() {
    let interval = state.pointee.options.clockIntervalNanoseconds
    while state.pointee.clockStop.pointee.load(ordering: .acquiring) == 0 {
      tick()
      FutexWord.wait(state.pointee.clockStop, expected: 0, timeoutNanoseconds: interval)
    }
  }

  private func runWriter() {
    let progress = state.pointee.progress
    let interval = state.pointee.options.trace.commitIntervalNanoseconds
    state.pointee.writer.pointee.attachToThread()
    var wait: UInt64 = 0
    var end = WriterEnd()
    while true {
      let attention = progress.pointee.attention.pointee.load(ordering: .sequentiallyConsistent)
      let result = drive(waitNanoseconds: wait)
      if end.hasCome(for: self) { break }
      if result.progressed {
        wait = 0
      } else if result.isWaiting {
        wait = Core.completionWaitNanoseconds
      } else {
        wait = 0
        let isStopping = progress.pointee.stop.load(ordering: .acquiring) >= 2
        FutexWord.wait(
          progress.pointee.attention, expected: attention,
          timeoutNanoseconds: isStopping ? Core.completionWaitNanoseconds : interval)
      }
    }
    endWriter()
  }
}
