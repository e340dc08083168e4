// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import LTP
import NIOPosix
import Stage

/// The server's process. Started by the scenario, which talks to it over standard input; it ends when that ends.
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "zombie-order serve", abstract: "The order server, as the scenario starts it.")

  @Option(help: "The order book's file.")
  var book: String

  @Option(help: "The venue's port.")
  var venue: Int

  @Option(help: "The venue's drop copy: what it has done to the orders.")
  var dropCopy: String

  @Option(help: "The port to listen on; 0: the system chooses.")
  var port = 0

  @Option(help: "The trace's directory; without it there is no LTP.")
  var trace: String?

  @Option(help: "A file with the 16 secret bytes that sessions' tokens are made with.")
  var key: String?

  @Option(help: "How many clients must fit.")
  var clients = 400

  func run() throws {
    // The terminal's Ctrl-C reaches both processes: the one that started this one says when it ends.
    signal(SIGINT, SIG_IGN)
    signal(SIGPIPE, SIG_IGN)
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var failure: (any Error)?
    let command = self
    Task.detached {
      do { try await command.serve() } catch { failure = error }
      done.signal()
    }
    done.wait()
    guard let failure else { return }
    say("zombie-order serve: \(failure)")
    throw ExitCode(1)
  }

  private func serve() async throws {
    try Descriptors.raiseLimit(to: clients + 200)
    let orders = try OrderBook(path: book)
    // Before anybody is let in: what has the venue done meanwhile?
    try orders.reconcile(try VenueReport.read(path: dropCopy))
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    // The server's alone: what it lets go of at the end can be closed then.
    let server = Server(book: orders, admission: try admission(), venuePort: venue, on: loop)
    let port = try await server.start(port: port)
    FileHandle.standardOutput.write(Data("ready \(port)\n".utf8))
    await Self.waitForTheEnd()
    let core = try await server.stop()
    try core?.close()
  }

  private func admission() throws -> Admission? {
    guard let trace else { return nil }
    guard let key else { throw ScenarioFailure("--trace needs --key, a file of 16 secret bytes") }
    return try Admission(traceDirectory: trace, key: try Core.Options.continuityKey(file: key))
  }

  /// Standard input says "stop", or ends.
  private static func waitForTheEnd() async {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        while let line = readLine(), line != "stop" {}
        continuation.resume()
      }
    }
  }
}
