// SPDX-License-Identifier: Apache-2.0

import CLTP
import LTP

/// What a client has done and seen.
struct ClientTally {
  /// Attempts to connect.
  var connects = 0
  var sent = 0
  /// MODIFYs that were sent in the outage, and answers to those that were not EXECUTE.
  var sentInOutage = 0
  var blockedInOutage = 0
  /// MODIFYs that were carried out, before the outage and after it.
  var modifiedBefore = 0
  var modifiedAfter = 0
  /// Lives of its session, and when each began (Unix, nanoseconds).
  var lives = 0
  var livesAt: [UInt64] = []
  var putOff = 0
  var resyncs = 0
  var orientations = 0
  /// Intents of a life before that its own session has refused to send.
  var refusedBeforeTheWire = 0
  /// Those that were sent all the same.
  var carelessSent = 0
  /// Sent, and the connection was lost before the answer came.
  var unanswered: Set<IntentID> = []
  /// Sent after the server's death, and made in a life before it.
  var oldSent: Set<IntentID> = []
  /// "CLASS STATE VERDICT REASON" -> how many.
  var answers: [String: Int] = [:]
  /// Answered with EXECUTE.
  var executed: Set<IntentID> = []

  /// Answers to orders other than EXECUTE, by "STATE VERDICT REASON".
  var refusals: [String: Int] {
    answers.reduce(into: [:]) { refusals, answer in
      let words = answer.key.split(separator: " ", maxSplits: 1)
      guard words[0] == "order", !answer.key.contains(" EXECUTE ") else { return }
      refusals[String(words[1]), default: 0] += answer.value
    }
  }

  mutating func count(_ response: ltp_route_response, look: Bool = false) {
    let name = look ? "list" : "order"
    let verdict = Decision(rawValue: response.verdict).map { "\($0)" } ?? "?"
    answers[
      "\(name) \(State(rawValue: response.state) ?? .unknown) \(verdict) \(Reason(rawValue: response.reason))",
      default: 0] += 1
  }

  mutating func count(_ response: ltp_route_response, _ asked: Intent) {
    count(response)
    if response.verdict == LTP_VERDICT_EXECUTE { executed.insert(asked.id) }
  }

  static func += (a: inout ClientTally, b: ClientTally) {
    a.connects += b.connects
    a.sent += b.sent
    a.sentInOutage += b.sentInOutage
    a.blockedInOutage += b.blockedInOutage
    a.modifiedBefore += b.modifiedBefore
    a.modifiedAfter += b.modifiedAfter
    a.lives += b.lives
    a.livesAt += b.livesAt
    a.putOff += b.putOff
    a.resyncs += b.resyncs
    a.orientations += b.orientations
    a.refusedBeforeTheWire += b.refusedBeforeTheWire
    a.carelessSent += b.carelessSent
    a.unanswered.formUnion(b.unanswered)
    a.oldSent.formUnion(b.oldSent)
    a.answers.merge(b.answers) { $0 + $1 }
    a.executed.formUnion(b.executed)
  }
}
