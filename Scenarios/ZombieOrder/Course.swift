// SPDX-License-Identifier: Apache-2.0
// One run of the scenario: a server, its venue and its clients; trade, the server's death, the outage, and what comes after.

import Foundation
import NIOPosix
import Stage

struct Settings: Sendable {
  var directory: String
  var clients = 400
  /// MODIFYs in the outage, of all clients together.
  var requests = 4000
  /// How long the venue keeps the dead session, in seconds.
  var outageSeconds = 45.0
  var seed: UInt64 = 1

  static let ordersOfClient: UInt64 = 4
  var tradeSeconds: Double { min(5, outageSeconds / 4) }
  var requestsOfClient: Int { requests / clients }
}

/// What one run came to.
struct CourseResult {
  var hasAdmission: Bool
  /// Unix times in nanoseconds.
  var began: UInt64
  var killed: UInt64
  var restarted: UInt64
  var outageEnded: UInt64
  var ended: UInt64
  /// MODIFYs that clients sent in the outage, and refusals that they were answered.
  var modifiesInOutage: Int
  var blockedInOutage: Int
  /// Attempts to connect from the kill to the end of the outage.
  var connectsInOutage: Int
  var tally: ClientTally
  var clients: Int
  /// Clients that have begun a new life since the kill, and have looked what became of their orders in it.
  var returned: Int
  /// Clients whose MODIFYs were carried out before the kill, and again after the outage.
  var traded: Int
  var book: OrderBook.Check
  var written: [WrittenIntent]
  var invalidAt: [UInt64]
  var blockedAt: [UInt64]

  /// Intents that reached the database in the outage.
  var writtenInOutage: Int {
    written.count { $0.unixNanoseconds >= restarted && $0.unixNanoseconds < outageEnded }
  }

  var outageSeconds: Double { Double(outageEnded - killed) / 1e9 }
}

/// Where a run keeps its files.
struct CourseFiles {
  let book: String
  let dropCopy: String
  let trace: String
  let key: String

  init(directory: String, name: String) {
    book = "\(directory)/\(name).db"
    dropCopy = "\(directory)/\(name).drop-copy"
    trace = "\(directory)/trace"
    key = "\(directory)/key"
  }

  /// Begins anew.
  func prepare(hasAdmission: Bool) throws {
    Database.remove(path: book)
    unlink(dropCopy)
    guard hasAdmission else { return }
    let files = FileManager.default
    try? files.removeItem(atPath: trace)
    try files.createDirectory(atPath: trace, withIntermediateDirectories: true)
    var random = SystemRandomNumberGenerator()
    let secret = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
    unlink(key)
    guard files.createFile(atPath: key, contents: Data(secret), attributes: [.posixPermissions: 0o600]) else {
      throw ScenarioFailure("cannot write \(key)")
    }
  }
}

final class Course: Sendable {
  /// How long anything may take that does not depend on the run's own times.
  static let patience = 60.0

  let settings: Settings
  let hasAdmission: Bool
  let files: CourseFiles
  let venue: Venue
  let fleet: Fleet

  init(
    _ settings: Settings, hasAdmission: Bool, hostility: Hostility? = nil,
    on group: MultiThreadedEventLoopGroup
  ) throws {
    self.settings = settings
    self.hasAdmission = hasAdmission
    files = CourseFiles(directory: settings.directory, name: hasAdmission ? "with" : "without")
    try files.prepare(hasAdmission: hasAdmission)
    venue = try Venue(dropCopy: files.dropCopy, on: group.next())
    fleet = try Fleet(
      clients: settings.clients, hasAdmission: hasAdmission,
      spreadMilliseconds: UInt32(hostility == nil ? min(2000, settings.outageSeconds * 100) : 100),
      hostility: hostility, seed: settings.seed, on: group.next())
  }

  private var name: String { hasAdmission ? "with LTP" : "without LTP" }

  func startServer(port: Int) throws -> ChildProcess {
    var arguments = [
      "--book", files.book, "--venue", "\(venue.port)", "--drop-copy", files.dropCopy, "--port", "\(port)",
      "--clients",
      "\(settings.clients)",
    ]
    if hasAdmission { arguments += ["--trace", files.trace, "--key", files.key] }
    return try ChildProcess("zombie-order", arguments: arguments)
  }

  func run() async throws -> CourseResult {
    try await venue.open()
    let began = Clock.unix()
    var server = try startServer(port: 0)
    let port = Int(try server.port())
    try await trade(port)
    try await fleet.act(.before, times: Int(settings.tradeSeconds.rounded()), within: settings.tradeSeconds)
    try await Task.sleep(for: .seconds(settings.tradeSeconds + .random(in: 0..<0.1)))
    try await fleet.all("has changed an order", atMost: Self.patience) { $0.tally.modifiedBefore > 0 }
    // The market moves, everybody moves with it, and the server dies of it.
    try await fleet.act(.before, times: 1, within: 0.05)
    try await Task.sleep(for: .milliseconds(.random(in: 5..<45)))

    let connects = try await fleet.tally().connects
    let killed = Clock.unix()
    try server.kill()
    // It is dead: whatever is let in or written from now on, the next one did.
    let restarted = Clock.unix()
    say("\(name): the server is killed by SIGKILL, with \(settings.clients) clients on it")
    try await fleet.all("has lost its connection", atMost: Self.patience) { $0.channel == nil }
    try await venueHasNoticed()
    server = try startServer(port: port)
    _ = try server.port()
    // What is asked too late to be answered within the outage would be asked after it.
    let left = settings.outageSeconds - Double(restarted - killed) / 1e9
    try await fleet.act(.outage, times: settings.requestsOfClient, within: left * 0.8)
    try await fleet.all("has asked and been answered", atMost: settings.outageSeconds + Self.patience) {
      [settings] in $0.isIdle && $0.isLive && $0.tally.sentInOutage >= settings.requestsOfClient
    }
    let due = killed + UInt64(settings.outageSeconds * 1e9)
    let now = Clock.unix()
    if now < due { try await Task.sleep(for: .nanoseconds(Int64(due - now))) }

    let outageEnded = Clock.unix()
    let outage = try await fleet.tally()
    try await venue.letIn()
    try await fleet.begin(.after)
    try await after()
    try await fleet.end()
    try server.stop()
    say(
      "\(name): \(grouped(outage.sentInOutage)) MODIFYs in the outage, \(grouped(outage.blockedInOutage)) blocked"
    )

    let book = try OrderBook(path: files.book)
    return CourseResult(
      hasAdmission: hasAdmission, began: began, killed: killed, restarted: restarted,
      outageEnded: outageEnded,
      ended: Clock.unix(), modifiesInOutage: outage.sentInOutage, blockedInOutage: outage.blockedInOutage,
      connectsInOutage: outage.connects - connects,
      tally: try await fleet.tally(), clients: settings.clients,
      returned: try await fleet.count { $0.tally.livesAt.last ?? 0 > killed && $0.tally.resyncs >= 2 },
      traded: try await fleet.count { $0.tally.modifiedBefore > 0 && $0.tally.modifiedAfter >= 2 },
      book: try book.check(), written: try book.written(), invalidAt: try book.timesOfInvalidTransitions(),
      blockedAt: try await fleet.on(\.blockedAt))
  }

  /// Returns once the dead server has no session at the venue: what that does to the orders is in the drop copy then.
  func venueHasNoticed() async throws {
    while try await venue.hasMember() { try await Task.sleep(for: .milliseconds(5)) }
  }

  /// Everybody comes, and places orders.
  func trade(_ port: Int) async throws {
    try await fleet.connect(port: port)
    try await fleet.all("is connected", atMost: Self.patience) { $0.isLive }
    if hasAdmission { try await fleet.healthy(atMost: Self.patience) }
    try await fleet.each { client in
      for order in 0..<Settings.ordersOfClient {
        client.want(.create(order: client.number * Settings.ordersOfClient + order))
      }
    }
    try await fleet.all("has its orders", atMost: Self.patience) {
      $0.isIdle && $0.orders.count == Settings.ordersOfClient
    }
    say(
      "\(name): \(settings.clients) clients hold \(grouped(settings.clients * Int(Settings.ordersOfClient))) orders"
    )
  }

  /// The venue has let the service in again.
  private func after() async throws {
    if hasAdmission {
      try await fleet.healthy(atMost: Self.patience)
      try await fleet.each { client in
        // One in four sends an intent of before the outage as if nothing had been; the others ask their session.
        if let old = client.old {
          client.want(client.number % 4 == 0 ? .careless(old) : .again(old))
        }
        // What was blocked last was made in this epoch, and is asked again.
        if let blocked = client.lastBlocked { client.want(.again(blocked)) }
        client.want(.modify)
        client.want(.modify)
      }
    } else {
      try await fleet.each {
        $0.want(.modify)
        $0.want(.modify)
      }
    }
    try await fleet.all("has been answered", atMost: Self.patience) { $0.isIdle && $0.isLive }
  }
}
