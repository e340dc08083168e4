// SPDX-License-Identifier: Apache-2.0
// Hashes the bodies of a window's blocks on two threads: only the chain over the blocks is serial, and the hash of
// a body is most of what checking costs. The scanner takes bodies from the front, the helper from the back, and
// where they meet the helper's are ready.
//
// A job is taken once, under the mutex; its memory stays valid until `cancel` has returned.

import CLTPSystem
import Glibc
import LTPRecords

final class BodyHasher: @unchecked Sendable {
  /// More blocks of one window than this are hashed in several rounds.
  static let jobsMax = 1024

  private struct Job {
    var body: UnsafeRawPointer
    var count: Int
    var digest: Digest?
    var isDone = false
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var thread = ltp_system_thread()
  private var isRunning = false
  // Guarded by the mutex.
  private var jobs: [Job] = []
  /// The scanner's next job; the helper has taken those from `back` on.
  private var front = 0
  private var back = 0
  private var isBusy = false
  private var isStopping = false

  init() {
    jobs.reserveCapacity(Self.jobsMax)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Without a helper the scanner hashes everything itself.
  func start() {
    let argument = Unmanaged.passUnretained(self).toOpaque()
    isRunning =
      ltp_system_thread_start(
        &thread, { Unmanaged<BodyHasher>.fromOpaque($0!).takeUnretainedValue().run() }, argument, "ltp-hash")
      == 0
  }

  func stop() {
    guard isRunning else { return }
    pthread_mutex_lock(mutex)
    isStopping = true
    front = back
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
    ltp_system_thread_join(&thread)
    isRunning = false
  }

  /// SHA-256 of the body of the block at `block`, of which `available` bytes can be read. Nil when the block's
  /// shape is wrong, or without a helper: then the block check does it. The blocks behind it in the window are
  /// planned with the first one.
  func digest(_ block: UnsafeRawPointer, available: Int) -> Digest? {
    guard isRunning else { return nil }
    let body = BlockHeader(block).body
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if front >= jobs.count || jobs[front].body != body {
      settle()
      plan(block, available: available)
      guard !jobs.isEmpty else { return nil }
      if jobs.count > 1 { pthread_cond_broadcast(changed) }
    }
    let mine = front
    front += 1
    if mine < back {
      let count = jobs[mine].count
      pthread_mutex_unlock(mutex)
      let digest = Digest(of: body, count: count)
      pthread_mutex_lock(mutex)
      return digest
    }
    while !jobs[mine].isDone { pthread_cond_wait(changed, mutex) }
    return jobs[mine].digest
  }

  /// The window's memory is about to go.
  func cancel() {
    guard isRunning else { return }
    pthread_mutex_lock(mutex)
    settle()
    pthread_mutex_unlock(mutex)
  }

  /// Drops the jobs that nobody has begun and waits for the one that the helper is at. The mutex is held.
  private func settle() {
    back = 0
    while isBusy { pthread_cond_wait(changed, mutex) }
    jobs.removeAll(keepingCapacity: true)
    front = 0
  }

  /// Lists the blocks that lie whole in the window from `block` on.
  private func plan(_ block: UnsafeRawPointer, available: Int) {
    var next = block
    var left = available
    while jobs.count < Self.jobsMax, left >= 256 {
      let header = BlockHeader(next)
      guard (try? header.checkShape()) != nil, header.sizeBytes <= left else { break }
      jobs.append(Job(body: header.body, count: header.bodyBytes))
      next += header.sizeBytes
      left -= header.sizeBytes
    }
    back = jobs.count
  }

  private func run() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isStopping {
      guard back > front else {
        pthread_cond_wait(changed, mutex)
        continue
      }
      back -= 1
      let mine = back
      let job = jobs[mine]
      isBusy = true
      pthread_mutex_unlock(mutex)
      let digest = Digest(of: job.body, count: job.count)
      pthread_mutex_lock(mutex)
      isBusy = false
      // Dropped meanwhile by `settle`, which waits for this before it clears the list.
      jobs[mine].digest = digest
      jobs[mine].isDone = true
      pthread_cond_broadcast(changed)
    }
  }
}
