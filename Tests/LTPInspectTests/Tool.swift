// SPDX-License-Identifier: Apache-2.0
// The tool that was built beside the tests, run as a user runs it.

import Foundation

enum Tool {
  struct Outcome {
    var status: Int32
    var output: String
    var errors: String
  }

  private static var location: URL {
    let products = Bundle.main.executableURL!.resolvingSymlinksInPath().deletingLastPathComponent()
    return products.appendingPathComponent("ltp")
  }

  static func start(_ arguments: [String], output: Pipe, errors: Pipe) throws -> Process {
    let process = Process()
    process.executableURL = location
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    return process
  }

  static func run(_ arguments: [String]) throws -> Outcome {
    let output = Pipe()
    let errors = Pipe()
    let process = try start(arguments, output: output, errors: errors)
    let said = try output.fileHandleForReading.readToEnd() ?? Data()
    let complained = try errors.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: said, as: UTF8.self),
      errors: String(decoding: complained, as: UTF8.self))
  }
}
