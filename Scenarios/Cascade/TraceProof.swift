// SPDX-License-Identifier: Apache-2.0
// What `ltp inspect` says of the trace, beside what the clients saw.

import Stage

struct TraceProof {
  private struct Summary: Codable {
    struct Counter: Codable {
      var state: String
      var verdict: String
      var reason: String
      var count: UInt64
    }

    struct Inspection: Codable {
      struct Totals: Codable {
        var hellos: UInt64
        var unrecorded: UInt64
      }

      var totals: Totals
    }

    var inspection: Inspection
    var transitions: [TracedTransition]
    var counters: [Counter]
  }

  struct Row: Codable {
    var state: String
    var verdict: String
    var reason: String
    var inTrace: UInt64
    var seen: UInt64
  }

  /// `ltp inspect verify` ended with status 0; its last line.
  let isVerified: Bool
  let verdict: String
  let transitions: [TracedTransition]
  let rows: [Row]
  let hellosInTrace: UInt64
  let hellosSeen: UInt64
  let unanswered: UInt64

  var countsAgree: Bool {
    rows.allSatisfy { $0.inTrace == $0.seen } && hellosInTrace == hellosSeen && unanswered == 0
  }

  /// Changes of state that the server found, each with the value that it found it by.
  var withEvidence: Int { transitions.count { !$0.evidence.isEmpty } }

  init(directory: String, tally: Tally) throws {
    (isVerified, verdict) = try Inspector.judge("verify", directory)
    let summary = try Inspector.read(
      Summary.self, ["summary", "--transitions", "100000", directory])
    transitions = summary.transitions
    hellosInTrace = summary.inspection.totals.hellos
    hellosSeen = tally.hellos
    unanswered = tally.unanswered
    var inTrace: [String: UInt64] = [:]
    for counter in summary.counters {
      inTrace["\(counter.state) \(counter.verdict) \(counter.reason)", default: 0] += counter.count
    }
    rows = Set(inTrace.keys).union(tally.answers.keys).sorted().map { key in
      let words = key.split(separator: " ").map(String.init)
      return Row(
        state: words[0], verdict: words[1], reason: words[2], inTrace: inTrace[key] ?? 0,
        seen: tally.answers[key] ?? 0)
    }
  }
}
