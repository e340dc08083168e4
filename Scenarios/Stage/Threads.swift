// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Threads that block, as many as are wanted: they are no tasks of the concurrency pool.
package enum Threads {
  private static let stackBytes = 512 << 10

  /// Starts one; the group is left when it has ended.
  package static func start(in group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
    group.enter()
    let thread = Thread {
      body()
      group.leave()
    }
    thread.stackSize = stackBytes
    thread.start()
  }
}
