// SPDX-License-Identifier: Apache-2.0
// What `ltp inspect` says of the trace, beside what the clients saw.

import Foundation

struct TraceProof {
  struct Transition: Codable {
    struct Evidence: Codable {
      var name: String
      var value: Int64
      var threshold: Int64
    }

    var unixNanoseconds: UInt64
    var from: String
    var to: String
    var reason: String
    var epoch: UInt32
    var evidence: [Evidence]
  }

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
    var transitions: [Transition]
    var counters: [Counter]
  }

  struct Row: Codable {
    var state: String
    var verdict: String
    var reason: String
    var inTrace: UInt64
    var seen: UInt64
  }

  let tool: String
  /// `ltp inspect verify` ended with status 0; its last line.
  let isVerified: Bool
  let verdict: String
  let transitions: [Transition]
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
    tool =
      URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .appendingPathComponent("ltp").path
    let verified = try Self.run(tool, ["inspect", "verify", directory])
    isVerified = verified.status == 0
    verdict = verified.output.split(separator: "\n").last.map(String.init) ?? ""
    let summarized = try Self.run(
      tool, ["inspect", "summary", "--json", "--transitions", "100000", directory])
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    guard let summary = try? decoder.decode(Summary.self, from: Data(summarized.output.utf8)) else {
      throw ScenarioFailure(
        "ltp inspect summary says nothing that can be read: \(summarized.output.prefix(200))")
    }
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

  private static func run(_ tool: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tool)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    do { try process.run() } catch {
      throw ScenarioFailure(
        "\(tool) cannot be run (scripts/scenario-cascade builds it): \(error.localizedDescription)")
    }
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}
