// SPDX-License-Identifier: Apache-2.0
// The service with LTP, killed at any instant, again and again, while its clients send what no dead epoch may do.

import Foundation
import NIOPosix
import Stage

struct KillResult: Encodable {
  var kills: Int
  /// What the clients had last heard when the server was killed -> how many.
  var killedIn: [String: Int]
  var hostileSent: Int
  /// Answered, by reason; the others were lost with a connection.
  var hostileRefused: [String: Int]
  var book: OrderBook.Check
  var promises: [Promise]

  var table: String {
    func list(_ counts: [String: Int]) -> String {
      counts.sorted { $0.key < $1.key }.map { "\(grouped($0.value)) \($0.key)" }.joined(separator: ", ")
    }
    return
      ([
        "\(kills) kills by SIGKILL: \(list(killedIn))",
        "\(grouped(hostileSent)) hostile frames; refused: \(list(hostileRefused))",
        "",
      ] + promises.map(\.line)).joined(separator: "\n")
  }
}

struct KillRun {
  static let clients = 60
  /// From a start to the next kill, at most.
  private static let lifeSeconds = 2.0

  let settings: Settings
  let kills: Int

  init(_ settings: Settings, kills: Int) {
    self.settings = settings
    self.kills = kills
  }

  func run() async throws -> KillResult {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let course = try Course(settings, hasAdmission: true, hostility: Hostility(), on: group)
    var random = SeededGenerator(seed: settings.seed)
    try await course.venue.open()
    var server = try course.startServer(port: 0)
    let port = Int(try server.port())
    try await course.trade(port)
    let began = Clock.unix()
    var killedIn: [String: Int] = [:]
    for kill in 1...kills {
      try await course.fleet.act(.before, times: 6, within: Self.lifeSeconds)
      try await Task.sleep(for: .seconds(.random(in: 0..<Self.lifeSeconds, using: &random)))
      killedIn["\(try await course.fleet.heardState())", default: 0] += 1
      try server.kill()
      try await course.venueHasNoticed()
      try await course.fleet.serverBegins()
      server = try course.startServer(port: port)
      let outage = Double.random(in: 0..<0.3, using: &random)
      Task {
        try await Task.sleep(for: .seconds(outage))
        try await course.venue.letIn()
      }
      if kill % 10 == 0 { say("killed \(kill) times") }
    }
    _ = try server.port()
    try await course.fleet.healthy(atMost: Course.patience)
    try await course.fleet.begin(.after)
    try await course.fleet.each { client in
      client.want(.modify)
      client.want(.modify)
    }
    try await course.fleet.all("has been answered", atMost: Course.patience) { $0.isIdle && $0.isLive }
    try await course.fleet.end()
    try server.stop()
    let tally = try await course.fleet.tally()
    try await group.shutdownGracefully()
    return try result(course, tally, began: began, killedIn)
  }

  private func result(
    _ course: Course, _ tally: ClientTally, began: UInt64, _ killedIn: [String: Int]
  ) throws -> KillResult {
    let book = try OrderBook(path: course.files.book)
    let check = try book.check()
    let written = try book.written()
    let proof = try TraceProof(directory: course.files.trace, killed: began, restarted: began)
    let agreement = Agreement(proof, written: written, tally: tally, restarted: .max)
    let hostility = course.fleet.hostility!
    let hostileWritten = written.count { Hostility.isHostile($0.id.frame) }
    let hostileLetIn = proof.executed.count { Hostility.isHostile($0.frame) }
    let promises = [
      Promises.clean("no zombie order, and a clean database by its own check", check),
      Promise(
        text: "no token and no intent of a dead epoch is accepted",
        measured:
          "\(grouped(hostility.sent)) sent: \(hostility.letIn) let in by the answers, \(hostileLetIn) by the trace, "
          + "\(hostileWritten) written",
        isMet: hostility.letIn == 0 && hostileLetIn == 0 && hostileWritten == 0 && hostility.refused > 0),
      Promise(
        text: "after the last death orders are changed as before the first",
        measured:
          "\(grouped(tally.modifiedBefore)) MODIFYs carried out before, \(grouped(tally.modifiedAfter)) after",
        isMet: tally.modifiedBefore > 0 && tally.modifiedAfter >= 2 * Self.clients),
    ]
    return KillResult(
      kills: kills, killedIn: killedIn, hostileSent: hostility.sent, hostileRefused: hostility.reasons,
      book: check,
      promises: promises + Promises.proved(proof, written: written, agreement))
  }
}
