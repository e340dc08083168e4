// SPDX-License-Identifier: Apache-2.0
// Threads of the bench, and the few words that they share.

import CLTPSystem
import Synchronization

/// What the publisher tells the lanes, and the bench tells the publisher.
final class BenchSignals: Sendable {
  let stop = Atomic<Bool>(false)
  /// How often continuity has moved on: tokens granted before are stale.
  let outages = Atomic<UInt64>(0)
  /// The floor's copy of the shared line changes as often as the core's.
  let floorWord = Atomic<UInt64>(1)
}

/// A thread that runs one closure. The closure may use whatever its creator leaves alone until `join`.
final class BenchThread {
  private var thread = ltp_system_thread()
  private let body: () -> Void

  init(_ name: String, _ body: @escaping () -> Void) throws {
    self.body = body
    let result = ltp_system_thread_start(
      &thread, { Unmanaged<BenchThread>.fromOpaque($0!).takeUnretainedValue().body() },
      Unmanaged.passUnretained(self).toOpaque(), name)
    guard result == 0 else {
      throw BenchFailure("cannot start a thread: \(systemErrorText(result))")
    }
  }

  func join() { ltp_system_thread_join(&thread) }
}

/// Why the bench cannot go on. Printed; exit status 1.
struct BenchFailure: Error, CustomStringConvertible {
  let description: String

  init(_ text: String) { description = text }
}

/// A negative result of an ltp_system_ function in words.
func systemErrorText(_ result: Int32) -> String {
  String(cString: ltp_system_error_text(-result))
}
