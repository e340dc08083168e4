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
    commandName: "zombie-order",
    abstract: "An order server that dies with clients on it, without LTP and with it.",
    discussion: """
      A WebSocket service keeps an order book in SQLite and has a session at a venue. It is killed by SIGKILL in the \
      middle of trade and started again at once; the venue cancels and fills orders meanwhile, and lets the service in \
      again only after 45 seconds. Hundreds of clients come back and change orders as they remember them: 4,000 MODIFYs \
      within the outage. Both ways run side by side.

      With --kills the service with LTP is killed so many times instead, at any instant, while clients send every \
      old intent in every dress.

      Progress goes to standard error, the table to standard output.
      Exit status: 0 every promise is met, 1 one is missed or the scenario could not finish, 2 an option cannot be used.

      Examples:
        zombie-order                       all of it, about a minute
        zombie-order --compress 8          the outage in 5.6 seconds, with the same counts
        zombie-order --kills 100           a hundred deaths, about two minutes
      """)

  @Option(help: "Where databases, trace and reports go; made if it is missing.")
  var directory = "build/scenario-zombie-order"

  @Option(help: "How many times shorter the outage is than 45 s, 1 to 20.")
  var compress = 1.0

  @Option(help: "Clients, each with a connection and a session of its own: 100 to 2000, a divisor of 4000.")
  var clients = 400

  @Option(help: "Only this half: without or with LTP.")
  var only: Mode?

  @Option(help: "Kill the service with LTP so many times, 1 to 1000, with 60 clients.")
  var kills: Int?

  @Option(help: "What the users' times and orders are drawn from.")
  var seed: UInt64 = 1

  @Flag(help: "Print the figures as JSON on standard output, the table on standard error.")
  var json = false

  func validate() throws {
    guard (1...20).contains(compress) else {
      throw ValidationError("--compress \(compress) is not from 1 to 20")
    }
    guard (100...2000).contains(clients), 4000 % clients == 0 else {
      throw ValidationError("--clients \(clients): a divisor of 4000 from 100 to 2000 is wanted, such as 400")
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
    let interrupts = Interrupt.handle("zombie-order")
    defer { for source in interrupts { source.cancel() } }
    do {
      try prepare()
      let isMet = try waitFor { [self] in
        if let kills { return try await killed(kills) }
        return try await once()
      }
      guard isMet else { throw ExitCode(1) }
    } catch let failure as ScenarioFailure {
      say("zombie-order: \(failure)")
      throw ExitCode(1)
    }
  }

  private func prepare() throws {
    do { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) } catch
    {
      throw ScenarioFailure("cannot make the directory \(directory): \(error.localizedDescription)")
    }
    try Descriptors.raiseLimit(to: 3 * clients + 200)
  }

  private var settings: Settings {
    var settings = Settings(directory: directory)
    settings.clients = kills == nil ? clients : KillRun.clients
    settings.outageSeconds /= compress
    settings.seed = seed
    return settings
  }

  private func once() async throws -> Bool {
    let result = try await Scenario.run(
      settings, compression: compress, without: only != .with, with: only != .without)
    let table = Table(result).text
    try output(
      table, Report(result).data,
      [
        ("table.txt", Data((table + "\n").utf8)), ("report.json", try Report(result).data),
        ("zombie-order.svg", Data(Plot.svg(result).utf8)),
      ])
    return Promises.check(result).allSatisfy(\.isMet)
  }

  private func killed(_ kills: Int) async throws -> Bool {
    let result = try await KillRun(settings, kills: kills).run()
    let table = result.table
    try output(table, ReportFiles.json(result), [("kills.txt", Data((table + "\n").utf8))])
    return result.promises.allSatisfy(\.isMet)
  }

  private func output(_ table: String, _ report: Data, _ files: [(name: String, data: Data)]) throws {
    let paths = try ReportFiles.write(files, to: directory)
    if json {
      say(table)
      FileHandle.standardOutput.write(report + Data("\n".utf8))
    } else {
      print(table)
    }
    say("\nwritten: \(paths.joined(separator: ", "))\(only == .without ? "" : ", \(directory)/trace/")")
  }

  /// The main thread waits; all work is elsewhere.
  private func waitFor<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) throws
    -> Result
  {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var result: Swift.Result<Result, any Error>?
    Task.detached {
      do { result = .success(try await body()) } catch { result = .failure(error) }
      done.signal()
    }
    done.wait()
    return try result!.get()
  }
}
