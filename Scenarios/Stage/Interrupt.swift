// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Synchronization

/// Ctrl-C, or a supervisor's SIGTERM: the server goes too, and nothing stays behind but the files.
package enum Interrupt {
  private static let endings = Mutex<[@Sendable () -> Void]>([])

  /// Has this done too when an interrupt ends the scenario: for what is no child of `ChildProcess`.
  package static func alsoEnd(_ ending: @escaping @Sendable () -> Void) {
    endings.withLock { $0.append(ending) }
  }

  package static func handle(_ name: String) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM, SIGHUP].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        ChildProcess.killAll()
        for ending in endings.withLock({ $0 }) { ending() }
        say("\n\(name): interrupted; the server has been ended")
        signal(number, SIG_DFL)
        raise(number)
        _exit(128 + number)
      }
      source.resume()
      return source
    }
  }
}
