// SPDX-License-Identifier: Apache-2.0
// SQLite, which stands in where PostgreSQL cannot be had.

import CSQLite
import Stage

final class SQLiteStore: OrderStore {
  private let path: String
  private var database: Database?

  init(_ path: String) { self.path = path }

  private func opened(before deadline: UInt64) throws(StoreFailure) -> Database {
    do throws(ScenarioFailure) {
      let database: Database
      if let known = self.database { database = known } else { database = try Database(path: path) }
      self.database = database
      let now = Clock.monotonic()
      // How long it waits for somebody else's lock.
      sqlite3_busy_timeout(
        database.handle, Int32(clamping: deadline > now ? (deadline - now) / 1_000_000 + 1 : 1))
      return database
    } catch { throw StoreFailure(description: error.description) }
  }

  private func perform<Result>(
    before deadline: UInt64, _ body: (Database) throws(ScenarioFailure) -> Result
  ) throws(StoreFailure) -> Result {
    let database = try opened(before: deadline)
    do throws(ScenarioFailure) { return try body(database) } catch {
      if sqlite3_get_autocommit(database.handle) == 0 { try? database.run("ROLLBACK") }
      throw StoreFailure(description: error.description)
    }
  }

  func run(_ statement: String, before deadline: UInt64) throws(StoreFailure) -> Int {
    try perform(before: deadline) { (database) throws(ScenarioFailure) in
      try database.run("BEGIN IMMEDIATE")
      for one in statement.split(separator: ";") { try database.run(String(one)) }
      let changes = database.changes
      try database.run("COMMIT")
      return changes
    }
  }

  func rows(_ query: String, before deadline: UInt64) throws(StoreFailure) -> [[Int64]] {
    try perform(before: deadline) { (database) throws(ScenarioFailure) in try database.rows(query) }
  }

  func insert(_ order: Order, isOnce: Bool, before deadline: UInt64) throws(StoreFailure) -> Bool {
    let (client, number, amount) = (Int64(order.client), Int64(order.number), Int64(order.amount))
    return try perform(before: deadline) { (database) throws(ScenarioFailure) in
      try database.run("BEGIN IMMEDIATE")
      if isOnce {
        try database.run("INSERT OR IGNORE INTO carried_out (client, number) VALUES (?, ?)", client, number)
      }
      let isNew = !isOnce || database.changes == 1
      if isNew {
        try database.run(
          "INSERT INTO orders (client, number, amount) VALUES (?, ?, ?)", client, number, amount)
      }
      try database.run("COMMIT")
      return isNew
    }
  }
}
