// SPDX-License-Identifier: Apache-2.0
// What `ltp inspect` says of a trace alone.

import Foundation
import Stage

struct TraceProof: Encodable, Sendable {
  struct Figures: Codable, Sendable {
    var kept: Int
    var committed: Int
    var pending: Int
    var expired: Int
    var attemptsUsedUp: Int
    var abandoned: Int
    var cancelled: Int
    var lost: Int
    var errors: Int
    var sentAgain: Int
    var unacknowledged: Int
    var longestWaitSeconds: Double

    /// Ends other than the effect.
    var otherEnds: Int { expired + attemptsUsedUp + abandoned + cancelled }
  }

  struct Judgement: Codable, Sendable {
    var isGood: Bool
    var verdict: String

    init(_ judged: (isGood: Bool, verdict: String)) { (isGood, verdict) = judged }
  }

  private struct Outcome: Decodable { var outcome: Figures }
  private struct Summary: Decodable { var transitions: [TracedTransition] }

  var verify: Judgement
  var redecide: Judgement
  var audit: Judgement
  var violations: Judgement
  var figures: Figures
  var transitions: [TracedTransition]

  /// `pages`: what the readers' pages are called, with their path; "-audit.html" and the like is put behind it.
  init(_ directory: String, pages: String) throws {
    verify = Judgement(try Inspector.judge("verify", directory))
    redecide = Judgement(try Inspector.judge("redecide", directory))
    // Its verdict comes first.
    let said = try Inspector.run(["audit", "--html", pages + "-audit.html", directory])
    let first = said.output.split(separator: "\n").first.map(String.init) ?? ""
    audit = Judgement((isGood: said.status == 0, verdict: first))
    violations = Judgement(try Inspector.judge("violations", directory))
    for reader in ["timeline", "outcome"] {
      _ = try Inspector.run([reader, "--html", "\(pages)-\(reader).html", directory])
    }
    figures = try Inspector.read(Outcome.self, ["outcome", directory]).outcome
    transitions = try Inspector.read(Summary.self, ["summary", "--transitions", "100000", directory])
      .transitions
  }

  var judgements: [(command: String, judgement: Judgement)] {
    [("verify", verify), ("redecide", redecide), ("violations", violations), ("audit", audit)]
  }

  var isGood: Bool { judgements.allSatisfy(\.judgement.isGood) }
  var everyDeferHasItsEnd: Bool { figures.pending == 0 && figures.lost == 0 && figures.otherEnds == 0 }

  /// As a postmortem quotes it, in seconds from a moment on.
  func timeline(from start: UInt64) -> [String] {
    transitions.map { transition in
      let seconds = (Double(transition.unixNanoseconds) - Double(start)) / 1e9
      let evidence = transition.evidence.map { "\($0.name) \($0.value), threshold \($0.threshold)" }
      return "\(fixed(seconds, 2, width: 7)) s  \(transition.from) -> \(transition.to): \(transition.reason)"
        + (evidence.isEmpty ? "" : " (\(evidence.joined(separator: "; ")))")
    }
  }
}
