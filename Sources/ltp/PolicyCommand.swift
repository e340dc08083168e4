// SPDX-License-Identifier: Apache-2.0
// `ltp policy`: policies as people write them, before a service loads them.

import ArgumentParser
import CLTP
import Foundation
import LTP
import LTPPolicy

struct PolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "Check, show and compile policy files.",
    discussion: """
      A policy file is JSON (docs/policy.schema.json; examples in Examples/policies). It says how it differs from the \
      built-in policy, or, with "base": "empty", everything. "comment" may stand in any object.

      Exit status: 0 the policy can be loaded, 1 it cannot (line and reason are said), 2 bad usage, or a file that cannot \
      be read.
      """,
    subcommands: [PolicyCheckCommand.self, PolicyShowCommand.self, PolicyCompileCommand.self])
}

/// Reads and checks a file; says what is wrong, in which line, and ends with `mistake`.
func readPolicy(_ path: String, mistake: Int32 = 1) throws -> Policy {
  let data: Data
  do {
    let file =
      path == "-" ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    data = try file.read(upToCount: PolicyFile.bytesMax + 1) ?? Data()
  } catch {
    var isDirectory: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
    let reason = isDirectory.boolValue ? "this is a directory" : error.localizedDescription
    FileHandle.standardError.write(Data("ltp policy: \(path): \(reason)\n".utf8))
    throw ExitCode(2)
  }
  do { return try PolicyFile.parse(data) } catch {
    FileHandle.standardError.write(Data("\(path):\(error.line): \(error.reason)\n".utf8))
    throw ExitCode(mistake)
  }
}

struct PolicyCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Say whether a policy can be loaded; if not, in which line and why.")

  @Argument(help: "The policy file; - is standard input.")
  var file: String

  func run() throws {
    let table = PolicyTable(try readPolicy(file))
    let watched = table.signals.map { ", \($0.rules.count) signals watched" } ?? ""
    print("\(file): good: \(table.classes.count) classes\(watched), and the never list holds")
    for note in table.notes { print("note: \(note)") }
  }
}

struct PolicyShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print a policy as a table of states and classes.",
    discussion: """
      A cell is what happens to the class in the state: execute, deny or defer; ">=96" is the least priority of the class \
      itself, "t" says that a continuity token is needed, "d" that what is below the threshold is deferred. Limits and \
      signals follow where the policy has some. The built-in signal rules: \
      echo '{"version": 1, "signals": {}}' | ltp policy show -

      --json prints a policy file that says everything and builds on nothing: ltp policy check takes it, and compile makes \
      the same policy of it.
      """)

  @Argument(help: "The policy file; - is standard input. Without it, the built-in policy.")
  var file: String?

  @Flag(help: "Print a whole policy file.")
  var json = false

  func run() throws {
    let table = PolicyTable(try file.map { try readPolicy($0) } ?? Policy.builtIn)
    if json { try printJSON(table) } else { print(table.text) }
  }
}

struct PolicyCompileCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile",
    abstract: "Write a policy as the ltp_policy structure that ltp_policy_load takes: 16,064 bytes.")

  @Argument(help: "The policy file; - is standard input.")
  var file: String

  @Option(name: .shortAndLong, help: "The file to write.")
  var output: String

  func run() throws {
    let policy = try readPolicy(file)
    do {
      try withUnsafeBytes(of: policy.fields) { Data($0) }.write(
        to: URL(fileURLWithPath: output), options: .atomic)
    } catch {
      FileHandle.standardError.write(Data("ltp policy: \(output): \(error.localizedDescription)\n".utf8))
      throw ExitCode(2)
    }
    print("\(output): \(MemoryLayout<ltp_policy>.size) bytes")
  }
}

/// A policy as a table. Its JSON is a policy file; times that a C program gave more finely are whole milliseconds there.
struct PolicyTable: Encodable {
  struct Cell: Encodable {
    var verdict: String
    var reason: String
    var priorityMin: UInt8
    var retryAfterMs: UInt32
    var deferWhenBelow: Bool
    var waiveContinuity: Bool
    /// Follows from the class's attributes, so a file does not say it.
    var needsContinuity: Bool

    enum CodingKeys: CodingKey {
      case verdict, reason, priorityMin, retryAfterMs, deferWhenBelow, waiveContinuity
    }

    var text: String {
      var text = verdict.lowercased()
      if priorityMin > 0 { text += ">=\(priorityMin)" }
      let marks = (needsContinuity ? "t" : "") + (deferWhenBelow ? "d" : "")
      return marks.isEmpty ? text : text + " " + marks
    }
  }

  struct Row: Encodable {
    var id: Int
    var name: String
    var attributes: [String]
    var rate: PolicyLimits.Rate?
    var rules: [String: Cell]
  }

  let version = 1
  let base = "empty"
  var thresholds: [String: UInt8] = [:]
  var classes: [Row] = []
  var limits: PolicyLimits
  /// Nil: the policy does not say what makes the states.
  var signals: PolicySignals?
  /// Nil: nothing of them is set.
  var domains: PolicyDomains?

  init(_ policy: Policy) {
    limits = PolicyLimits(policy)
    signals = policy.signals.map { PolicySignals($0) }
    domains = PolicyDomains(policy)
    for state in State.allCases {
      thresholds[state.description] = withUnsafeBytes(of: policy.fields.priority_threshold) {
        $0[Int(state.rawValue)]
      }
    }
    for id in 0..<Int(LTP_CLASS_COUNT) {
      let described = policy.describedClass(id)
      guard !described.name.isEmpty else { continue }
      var row = Row(
        id: id, name: described.name, attributes: described.attributeNames,
        rate: PolicyLimits.Rate(policy[rate: id]), rules: [:])
      for state in State.allCases {
        row.rules[state.description] = Self.cell(policy[state, id], described.attributes, state)
      }
      classes.append(row)
    }
  }

  /// What a reader of the file may overlook: classes of the built-in policy that are less than they were there.
  var notes: [String] {
    classes.compactMap { row in
      let builtIn = Policy.builtIn.describedClass(row.id)
      let lost = builtIn.attributeNames.filter { !row.attributes.contains($0) }
      guard builtIn.name == row.name, !lost.isEmpty else { return nil }
      return "class \(row.id) (\"\(row.name)\") is no longer \(lost.joined(separator: ", "))"
    }
  }

  private static func cell(_ rule: ltp_policy_rule, _ attributes: UInt32, _ state: State) -> Cell {
    let isWaived = rule.flags & LTP_RULE_WAIVE_CONTINUITY != 0
    let asks = attributes & LTP_CLASS_REQUIRES_CONTINUITY != 0 && !isWaived
    return Cell(
      verdict: Decision(rawValue: rule.verdict)?.description ?? "INVALID",
      reason: Reason(rawValue: rule.reason).description, priorityMin: rule.priority_min,
      retryAfterMs: rule.retry_after_ms,
      deferWhenBelow: rule.flags & LTP_RULE_DEFER_WHEN_BELOW != 0, waiveContinuity: isWaived,
      // While RECOVERING every session needs its token, whatever the policy says.
      needsContinuity: rule.verdict != LTP_VERDICT_DENY
        && (asks || state == .recovering && attributes & LTP_CLASS_STATELESS == 0))
  }

  var text: String {
    var lines = [line("id", "class", State.allCases.map(\.description) + ["attributes"])]
    lines.append(line("", "priority from", State.allCases.map { "\(thresholds[$0.description] ?? 0)" }))
    for row in classes {
      let cells = State.allCases.map { row.rules[$0.description]?.text ?? "" }
      lines.append(line("\(row.id)", row.name, cells + [row.attributes.joined(separator: " ")]))
    }
    let rates = classes.compactMap { row in row.rate.map { "class \(row.name): \($0.text)" } }
    let limitLines = limits.lines + rates.sorted()
    if !limitLines.isEmpty { lines += [""] + limitLines }
    if let signals { lines += [""] + signals.lines }
    if let domains { lines += [""] + domains.lines }
    return lines.joined(separator: "\n")
  }

  private func line(_ id: String, _ name: String, _ cells: [String]) -> String {
    func pad(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(1, width - text.count))
    }
    let line = pad(id, 4) + pad(name, 20) + cells.map { pad($0, 15) }.joined()
    return String(line.reversed().drop { $0 == " " }.reversed())
  }
}
