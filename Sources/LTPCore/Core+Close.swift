// SPDX-License-Identifier: Apache-2.0
// The end of a core: it denies, its lanes are closed, calls leave it, everything becomes durable, and its memory goes back.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPOrientation
import LTPStorage
import LTPTrace
import Synchronization

/// Why a core is still there, or what was lost when it was closed.
package struct CloseFault: Error {
  package let status: Int32
  /// The first block that is not durable; nil: the core is still there.
  package let lostFrom: UInt64?
  /// errno; 0: none.
  package let code: Int32

  init(_ status: Int32, lostFrom: UInt64? = nil, code: Int32 = 0) {
    self.status = status
    self.lostFrom = lostFrom
    self.code = code
  }
}

extension Core {
  /// Closes the core of a handle, one thread at a time. Nothing thrown: everything is durable, and the core is gone.
  package static func close(_ handle: OpaquePointer?, timeoutNanoseconds: UInt64) throws(CloseFault) {
    let latch: Latch
    do throws(HandleFault) { latch = try .claim(.core, handle) } catch { throw CloseFault(error.status) }
    let core = Core(latch)
    let hindrance = core.leaveAlone(timeoutNanoseconds: timeoutNanoseconds)
    guard hindrance == LTP_OK else {
      latch.unclaim()
      throw CloseFault(hindrance)
    }
    try core.end()
  }

  /// Ends lanes and calls. From LTP_OK on, nobody but the core's own threads is in the core, and nobody comes in. Anything
  /// else: the core is still there, and denies.
  private func leaveAlone(timeoutNanoseconds: UInt64) -> Int32 {
    guard !isHostDriven || !isPolledElsewhere else { return LTP_ERROR_IN_USE }
    let (progress, latch) = (state.pointee.progress, state.pointee.latch)
    progress.pointee.stop.store(1, ordering: .releasing)
    state.pointee.orientation.close()
    let deadline = ltp_system_monotonic_ns().addingReportingOverflow(timeoutNanoseconds)
    let end = deadline.overflow ? UInt64.max : deadline.partialValue
    repeat {
      while progress.pointee.openLanes.load(ordering: .acquiring) > 0 {
        guard ltp_system_monotonic_ns() < end else { return LTP_ERROR_LANES_OPEN }
        // A lane may wait for the disk before it is closed.
        if !driveWhileWaiting() { ltp_system_sleep_ns(200_000) }
      }
      // Calls are short. One of them may just have opened a lane.
      latch.shut()
      latch.waitUntilEmpty()
      if progress.pointee.openLanes.load(ordering: .acquiring) == 0 { break }
      latch.reopen()
    } while true
    // Whoever waited for a closed lane's records finds that it is closed. Before the events go, which they raise.
    while !lanesAreEmpty {
      wakeWaiters()
      ltp_system_sleep_ns(100_000)
    }
    guard !isHostDriven || enterDriving(orTakingOver: true) else { return LTP_ERROR_IN_USE }
    return LTP_OK
  }

  /// Nobody is in a call with a lane. Under the mutex: the writer gives lanes' memory back meanwhile.
  private var lanesAreEmpty: Bool {
    withControlMutex {
      for lane in state.pointee.lanes where !Latch(of: lane.memory).isEmpty { return false }
      return true
    }
  }

  /// Drains and takes the core down; throws what did not become durable. Nobody is in the core.
  private func end() throws(CloseFault) {
    let progress = state.pointee.progress
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
    if result == LTP_OK, let front = state.pointee.front {
      result = front.failure.pointee.load(ordering: .acquiring)
    }
    tearDown(releasingPage: true)
    if result != LTP_OK { throw CloseFault(result, lostFrom: durable, code: code) }
  }

  /// Gives everything back. The threads have ended.
  func tearDown(releasingPage: Bool) {
    for index in 0..<LaneTable.lanesMax {
      if let lane = state.pointee.lanes.lane(index) { reclaim(lane, at: index) }
    }
    // Bound first: the thread sanitizer's build of Swift 6.3 stops at a change through two pointers in a row.
    let writer = state.pointee.writer
    if let keeper = state.pointee.keeper {
      keeper.pointee.close()
      keeper.pointee.releaseMemory()
      keeper.deinitialize(count: 1)
      keeper.deallocate()
    }
    writer.pointee.closeFiles()
    writer.pointee.releaseMemory()
    writer.deinitialize(count: 1)
    writer.deallocate()
    let notified = state.pointee.progress.pointee.notified.load(ordering: .acquiring)
    if notified >= 0 { _ = ltp_system_close(notified) }
    ltp_system_unmap(state.pointee.staging, state.pointee.options.trace.chain.stagingBytes)
    if releasingPage { state.pointee.page?.release() }
    state.pointee.latch.discardMemory()
  }
}
