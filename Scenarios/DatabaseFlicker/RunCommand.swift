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
    commandName: "database-flicker",
    abstract: "An order service whose database takes no writes for a while, without LTP and with it.",
    discussion: """
      An order service over PostgreSQL (a server of the scenario's own, on a Unix socket), with a hundred clients. In the middle of the \
      load the database takes no writes: once because all its processes are stopped, once because it goes read-only. 1,500 orders \
      come in that time. Without LTP users see errors, and refresh. With LTP each order is kept on disk before its user reads \
      "Order Received - Pending Confirmation", and is carried out when the database is back, once, in its client's order.

      The outage is 45 seconds in the postmortem; --compress makes it and all its time limits shorter. With --kills the service with \
      LTP is killed so many times instead, at random instants, and starts again on the same directory.

      Progress goes to standard error, the table to standard output.
      Exit status: 0 every promise is met, 1 one is missed or the scenario could not finish, 2 an option cannot be used.

      Examples:
        database-flicker                   all of it, under a minute
        database-flicker --compress 1      the postmortem's 45 seconds, three times
        database-flicker --kills 12        a dozen deaths in one outage
      """)

  @Option(help: "Where traces and reports go; made if it is missing.")
  var directory = "build/scenario-database-flicker"

  @Option(help: "How many times shorter the outage is than 45 s, 1 to 30.")
  var compress = 7.5

  @Option(
    help: "Clients, each with a connection and a session of its own: 10 to 200, a divisor of the orders.")
  var clients = 100

  @Option(help: "Orders that come within the outage, up to 20000.")
  var orders = 1500

  @Option(help: "Only this half: without or with LTP.")
  var only: Mode?

  @Option(help: "Kill the service with LTP so many times, 1 to 1000, up to 12 in each outage.")
  var kills: Int?

  @Option(help: "What the users' times and orders, and the instants of kills, are drawn from.")
  var seed: UInt64 = 1

  @Flag(help: "SQLite in PostgreSQL's place, as where that cannot be had.")
  var sqlite = false

  @Flag(help: "Print the figures as JSON on standard output, the table on standard error.")
  var json = false

  func validate() throws {
    guard (1...30).contains(compress) else {
      throw ValidationError("--compress \(compress) is not from 1 to 30")
    }
    guard (10...200).contains(clients) else {
      throw ValidationError("--clients \(clients) is not from 10 to 200")
    }
    guard (clients...20_000).contains(orders), orders % clients == 0 else {
      throw ValidationError(
        "--orders \(orders): a multiple of the clients (\(clients)) up to 20000 is wanted")
    }
    guard kills.map({ (1...1000).contains($0) }) ?? true else {
      throw ValidationError("--kills \(kills!) is not from 1 to 1000")
    }
    guard kills == nil || only == nil else {
      throw ValidationError("--kills is with LTP alone: leave --only out")
    }
  }

  func run() throws {
    signal(SIGPIPE, SIG_IGN)
    let interrupts = Interrupt.handle("database-flicker")
    defer { for source in interrupts { source.cancel() } }
    do {
      do {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      } catch {
        throw ScenarioFailure("cannot make the directory \(directory): \(error.localizedDescription)")
      }
      try Descriptors.raiseLimit(to: 3 * clients + 200)
      let database = try OrderDatabases.start(in: directory, sqlite: sqlite)
      defer { database.stop() }
      guard try kills.map({ try killed($0, database) }) ?? once(database) else { throw ExitCode(1) }
    } catch let failure as ScenarioFailure {
      say("database-flicker: \(failure)")
      throw ExitCode(1)
    } catch let failure as StoreFailure {
      say("database-flicker: the database: \(failure)")
      throw ExitCode(1)
    }
  }

  private var settings: Settings {
    var settings = Settings(directory: directory)
    settings.clients = clients
    settings.orders = orders
    settings.outageSeconds /= compress
    settings.seed = seed
    return settings
  }

  private func once(_ database: any OrderDatabase) throws -> Bool {
    let result = try Scenario.run(
      settings, compression: compress, on: database, without: only != .with, with: only != .without)
    let table = Table(result).text
    let report = try Report(result).data
    try output(
      table, report,
      [
        ("table.txt", Data((table + "\n").utf8)), ("report.json", report),
        ("database-flicker.svg", Data(Plot.svg(result).utf8)),
      ])
    return result.promises.allSatisfy(\.isMet)
  }

  private func killed(_ kills: Int, _ database: any OrderDatabase) throws -> Bool {
    let result = try KillRun(settings, on: database, kills: kills).run()
    let report = try ReportFiles.json(result)
    try output(
      result.text, report, [("kills.txt", Data((result.text + "\n").utf8)), ("kills.json", report)])
    return result.promises.allSatisfy(\.isMet)
  }

  private func output(_ table: String, _ report: Data, _ files: [(name: String, data: Data)]) throws {
    let paths = try ReportFiles.write(files, to: directory)
    if json {
      say(table)
      FileHandle.standardOutput.write(report + Data("\n".utf8))
    } else {
      FileHandle.standardOutput.write(Data((table + "\n").utf8))
    }
    say(
      "\nwritten: \(paths.joined(separator: ", "))\(only == .without ? "" : ", and the traces in \(directory)")"
    )
  }
}
