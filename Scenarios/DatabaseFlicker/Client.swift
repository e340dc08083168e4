// SPDX-License-Identifier: Apache-2.0
// A user with an app and a connection: one order at a time. With LTP the app does what it is told; without, the user sees errors and
// refreshes, or goes away.

import CLTP
import Foundation
import LTP
import Stage

/// What clients saw; times are Unix nanoseconds.
struct ClientTally: Sendable {
  var sent: [Order: UInt64] = [:]
  var confirmed: [Order: UInt64] = [:]
  /// First answered as pending.
  var deferred: [Order: UInt64] = [:]
  /// Whose order each ticket is.
  var tickets: [UInt64: Order] = [:]
  var errorsAt: [UInt64] = []
  var refreshed = 0
  /// Sent again, and given another ticket than before.
  var otherTicket = 0
  /// Told to come again, or to shake hands: no answer that a user sees.
  var putOff: [String: Int] = [:]
  var reconnected = 0
  /// As one user saw it.
  var pendingText: String?

  static func + (one: ClientTally, other: ClientTally) -> ClientTally {
    var sum = one
    sum.sent.merge(other.sent) { first, _ in first }
    sum.confirmed.merge(other.confirmed) { first, _ in first }
    sum.deferred.merge(other.deferred) { first, _ in first }
    sum.tickets.merge(other.tickets) { first, _ in first }
    sum.errorsAt += other.errorsAt
    sum.refreshed += other.refreshed
    sum.otherTicket += other.otherTicket
    sum.putOff.merge(other.putOff, uniquingKeysWith: +)
    sum.reconnected += other.reconnected
    sum.pendingText = one.pendingText ?? other.pendingText
    return sum
  }
}

/// Belongs to one thread at a time.
final class Client: @unchecked Sendable {
  private static let orderClass: UInt8 = 25
  private static let priority: UInt8 = 200
  private static let reconnectPause: UInt64 = 5_000_000
  /// After that an order without an answer is an error that the user sees.
  private static let userPatience: UInt64 = 120_000_000_000

  private let id: UInt64
  private let socket: String
  private let hasLTP: Bool
  private var random: SeededGenerator
  private var wire: Wire?
  private var life: Continuity?
  private var lastNumber: UInt64 = 0
  private var hellos: UInt64 = 0
  private(set) var tally = ClientTally()

  init(id: UInt64, socket: String, hasLTP: Bool, seed: UInt64) {
    self.id = id
    self.socket = socket
    self.hasLTP = hasLTP
    random = SeededGenerator(seed: seed &* 1_000_003 &+ id)
  }

  deinit { wire?.end() }

  /// Sends so many new orders, at random times within a span, each as early as its predecessor's answer allows.
  func order(_ count: Int, within span: UInt64) {
    let begun = Clock.monotonic()
    let times = (0..<count).map { _ in UInt64.random(in: 0..<max(1, span), using: &random) }.sorted()
    for time in times {
      let now = Clock.monotonic() - begun
      if time > now { Clock.sleep(nanoseconds: time - now) }
      orderOne()
    }
  }

  /// Asks once more for each order that is still pending: what became of it?
  func askForPending() {
    for order in tally.deferred.keys.sorted(by: { $0.number < $1.number })
    where tally.confirmed[order] == nil {
      note(ask(order), order)
    }
  }

  private func orderOne() {
    lastNumber += 1
    let order = Order(client: id, number: lastNumber, amount: .random(in: 1...1000, using: &random))
    tally.sent[order] = Clock.unix()
    let receipt = ask(order)
    note(receipt, order)
    switch receipt.kind {
    case .pending where Int.random(in: 0..<5, using: &random) == 0:
      // An impatient user: the same order again.
      tally.refreshed += 1
      let again = ask(order)
      note(again, order)
      if again.kind == .pending, again.ticket != receipt.ticket { tally.otherTicket += 1 }
    case .error where !hasLTP && Bool.random(using: &random):
      // "Did my order go through?" The other half goes away.
      tally.refreshed += 1
      note(ask(order), order)
    default: break
    }
  }

  private func note(_ receipt: Receipt, _ order: Order) {
    let now = Clock.unix()
    switch receipt.kind {
    case .confirmed: if tally.confirmed[order] == nil { tally.confirmed[order] = now }
    case .pending:
      if tally.deferred[order] == nil { tally.deferred[order] = now }
      tally.tickets[receipt.ticket] = order
      if tally.pendingText == nil { tally.pendingText = receipt.text }
    case .error, .denied: tally.errorsAt.append(now)
    }
  }

  // MARK: The app

  /// Asks until there is an answer that a user can be shown: a service that was killed comes back, and a denial says when to ask again.
  private func ask(_ order: Order) -> Receipt {
    let deadline = Clock.monotonic() + Self.userPatience
    while Clock.monotonic() < deadline {
      guard let wire = connected(), let answer = exchange(order, wire) else {
        disconnect()
        continue
      }
      guard answer.receipt.kind == .denied else { return answer.receipt }
      tally.putOff[answer.receipt.text, default: 0] += 1
      switch Reason(rawValue: answer.response.reason) {
      // To create an order again, under the same key, is no zombie: it happens once. So the app shakes hands and asks anew.
      case .rehandshakeRequired, .staleIntent, .otherIncarnation, .continuityForged: life = nil
      default: Clock.sleep(nanoseconds: UInt64(max(1, answer.response.retry_after_ms)) * 1_000_000)
      }
    }
    return .error
  }

  private func connected() -> Wire? {
    if let wire { return wire }
    wire = Wire.connect(to: socket)
    return wire
  }

  private func disconnect() {
    if let wire {
      wire.end()
      tally.reconnected += 1
    }
    wire = nil
    // Of a run that is over: the service would say so.
    life = nil
    Clock.sleep(nanoseconds: Self.reconnectPause)
  }

  /// nil: the connection is gone.
  private func exchange(_ order: Order, _ wire: Wire) -> Answer? {
    if hasLTP, life == nil {
      guard greet(wire) else { return nil }
    }
    let request = RouteRequest(
      id: order.number, session: id, actionClass: Self.orderClass, priority: Self.priority, continuity: life)
    guard wire.send(request.fields), wire.send(order) else { return nil }
    return wire.receiveAnswer()
  }

  /// Shakes hands, as often as it is put off. False: the connection is gone.
  private func greet(_ wire: Wire) -> Bool {
    while true {
      hellos += 1
      var hello = ltp_hello()
      guard ltp_frame_init(&hello, MemoryLayout<ltp_hello>.size, LTP_FRAME_HELLO, 0) == LTP_OK else {
        return false
      }
      hello.frame_id = hellos
      hello.session_id = id
      hello.client_nonce = .random(in: 1 ... .max, using: &random)
      hello.version_min = UInt8(LTP_PROTOCOL_VERSION)
      hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
      guard wire.send(hello), let answer = wire.receive(ltp_hello.self) else { return false }
      guard answer.isPutOff else {
        life = Continuity(answer)
        return true
      }
      tally.putOff["HELLO_LATER", default: 0] += 1
      Clock.sleep(nanoseconds: UInt64(max(1, answer.retry_after_ms)) * 1_000_000)
    }
  }
}
