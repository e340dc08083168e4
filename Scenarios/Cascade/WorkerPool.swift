// SPDX-License-Identifier: Apache-2.0
// The bounded pool behind the queue: each worker has its own connection to the database. SQLite takes one writer at a
// time, so writers line up for one lock of the process rather than polling SQLite's.

import CLTP
import CLinux
import Foundation
import Stage
import Synchronization

/// A request that was let in.
struct Job {
  /// The connection that waits for it.
  let connection: Int32
  let connectionSerial: UInt32
  let request: ltp_route_request
  let verdict: ltp_verdict
  let queuedAt: UInt64
}

/// Jobs in order of arrival, at most so many. Bounded, but long, as in ordinary services.
final class JobQueue: @unchecked Sendable {
  private let condition = NSCondition()
  private var jobs: [Job] = []
  private var first = 0
  private let countMax: Int

  init(countMax: Int) { self.countMax = countMax }

  /// False when the queue is full.
  func push(_ job: Job) -> Bool {
    condition.lock()
    defer { condition.unlock() }
    guard jobs.count - first < countMax else { return false }
    jobs.append(job)
    condition.signal()
    return true
  }

  func pop() -> Job {
    condition.lock()
    defer { condition.unlock() }
    while first == jobs.count { condition.wait() }
    let job = jobs[first]
    first += 1
    if first > 1024, first * 2 > jobs.count {
      jobs.removeFirst(first)
      first = 0
    }
    return job
  }

  /// When the oldest waiting job was queued; nil: none waits.
  var oldest: UInt64? {
    condition.lock()
    defer { condition.unlock() }
    return first < jobs.count ? jobs[first].queuedAt : nil
  }
}

/// What a worker hands back to the I/O thread.
struct Completion {
  let job: Job
  let isDone: Bool
  let doneAt: UInt64
}

/// A worker's figures, for other threads to read.
final class WorkerGauge: Sendable {
  /// Since when the database works on this worker's write; 0: it does not.
  let writingSince = Atomic<UInt64>(0)
  let processorTime = Atomic<UInt64>(0)
  let done = Atomic<UInt64>(0)
  let failed = Atomic<UInt64>(0)
}

final class WorkerPool: @unchecked Sendable {
  let queue: JobQueue
  let gauges: [WorkerGauge]
  private let completions = Mutex<[Completion]>([])
  /// Raised when there are completions.
  let event: Int32
  private let writer = Mutex(())

  init(workers: Int, queueMax: Int, database: String) throws(ScenarioFailure) {
    queue = JobQueue(countMax: queueMax)
    gauges = (0..<workers).map { _ in WorkerGauge() }
    event = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    guard event >= 0 else { throw ScenarioFailure(system: "no eventfd") }
    for gauge in gauges {
      let connection = try OrderDatabase(path: database)
      Thread.detachNewThread { [self] in work(connection, gauge) }
    }
  }

  /// How long the database has been busy with the oldest write under way, in nanoseconds.
  func oldestWrite(now: UInt64) -> UInt64 {
    var oldest: UInt64 = 0
    for gauge in gauges {
      let since = gauge.writingSince.load(ordering: .relaxed)
      if since > 0, now > since { oldest = max(oldest, now - since) }
    }
    return oldest
  }

  /// What has been done since the last call.
  func takeCompletions() -> [Completion] {
    var count: UInt64 = 0
    read(event, &count, 8)
    return completions.withLock { list in
      defer { list = [] }
      return list
    }
  }

  private func work(_ database: OrderDatabase, _ gauge: WorkerGauge) {
    while true {
      let job = queue.pop()
      let isDone = serve(job, database, gauge)
      if isDone { gauge.done.add(1, ordering: .relaxed) } else { gauge.failed.add(1, ordering: .relaxed) }
      gauge.processorTime.store(Clock.thread(), ordering: .relaxed)
      let wakes = completions.withLock { list in
        list.append(Completion(job: job, isDone: isDone, doneAt: Clock.monotonic()))
        return list.count == 1
      }
      if wakes {
        var one: UInt64 = 1
        write(event, &one, 8)
      }
    }
  }

  private func serve(_ job: Job, _ database: OrderDatabase, _ gauge: WorkerGauge) -> Bool {
    let customer = Int64(job.request.session_id % UInt64(OrderDatabase.customerCount)) + 1
    do {
      let draft = try database.draft(
        customer: customer, intent: Int64(truncatingIfNeeded: job.request.frame_id))
      let receipt = try writer.withLock { _ in
        gauge.writingSince.store(Clock.monotonic(), ordering: .relaxed)
        defer { gauge.writingSince.store(0, ordering: .relaxed) }
        return try database.place(draft)
      }
      return receipt.lineCount == OrderDatabase.lineCount && receipt.total == draft.total
    } catch {
      say("cascade serve: \(error)")
      return false
    }
  }
}
