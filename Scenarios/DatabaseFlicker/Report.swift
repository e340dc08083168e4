// SPDX-License-Identifier: Apache-2.0
// The figures for programs.

import Foundation
import Stage

struct Report: Encodable {
  struct Figures: Encodable {
    var outage: Outage
    var outageSeconds: Double
    var sentInOutage: Int
    var deferredInOutage: Int
    var confirmedLater: Int
    var sent: Int
    var errors: Int
    var refreshed: Int
    var putOff: [String: Int]
    var recoverySeconds: Double?
    /// Replays whose order was there already, because a write that had timed out happened after all.
    var replaysHeldOff: Int?
    var table: TableCheck

    init(_ course: CourseResult) {
      outage = course.outage
      outageSeconds = course.outageSeconds
      sentInOutage = course.sentInOutage
      deferredInOutage = course.deferredInOutage
      confirmedLater = course.confirmedLater
      sent = course.tally.sent.count
      errors = course.tally.errorsAt.count
      refreshed = course.tally.refreshed
      putOff = course.tally.putOff
      recoverySeconds = course.recoverySeconds
      replaysHeldOff = course.status?.heldOff
      table = course.table
    }
  }

  struct Proved: Encodable {
    var figures: Figures
    var trace: TraceProof
    var promises: [Promise]
  }

  var database: String
  var clients: Int
  var seed: UInt64
  var without: Figures?
  var with: [Proved]
  var promises: [Promise]

  init(_ result: ScenarioResult) {
    database = result.database
    clients = result.settings.clients
    seed = result.settings.seed
    without = result.without.map { Figures($0) }
    with = result.with.map { Proved(figures: Figures($0.course), trace: $0.proof, promises: $0.promises) }
    promises = result.promises
  }

  var data: Data { get throws { try ReportFiles.json(self) } }
}
