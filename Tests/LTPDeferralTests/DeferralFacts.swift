// SPDX-License-Identifier: Apache-2.0
// What histories of a deferral log came to, and bugs that the checker must find.

import CLTP

struct DeferralViolation: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

struct DeferralFacts {
  var runs = 0
  var kept = 0
  var ended = 0
  var segmentsDropped: UInt64 = 0
  var lostUnacknowledged = 0
  var failures = 0
  var handedOutAgain = 0
  var moved: UInt64 = 0
  /// How often all that waited for long had been told again.
  var toldAgain = 0

  static func += (total: inout DeferralFacts, one: DeferralFacts) {
    total.runs += one.runs
    total.kept += one.kept
    total.ended += one.ended
    total.segmentsDropped += one.segmentsDropped
    total.lostUnacknowledged += one.lostUnacknowledged
    total.failures += one.failures
    total.handedOutAgain += one.handedOutAgain
    total.moved += one.moved
    total.toldAgain += one.toldAgain
  }
}

/// A bug in whoever acknowledges, which the checker must find.
enum PlantedInHost: CaseIterable {
  /// An intent is acknowledged when it is handed over, not when it is on disk.
  case acknowledgesBeforeSync
  /// An end is.
  case endsBeforeSync
  /// The trace drops what is told again.
  case dropsRetelling
}
