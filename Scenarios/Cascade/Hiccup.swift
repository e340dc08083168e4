// SPDX-License-Identifier: Apache-2.0

import Foundation
import Stage
import Synchronization

/// Somebody else's connection to the database, from another process than the server's, that locks it for a while.
final class Hiccup: Sendable {
  private struct Times {
    var from: UInt64?
    var to: UInt64?
    var failure: String?
  }

  private let times = Mutex(Times())
  private let database: String
  private let nanoseconds: UInt64

  init(database: String, seconds: Double) {
    self.database = database
    nanoseconds = UInt64(seconds * 1e9)
  }

  func start() {
    Thread.detachNewThread { [self] in
      do {
        try OrderDatabase(path: database).holdExclusively { [self] in
          let from = Clock.monotonic()
          times.withLock { $0.from = from }
          Clock.sleep(nanoseconds: nanoseconds)
        }
        let to = Clock.monotonic()
        times.withLock { $0.to = to }
      } catch { times.withLock { $0.failure = "\(error)" } }
    }
  }

  /// When the database was locked, in monotonic nanoseconds.
  func locked() throws(ScenarioFailure) -> (from: UInt64, to: UInt64) {
    let times = times.withLock { $0 }
    if let failure = times.failure { throw ScenarioFailure("the hiccup failed: \(failure)") }
    guard let from = times.from, let to = times.to else {
      throw ScenarioFailure("the hiccup did not end in its phase")
    }
    return (from, to)
  }
}
