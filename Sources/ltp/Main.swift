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
    subcommands: [BenchCommand.self, InspectCommand.self, DoctorCommand.self])
}
