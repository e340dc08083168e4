// SPDX-License-Identifier: Apache-2.0

import Foundation
import Stage

/// What a server has done and used since it began. One line of JSON on its standard output when it is asked.
struct ServerStats: Codable {
  /// Processor time of the whole process and of its workers alone, in nanoseconds.
  var processorTime: UInt64 = 0
  var workerProcessorTime: UInt64 = 0
  /// Requests that came in, and orders that were done, whether or not anybody still waited for them.
  var requests: UInt64 = 0
  var done: UInt64 = 0
  var failed: UInt64 = 0

  static func - (a: ServerStats, b: ServerStats) -> ServerStats {
    ServerStats(
      processorTime: a.processorTime - b.processorTime,
      workerProcessorTime: a.workerProcessorTime - b.workerProcessorTime, requests: a.requests - b.requests,
      done: a.done - b.done, failed: a.failed - b.failed)
  }
}

extension ChildProcess {
  func stats() throws(ScenarioFailure) -> ServerStats {
    guard let line = ask("stats"),
      let stats = try? JSONDecoder().decode(ServerStats.self, from: Data(line.utf8))
    else { throw ScenarioFailure("the server has died; it may say why above") }
    return stats
  }
}
