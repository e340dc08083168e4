// SPDX-License-Identifier: Apache-2.0
// Ctrl-C, or a supervisor's SIGTERM, in the middle of a bench: gigabytes of trace must not stay behind.

import Dispatch
import Foundation

enum BenchInterrupt {
  /// From now on these signals remove `directory` (or say where it is) and end the process as they would have.
  static func handle(_ directory: BenchDirectory, keeps: Bool) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM, SIGHUP].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        // The core still writes; a segment that it makes meanwhile wants another round.
        for _ in 0..<10 where !keeps && FileManager.default.fileExists(atPath: directory.path) {
          directory.remove()
        }
        let fate = keeps ? "the trace so far is in" : "removed"
        FileHandle.standardError.write(Data("\nltp bench: interrupted; \(fate) \(directory.path)\n".utf8))
        signal(number, SIG_DFL)
        raise(number)
        _exit(128 + number)
      }
      source.resume()
      return source
    }
  }
}
