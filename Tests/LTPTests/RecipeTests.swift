// SPDX-License-Identifier: Apache-2.0
// The recipes of docs/ARCHITECTURE.md, "How to add", as checklists: each number of the contract is looked for in every place
// where a reader or a program expects it, and what is missing is named with its place.

import CLTP
import Foundation
import LTP
import LTPTestSupport
import Testing

@Suite("Recipes: every number of the contract is everywhere it belongs", .guarded)
struct RecipeTests {
  /// One `#define PREFIX_NAME number` of a header.
  struct Constant: Sendable, CustomStringConvertible {
    let prefix: String
    let name: String
    let value: Int

    var symbol: String { prefix + name }
    var description: String { symbol }
  }

  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../..")

  private static func contents(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  /// All Swift files of a directory, one after the other.
  private static func sources(_ directory: String) throws -> String {
    let folder = root.appendingPathComponent(directory)
    let names = try #require(FileManager.default.enumerator(atPath: folder.path)).compactMap { $0 as? String }
    return try names.filter { $0.hasSuffix(".swift") }.sorted()
      .map { try contents("\(directory)/\($0)") }.joined(separator: "\n")
  }

  /// The constants of a header with this prefix. What names no member of the list (how many there are, the greatest
  /// one) and flags of rules are left out.
  private static func constants(_ prefix: String, in header: String = "include/ltp.h") throws -> [Constant] {
    let found = try contents(header).matches(
      of:
        /#define (?<symbol>LTP_[A-Z0-9_]+) +(?:\(\(u?int(?:8|16|32)_t\)(?<cast>[0-9]+)\)|(?<plain>[0-9]+))(?:\s|$)/
    )
    let others = ["COUNT", "MAX", "OWN_FIRST", "OWN_COUNT", "RULE_BELOW"]
    return found.compactMap { match -> Constant? in
      let symbol = String(match.symbol)
      let name = String(symbol.dropFirst(prefix.count))
      guard symbol.hasPrefix(prefix), !others.contains(name),
        let value = (match.cast ?? match.plain).flatMap({ Int($0) })
      else { return nil }
      return Constant(prefix: prefix, name: name, value: value)
    }
  }

  /// LTP_REASON_* that a verdict may give.
  private static func reasons() throws -> [Constant] {
    let reasons = try constants("LTP_REASON_").filter { $0.value != 0 }
    #expect(reasons.map(\.value) == Array(1..<Int(LTP_REASON_COUNT)))
    return reasons
  }

  private static func signals() throws -> [Constant] {
    let signals = try constants("LTP_SIGNAL_").filter { $0.value != 0 }
    let own = Int(LTP_SIGNAL_OWN_FIRST)
    #expect(
      signals.map(\.value) == Array(1...Int(LTP_OBSERVATION_COUNT))
        + Array(own..<(own + Int(LTP_SIGNAL_OWN_COUNT))))
    return signals
  }

  private func expect(_ text: String, has part: String, _ constant: Constant, in place: String) {
    let isThere = text.contains(part)
    #expect(isThere, "\(constant) is missing in \(place), which should say \(part)")
  }

  /// A list of the section "Numbers" in docs/FORMAT.md has the number and the name: `5 SYSTEM_FAILED`.
  private func expectNumber(_ constant: Constant) throws {
    let format = try Self.contents("docs/FORMAT.md")
    let section = try #require(format.components(separatedBy: "\n## Numbers\n").dropFirst().first)
    let list = section.components(separatedBy: "\n## ")[0].components(separatedBy: "\n\n")
      .first { $0.hasPrefix("`\(constant.prefix)*`") }
    let text = try #require(list, "docs/FORMAT.md, Numbers: no list for \(constant.prefix)*")
    let words = text.replacing("\n", with: " ").drop { $0 != ":" }.dropFirst()
    let parts = words.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    #expect(
      parts.contains("\(constant.value) \(constant.name)"),
      "\(constant) is missing in docs/FORMAT.md, Numbers: \(constant.value) \(constant.name)")
  }

  /// What the schema lists at a path of keys: an enumeration's words, or an object's keys.
  private func schemaWords(_ path: [String]) throws -> Set<String> {
    var node: Any = try JSONSerialization.jsonObject(
      with: Data(Self.contents("docs/policy.schema.json").utf8))
    for key in path { node = try #require((node as? [String: Any])?[key], "the schema has no \(path)") }
    if let list = node as? [String] { return Set(list) }
    return Set(try #require(node as? [String: Any]).keys).subtracting(["comment"])
  }

  @Test("a reason: name, schema, FORMAT.md, Swift, OPERATING.md")
  func reasonsAreEverywhere() throws {
    let vocabulary = try Self.sources("Sources/LTP")
    let operating = try Self.contents("docs/OPERATING.md")
    let schema = try schemaWords(["$defs", "rule", "properties", "reason", "enum"])
    let reasons = try Self.reasons()
    #expect(schema == Set(reasons.map(\.name)), "docs/policy.schema.json, $defs/rule/reason")
    for reason in reasons {
      #expect(String(cString: ltp_reason_name(UInt8(reason.value))) == reason.name)
      #expect(Reason(rawValue: UInt8(reason.value)).description == reason.name)
      expect(vocabulary, has: "(rawValue: \(reason.symbol))", reason, in: "Sources/LTP")
      expect(operating, has: "\n| `\(reason.name)` |", reason, in: "docs/OPERATING.md, the table of reasons")
      try expectNumber(reason)
    }
    #expect(String(cString: ltp_reason_name(UInt8(LTP_REASON_COUNT))) == "INVALID")
  }

  @Test("a signal: name, schema, FORMAT.md, Swift, POLICIES.md")
  func signalsAreEverywhere() throws {
    let vocabulary = try Self.sources("Sources/LTP")
    let policies = try Self.contents("docs/POLICIES.md")
    let schema = try schemaWords(["properties", "signals", "properties", "rules", "properties"])
    let signals = try Self.signals()
    let observations = signals.filter { $0.value <= LTP_OBSERVATION_MAX }
    #expect(schema == Set(observations.map(\.name)), "docs/policy.schema.json, signals/rules")
    for signal in signals {
      #expect(String(cString: ltp_signal_name(UInt8(signal.value))) == signal.name)
      expect(vocabulary, has: "(rawValue: \(signal.symbol))", signal, in: "Sources/LTP")
      expect(policies, has: "`\(signal.name)`", signal, in: "docs/POLICIES.md, the table of signals")
      try expectNumber(signal)
    }
    #expect(String(cString: ltp_signal_name(UInt8(LTP_OBSERVATION_COUNT + 1))) == "INVALID")
  }

  @Test("a state: name, FORMAT.md, Swift, OPERATING.md; a verdict: name, FORMAT.md")
  func statesAndVerdictsAreEverywhere() throws {
    let operating = try Self.contents("docs/OPERATING.md")
    let states = try Self.constants("LTP_STATE_")
    #expect(states.map(\.value) == Array(0..<Int(LTP_STATE_COUNT)) && states.count == State.allCases.count)
    for state in states {
      #expect(String(cString: ltp_state_name(UInt8(state.value))) == state.name)
      #expect(State(rawValue: UInt8(state.value))?.description == state.name)
      expect(operating, has: "\n| \(state.name) |", state, in: "docs/OPERATING.md, the table of states")
      try expectNumber(state)
    }
    let verdicts = try Self.constants("LTP_VERDICT_")
    #expect(verdicts.map(\.value) == Array(0..<Int(LTP_VERDICT_COUNT)))
    for verdict in verdicts {
      #expect(String(cString: ltp_verdict_name(UInt8(verdict.value))) == verdict.name)
      try expectNumber(verdict)
    }
  }

  @Test("a limit: FORMAT.md, what decides it, what reports it")
  func limitsAreEverywhere() throws {
    let gates = try Self.constants("LTP_GATE_", in: "include/ltp_trace.h").filter { $0.value != 0 }
    #expect(gates.map(\.value) == Array(1..<Int(LTP_GATE_COUNT)))
    let reports = try Self.sources("Sources/LTPInspect")
    let rooms = try FileManager.default.contentsOfDirectory(
      atPath: Self.root.appendingPathComponent("Sources").path)
    let core = try rooms.filter { !["LTP", "LTPInspect", "LTPPolicy", "ltp"].contains($0) }.sorted()
      .map { try Self.sources("Sources/\($0)") }.joined()
    for gate in gates {
      expect(core, has: gate.symbol, gate, in: "Sources, where limits are decided")
      expect(reports, has: "case \(gate.symbol)", gate, in: "Sources/LTPInspect")
      try expectNumber(gate)
    }
  }

  @Test("COMPATIBILITY.md says the versions and the room that the headers have")
  func versionsAreSaid() throws {
    let compatibility = try Self.contents("docs/COMPATIBILITY.md")
    let (observations, own) = (Int(LTP_OBSERVATION_COUNT), Int(LTP_SIGNAL_OWN_FIRST))
    for row in [
      "`LTP_ABI_VERSION` | \(LTP_ABI_VERSION)", "`LTP_PROTOCOL_VERSION` | \(LTP_PROTOCOL_VERSION)",
      "`LTP_TRACE_VERSION` | \(LTP_TRACE_VERSION)", "`LTP_POLICY_VERSION` | \(LTP_POLICY_VERSION)",
      "`LTP_PAGE_VERSION` | \(LTP_PAGE_VERSION)",
      "observations (`LTP_SIGNAL_*`) | 1 to \(observations) | \(LTP_OBSERVATION_MAX)",
      "the core's own signals | \(own) to \(own + Int(LTP_SIGNAL_OWN_COUNT) - 1) | \(UInt8.max)",
      "reasons (`LTP_REASON_*`) | 1 to \(LTP_REASON_COUNT - 1) | ",
      "limits (`LTP_GATE_*`) | 1 to \(LTP_GATE_COUNT - 1) | ",
      "action classes | 0 to \(LTP_CLASS_COUNT - 1) | ", "states | 0 to \(LTP_STATE_COUNT - 1) | ",
    ] { #expect(compatibility.contains("\n| \(row)"), "docs/COMPATIBILITY.md has no row: | \(row)") }
    let library = "libltp.so.\(LTP_ABI_VERSION)"
    #expect(compatibility.contains(library), "docs/COMPATIBILITY.md does not name \(library)")
  }

  @Test("a record: FORMAT.md's tables of records")
  func recordsAreEverywhere() throws {
    let format = try Self.contents("docs/FORMAT.md")
    let records = try Self.constants("LTP_RECORD_", in: "include/ltp_trace.h")
    #expect(records.count >= 13)
    for record in records {
      let name = record.name.lowercased().replacing("_", with: " ")
      expect(
        format, has: "\n| \(record.value) | \(name) |", record, in: "docs/FORMAT.md, Lane or Control records")
      try expectNumber(record)
    }
  }

  @Test("a status: its text, and FORMAT.md")
  func statusesAreEverywhere() throws {
    let errors = try Self.constants("LTP_ERROR_")
    #expect(errors.count >= 50)
    let unknown = String(cString: ltp_status_text(9999))
    var texts: [String: String] = [:]
    for error in errors {
      let text = String(cString: ltp_status_text(Int32(error.value)))
      #expect(text != unknown, "\(error) has no text of its own")
      #expect(texts.updateValue(error.name, forKey: text) == nil, "\(error) has another status's text")
      try expectNumber(error)
    }
    #expect(Set(errors.map(\.value)).count == errors.count, "two statuses have one number")
  }

  @Test("a function: the manual page, the ABI's description, Tests/C")
  func functionsAreEverywhere() throws {
    let header = try Self.contents("include/ltp.h")
    let names = header.matches(of: /(?m)^[a-z][a-z0-9_ ]*[ *](?<name>ltp_[a-z0-9_]+)\(/).map {
      String($0.name)
    }
    #expect(names.count >= 50 && Set(names).count == names.count)
    let manual = try Self.contents("docs/man/libltp.3")
    let abi = try Self.contents("include/ltp.abi")
    let folder = Self.root.appendingPathComponent("Tests/C")
    let calls = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".c") }
      .map { try Self.contents("Tests/C/\($0)") }.joined()
    for name in names {
      let isInManual = manual.contains(".Fn \(name) ") || manual.contains(".Fn \(name)\n")
      #expect(isInManual, "docs/man/libltp.3 lacks \(name)")
      let isInABI = abi.contains("\(name)(")
      #expect(isInABI, "include/ltp.abi lacks \(name): scripts/abi --update")
      let isCalled = calls.contains("\(name)(")
      #expect(isCalled, "Tests/C lacks a call of \(name)")
    }
  }
}
