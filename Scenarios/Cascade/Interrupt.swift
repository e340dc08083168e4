// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

/// Ctrl-C, or a supervisor's SIGTERM: the server goes too, and nothing stays behind but the files.
enum Interrupt {
  static func handle() -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM, SIGHUP].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        let server = ServerProcess.current.load(ordering: .acquiring)
        if server > 0 { kill(server, SIGKILL) }
        say("\ncascade: interrupted; the server has been ended")
        signal(number, SIG_DFL)
        raise(number)
        _exit(128 + number)
      }
      source.resume()
      return source
    }
  }
}
