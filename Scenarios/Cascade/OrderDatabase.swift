// SPDX-License-Identifier: Apache-2.0
// The database behind the service: SQLite, one file on disk, one connection a worker. An order is a durable transaction:
// the order, its lines, the stock that they take and its movements, the receipt read back, and the oldest order cleared
// away, so that the database stays as large, and an order costs as much, however long the service has run.
//
// SQLite has one writer at a time, so what it can do is bounded, as with any database.

import CSQLite
import Foundation
import Glibc

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

  private let handle: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]

  /// Opens it; every wait for somebody else's lock lasts as long as that does.
  init(path: String) throws(ScenarioFailure) {
    var opened: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
    guard sqlite3_open_v2(path, &opened, flags, nil) == SQLITE_OK, let opened else {
      throw ScenarioFailure("SQLite cannot open \(path)")
    }
    handle = opened
    // Half a millisecond a try, for a minute: what a client does meanwhile is its own affair.
    sqlite3_busy_handler(
      handle,
      { _, tries in
        usleep(500)
        return tries < 120_000 ? 1 : 0
      }, nil)
    try run("PRAGMA journal_mode = WAL")
    try run("PRAGMA synchronous = FULL")
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(handle)
  }

  /// Makes a new database with a catalogue, customers and their orders so far, so that an order costs the same from the
  /// first one on.
  static func create(path: String) throws(ScenarioFailure) {
    for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) }
    let database = try OrderDatabase(path: path)
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
    try run("BEGIN")
    for _ in 0..<Self.lineCount {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      let product = (supplier + Int64(random >> 33 % Self.supplierProducts)) % Self.productCount + 1
      let found = try row("SELECT price, stock FROM product WHERE id = ?", product)
      draft.products.append(product)
      draft.prices.append(found[0])
      draft.total += found[0]
    }
    // What the customer's last orders came to, from their lines, against the credit.
    let owed = try row(
      """
      SELECT coalesce(sum(price), 0), count(*) FROM line
      WHERE orders IN (SELECT id FROM orders WHERE customer = ? ORDER BY id DESC LIMIT \(Self.historyCount))
      """, customer)[0]
    let credit = try row("SELECT credit FROM customer WHERE id = ?", customer)[0]
    try run("COMMIT")
    guard owed + draft.total <= credit else { throw ScenarioFailure("no credit") }
    return draft
  }

  /// Writes the order, durably. One caller at a time, or they wait for each other in SQLite.
  func place(_ draft: Draft) throws(ScenarioFailure) -> Receipt {
    try run("BEGIN IMMEDIATE")
    do {
      try run(
        "INSERT INTO orders (customer, intent, total) VALUES (?, ?, ?)", draft.customer, draft.intent,
        draft.total)
      let order = sqlite3_last_insert_rowid(handle)
      for (place, product) in draft.products.enumerated() {
        try run("INSERT INTO line VALUES (?, ?, ?, ?)", order, Int64(place), product, draft.prices[place])
        try run("UPDATE product SET stock = stock - 1 WHERE id = ?", product)
        try run(
          "INSERT INTO movement (orders, product, stock) SELECT ?, id, stock FROM product WHERE id = ?",
          order,
          product)
      }
      let read = try row(
        """
        SELECT count(*), sum(line.price),
          length(json_group_array(json_object('place', place, 'product', name, 'price', line.price)))
        FROM line JOIN product ON product.id = line.product WHERE orders = ?
        """, order)
      try clear(order - Self.customerCount * Self.historyCount)
      try run("COMMIT")
      return Receipt(order: order, lineCount: read[0], total: read[1])
    } catch {
      try run("ROLLBACK")
      throw error
    }
  }

  /// The order of so many before, its lines, and as many movements.
  private func clear(_ order: Int64) throws(ScenarioFailure) {
    try run("DELETE FROM line WHERE orders = ?", order)
    try run("DELETE FROM orders WHERE id = ?", order)
    try run(
      "DELETE FROM movement WHERE id <= (SELECT max(id) FROM movement) - ?",
      Self.customerCount * Self.historyCount * Int64(Self.lineCount))
  }

  /// Takes the database for itself and holds it, as a maintenance job gone wrong does. `body` runs meanwhile.
  func holdExclusively(_ body: () -> Void) throws(ScenarioFailure) {
    // The gaps between two writers are short, so this one asks more often.
    sqlite3_busy_handler(
      handle,
      { _, _ in
        usleep(20)
        return 1
      }, nil)
    try run("BEGIN EXCLUSIVE")
    body()
    try run("COMMIT")
  }

  // MARK: Statements

  private func prepared(_ text: String) throws(ScenarioFailure) -> OpaquePointer {
    if let statement = statements[text] { return statement }
    var statement: OpaquePointer?
    guard
      sqlite3_prepare_v3(handle, text, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK,
      let statement
    else { throw failure(text) }
    statements[text] = statement
    return statement
  }

  private func failure(_ text: String) -> ScenarioFailure {
    ScenarioFailure("SQLite: \(String(cString: sqlite3_errmsg(handle))) in \(text)")
  }

  private func bind(_ values: [Int64], to statement: OpaquePointer) {
    for (place, value) in values.enumerated() { sqlite3_bind_int64(statement, Int32(place) + 1, value) }
  }

  private func run(_ text: String, _ values: Int64...) throws(ScenarioFailure) {
    let statement = try prepared(text)
    bind(values, to: statement)
    defer { sqlite3_reset(statement) }
    var status = sqlite3_step(statement)
    while status == SQLITE_ROW { status = sqlite3_step(statement) }
    guard status == SQLITE_DONE else { throw failure(text) }
  }

  /// The numbers of the one row that the statement has.
  private func row(_ text: String, _ values: Int64...) throws(ScenarioFailure) -> [Int64] {
    let statement = try prepared(text)
    bind(values, to: statement)
    defer { sqlite3_reset(statement) }
    guard sqlite3_step(statement) == SQLITE_ROW else { throw failure(text) }
    return (0..<sqlite3_column_count(statement)).map { sqlite3_column_int64(statement, $0) }
  }
}
