// SPDX-License-Identifier: Apache-2.0
// The order book, in SQLite: what the service is for, and what an outage can break.
//
// An order is OPEN in `book` until it is FILLED there, or cancelled: then it moves to `ended`. What happens to an order is written down
// by the database's own triggers, whatever the service does, so that its check at the end needs to trust nobody.
//
// A MODIFY is carried out by an "upsert", as services do whose clients send again what they are not sure of: it cannot tell an order that
// was never there, or is not there any more, from one that has just come in. That is the loose logic of the zombie order. It is the same
// with LTP and without it.

import Stage

/// A change of the book as it is told to whoever asked.
enum Applied {
  case done
  /// It was let in before an outage that the database has heard of.
  case fencedOff
}

/// A connection, for one thread at a time.
final class OrderBook: @unchecked Sendable {
  private let database: Database

  init(path: String) throws(ScenarioFailure) {
    database = try Database(path: path)
    for statement in Self.tables { try database.run(statement) }
  }

  private static let tables = [
    """
    CREATE TABLE IF NOT EXISTS book (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, symbol INTEGER,
      quantity INTEGER NOT NULL, price INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'OPEN',
      version INTEGER NOT NULL DEFAULT 1)
    """,
    "CREATE INDEX IF NOT EXISTS book_of_session ON book (session)",
    "CREATE TABLE IF NOT EXISTS ended (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, version INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS fence (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO fence VALUES (1, 0)",
    // How much of the venue's reports has been taken over.
    "CREATE TABLE IF NOT EXISTS drop_copy (id INTEGER PRIMARY KEY CHECK (id = 1), place INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO drop_copy VALUES (1, 0)",
    """
    CREATE TABLE IF NOT EXISTS intent (id INTEGER PRIMARY KEY, frame INTEGER NOT NULL, session INTEGER NOT NULL,
      orders INTEGER NOT NULL, kind TEXT NOT NULL, based_on INTEGER NOT NULL, unix_ns INTEGER NOT NULL)
    """,
    """
    CREATE TABLE IF NOT EXISTS transition (id INTEGER PRIMARY KEY, intent INTEGER NOT NULL REFERENCES intent,
      orders INTEGER NOT NULL, from_status TEXT, from_version INTEGER, to_status TEXT, to_version INTEGER)
    """,
    """
    CREATE TRIGGER IF NOT EXISTS book_insert AFTER INSERT ON book BEGIN
      INSERT INTO transition SELECT NULL, max(id), NEW.id, NULL, NULL, NEW.status, NEW.version FROM intent; END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS book_update AFTER UPDATE ON book BEGIN
      INSERT INTO transition
        SELECT NULL, max(id), NEW.id, OLD.status, OLD.version, NEW.status, NEW.version FROM intent; END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS book_delete AFTER DELETE ON book BEGIN
      INSERT OR REPLACE INTO ended VALUES (OLD.id, OLD.session, OLD.version);
      INSERT INTO transition SELECT NULL, max(id), OLD.id, OLD.status, OLD.version, NULL, NULL FROM intent; END
    """,
  ]

  // MARK: What the service does

  /// Does `body` as one durable transaction.
  func transaction(_ body: () throws(ScenarioFailure) -> Void) throws(ScenarioFailure) {
    try database.run("BEGIN IMMEDIATE")
    do {
      try body()
      try database.run("COMMIT")
    } catch {
      try? database.run("ROLLBACK")
      throw error
    }
  }

  /// Nothing that was let in before is taken any more.
  func raiseFence(to number: UInt64) throws(ScenarioFailure) {
    try database.run("UPDATE fence SET number = ? WHERE number < ?", Int64(number), Int64(number))
  }

  func create(_ action: OrderAction, frame: UInt64, session: UInt64, fence: UInt64) throws(ScenarioFailure)
    -> Applied
  {
    guard try note("CREATE", action, frame: frame, session: session, fence: fence) else { return .fencedOff }
    try database.run(
      "INSERT OR IGNORE INTO book (id, session, symbol, quantity, price) VALUES (?, ?, ?, ?, ?)",
      Int64(action.order), Int64(session), Int64(action.symbol), Int64(action.quantity), Int64(action.price))
    return .done
  }

  func modify(_ action: OrderAction, frame: UInt64, session: UInt64, fence: UInt64) throws(ScenarioFailure)
    -> Applied
  {
    guard try note("MODIFY", action, frame: frame, session: session, fence: fence) else { return .fencedOff }
    try database.run(
      """
      INSERT INTO book (id, session, quantity, price) VALUES (?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET quantity = excluded.quantity, price = excluded.price, version = version + 1
      """, Int64(action.order), Int64(session), Int64(action.quantity), Int64(action.price))
    return .done
  }

  /// Writes down what is about to happen, unless it comes too late.
  private func note(
    _ kind: String, _ action: OrderAction, frame: UInt64, session: UInt64, fence: UInt64
  ) throws(ScenarioFailure) -> Bool {
    try database.run(
      """
      INSERT INTO intent (frame, session, orders, kind, based_on, unix_ns)
        SELECT ?, ?, ?, '\(kind)', ?, ? WHERE ? >= (SELECT number FROM fence)
      """,
      Int64(bitPattern: frame), Int64(session), Int64(action.order), Int64(action.basedOn),
      Int64(Clock.unix()),
      Int64(fence))
    return database.changes == 1
  }

  /// One order, or all of a session's.
  func facts(order: UInt64) throws(ScenarioFailure) -> [OrderFacts] {
    try Self.facts(database.rows(Self.factsQuery + "id = ?", Int64(order)))
  }

  func facts(session: UInt64) throws(ScenarioFailure) -> [OrderFacts] {
    try Self.facts(database.rows(Self.factsQuery + "session = ?", Int64(session)))
  }

  private static let factsQuery = "SELECT id, version, quantity, status = 'OPEN' FROM book WHERE "

  private static func facts(_ rows: [[Int64]]) -> [OrderFacts] {
    rows.map {
      OrderFacts(
        order: UInt64($0[0]), version: UInt32($0[1]), quantity: UInt32($0[2]), isOpen: $0[3] == 1)
    }
  }

  /// Takes over what the venue has done since the service last looked, as one transaction.
  func reconcile(_ reports: [VenueReport]) throws(ScenarioFailure) {
    let place = try Int(database.row("SELECT place FROM drop_copy")[0])
    guard place < reports.count else { return }
    try transaction { () throws(ScenarioFailure) in
      for report in reports[place...] {
        let order = Int64(report.order)
        try database.run(
          """
          INSERT INTO intent (frame, session, orders, kind, based_on, unix_ns) VALUES (0, 0, ?, '\(report.fate)', 0, ?)
          """, order, Int64(Clock.unix()))
        switch report.fate {
        case .cancelled: try database.run("DELETE FROM book WHERE id = ?", order)
        case .filled:
          try database.run("UPDATE book SET status = 'FILLED', version = version + 1 WHERE id = ?", order)
        case .partlyFilled:
          try database.run(
            "UPDATE book SET quantity = (quantity + 1) / 2, version = version + 1 WHERE id = ?", order)
        }
      }
      try database.run("UPDATE drop_copy SET place = ?", Int64(reports.count))
    }
  }

  // MARK: What the database itself says

  struct Check: Codable {
    /// `PRAGMA integrity_check` and `foreign_key_check`: empty when all is well.
    var structure: [String]
    /// A MODIFY that was taken as a CREATE.
    var zombies: Int
    /// A MODIFY of an order that had been filled.
    var changesToGone: Int
    /// A MODIFY of an order that was not any more what its sender knew.
    var staleChanges: Int
    /// Orders that nobody created, or that are open and ended at once.
    var brokenRows: Int
    var creates: Int
    var modifies: Int

    var invalidTransitions: Int { zombies + changesToGone + staleChanges }
    var isClean: Bool { structure.isEmpty && invalidTransitions == 0 && brokenRows == 0 }
  }

  func check() throws(ScenarioFailure) -> Check {
    func count(_ query: String) throws(ScenarioFailure) -> Int {
      try Int(database.row("SELECT count(*) FROM " + query)[0])
    }
    let modified = "transition JOIN intent ON intent.id = transition.intent WHERE kind = 'MODIFY' AND "
    var structure = try database.words("PRAGMA integrity_check").filter { $0 != "ok" }
    structure += try database.words("PRAGMA foreign_key_check").map { "a reference to nothing in \($0)" }
    // Each intent changed the one order that it names, and nothing else did.
    let strays = try count(
      "transition JOIN intent ON intent.id = transition.intent WHERE transition.orders <> intent.orders")
    if strays > 0 { structure.append("\(strays) changes of another order than was asked for") }
    return Check(
      structure: structure, zombies: try count(modified + "from_status IS NULL"),
      changesToGone: try count(modified + "from_status <> 'OPEN'"),
      staleChanges: try count(modified + "from_status = 'OPEN' AND based_on <> from_version"),
      brokenRows: try count("book WHERE symbol IS NULL OR id IN (SELECT id FROM ended)"),
      creates: try count("intent WHERE kind = 'CREATE'"), modifies: try count("intent WHERE kind = 'MODIFY'"))
  }

  /// The intents of clients that reached the book, in order; one of them several times when it did so.
  func written() throws(ScenarioFailure) -> [WrittenIntent] {
    try database.rows("SELECT frame, session, unix_ns FROM intent WHERE session <> 0 ORDER BY id").map {
      WrittenIntent(
        id: IntentID(frame: UInt64(bitPattern: $0[0]), session: UInt64($0[1])), unixNanoseconds: UInt64($0[2])
      )
    }
  }

  /// When each invalid transition was made, in Unix time, nanoseconds.
  func timesOfInvalidTransitions() throws(ScenarioFailure) -> [UInt64] {
    try database.rows(
      """
      SELECT unix_ns FROM transition JOIN intent ON intent.id = transition.intent
      WHERE kind = 'MODIFY' AND (from_status IS NULL OR from_status <> 'OPEN' OR based_on <> from_version) ORDER BY unix_ns
      """
    ).map { UInt64($0[0]) }
  }
}

struct WrittenIntent {
  var id: IntentID
  var unixNanoseconds: UInt64
}

/// What names an intent in trace, database and client alike.
struct IntentID: Hashable, Codable {
  var frame: UInt64
  var session: UInt64
}
