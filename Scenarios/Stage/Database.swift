// SPDX-License-Identifier: Apache-2.0

import CSQLite
import Glibc

/// A connection to an SQLite database on disk (WAL, every commit durable), for one thread at a time.
package final class Database: @unchecked Sendable {
  package let handle: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]

  /// Opens it, made if it is missing; every wait for somebody else's lock lasts as long as that does.
  package init(path: String) throws(ScenarioFailure) {
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

  /// Takes away what a run before left.
  package static func remove(path: String) { for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) } }

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

  package func run(_ text: String, _ values: Int64...) throws(ScenarioFailure) {
    let statement = try prepared(text)
    bind(values, to: statement)
    defer { sqlite3_reset(statement) }
    var status = sqlite3_step(statement)
    while status == SQLITE_ROW { status = sqlite3_step(statement) }
    guard status == SQLITE_DONE else { throw failure(text) }
  }

  /// How many rows the last statement changed.
  package var changes: Int { Int(sqlite3_changes(handle)) }

  /// The rows that the statement has, numbers all; NULL is 0.
  package func rows(_ text: String, _ values: Int64...) throws(ScenarioFailure) -> [[Int64]] {
    let statement = try prepared(text)
    bind(values, to: statement)
    defer { sqlite3_reset(statement) }
    var rows: [[Int64]] = []
    var status = sqlite3_step(statement)
    while status == SQLITE_ROW {
      rows.append((0..<sqlite3_column_count(statement)).map { sqlite3_column_int64(statement, $0) })
      status = sqlite3_step(statement)
    }
    guard status == SQLITE_DONE else { throw failure(text) }
    return rows
  }

  /// The numbers of the first row that the statement has.
  package func row(_ text: String, _ values: Int64...) throws(ScenarioFailure) -> [Int64] {
    let statement = try prepared(text)
    bind(values, to: statement)
    defer { sqlite3_reset(statement) }
    guard sqlite3_step(statement) == SQLITE_ROW else { throw failure(text) }
    return (0..<sqlite3_column_count(statement)).map { sqlite3_column_int64(statement, $0) }
  }

  /// The first column of its rows, as text.
  package func words(_ text: String) throws(ScenarioFailure) -> [String] {
    let statement = try prepared(text)
    defer { sqlite3_reset(statement) }
    var words: [String] = []
    var status = sqlite3_step(statement)
    while status == SQLITE_ROW {
      words.append(sqlite3_column_text(statement, 0).map { String(cString: $0) } ?? "")
      status = sqlite3_step(statement)
    }
    guard status == SQLITE_DONE else { throw failure(text) }
    return words
  }
}
