// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Stage

/// The server's process. Started by the load generator, which talks to it over standard input and output; it ends when
/// that ends.
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cascade serve", abstract: "The server, as the scenario starts it.")

  @Option(help: "The database's file.")
  var database: String

  @Option(help: "The trace's directory; without it there is no LTP.")
  var trace: String?

  @Option(help: "Threads that work, each with a connection to the database.")
  var workers = 4

  @Option(help: "How many requests wait for a worker at most.")
  var queue = 4096

  @Option(help: "How many clients must fit.")
  var clients = 3000

  func run() throws {
    // The terminal's Ctrl-C reaches both processes: the one that started this one says when it ends.
    signal(SIGINT, SIG_IGN)
    signal(SIGPIPE, SIG_IGN)
    do {
      try Descriptors.raiseLimit(to: clients + 200)
      let pool = try WorkerPool(workers: workers, queueMax: queue, database: database)
      let server = try Server(
        pool: pool, admission: trace.map { try Admission(traceDirectory: $0) })
      FileHandle.standardOutput.write(Data("ready \(server.port)\n".utf8))
      try server.run()
    } catch {
      say("cascade serve: \(error)")
      throw ExitCode(1)
    }
  }
}
