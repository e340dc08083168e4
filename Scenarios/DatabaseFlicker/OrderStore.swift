// SPDX-License-Identifier: Apache-2.0
// The database as the service sees it: PostgreSQL, or SQLite where that cannot be had.

import Stage

/// Why a statement was not carried out. It may have happened, or happen yet, when there was no answer.
struct StoreFailure: Error, CustomStringConvertible {
  let description: String
}

/// A connection to the database, for one thread at a time, with every wait bounded.
protocol OrderStore: AnyObject {
  /// Runs one statement, or several as one transaction. Returns how many rows the last one changed. One attempt.
  func run(_ statement: String, before deadline: UInt64) throws(StoreFailure) -> Int
  /// Numbers all; NULL is 0.
  func rows(_ query: String, before deadline: UInt64) throws(StoreFailure) -> [[Int64]]
  /// The order, once for its key, or as often as it is sent. One transaction. False: it was there.
  func insert(_ order: Order, isOnce: Bool, before deadline: UInt64) throws(StoreFailure) -> Bool
}

extension OrderStore {
  /// A write that nobody misses, to see how long one takes.
  func probe(before deadline: UInt64) throws(StoreFailure) {
    _ = try run("UPDATE probe SET n = n + 1", before: deadline)
  }

  /// What one attempt cannot do, another may, until the patience is at its end: when this throws, it has taken that long.
  func persist<Result>(
    for patience: UInt64, _ attempt: (any OrderStore, UInt64) throws(StoreFailure) -> Result
  ) throws(StoreFailure) -> Result {
    let deadline = Clock.monotonic() + patience
    while true {
      do { return try attempt(self, deadline) } catch {
        let now = Clock.monotonic()
        if now < deadline { Clock.sleep(nanoseconds: min(Self.pause, deadline - now)) }
        guard Clock.monotonic() < deadline else { throw error }
      }
    }
  }

  private static var pause: UInt64 { 10_000_000 }
}

/// Where the database is, as a word that the service's command line takes.
enum StoreAddress: Sendable {
  case postgres(String)
  case sqlite(String)

  init?(word: String) {
    let parts = word.split(separator: ":", maxSplits: 1).map(String.init)
    switch (parts.first, parts.count) {
    case ("postgres", 2): self = .postgres(parts[1])
    case ("sqlite", 2): self = .sqlite(parts[1])
    default: return nil
    }
  }

  var word: String {
    switch self {
    case .postgres(let conninfo): "postgres:\(conninfo)"
    case .sqlite(let path): "sqlite:\(path)"
    }
  }

  func open() -> any OrderStore {
    switch self {
    case .postgres(let conninfo): PostgresStore(conninfo)
    case .sqlite(let path): SQLiteStore(path)
    }
  }
}
