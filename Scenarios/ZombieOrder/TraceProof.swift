// SPDX-License-Identifier: Apache-2.0
// What `ltp inspect` says of the trace alone, beside what clients and database say.

import Foundation
import Stage

struct TraceProof {
  private struct Summary: Codable {
    struct Counter: Codable {
      var state: String
      var actionClass: String
      var verdict: String
      var reason: String
      var count: Int
    }

    struct Inspection: Codable {
      struct Totals: Codable {
        var hellos: Int
        var unrecorded: Int
      }

      var totals: Totals
    }

    var inspection: Inspection
    var transitions: [TracedTransition]
    var counters: [Counter]
  }

  private struct Count: Codable { var count: Int }

  /// A line of `show --json`.
  private struct Line: Codable {
    var kind: String
    var time: String
    var actionClass: String?
    var reason: String?
    var session: String?
    var frame: String?

    enum CodingKeys: String, CodingKey {
      case kind, time, reason, session, frame
      case actionClass = "class"
    }

    var id: IntentID? {
      guard let frame = frame.flatMap(UInt64.init), let session = session.flatMap(UInt64.init) else {
        return nil
      }
      return IntentID(frame: frame, session: session)
    }
  }

  let verify: (isGood: Bool, verdict: String)
  let violations: (isGood: Bool, verdict: String)
  let transitions: [TracedTransition]
  /// When the service was let go on after the last outage; nil: it was not.
  let recovering: UInt64?
  /// MODIFYs that were refused from the kill to that; nil: there was no such time.
  let blockedInOutage: Int?
  /// Those of them that nothing but the outage stood against, in the trace's order.
  let blocked: [IntentID]
  /// Refusals of orders by "STATE VERDICT REASON".
  let refusals: [String: Int]
  let hellos: Int
  /// When each hello was answered, in seconds after the first.
  let hellosAt: [Double]
  /// Orders that were let in, and those of them since the server was there again.
  let executed: Set<IntentID>
  let executedSince: Set<IntentID>
  let unrecorded: Int

  /// `killed`, `restarted`: Unix times in nanoseconds.
  init(directory: String, killed: UInt64, restarted: UInt64) throws {
    verify = try Inspector.judge("verify", directory)
    violations = try Inspector.judge("violations", directory)
    let summary = try Inspector.read(Summary.self, ["summary", "--transitions", "100000", directory])
    transitions = summary.transitions
    hellos = summary.inspection.totals.hellos
    unrecorded = summary.inspection.totals.unrecorded
    refusals = summary.counters.filter { $0.verdict != "EXECUTE" && $0.actionClass.hasPrefix("order_") }
      .reduce(into: [:]) { $0["\($1.state) \($1.verdict) \($1.reason)", default: 0] += $1.count }
    recovering =
      summary.transitions.first { $0.unixNanoseconds > killed && $0.to == "RECOVERING" }?.unixNanoseconds
    blockedInOutage = try recovering.map { end in
      try Inspector.read(
        Count.self,
        [
          "count", "--class", "order_modify", "--verdict", "deny", "--from", "\(killed)", "--to", "\(end)",
          directory,
        ]
      ).count
    }
    blocked =
      try recovering.map { end in
        try Self.lines(["--verdict", "deny", "--from", "\(killed)", "--to", "\(end)", directory])
          .filter {
            $0.kind == "decision" && $0.reason == "SYSTEM_UNSTABLE" && $0.actionClass == "order_modify"
          }
          .compactMap(\.id)
      } ?? []
    executed = try Self.executed(directory, from: nil)
    executedSince = try Self.executed(directory, from: restarted)
    hellosAt = try Self.hellos(directory)
  }

  private static func lines(_ arguments: [String]) throws -> [Line] {
    let said = try Inspector.run(["show", "--json"] + arguments)
    guard said.status == 0 else { throw ScenarioFailure("ltp inspect show ended with status \(said.status)") }
    let decoder = JSONDecoder()
    return try said.output.split(separator: "\n").map { try decoder.decode(Line.self, from: Data($0.utf8)) }
  }

  private static func executed(_ directory: String, from: UInt64?) throws -> Set<IntentID> {
    let window = from.map { ["--from", "\($0)"] } ?? []
    let ids = try lines(["--verdict", "execute"] + window + [directory])
      .filter { $0.kind == "decision" && $0.actionClass?.hasPrefix("order_") == true }
      .compactMap(\.id)
    return Set(ids)
  }

  private static func hellos(_ directory: String) throws -> [Double] {
    let times = try lines([directory]).filter { $0.kind == "hello" }.map { try seconds($0.time) }
    let first = times.min() ?? 0
    return times.map { $0 - first }.sorted()
  }

  /// Of 2026-03-01T09:05:07.000001Z, since the epoch.
  private static func seconds(_ time: String) throws -> Double {
    let parts = time.dropLast().split(separator: ".")
    let whole = try Date(String(parts[0]) + "Z", strategy: .iso8601)
    return whole.timeIntervalSince1970 + (parts.count > 1 ? Double("0." + parts[1]) ?? 0 : 0)
  }

  /// The most hellos within any second.
  var hellosInASecond: Int {
    var first = 0
    var most = 0
    for (last, time) in hellosAt.enumerated() {
      while time - hellosAt[first] >= 1 { first += 1 }
      most = max(most, last - first + 1)
    }
    return most
  }
}
