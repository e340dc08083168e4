// SPDX-License-Identifier: Apache-2.0
// What the database itself says of the orders, against what the users sent.

import Stage

struct TableCheck: Encodable, Sendable {
  var rows: Int
  /// Sent, and not there.
  var lost: Int
  /// There more often than once, or never sent.
  var duplicates: Int
  var unsent: Int
  /// Rows of a client that stand behind a later one of its orders.
  var outOfOrder: Int
  /// When each row was written: Unix time in nanoseconds.
  var writtenAt: [Order: UInt64]

  private enum CodingKeys: CodingKey { case rows, lost, duplicates, unsent, outOfOrder }

  init(_ database: any OrderDatabase, sent: [Order: UInt64]) throws {
    var written: [Order: UInt64] = [:]
    let rows = try database.ask("SELECT client, number, amount, at FROM orders ORDER BY place")
    for row in rows {
      let order = Order(client: UInt64(row[0]), number: UInt64(row[1]), amount: UInt64(row[2]))
      if written[order] == nil { written[order] = UInt64(row[3]) }
    }
    self.rows = rows.count
    writtenAt = written
    duplicates = rows.count - written.count
    lost = sent.keys.count { written[$0] == nil }
    unsent = written.keys.count { sent[$0] == nil }
    outOfOrder = Int(
      try database.ask(
        """
        SELECT count(*) FROM (SELECT number, lag(number) OVER (PARTITION BY client ORDER BY place) AS earlier FROM orders) AS pairs
        WHERE earlier >= number
        """)[0][0])
  }
}
