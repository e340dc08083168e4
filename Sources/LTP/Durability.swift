// SPDX-License-Identifier: Apache-2.0
// Waiting for the disk without holding a thread of the concurrency pool: one thread a core, started by the first
// task that has to wait, does the waiting for them all.

import CLTP
import CLTPSystem
import Dispatch

/// What a lane had decided at one moment. Keeps the lane open.
public struct DurabilityMark: Sendable {
  let owner: LaneOwner
  public let sequence: UInt64

  /// Whether it is on disk.
  public var isDurable: Bool { ltp_lane_durable(owner.handle) >= sequence }

  /// Asks for it to be written at once, and does not wait. `Core.durableDescriptor()` tells an event loop when something that was wanted is
  /// on disk; look at `isDurable` afterwards, because it may be there already.
  public func want() throws(LTPError) { try check(ltp_lane_want_durable(owner.handle, sequence)) }

  /// Sleeps until it is on disk. Blocks the thread, which need not be the lane's; a task waits for `durable()`.
  public func waitDurable(atMost limit: Duration = .seconds(10)) throws(LTPError) {
    try check(ltp_lane_wait_durable(owner.handle, sequence, limit.nanoseconds))
  }

  /// Returns once it is on disk. Throws `LTP_ERROR_TIMED_OUT` after `limit`, `LTPError.cancelled` when the task is
  /// cancelled, or why the trace failed; none of these takes back what was decided.
  public func durable(atMost limit: Duration = .seconds(10)) async throws(LTPError) {
    if isDurable { return }
    let waiters = owner.core.waiters
    let id = waiters.nextID()
    let deadline = ContinuousClock.now + limit
    let status = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        waiters.add(DurabilityWaiter(id: id, mark: self, deadline: deadline, continuation: continuation))
      }
    } onCancel: {
      waiters.cancel(id)
    }
    waiters.forget(id)
    try check(status)
  }
}

struct DurabilityWaiter: Sendable {
  let id: UInt64
  let mark: DurabilityMark
  let deadline: ContinuousClock.Instant
  let continuation: CheckedContinuation<Int32, Never>
}

final class DurabilityWaiters: Sendable {
  private struct State {
    var lastID: UInt64 = 0
    var waiting: [DurabilityWaiter] = []
    /// Cancelled before they were added.
    var cancelled: Set<UInt64> = []
    var isRunning = false
    var hasEnded = false
  }

  private let state = Guarded(State())
  private let work = DispatchSemaphore(value: 0)
  private static let lookInterval: UInt64 = 20_000_000

  func nextID() -> UInt64 {
    state.withLock {
      $0.lastID += 1
      return $0.lastID
    }
  }

  func add(_ waiter: DurabilityWaiter) {
    let (isCancelled, starts) = state.withLock { state in
      guard state.cancelled.remove(waiter.id) == nil else { return (true, false) }
      state.waiting.append(waiter)
      defer { state.isRunning = true }
      return (false, !state.isRunning)
    }
    if isCancelled { return waiter.continuation.resume(returning: LTPError.cancelled) }
    if starts, !startThread() { return failAll(LTP_ERROR_THREAD) }
    work.signal()
  }

  /// With all signals blocked, as the library's own threads.
  private func startThread() -> Bool {
    var thread = ltp_system_thread()
    let itself = Unmanaged.passRetained(self)
    let result = ltp_system_thread_start(
      &thread, { Unmanaged<DurabilityWaiters>.fromOpaque($0!).takeRetainedValue().run() }, itself.toOpaque(),
      "ltp-durable")
    guard result == 0 else {
      itself.release()
      return false
    }
    ltp_system_thread_detach(&thread)
    return true
  }

  private func failAll(_ status: Int32) {
    let failed = state.withLock { state in
      state.isRunning = false
      defer { state.waiting = [] }
      return state.waiting
    }
    for waiter in failed { waiter.continuation.resume(returning: status) }
  }

  func cancel(_ id: UInt64) {
    let waiter = state.withLock { state -> DurabilityWaiter? in
      guard let index = state.waiting.firstIndex(where: { $0.id == id }) else {
        state.cancelled.insert(id)
        return nil
      }
      return state.waiting.remove(at: index)
    }
    waiter?.continuation.resume(returning: LTPError.cancelled)
  }

  /// A task may be cancelled just after it has been resumed.
  func forget(_ id: UInt64) { state.withLock { _ = $0.cancelled.remove(id) } }

  /// The core is going: nobody waits any more, because a waiter keeps it.
  func end() {
    let isRunning = state.withLock { state in
      state.hasEnded = true
      return state.isRunning
    }
    if isRunning { work.signal() }
  }

  private func run() {
    while true {
      work.wait()
      while let oldest = state.withLock({ $0.waiting.first }) {
        let mark = oldest.mark
        let left = (oldest.deadline - .now).nanoseconds
        let status = ltp_lane_wait_durable(
          mark.owner.handle, mark.sequence, min(left, Self.lookInterval))
        resumeSettled(failing: status == LTP_OK || status == LTP_ERROR_TIMED_OUT ? nil : (oldest.id, status))
      }
      if state.withLock({ $0.hasEnded }) { return }
    }
  }

  /// Resumes those that are on disk, too late, or failed.
  private func resumeSettled(failing: (id: UInt64, status: Int32)?) {
    let now = ContinuousClock.now
    let settled = state.withLock { state in
      var settled: [(DurabilityWaiter, Int32)] = []
      state.waiting.removeAll { waiter in
        if waiter.mark.isDurable {
          settled.append((waiter, LTP_OK))
        } else if waiter.id == failing?.id {
          settled.append((waiter, failing!.status))
        } else if waiter.deadline <= now {
          settled.append((waiter, LTP_ERROR_TIMED_OUT))
        } else {
          return false
        }
        return true
      }
      return settled
    }
    for (waiter, status) in settled { waiter.continuation.resume(returning: status) }
  }
}
