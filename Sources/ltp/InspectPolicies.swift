// SPDX-License-Identifier: Apache-2.0
// `ltp inspect policies`: which policies were in force, and what they said.

import ArgumentParser
import CLTP
import Foundation
import LTP
import LTPInspect

struct InspectPolicies: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policies",
    abstract: "The policies that were in force, and what each said.",
    discussion: """
      Without --generation, lists them. With it, prints that policy as `ltp policy show` does: rules, limits, and what \
      made the states. --output writes the ltp_policy structure itself, whose SHA-256 is the digest in the trace: it \
      is what `ltp policy compile` makes of the file that was loaded.

      Examples:
        ltp inspect policies trace
        ltp inspect policies trace --generation 3
        ltp inspect policies trace --generation 3 --output policy.ltp && sha256sum policy.ltp
      """)

  @OptionGroup var arguments: InspectArguments

  @Option(help: "Which policy; `ltp inspect show` says which one was in force when.")
  var generation: UInt32?

  @Flag(help: "The shadow policy beside that one.")
  var shadow = false

  @Option(name: .shortAndLong, help: ArgumentHelp("Write the structure to this file.", valueName: "file"))
  var output: String?

  private struct Output: Encodable {
    var policies: [PolicyEntry]
    /// The one that was asked for.
    var policy: PolicyTable?
    var inspection: InspectionJSON
  }

  func validate() throws {
    guard generation != nil || output == nil && !shadow else {
      throw ValidationError("--output and --shadow go with --generation")
    }
  }

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in
      try inspector.policies(generation: generation, isShadow: shadow)
    }
    if let generation, report.chosen == nil { try fail(generation, report) }
    if let chosen = report.chosen, let output { try write(chosen, to: output) }
    let table = report.chosen.map { Policy(fields: $0) }.flatMap { policy in
      // What no core can have loaded is told among the findings, and nothing that it says is printed.
      (try? policy.check()) == nil ? nil : PolicyTable(policy)
    }
    if arguments.json {
      try printJSON(
        Output(policies: report.policies, policy: table, inspection: InspectionJSON(report.inspection)))
    } else {
      if generation == nil {
        list(report.policies)
      } else if let table, output == nil {
        print(table.text)
      }
      printFindings(report.inspection)
    }
    if !report.inspection.isGood { throw ExitCode(1) }
  }

  private func list(_ policies: [PolicyEntry]) {
    print("GENERATION  FROM (UTC)                   SHA-256")
    for policy in policies {
      let name = "\(policy.generation)" + (policy.isShadow ? " shadow" : "")
      print("\(padded(name, 12))\(Timestamp.text(policy.unixNanoseconds))  \(policy.digest)")
    }
  }

  private func fail(_ generation: UInt32, _ report: PolicyReport) throws {
    let there = report.policies.filter { $0.isShadow == shadow }.map { "\($0.generation)" }
    let kind = shadow ? "shadow policy" : "policy"
    let known = there.isEmpty ? "none" : there.suffix(20).joined(separator: ", ")
    let text = "ltp inspect: the trace has no \(kind) of generation \(generation); it has \(known)\n"
    FileHandle.standardError.write(Data(text.utf8))
    throw ExitCode(2)
  }

  private func write(_ policy: ltp_policy, to path: String) throws {
    do {
      try withUnsafeBytes(of: policy) { Data($0) }.write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      FileHandle.standardError.write(Data("ltp inspect: \(path): \(error.localizedDescription)\n".utf8))
      throw ExitCode(2)
    }
    if !arguments.json { print("\(path): \(MemoryLayout<ltp_policy>.size) bytes") }
  }
}
