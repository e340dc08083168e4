// SPDX-License-Identifier: Apache-2.0
//
// Writes the fuzzer's first inputs: valid frames of every type and set of flags, one a file, into the
// directory that is the only argument. Built by scripts/fuzz together with the tests' RandomFrames.swift.

import Glibc

@main
struct SeedFrames {
  static let framesPerKind = 4

  static func main() {
    guard CommandLine.arguments.count == 2 else { fail("usage: seed-frames DIRECTORY") }
    let directory = CommandLine.arguments[1]
    var random = SplitMix64(seed: 1)
    for (index, kind) in FrameKind.all.enumerated() {
      for count in 0..<framesPerKind {
        write(kind.randomFrame(&random), to: "\(directory)/\(kind.name)-\(index)-\(count)")
      }
    }
  }

  static func write(_ frame: [UInt8], to path: String) {
    guard let file = fopen(path, "wb") else { fail("cannot write \(path)") }
    let written = fwrite(frame, 1, frame.count, file)
    guard fclose(file) == 0, written == frame.count else { fail("cannot write \(path)") }
  }

  static func fail(_ message: String) -> Never {
    print(message)
    exit(1)
  }
}
