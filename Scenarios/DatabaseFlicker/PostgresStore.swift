// SPDX-License-Identifier: Apache-2.0
// libpq without a wait that has no end: a server that is stopped answers nothing, not even to a connection.

import CPostgres
import Glibc
import Stage

final class PostgresStore: OrderStore {
  private let conninfo: String
  private var handle: OpaquePointer?

  init(_ conninfo: String) { self.conninfo = conninfo }

  deinit { drop() }

  private func drop() {
    if let handle { PQfinish(handle) }
    handle = nil
  }

  /// After that nobody knows what becomes of a statement under way, so the connection is of no use.
  private func failed(_ what: String) -> StoreFailure {
    let said = handle.map { String(cString: PQerrorMessage($0)) } ?? ""
    drop()
    return StoreFailure(description: said.isEmpty ? what : "\(what): \(said)")
  }

  private func wait(_ connection: OpaquePointer, _ events: Int32, before deadline: UInt64) -> Bool {
    while true {
      let now = Clock.monotonic()
      guard now < deadline else { return false }
      var socket = pollfd(fd: PQsocket(connection), events: Int16(events), revents: 0)
      let count = poll(&socket, 1, Int32(clamping: (deadline - now) / 1_000_000 + 1))
      if count < 0, errno == EINTR { continue }
      return count > 0
    }
  }

  private func connected(before deadline: UInt64) throws(StoreFailure) -> OpaquePointer {
    if let handle { return handle }
    guard let starting = PQconnectStart(conninfo) else { throw failed("no memory to connect") }
    handle = starting
    var next = PGRES_POLLING_WRITING
    while next != PGRES_POLLING_OK {
      guard next != PGRES_POLLING_FAILED, PQsocket(starting) >= 0 else { throw failed("cannot connect") }
      guard wait(starting, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, before: deadline) else {
        throw failed("no connection in time")
      }
      next = PQconnectPoll(starting)
    }
    guard PQsetnonblocking(starting, 1) == 0 else { throw failed("cannot be made nonblocking") }
    return starting
  }

  /// The last statement's result, to be cleared by whoever asked.
  private func result(_ text: String, before deadline: UInt64) throws(StoreFailure) -> OpaquePointer {
    let connection = try connected(before: deadline)
    guard PQsendQuery(connection, text) == 1 else { throw failed("cannot be sent") }
    while true {
      let unsent = PQflush(connection)
      guard unsent >= 0 else { throw failed("cannot be sent") }
      if unsent == 0 { break }
      guard wait(connection, POLLOUT | POLLIN, before: deadline), PQconsumeInput(connection) == 1 else {
        throw failed("not sent in time")
      }
    }
    var last: OpaquePointer?
    var problem: String?
    while true {
      while PQisBusy(connection) == 1 {
        guard wait(connection, POLLIN, before: deadline), PQconsumeInput(connection) == 1 else {
          PQclear(last)
          throw failed("no answer in time")
        }
      }
      guard let one = PQgetResult(connection) else { break }
      PQclear(last)
      last = one
      let status = PQresultStatus(one)
      if status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK {
        problem = String(cString: PQresultErrorMessage(one))
      }
    }
    guard problem == nil, let last else {
      PQclear(last)
      if PQstatus(connection) != CONNECTION_OK { drop() }
      throw StoreFailure(description: problem ?? "nothing was answered")
    }
    return last
  }

  func run(_ statement: String, before deadline: UInt64) throws(StoreFailure) -> Int {
    let answer = try result(statement, before: deadline)
    defer { PQclear(answer) }
    return Int(String(cString: PQcmdTuples(answer))) ?? 0
  }

  func rows(_ query: String, before deadline: UInt64) throws(StoreFailure) -> [[Int64]] {
    let answer = try result(query, before: deadline)
    defer { PQclear(answer) }
    return (0..<PQntuples(answer)).map { row in
      (0..<PQnfields(answer)).map { Int64(String(cString: PQgetvalue(answer, row, $0))) ?? 0 }
    }
  }

  /// Order and key are one statement, so they are one transaction.
  func insert(_ order: Order, isOnce: Bool, before deadline: UInt64) throws(StoreFailure) -> Bool {
    let values = "\(order.client), \(order.number)"
    let statement =
      isOnce
      ? """
      WITH once AS (INSERT INTO carried_out (client, number) VALUES (\(values)) ON CONFLICT DO NOTHING RETURNING client)
      INSERT INTO orders (client, number, amount) SELECT client, \(order.number), \(order.amount) FROM once
      """
      : "INSERT INTO orders (client, number, amount) VALUES (\(values), \(order.amount))"
    return try run(statement, before: deadline) == 1
  }
}
