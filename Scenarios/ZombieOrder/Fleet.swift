// SPDX-License-Identifier: Apache-2.0

import LTP
import NIOCore
import NIOPosix
import Stage

/// All clients of one server, on one event loop.
final class Fleet: @unchecked Sendable {
  /// Where the run is: what is counted in an outage is what was asked in it.
  enum Part {
    case before, outage, after
  }

  let loop: any EventLoop
  let hasAdmission: Bool
  /// Over how long a client spreads its return.
  let spreadMilliseconds: UInt32
  let hostility: Hostility?
  private(set) var port = 0
  private(set) var isEnding = false
  private var clients: [Client] = []
  private var part = Part.before
  /// Unix time, in nanoseconds, of each refusal.
  private(set) var blockedAt: [UInt64] = []
  private var state = State.unknown

  init(
    clients count: Int, hasAdmission: Bool, spreadMilliseconds: UInt32, hostility: Hostility? = nil,
    seed: UInt64,
    on loop: any EventLoop
  ) throws {
    self.loop = loop
    self.hasAdmission = hasAdmission
    self.spreadMilliseconds = spreadMilliseconds
    self.hostility = hostility
    clients = try (1...count).map {
      try Client(
        number: UInt64($0), habit: $0 % 2 == 0 ? .aware : .unaware, fleet: self, seed: seed &* 1_000_003)
    }
  }

  // MARK: From the clients, on the loop

  func client(_ number: UInt64) -> Client { clients[Int(number) - 1] }

  func later(milliseconds: UInt64, _ body: @escaping () -> Void) {
    loop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(milliseconds))) { body() }
  }

  func heard(_ state: State, by client: Client) { self.state = state }

  func modifies(by client: Client) {
    if part == .outage { client.tally.sentInOutage += 1 }
  }

  func modified(by client: Client) {
    switch part {
    case .before: client.tally.modifiedBefore += 1
    case .outage: break
    case .after: client.tally.modifiedAfter += 1
    }
  }

  func blocked(by client: Client) {
    blockedAt.append(Clock.unix())
    if part == .outage { client.tally.blockedInOutage += 1 }
  }

  // MARK: From the scenario

  func on<Result: Sendable>(_ body: @escaping @Sendable (Fleet) -> Result) async throws -> Result {
    try await loop.submit { body(self) }.get()
  }

  func connect(port: Int) async throws {
    try await on {
      $0.port = port
      for client in $0.clients { $0.later(milliseconds: UInt64(client.number) * 2) { client.connect() } }
    }
  }

  func end() async throws { try await on { $0.isEnding = true } }

  /// Each client, now.
  func each(_ body: @escaping @Sendable (Client) -> Void) async throws {
    try await on { $0.clients.forEach(body) }
  }

  func count(_ condition: @escaping @Sendable (Client) -> Bool) async throws -> Int {
    try await on { $0.clients.count(where: condition) }
  }

  /// Returns once it holds for every client.
  func all(_ what: String, atMost seconds: Double, _ condition: @escaping @Sendable (Client) -> Bool)
    async throws
  {
    try await wait(until: "every client \(what)", atMost: seconds) {
      $0.clients.allSatisfy(condition)
    } detail: {
      let late = $0.clients.filter { !condition($0) }
      return "\(late.count) of \($0.clients.count) are late; \(late.first?.whereabouts ?? "")"
    }
  }

  func healthy(atMost seconds: Double) async throws {
    try await wait(until: "the service is HEALTHY again", atMost: seconds) {
      $0.state == .healthy
    } detail: {
      "it is \($0.state)"
    }
  }

  func wait(
    until what: String, atMost seconds: Double, _ condition: @escaping @Sendable (Fleet) -> Bool,
    detail: @escaping @Sendable (Fleet) -> String = { _ in "" }
  ) async throws {
    let limit = Clock.monotonic() + UInt64(seconds * 1e9)
    while try await !on(condition) {
      guard Clock.monotonic() < limit else {
        throw ScenarioFailure("waited \(fixed(seconds, 0)) s until \(what): \(try await on(detail))")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Users change their orders at random times within this many seconds from now on: each so many times, what waits already among it.
  func act(_ part: Part, times: Int, within seconds: Double) async throws {
    try await on { fleet in
      fleet.part = part
      for client in fleet.clients {
        for _ in 0..<max(0, times - client.waiting) {
          let wait = UInt64(Double.random(in: 0..<max(seconds, 0.001), using: &client.random) * 1000)
          fleet.later(milliseconds: wait) { client.want(.modify) }
        }
      }
    }
  }

  /// A server begins: nothing is known of it yet.
  func serverBegins() async throws { try await on { $0.state = .unknown } }
  func heardState() async throws -> State { try await on { $0.state } }

  func begin(_ part: Part) async throws { try await on { $0.part = part } }

  func tally() async throws -> ClientTally {
    try await on { $0.clients.reduce(into: ClientTally()) { $0 += $1.tally } }
  }
}
