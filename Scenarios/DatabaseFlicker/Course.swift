// SPDX-License-Identifier: Apache-2.0
// One way through the outage: orders before it, in it and after it, and what became of all of them.

import Foundation
import Stage

struct CourseResult: Sendable {
  var name: String
  var outage: Outage
  var hasLTP: Bool
  var clients: Int
  /// Unix times in nanoseconds.
  var began: UInt64
  var outageBegan: UInt64
  var outageEnded: UInt64
  var ended: UInt64
  /// When no order was pending any more, and the state HEALTHY.
  var recovered: UInt64?
  var sentInOutage: Int
  var deferredInOutage: Int
  /// Of the deferred ones: their users have been told that they are confirmed.
  var confirmedLater: Int
  var tally: ClientTally
  var table: TableCheck
  /// Before the service ended.
  var status: GateStatus?

  var outageSeconds: Double { Double(outageEnded - outageBegan) / 1e9 }
  /// From the database's return on.
  var recoverySeconds: Double? { recovered.map { Double($0 - min($0, outageEnded)) / 1e9 } }
}

/// Where a course has its things.
struct CourseFiles {
  let directory: String
  let name: String

  var trace: String { "\(directory)/trace-\(name)" }
  /// Of the trace's readers.
  var pages: String { "\(directory)/\(name)" }
  var socket: String { "/tmp/ltp-flicker-\(getpid())-\(name)" }

  func prepare() throws {
    for left in [trace, trace + ".forged"] { try? FileManager.default.removeItem(atPath: left) }
    try FileManager.default.createDirectory(atPath: trace, withIntermediateDirectories: true)
  }
}

struct Course {
  static let patience: UInt64 = 120_000_000_000
  static let aroundSpan: UInt64 = 1_000_000_000

  let settings: Settings
  let database: any OrderDatabase
  let outage: Outage
  let hasLTP: Bool
  let files: CourseFiles

  init(_ settings: Settings, on database: any OrderDatabase, outage: Outage, hasLTP: Bool, name: String) {
    self.settings = settings
    self.database = database
    self.outage = outage
    self.hasLTP = hasLTP
    files = CourseFiles(directory: settings.directory, name: name)
  }

  func startService() throws -> ChildProcess {
    var arguments = [
      "--store", database.address.word, "--socket", files.socket, "--patience",
      "\(settings.patience / 1_000_000)",
    ]
    if hasLTP { arguments += ["--trace", files.trace] }
    return try ChildProcess("database-flicker", arguments: arguments)
  }

  func status(_ service: ChildProcess) throws -> GateStatus {
    guard let line = service.ask("status"),
      let status = try? JSONDecoder().decode(GateStatus.self, from: Data(line.utf8))
    else { throw ScenarioFailure("the service does not say how it is; it may say why above") }
    return status
  }

  /// Waits until it is HEALTHY and has nothing pending.
  func waitUntilHealthy(_ service: ChildProcess) throws {
    let deadline = Clock.monotonic() + Self.patience
    while Clock.monotonic() < deadline {
      let status = try status(service)
      if status.state == "HEALTHY", status.pending == 0 { return }
      Clock.sleep(nanoseconds: 5_000_000)
    }
    throw ScenarioFailure("the service does not come to HEALTHY: \(try status(service))")
  }

  func run() throws -> CourseResult {
    say("\(files.name): \(hasLTP ? "with" : "without") LTP, the database \(outage.rawValue)")
    if hasLTP { try files.prepare() }
    try database.prepare()
    let began = Clock.unix()
    let service = try startService()
    defer { unlink(files.socket) }
    try service.ready()
    if hasLTP { try waitUntilHealthy(service) }
    let fleet = Fleet(count: settings.clients, socket: files.socket, hasLTP: hasLTP, seed: settings.seed)
    let around = settings.ordersAround
    fleet.all { $0.order(around, within: Self.aroundSpan) }
    let before = fleet.tally

    let each = settings.orders / settings.clients
    let span = settings.span
    try database.begin(outage)
    let outageBegan = Clock.unix()
    let until = Clock.monotonic() + settings.outage
    fleet.all { $0.order(each, within: span) }
    let within = fleet.tally
    let now = Clock.monotonic()
    if now < until { Clock.sleep(nanoseconds: until - now) }
    let outageEnded = Clock.unix()
    try database.end(outage)

    var recovered: UInt64?
    if hasLTP {
      try waitUntilHealthy(service)
      recovered = Clock.unix()
      fleet.all { $0.askForPending() }
    }
    fleet.all { $0.order(around, within: Self.aroundSpan) }
    let tally = fleet.tally
    let status = hasLTP ? try status(service) : nil
    try service.stop()
    if !hasLTP {
      // What nobody waits for any more may still happen.
      Clock.sleep(nanoseconds: 500_000_000)
    }
    let deferred = within.deferred.filter { before.sent[$0.key] == nil }
    return CourseResult(
      name: files.name, outage: outage, hasLTP: hasLTP, clients: settings.clients, began: began,
      outageBegan: outageBegan, outageEnded: outageEnded, ended: Clock.unix(), recovered: recovered,
      sentInOutage: within.sent.count { before.sent[$0.key] == nil && $0.value < outageEnded },
      deferredInOutage: deferred.count { $0.value < outageEnded },
      confirmedLater: deferred.keys.count { tally.confirmed[$0] != nil },
      tally: tally, table: try TableCheck(database, sent: tally.sent), status: status)
  }
}
