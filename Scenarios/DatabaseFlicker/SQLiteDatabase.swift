// SPDX-License-Identifier: Apache-2.0
// SQLite in PostgreSQL's place. Stopped: somebody else has the lock on writing. Read-only: every write is refused.

import Stage
import Synchronization

final class SQLiteDatabase: OrderDatabase {
  private static let tables = ["orders", "carried_out", "probe"]

  private let path: String
  /// Who has the lock.
  private let holder = Mutex<Database?>(nil)

  let name = "SQLite, where PostgreSQL was not to be had"
  var address: StoreAddress { .sqlite(path) }

  init(path: String) { self.path = path }

  func prepare() throws {
    Database.remove(path: path)
    let database = try Database(path: path)
    try database.run("CREATE TABLE probe (n INTEGER)")
    try database.run("INSERT INTO probe VALUES (0)")
    try database.run(
      "CREATE TABLE carried_out (client INTEGER, number INTEGER, PRIMARY KEY (client, number))")
    try database.run(
      """
      CREATE TABLE orders (place INTEGER PRIMARY KEY AUTOINCREMENT, client INTEGER, number INTEGER, amount INTEGER,
        at INTEGER DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000000 AS INTEGER)))
      """)
  }

  func begin(_ outage: Outage) throws {
    let database = try Database(path: path)
    switch outage {
    case .stopped:
      try database.run("BEGIN IMMEDIATE")
      holder.withLock { $0 = database }
    case .readOnly:
      for table in Self.tables {
        for event in ["INSERT", "UPDATE"] {
          try database.run(
            """
            CREATE TRIGGER refused_\(table)_\(event) BEFORE \(event) ON \(table)
            BEGIN SELECT RAISE(ABORT, 'the database is read-only'); END
            """)
        }
      }
    }
  }

  func end(_ outage: Outage) throws {
    switch outage {
    case .stopped:
      try holder.withLock { holder in
        try holder?.run("ROLLBACK")
        holder = nil
      }
    case .readOnly:
      let database = try Database(path: path)
      for table in Self.tables {
        for event in ["INSERT", "UPDATE"] { try database.run("DROP TRIGGER refused_\(table)_\(event)") }
      }
    }
  }

  func stop() {}
}
