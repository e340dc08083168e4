// SPDX-License-Identifier: Apache-2.0
// The trait that every suite has: a failure names its seed, and a test that hangs fails.

import Foundation
package import Testing

/// Adds the seed in use to each failure, and ends the process when test cases are running and none of them has begun,
/// ended or gone on to its next seed for `limit`. Swift Testing's own time limit only cancels the task, which a test that
/// hangs in a call or a loop does not notice. A limit for each case would end tests that wait for a thread: all of them
/// begin at once, and share as many threads as there are cores.
package struct TestGuard: SuiteTrait, TestTrait, TestScoping {
  static let limit: Duration = TestSeed.isLong ? .seconds(24 * 3600) : .seconds(600)

  package var isRecursive: Bool { true }

  package func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let inUse = SeedInUse()
    let place = Watchdog.shared.enter(test.name, inUse)
    defer { Watchdog.shared.leave(place) }
    let naming = IssueHandlingTrait.compactMapIssues { issue in
      guard let hint = inUse.hint else { return issue }
      var issue = issue
      issue.comments.append(Comment(rawValue: hint))
      return issue
    }
    try await SeedInUse.$current.withValue(inUse) {
      try await naming.provideScope(for: test, testCase: testCase) {
        do { try await function() } catch {
          // Whatever a test throws is recorded outside of this scope, without the seed.
          guard inUse.hint != nil, !(error is ExpectationFailedError) else { throw error }
          Issue.record(error, sourceLocation: test.sourceLocation)
        }
      }
    }
  }
}

extension Trait where Self == TestGuard {
  package static var guarded: Self { TestGuard() }
}

/// Looks every second whether the test cases that are running go on.
final class Watchdog: @unchecked Sendable {
  static let shared = Watchdog()

  private struct Running {
    var name: String
    var inUse: SeedInUse
  }

  private let lock = NSLock()
  private var running: [Int: Running] = [:]
  private var last = 0
  private var progressedAt = ContinuousClock.now

  private init() {
    Thread.detachNewThread { [self] in
      while true {
        sleep(1)
        check()
      }
    }
  }

  func enter(_ name: String, _ inUse: SeedInUse) -> Int {
    lock.withLock {
      last += 1
      running[last] = Running(name: name, inUse: inUse)
      progressedAt = .now
      return last
    }
  }

  func leave(_ place: Int) {
    lock.withLock {
      running[place] = nil
      progressedAt = .now
    }
  }

  func progress() { lock.withLock { progressedAt = .now } }

  private func check() {
    let late = lock.withLock {
      ContinuousClock.now - progressedAt < TestGuard.limit ? [] : Array(running.values)
    }
    guard !late.isEmpty else { return }
    let names = late.map { "\($0.name) \($0.inUse.hint ?? "")" }.joined(separator: "; ")
    fatalError("hang: nothing has moved for \(TestGuard.limit) in any of: \(names)")
  }
}
