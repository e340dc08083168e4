// SPDX-License-Identifier: Apache-2.0
// The scenario's command line.
//
// Exit status: 0 every promise is met, 1 one is missed or the scenario could not finish, 2 bad options.

import ArgumentParser
import Foundation
import Stage

enum Mode: String, ExpressibleByArgument, CaseIterable {
  case without, with
}

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cascade",
    abstract: "A real order service in a retry storm, without LTP and with it.",
    discussion: """
      A TCP service places orders: a pool of workers, SQLite behind it on disk, and thousands of clients that time \
      out and try again at once. 1, 2, 5 and 10 times its capacity is offered, and at last, with an ordinary load, the \
      database is locked for two seconds in the middle of the run; first without LTP, then with it. The capacity is \
      measured before and after each run.

      Progress goes to standard error, the table to standard output. Nothing else should run meanwhile.
      Exit status: 0 every promise is met, 1 one is missed or the scenario could not finish, 2 an option cannot be used.

      Examples:
        cascade                              all of it, a minute and a half at most
        cascade --only with --loads 2,10     two loads and the hiccup, with LTP alone
        cascade --seconds 8 --json           longer phases, the figures as JSON on standard output
      """)

  @Option(help: "Where database, trace and reports go; made if it is missing.")
  var directory = "build/scenario-cascade"

  @Option(help: "Seconds of each load, 2 to 60; a quarter of them, at most one, settles and is not measured.")
  var seconds = 3.0

  @Option(help: "What is offered, in times the capacity, 0.1 to 20, with commas between.")
  var loads = "1,2,5,10"

  @Option(help: "Only this half: without or with LTP.")
  var only: Mode?

  @Option(help: "Load of the run with the hiccup, in times the capacity, 0.1 to 5.")
  var hiccupLoad = 0.8

  @Option(help: "How long the database is locked, in seconds, 0.5 to 5.")
  var hiccupSeconds = 2.0

  @Option(help: "Clients, each with a connection and a session of its own, 2000 to 20000.")
  var clients = 3000

  @Option(help: "What arrivals, timeouts and priorities are drawn from.")
  var seed: UInt64 = 1

  @Flag(help: "Print the figures as JSON on standard output, the table on standard error.")
  var json = false

  @Flag(help: "Let no promise about time decide the exit status: for machines whose speed says nothing.")
  var untimed = false

  private func parsedLoads() -> [Double]? {
    let values = loads.split(separator: ",").map { Double($0.trimmingCharacters(in: .whitespaces)) }
    guard !values.isEmpty, values.count <= 8, values.allSatisfy({ (0.1...20).contains($0 ?? 0) }) else {
      return nil
    }
    return values.compactMap { $0 }
  }

  func validate() throws {
    guard (2...60).contains(seconds) else {
      throw ValidationError("--seconds \(seconds) is not from 2 to 60")
    }
    guard parsedLoads() != nil else {
      throw ValidationError(
        "--loads \(loads): one to eight numbers from 0.1 to 20 are wanted, such as 1,2,5,10")
    }
    guard (0.1...5).contains(hiccupLoad) else {
      throw ValidationError("--hiccup-load \(hiccupLoad) is not from 0.1 to 5")
    }
    guard (0.5...5).contains(hiccupSeconds) else {
      throw ValidationError("--hiccup-seconds \(hiccupSeconds) is not from 0.5 to 5")
    }
    guard (2000...20_000).contains(clients) else {
      throw ValidationError("--clients \(clients) is not from 2000 to 20000")
    }
  }

  func run() throws {
    signal(SIGPIPE, SIG_IGN)
    let interrupts = Interrupt.handle("cascade")
    defer { for source in interrupts { source.cancel() } }
    var settings = ScenarioSettings(directory: directory)
    settings.loads = parsedLoads()!
    settings.seconds = seconds
    settings.hiccupLoad = hiccupLoad
    settings.hiccupSeconds = hiccupSeconds
    settings.clients = clients
    settings.seed = seed
    settings.runsWithout = only != .with
    settings.runsWith = only != .without
    do {
      let result = try Scenario(settings).run()
      try output(result)
      guard Promises.check(result).allSatisfy({ $0.isMet || untimed && $0.isTimed }) else {
        throw ExitCode(1)
      }
    } catch let failure as ScenarioFailure {
      say("cascade: \(failure)")
      throw ExitCode(1)
    }
  }

  private func output(_ result: ScenarioResult) throws {
    let table = Table(result).text
    let paths = try Report.write(result, table: table)
    if json {
      say(table)
      FileHandle.standardOutput.write(try Report(result).data + Data("\n".utf8))
    } else {
      print(table)
    }
    say(
      "\nwritten: \(paths.joined(separator: ", "))\(result.with == nil ? "" : ", \(result.settings.trace)/")")
  }
}
