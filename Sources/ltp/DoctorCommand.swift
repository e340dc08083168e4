// SPDX-License-Identifier: Apache-2.0
// `ltp doctor`: what this machine gives the core, and what to change, in words that a user can act on.

import ArgumentParser

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say which storage a trace would use here and why not a faster one, and what to change.",
    discussion: """
      Opens a core in a directory of its own under DIR, writes nine records and waits for each, and removes the directory again. \
      Exit status: 0 the core can be used (warnings cost speed or safety), 1 something prevents it, \
      2 bad usage.
      """)

  @Option(help: ArgumentHelp("The directory that a trace would be written to.", valueName: "dir"))
  var trace = "."

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let report = DoctorReport(
      directory: trace,
      findings: DoctorProbe(under: trace).findings() + DoctorRing.findings()
        + DoctorFiles(directory: trace).findings() + DoctorNumbers(directory: trace).findings()
        + DoctorMachine.findings())
    if json { try report.printJSON() } else { report.printText() }
    if !report.isUsable { throw ExitCode(1) }
  }
}
