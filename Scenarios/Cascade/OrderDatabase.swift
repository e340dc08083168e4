// SPDX-License-Identifier: Apache-2.0
// The database behind the service: SQLite, one file on disk, one connection a worker. An order is a durable transaction:
// the order, its lines, the stock that they take and its movements, the receipt read back, and the oldest order cleared
// away, so that the database stays as large, and an order costs as much, however long the service has run.
//
// SQLite has one writer at a time, so what it can do is bounded, as with any database.

import CSQLite
import Glibc
import Stage

/// A connection, for one thread at a time.
final class OrderDatabase: @unchecked Sendable {
  static let productCount: Int64 = 5_000
  static let customerCount: Int64 = 300
  /// How many of a customer's last orders are looked at before a new one; each customer begins with so many.
  static let historyCount: Int64 = 2
  /// Lines of an order: a shop orders from its wholesaler.
  static let lineCount = 1000
  /// An order's products lie within so many neighbours: one supplier's.
  static let supplierProducts: UInt64 = 500

  private let database: Database

  init(path: String) throws(ScenarioFailure) { database = try Database(path: path) }

  /// Makes a new database with a catalogue, customers and their orders so far, so that an order costs the same from the
  /// first one on.
  static func create(path: String) throws(ScenarioFailure) {
    Database.remove(path: path)
    let database = try Database(path: path)
    for statement in [
      "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, stock INTEGER NOT NULL)",
      "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, credit INTEGER NOT NULL)",
      """
      CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer, intent INTEGER NOT NULL,
        total INTEGER NOT NULL)
      """,
      "CREATE INDEX orders_of_customer ON orders (customer, id)",
      """
      CREATE TABLE line (orders INTEGER NOT NULL, place INTEGER NOT NULL, product INTEGER NOT NULL, price INTEGER NOT NULL,
        PRIMARY KEY (orders, place)) WITHOUT ROWID
      """,
      """
      CREATE TABLE movement (id INTEGER PRIMARY KEY, orders INTEGER NOT NULL, product INTEGER NOT NULL, stock INTEGER NOT NULL)
      """,
      "BEGIN",
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(productCount))
      INSERT INTO product SELECT i, 'product ' || i, 100 + i * 7919 % 9900, 1000000000 FROM n
      """,
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(customerCount))
      INSERT INTO customer SELECT i, 'customer ' || i, 1000000000000 FROM n
      """,
      """
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(customerCount * historyCount))
      INSERT INTO orders SELECT i, i % \(customerCount) + 1, i, 0 FROM n
      """,
      """
      WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(lineCount - 1))
      INSERT INTO line SELECT orders.id, i, (orders.id * 61 + i * 7919) % \(productCount) + 1, 100 FROM orders, n
      """,
      "COMMIT", "PRAGMA wal_checkpoint(TRUNCATE)",
    ] { try database.run(statement) }
  }

  /// What an order came to.
  struct Receipt {
    let order: Int64
    let lineCount: Int64
    let total: Int64
  }

  /// An order before it is written: priced, and the customer's credit looked up. Reads only, so workers do it side by
  /// side.
  struct Draft {
    let customer: Int64
    let intent: Int64
    var products: [Int64] = []
    var prices: [Int64] = []
    var total: Int64 = 0
  }

  func draft(customer: Int64, intent: Int64) throws(ScenarioFailure) -> Draft {
    var draft = Draft(customer: customer, intent: intent)
    var random = UInt64(bitPattern: intent) &* 0x9E37_79B9_7F4A_7C15 | 1
    let supplier = Int64(random >> 40) % Self.productCount
    try database.run("BEGIN")
    for _ in 0..<Self.lineCount {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      let product = (supplier + Int64(random >> 33 % Self.supplierProducts)) % Self.productCount + 1
      let found = try database.row("SELECT price, stock FROM product WHERE id = ?", product)
      draft.products.append(product)
      draft.prices.append(found[0])
      draft.total += found[0]
    }
    // What the customer's last orders came to, from their lines, against the credit.
    let owed = try database.row(
      """
      SELECT coalesce(sum(price), 0), count(*) FROM line
      WHERE orders IN (SELECT id FROM orders WHERE customer = ? ORDER BY id DESC LIMIT \(Self.historyCount))
      """, customer)[0]
    let credit = try database.row("SELECT credit FROM customer WHERE id = ?", customer)[0]
    try database.run("COMMIT")
    guard owed + draft.total <= credit else { throw ScenarioFailure("no credit") }
    return draft
  }

  /// Writes the order, durably. One caller at a time, or they wait for each other in SQLite.
  func place(_ draft: Draft) throws(ScenarioFailure) -> Receipt {
    try database.run("BEGIN IMMEDIATE")
    do {
      try database.run(
        "INSERT INTO orders (customer, intent, total) VALUES (?, ?, ?)", draft.customer, draft.intent,
        draft.total)
      let order = sqlite3_last_insert_rowid(database.handle)
      for (place, product) in draft.products.enumerated() {
        try database.run(
          "INSERT INTO line VALUES (?, ?, ?, ?)", order, Int64(place), product, draft.prices[place])
        try database.run("UPDATE product SET stock = stock - 1 WHERE id = ?", product)
        try database.run(
          "INSERT INTO movement (orders, product, stock) SELECT ?, id, stock FROM product WHERE id = ?",
          order,
          product)
      }
      let read = try database.row(
        """
        SELECT count(*), sum(line.price),
          length(json_group_array(json_object('place', place, 'product', name, 'price', line.price)))
        FROM line JOIN product ON product.id = line.product WHERE orders = ?
        """, order)
      try clear(order - Self.customerCount * Self.historyCount)
      try database.run("COMMIT")
      return Receipt(order: order, lineCount: read[0], total: read[1])
    } catch {
      try database.run("ROLLBACK")
      throw error
    }
  }

  /// The order of so many before, its lines, and as many movements.
  private func clear(_ order: Int64) throws(ScenarioFailure) {
    try database.run("DELETE FROM line WHERE orders = ?", order)
    try database.run("DELETE FROM orders WHERE id = ?", order)
    try database.run(
      "DELETE FROM movement WHERE id <= (SELECT max(id) FROM movement) - ?",
      Self.customerCount * Self.historyCount * Int64(Self.lineCount))
  }

  /// Takes the database for itself and holds it, as a maintenance job gone wrong does. `body` runs meanwhile.
  func holdExclusively(_ body: () -> Void) throws(ScenarioFailure) {
    // The gaps between two writers are short, so this one asks more often.
    sqlite3_busy_handler(
      database.handle,
      { _, _ in
        usleep(20)
        return 1
      }, nil)
    try database.run("BEGIN EXCLUSIVE")
    body()
    try database.run("COMMIT")
  }
}
