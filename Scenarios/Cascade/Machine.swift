// SPDX-License-Identifier: Apache-2.0
// What else the machine does meanwhile: figures from a busy machine are no figures.

import Foundation
import Glibc

enum Machine {
  /// Processor time, in seconds, that all processes have used since boot, and that the hypervisor gave to others.
  static func busySeconds() -> Double {
    guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .utf8) else { return 0 }
    // cpu user nice system idle iowait irq softirq steal guest guest_nice
    let fields = text.prefix { $0 != "\n" }.split(separator: " ").dropFirst().compactMap { Double($0) }
    guard fields.count >= 8 else { return 0 }
    let idle = fields[3] + fields[4]
    return (fields[0..<8].reduce(0, +) - idle) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  static var cores: Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }

  /// Runs `body` on a thread that comes after the server's: clients would have machines of their own.
  static func behindServer<Result>(_ body: @escaping () throws -> Result) throws -> Result {
    nonisolated(unsafe) let body = body
    nonisolated(unsafe) var result: Swift.Result<Result, any Error>?
    let isDone = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      // Of this thread alone, on Linux.
      _ = nice(5)
      result = Swift.Result { try body() }
      isDone.signal()
    }
    isDone.wait()
    return try result!.get()
  }
}
