// SPDX-License-Identifier: Apache-2.0
// The command `cascade`: without arguments it is the load generator and reporter; as `cascade serve` it is the server,
// which the first one starts, so that their processor times are apart.

import ArgumentParser
import Foundation

@main
struct CascadeTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cascade",
    abstract: "A real order service in a retry storm, without LTP and with it.",
    subcommands: [RunCommand.self, ServeCommand.self],
    defaultSubcommand: RunCommand.self)

  /// As the library's own `main`, but bad usage is exit status 2 (the library says 64).
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
      say(fullMessage(for: error))
      exit(withError: ExitCode(2))
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
