// SPDX-License-Identifier: Apache-2.0
// `ltp inspect`, as it was built beside the scenario: what is said of a trace is said by the tool that an auditor has.

import Foundation

/// A transition as the trace tells it.
package struct TracedTransition: Codable {
  package struct Evidence: Codable {
    package var name: String
    package var value: Int64
    package var threshold: Int64
  }

  package var unixNanoseconds: UInt64
  package var from: String
  package var to: String
  package var reason: String
  package var epoch: UInt32
  package var evidence: [Evidence]
}

package enum Inspector {
  /// Where the tool lies.
  package static var tool: String {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .appendingPathComponent("ltp").path
  }

  /// Runs `ltp inspect` with these arguments; its exit status, and what it printed on standard output.
  package static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tool)
    process.arguments = ["inspect"] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    do { try process.run() } catch {
      throw ScenarioFailure(
        "\(tool) cannot be run (the scenario's script in scripts/ builds it): \(error.localizedDescription)")
    }
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }

  /// Whether `verify` or `violations` finds nothing wrong, and its last line.
  package static func judge(_ command: String, _ directory: String) throws -> (isGood: Bool, verdict: String)
  {
    let said = try run([command, directory])
    return (said.status == 0, said.output.split(separator: "\n").last.map(String.init) ?? "")
  }

  /// What it says with --json.
  package static func read<Answer: Decodable>(_ type: Answer.Type, _ arguments: [String]) throws -> Answer {
    let output = try run([arguments[0], "--json"] + arguments.dropFirst()).output
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do { return try decoder.decode(type, from: Data(output.utf8)) } catch {
      throw ScenarioFailure(
        "ltp inspect \(arguments[0]) says nothing that can be read: \(output.prefix(200))")
    }
  }
}
