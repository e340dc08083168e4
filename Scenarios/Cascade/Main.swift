// SPDX-License-Identifier: Apache-2.0
// The command `cascade`: the load generator and reporter; as `cascade serve` it is the server, which the first one starts,
// so that their processor times are apart.

import ArgumentParser
import Foundation

@main
enum CascadeTool {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.first == "serve" {
      run(ServeCommand.self, Array(arguments.dropFirst()))
    } else {
      run(RunCommand.self, arguments)
    }
  }

  /// As the library's own `main`, but bad usage is exit status 2 (the library says 64).
  private static func run<Command: ParsableCommand>(_ type: Command.Type, _ arguments: [String]) {
    do {
      var command = try type.parse(arguments)
      try command.run()
    } catch {
      guard type.exitCode(for: error) == .validationFailure else { type.exit(withError: error) }
      say(type.fullMessage(for: error))
      type.exit(withError: ExitCode(2))
    }
  }
}

/// What ends the scenario, in words for the person in front of it.
struct ScenarioFailure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  /// With the system's reason behind it.
  init(system description: String) {
    self.description = "\(description): \(String(cString: strerror(errno)))"
  }
}

/// A line on standard error, where progress goes: standard output is for the result.
func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
