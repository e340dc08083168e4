// SPDX-License-Identifier: Apache-2.0
// The database server of the scenario, and how it is kept from taking writes.

import Foundation
import Stage

/// How the database comes to take no writes.
enum Outage: String, CaseIterable, Codable, Sendable {
  /// Every process of the server is stopped: nothing is answered.
  case stopped
  /// Writes are refused, as by a replica that waits to be elected.
  case readOnly = "read-only"
}

protocol OrderDatabase: Sendable {
  var name: String { get }
  var address: StoreAddress { get }
  /// Makes the tables, empty.
  func prepare() throws
  /// Returns once no write is taken.
  func begin(_ outage: Outage) throws
  func end(_ outage: Outage) throws
  func stop()
}

extension OrderDatabase {
  /// With one transaction that asks or changes something for the scenario itself.
  func ask(_ query: String) throws -> [[Int64]] {
    try address.open().rows(query, before: Clock.monotonic() + 60_000_000_000)
  }
}

enum OrderDatabases {
  /// PostgreSQL where it is there; SQLite otherwise.
  static func start(in directory: String, sqlite: Bool) throws -> any OrderDatabase {
    if !sqlite, let binaries = PostgresServer.binaries { return try PostgresServer(binaries: binaries) }
    if !sqlite { say("PostgreSQL is not here (apt-get install postgresql): SQLite stands in") }
    return SQLiteDatabase(path: "\(directory)/orders.sqlite")
  }
}
