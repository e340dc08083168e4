// SPDX-License-Identifier: Apache-2.0
//
// First inputs for the continuity target: scripts of honest and of spoiled steps, one a file, into the directory that is the only
// argument.

import Foundation

@main
enum SeedContinuity {
  /// A frame that arrives as it was sent: nothing changed, nothing cut, aligned.
  static let whole: [UInt8] = [0, 0, 0]
  /// Lives of session 0 and 1, in domain 0; the connection is bound to the later one.
  static let lives: [UInt8] = [0, 0x00, 0] + whole + [0, 0x01, 0] + whole

  /// A request of one life, with one thing of another life's: 0 session, 1 incarnation, 2 domain, 3 intent, 4 token, 5 nothing.
  static func ask(_ life: UInt8, mixedWith other: UInt8 = 0, _ what: UInt8 = 5, isBound: Bool = false)
    -> [UInt8]
  {
    [2, life, other, what, isBound ? 1 : 0] + whole
  }

  static let scripts: [String: [UInt8]] = [
    "honest": lives + ask(0) + ask(1, isBound: true) + ask(0, isBound: true),
    "mixed": (0...4).reduce(lives) { $0 + ask(0, mixedWith: 1, $1) },
    "two-lives": lives + [0, 0x10, 0] + whole + ask(0) + ask(2, mixedWith: 0, 1),
    "outage": lives + [5] + ask(0) + [6] + ask(0) + [0, 0x00, 0] + whole + ask(2) + ask(2, mixedWith: 0, 3),
    "void": lives + [7, 0] + ask(0) + ask(1) + [0, 0x00, 0] + whole + ask(2),
    "domain": lives + [0, 0x04, 0] + whole + [8, 1, 3] + ask(0) + ask(2) + [8, 1, 1]
      + ask(2, mixedWith: 0, 2),
    "heartbeat": lives + [9, 0] + whole + [9, 1] + [1, 44, 200, 0, 0] + ask(0),
    "client": [10] + whole + [10] + whole + [5, 10] + whole + [6, 10] + whole + [10] + whole,
    "cut": lives + [0, 0x02, 0, 0, 63, 1] + [2, 0, 0, 5, 0, 0, 40, 1] + [10, 0, 30, 0],
    "spoiled": lives + [0, 0x03, 0, 1, 57, 255, 0, 0] + [2, 0, 0, 5, 0, 1, 24, 1, 0, 0] + [
      2, 0, 0, 5, 0, 1, 40, 1, 0, 1,
    ],
  ]

  static func main() throws {
    let corpus = URL(fileURLWithPath: CommandLine.arguments[1])
    for (name, script) in scripts { try Data(script).write(to: corpus.appendingPathComponent(name)) }
  }
}
