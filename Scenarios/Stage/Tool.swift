// SPDX-License-Identifier: Apache-2.0
// A scenario's command: the one program is the clients and reporter, and as `NAME serve` the server, which the first one starts,
// so that their processor times, and their deaths, are apart.

import ArgumentParser
import Foundation

package enum Tool {
  /// Runs the command that the arguments ask for.
  package static func run<Run: ParsableCommand, Serve: ParsableCommand>(_ run: Run.Type, _ serve: Serve.Type)
  {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.first == "serve" {
      start(serve, Array(arguments.dropFirst()))
    } else {
      start(run, arguments)
    }
  }

  /// As the library's own `main`, but bad usage is exit status 2 (the library says 64).
  private static func start<Command: ParsableCommand>(_ type: Command.Type, _ arguments: [String]) {
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
