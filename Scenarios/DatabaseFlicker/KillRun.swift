// SPDX-License-Identifier: Apache-2.0
// The service with LTP, killed by SIGKILL at random instants: while orders come in the outage, while they wait, and while they are
// replayed. It starts again on the same directory, and its clients ask again for what nobody has answered.

import Foundation
import Stage

struct KillResult: Encodable, Sendable {
  var kills: Int
  var seed: UInt64
  var outages: Int
  var database: String
  /// What was going on when the service was killed -> how often.
  var killedIn: [String: Int]
  var reconnected: Int
  var table: TableCheck
  var proof: TraceProof
  var promises: [Promise]

  var text: String {
    let moments = killedIn.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    return
      ([
        "\(kills) kills by SIGKILL in \(outages) outages, seed \(seed), \(database): \(moments.joined(separator: ", "))",
        "\(grouped(reconnected)) connections made again, \(grouped(proof.figures.sentAgain)) orders asked for again, "
          + "\(grouped(proof.figures.unacknowledged)) kept and never acknowledged",
        "",
      ] + promises.map(\.line)).joined(separator: "\n")
  }
}

struct KillRun {
  static let killsOfOutage = 12

  private let settings: Settings
  private let kills: Int
  private let course: Course

  init(_ settings: Settings, on database: any OrderDatabase, kills: Int) {
    self.settings = settings
    self.kills = kills
    course = Course(settings, on: database, outage: .stopped, hasLTP: true, name: "killed")
  }

  func run() throws -> KillResult {
    try course.files.prepare()
    defer { unlink(course.files.socket) }
    try course.database.prepare()
    var random = SeededGenerator(seed: settings.seed)
    var service = try course.startService()
    try service.ready()
    try course.waitUntilHealthy(service)
    let fleet = Fleet(
      count: settings.clients, socket: course.files.socket, hasLTP: true, seed: settings.seed)
    var killedIn: [String: Int] = [:]
    var outages = 0
    for begin in stride(from: 0, to: kills, by: Self.killsOfOutage) {
      let kind = Outage.allCases[outages % Outage.allCases.count]
      outages += 1
      try outage(
        &service, fleet, kills: min(Self.killsOfOutage, kills - begin), kind: kind,
        &random, &killedIn)
      say("killed \(min(begin + Self.killsOfOutage, kills)) times")
    }
    try service.stop()
    return try result(fleet.tally, outages: outages, killedIn)
  }

  private func outage(
    _ service: inout ChildProcess, _ fleet: Fleet, kills: Int, kind: Outage,
    _ random: inout SeededGenerator, _ killedIn: inout [String: Int]
  ) throws {
    let around = settings.ordersAround
    fleet.all { $0.order(around, within: Course.aroundSpan) }
    try course.database.begin(kind)
    let ended = Clock.monotonic() + settings.outage
    let each = settings.orders / settings.clients
    let span = settings.span
    let intake = fleet.begin { $0.order(each, within: span) }
    let patience = settings.patience
    func kill(_ moment: (ChildProcess) throws -> String) throws {
      killedIn[try moment(service), default: 0] += 1
      try service.kill()
      service = try course.startService()
      try service.ready()
    }
    let thirds = [(kills + 2) / 3, (kills + 1) / 3, kills / 3]
    for (third, kills) in thirds.prefix(2).enumerated() {
      // Long enough, most times, for the service to have seen what the database is like.
      for _ in 0..<kills {
        Clock.sleep(nanoseconds: .random(in: 0..<3 * patience, using: &random))
        let isComing = intake.wait(timeout: .now()) == .timedOut
        try kill { _ in isComing ? "while orders came" : "while they waited" }
      }
      if third == 0 { intake.wait() }
    }
    let now = Clock.monotonic()
    if now < ended { Clock.sleep(nanoseconds: ended - now) }
    try course.database.end(kind)
    for _ in 0..<thirds[2] {
      Clock.sleep(nanoseconds: .random(in: 0..<250_000_000, using: &random))
      try kill { try course.status($0).pending > 0 ? "while they were replayed" : "after that" }
    }
    try course.waitUntilHealthy(service)
    fleet.all { $0.askForPending() }
    fleet.all { $0.order(around, within: Course.aroundSpan) }
  }

  private func result(_ tally: ClientTally, outages: Int, _ killedIn: [String: Int]) throws -> KillResult {
    let proof = try TraceProof(course.files.trace, pages: course.files.pages)
    let table = try TableCheck(course.database, sent: tally.sent)
    let expected = outages * (settings.orders + 2 * settings.ordersAround * settings.clients)
    let confirmed = Promise(
      text: "every order that was sent is confirmed to its user in the end",
      measured:
        "\(grouped(tally.confirmed.count)) of \(grouped(tally.sent.count)), \(grouped(expected)) wanted",
      isMet: tally.confirmed.count == expected && tally.sent.count == expected)
    return KillResult(
      kills: kills, seed: settings.seed, outages: outages, database: course.database.name,
      killedIn: killedIn, reconnected: tally.reconnected, table: table, proof: proof,
      promises: [confirmed] + Promises.always(tally, table, proof))
  }
}
