// SPDX-License-Identifier: Apache-2.0
// Threads of tests, and what they share. As many threads as asked for, whatever the number of cores, because lanes and
// publishers must not wait for each other.

import Dispatch
import Foundation
import Synchronization

/// Threads that run until their bodies return.
package final class TestThreads: Sendable {
  private let group = DispatchGroup()

  package init() {}

  package func start(_ body: @escaping @Sendable () -> Void) {
    group.enter()
    Thread.detachNewThread { [group] in
      body()
      group.leave()
    }
  }

  /// Returns once all have ended.
  package func join() { group.wait() }
}

/// Runs `body` with 0 ..< `count` on as many threads, and returns once all have ended.
package func runThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let threads = TestThreads()
  for index in 0..<count { threads.start { body(index) } }
  threads.join()
}

/// Waits until `isDone`; looks every millisecond. False: `seconds` are over, which only a test that fails may need.
package func eventually(within seconds: Double = 60, _ isDone: () throws -> Bool) rethrows -> Bool {
  let end = ContinuousClock.now + .seconds(seconds)
  while try !isDone() {
    guard ContinuousClock.now < end else { return false }
    usleep(1000)
  }
  return true
}

package final class Flag: Sendable {
  private let value = Atomic<Bool>(false)

  package init() {}
  package var isSet: Bool { value.load(ordering: .acquiring) }
  package func set() { value.store(true, ordering: .releasing) }
}

package final class Tally: Sendable {
  private let value = Atomic<Int>(0)

  package init() {}
  package var count: Int { value.load(ordering: .acquiring) }
  package func add(_ count: Int = 1) { value.add(count, ordering: .acquiringAndReleasing) }
}

/// A value under a lock that the thread sanitizer knows: it sees into no `Mutex`.
package final class Locked<Value>: @unchecked Sendable {
  private let lock = NSLock()
  private var value: Value

  package init(_ value: Value) { self.value = value }

  package func with<Result>(_ body: (inout Value) -> Result) -> Result {
    lock.lock()
    defer { lock.unlock() }
    return body(&value)
  }
}
