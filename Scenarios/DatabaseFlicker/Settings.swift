// SPDX-License-Identifier: Apache-2.0

import Stage

struct Settings: Sendable {
  /// Of the postmortem.
  static let outageSecondsFull = 45.0
  /// 5,000 ms of those 45 s.
  static let patienceShare = 9.0

  var directory: String
  var clients = 100
  /// That come within the outage; a multiple of the clients.
  var orders = 1500
  /// Of each client, before the outage and after it.
  var ordersAround = 5
  var outageSeconds = Settings.outageSecondsFull
  var seed: UInt64 = 1

  var outage: UInt64 { UInt64(outageSeconds * 1e9) }
  /// How long a write to the database may take.
  var patience: UInt64 { UInt64(outageSeconds / Self.patienceShare * 1e9) }
  /// The orders come in the first three quarters; afterwards users wait.
  var span: UInt64 { outage * 3 / 4 }
}
