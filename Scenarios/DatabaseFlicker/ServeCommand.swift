// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Stage

/// The service's process. Started by the scenario, which talks to it over standard input; it ends when that ends.
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "database-flicker serve", abstract: "The order service, as the scenario starts it.")

  @Option(help: "The database: postgres:CONNINFO or sqlite:PATH.")
  var store: String

  @Option(help: "The Unix socket to listen at.")
  var socket: String

  @Option(help: "How many milliseconds a write to the database may take.")
  var patience: UInt64

  @Option(help: "The directory of trace and deferral log; without it there is no LTP.")
  var trace: String?

  func run() throws {
    // The terminal's Ctrl-C reaches both processes: the one that started this one says when it ends.
    signal(SIGINT, SIG_IGN)
    signal(SIGPIPE, SIG_IGN)
    do { try serve() } catch {
      say("database-flicker serve: \(error)")
      throw ExitCode(1)
    }
  }

  private func serve() throws {
    guard let address = StoreAddress(word: store) else {
      throw ScenarioFailure("--store \(store) is not postgres:CONNINFO or sqlite:PATH")
    }
    let nanoseconds = patience * 1_000_000
    let gate = try trace.map { try Gate(trace: $0, patience: nanoseconds) }
    let service = Service(store: address, gate: gate, patience: nanoseconds)
    let listener = try Wire.listen(at: socket)
    let accepting = DispatchGroup()
    Threads.start(in: accepting) { service.accept(listener) }
    gate?.start(address)
    answer("ready 0")
    while let line = readLine(), line != "stop" { answer(try status(gate)) }
    shutdown(listener, Int32(SHUT_RDWR))
    accepting.wait()
    service.end()
    try gate?.close()
  }

  private func status(_ gate: Gate?) throws -> String {
    guard let gate else { return "{}" }
    return String(decoding: try JSONEncoder().encode(gate.status()), as: UTF8.self)
  }

  private func answer(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
}
