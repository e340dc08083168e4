// SPDX-License-Identifier: Apache-2.0
// The command `ltp`: everything that a person does with a trace from a shell.

import ArgumentParser
import Foundation

@main
struct LTPTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ltp",
    abstract: "Decide and prove: tools around the LTP admission core.",
    version: "0.1.0",
    subcommands: [
      BenchCommand.self, InspectCommand.self, DeferredCommand.self, OrientationCommand.self,
      PolicyCommand.self,
      DoctorCommand.self,
    ])

  /// As the library's own `main`, but bad usage is exit status 2 (the library says 64).
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
      FileHandle.standardError.write(Data((fullMessage(for: error) + "\n").utf8))
      exit(withError: ExitCode(2))
    }
  }
}
