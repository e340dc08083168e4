// SPDX-License-Identifier: Apache-2.0
// The figures for programs, and the files that the scenario leaves.

import Foundation
import Stage

struct Report: Encodable {
  struct Figures: Encodable {
    var outageSeconds: Double
    var modifiesInOutage: Int
    var blockedInOutage: Int
    var writtenInOutage: Int
    var connectsInOutage: Int
    var book: OrderBook.Check
    var handshakes: Int
    var handshakesPutOff: Int
    var resyncs: Int
    var answers: [String: Int]

    init(_ course: CourseResult) {
      outageSeconds = course.outageSeconds
      modifiesInOutage = course.modifiesInOutage
      blockedInOutage = course.blockedInOutage
      writtenInOutage = course.writtenInOutage
      connectsInOutage = course.connectsInOutage
      book = course.book
      handshakes = course.tally.lives
      handshakesPutOff = course.tally.putOff
      resyncs = course.tally.resyncs
      answers = course.tally.answers
    }
  }

  struct TraceFigures: Encodable {
    var blockedInOutage: Int?
    var refusals: [String: Int]
    var letIn: Int
    var handshakes: Int
    var verify: String
    var violations: String
    var transitions: [TracedTransition]

    init(_ proof: TraceProof) {
      blockedInOutage = proof.blockedInOutage
      refusals = proof.refusals
      letIn = proof.executed.count
      handshakes = proof.hellos
      verify = proof.verify.verdict
      violations = proof.violations.verdict
      transitions = proof.transitions
    }
  }

  var clients: Int
  var without: Figures?
  var with: Figures?
  var trace: TraceFigures?
  var promises: [Promise]
  var quote: String?

  init(_ result: ScenarioResult) {
    clients = result.settings.clients
    without = result.without.map { Figures($0) }
    with = result.with.map { Figures($0) }
    trace = result.proof.map { TraceFigures($0) }
    promises = Promises.check(result)
    quote = result.quote
  }

  var data: Data { get throws { try ReportFiles.json(self) } }
}
