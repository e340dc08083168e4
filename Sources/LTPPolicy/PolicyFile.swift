// SPDX-License-Identifier: Apache-2.0
// A policy as people write it: JSON, by docs/policy.schema.json. What it does not say is the built-in policy's.

import CLTP
public import Foundation
public import LTP
import LTPRules

/// What is wrong with a policy file, and in which line.
public struct PolicyFileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// From 1 on.
  public let line: Int
  public let reason: String

  public var description: String { "line \(line): \(reason)" }
}

public enum PolicyFile {
  /// Larger files are refused unread: the largest policy there is takes a tenth of that.
  public static let bytesMax = 1 << 20

  /// Reads a policy. One that comes back has passed the check that loading makes, the never list with it.
  public static func parse(_ data: Data) throws(PolicyFileError) -> Policy {
    guard !data.isEmpty else { throw PolicyFileError(line: 1, reason: "the file is empty") }
    guard data.count <= bytesMax else {
      throw PolicyFileError(line: 1, reason: "the file has \(data.count) bytes, and 1 MiB is the most")
    }
    var data = data
    if data.starts(with: [0xEF, 0xBB, 0xBF]) { data = Data(data.dropFirst(3)) }
    try checkBytes(data)
    // First as Foundation's older reader sees it, which says where the text is no JSON.
    do { _ = try JSONSerialization.jsonObject(with: data) } catch {
      throw syntaxError(error as NSError, data)
    }
    let value: JSONValue
    do { value = try JSONDecoder().decode(JSONValue.self, from: data) } catch {
      throw PolicyFileError(line: 1, reason: "not JSON: \(error)")
    }
    let lines = JSONLines(Array(data))
    if let line = lines.strayComma {
      throw PolicyFileError(line: line, reason: "not JSON: a comma with nothing behind it")
    }
    if let repeated = lines.repeated {
      throw PolicyFileError(
        line: repeated.line, reason: "\"\(repeated.key)\" stands here twice: which one counts?")
    }
    var reader = PolicyReader(lines: lines)
    return try reader.read(value)
  }

  /// UTF-8 without zeros, and no deeper than a policy is: what is read twice below must be the same text both times.
  private static func checkBytes(_ data: Data) throws(PolicyFileError) {
    guard String(validating: data, as: UTF8.self) != nil, !data.contains(0) else {
      throw PolicyFileError(line: 1, reason: "not JSON: the text is not UTF-8")
    }
    var (line, depth, isText, isEscaped) = (1, 0, false, false)
    for byte in data {
      line += byte == UInt8(ascii: "\n") ? 1 : 0
      if isText {
        isText = isEscaped || byte != UInt8(ascii: "\"")
        isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isText = true
      case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      default: break
      }
      if depth > depthMax {
        throw PolicyFileError(line: line, reason: "lists and objects are nested more than \(depthMax) deep")
      }
    }
  }

  private static let depthMax = 16

  /// "Invalid value around character 13.", by which the line is found; at the end of the file otherwise.
  private static func syntaxError(_ error: NSError, _ data: Data) -> PolicyFileError {
    let text = error.userInfo["NSDebugDescription"] as? String ?? "the file is no JSON"
    let words = text.split(separator: " ")
    let offset = words.last.flatMap { Int($0.filter(\.isNumber)) } ?? data.count
    let line = 1 + data.prefix(offset).count { $0 == UInt8(ascii: "\n") }
    return PolicyFileError(line: line, reason: "not JSON: \(text)")
  }
}

struct PolicyReader {
  let lines: JSONLines
  var policy = Policy.builtIn
  /// Where each class was said.
  private var saidAt: [Int: JSONPath] = [:]
  /// The same of each signal's rule.
  var signalSaidAt: [UInt8: JSONPath] = [:]

  init(lines: JSONLines) { self.lines = lines }

  mutating func read(_ value: JSONValue) throws(PolicyFileError) -> Policy {
    let root = JSONPath()
    let members = try object(
      value, root,
      keys: ["version", "base", "thresholds", "classes", "limits", "signals", "domains", "$schema"])
    guard let version = members["version"] else {
      throw fault(root, "\"version\" is missing: this is version 1")
    }
    guard case .integer(1) = version else {
      throw fault(root + "version", "\"version\" is 1; no other one is known")
    }
    if let base = members["base"] {
      switch try text(base, root + "base") {
      case "built-in": break
      case "empty": policy = Policy(fields: Self.emptyFields())
      default: throw fault(root + "base", "\"base\" is \"built-in\" or \"empty\"")
      }
    }
    if let thresholds = members["thresholds"] { try readThresholds(thresholds, root + "thresholds") }
    if let classes = members["classes"] { try readClasses(classes, root + "classes") }
    if let limits = members["limits"] { try readLimits(limits, root + "limits") }
    if let signals = members["signals"] { try readSignals(signals, root + "signals") }
    if let domains = members["domains"] { try readDomains(domains, root + "domains") }
    try checkWhole()
    return policy
  }

  private static func emptyFields() -> ltp_policy {
    var fields = ltp_policy()
    fields.struct_size = UInt32(MemoryLayout<ltp_policy>.size)
    fields.version = UInt32(LTP_POLICY_VERSION)
    return fields
  }

  private mutating func readThresholds(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    for (state, name, value) in try byState(value, path) {
      let threshold = try integer(value, path + name, 0...255)
      withUnsafeMutableBytes(of: &policy.fields.priority_threshold) {
        $0[Int(state.rawValue)] = UInt8(threshold)
      }
    }
  }

  // MARK: Classes

  private mutating func readClasses(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    guard case .array(let items) = value else {
      throw fault(path, "a list of classes is wanted, not \(value.kind)")
    }
    for (place, item) in items.enumerated() { try readClass(item, path + place) }
  }

  private mutating func readClass(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(value, path, keys: ["id", "name", "attributes", "rules", "rate"])
    guard let nameValue = members["name"] else { throw fault(path, "the class has no \"name\"") }
    let name = try text(nameValue, path + "name")
    guard !name.isEmpty else { throw fault(path + "name", "the class's name is empty") }
    let number: Int
    if let id = members["id"] {
      number = Int(try integer(id, path + "id", 0...Int64(LTP_CLASS_COUNT) - 1))
    } else if let known = (0..<Int(LTP_CLASS_COUNT)).first(where: { policy.describedClass($0).name == name })
    {
      number = known
    } else {
      throw fault(path + "name", "no class is called \"\(name)\"; a new one needs an \"id\", 0 to 127")
    }
    if let other = saidAt.updateValue(path, forKey: number) {
      throw fault(path, "class \(number) is said twice, in line \(lines.line(of: other)) too")
    }
    let isNew = policy.describedClass(number).name != name
    if let attributes = members["attributes"] {
      try define(number, name, attributes: attributes, path + "attributes")
    } else if isNew {
      throw fault(path, "class \(number) is new, so it needs \"attributes\" (an empty list will do)")
    }
    if let rate = members["rate"] { policy[rate: number] = try readRate(rate, path + "rate") }
    guard let rules = members["rules"] else { return }
    for (state, stateName, rule) in try byState(rules, path + "rules") {
      policy[state, number] = try readRule(
        rule, path + "rules" + stateName, state, from: policy[state, number])
    }
  }

  /// A class's name and attributes, with the rules that the protocol has for such.
  private mutating func define(
    _ number: Int, _ name: String, attributes value: JSONValue, _ path: JSONPath
  ) throws(PolicyFileError) {
    guard case .array(let items) = value else {
      throw fault(path, "a list of attributes is wanted, not \(value.kind)")
    }
    var described = ltp_policy_class()
    for (place, item) in items.enumerated() {
      let word = try text(item, path + place)
      guard let attribute = PolicyClass.allAttributes.first(where: { $0.name == word }) else {
        let known = PolicyClass.allAttributes.map(\.name).joined(separator: ", ")
        throw fault(path + place, "no attribute is called \"\(word)\"; there are \(known)")
      }
      described.attributes |= attribute.bit
    }
    let bytes = Array(name.utf8)
    guard (1..<Int(LTP_CLASS_NAME_BYTES)).contains(bytes.count) else {
      throw fault(path, "the class's name has \(bytes.count) bytes; 1 to 27 are allowed")
    }
    withUnsafeMutableBytes(of: &described.name) {
      for (place, byte) in bytes.enumerated() { $0[place] = byte }
    }
    withUnsafeMutableBytes(of: &policy.fields) {
      $0.storeBytes(
        of: described,
        toByteOffset: LTP_AT_policy_classes + number * MemoryLayout<ltp_policy_class>.stride,
        as: ltp_policy_class.self)
    }
    for state in State.allCases {
      policy[state, number] = DefaultPolicy.rule(state: state.rawValue, attributes: described.attributes)
    }
  }

  // MARK: Rules

  private func readRule(
    _ value: JSONValue, _ path: JSONPath, _ state: State, from old: ltp_policy_rule
  ) throws(PolicyFileError) -> ltp_policy_rule {
    let members = try object(
      value, path,
      keys: ["verdict", "reason", "priority_min", "retry_after_ms", "defer_when_below", "waive_continuity"])
    var rule = old
    if let verdict = members["verdict"] {
      let word = try text(verdict, path + "verdict")
      guard let decision = LTP.Decision.allCases.first(where: { $0.description == word.uppercased() }) else {
        throw fault(path + "verdict", "a verdict is EXECUTE, DENY or DEFER, not \"\(word)\"")
      }
      if decision.rawValue != rule.verdict { rule.reason = usualReason(decision, state) }
      rule.verdict = decision.rawValue
    }
    if let reason = members["reason"] {
      let word = try text(reason, path + "reason")
      let known = (1..<UInt8(LTP_REASON_COUNT)).first {
        Reason(rawValue: $0).description == word.uppercased()
      }
      guard let known else { throw fault(path + "reason", "no reason is called \"\(word)\"") }
      rule.reason = known
    }
    if let least = members["priority_min"] {
      rule.priority_min = UInt8(try integer(least, path + "priority_min", 0...255))
    }
    if let wait = members["retry_after_ms"] {
      rule.retry_after_ms = UInt32(
        try integer(wait, path + "retry_after_ms", 0...Int64(LTP_RETRY_AFTER_MS_MAX)))
    }
    for (key, bit) in [
      ("defer_when_below", LTP_RULE_DEFER_WHEN_BELOW), ("waive_continuity", LTP_RULE_WAIVE_CONTINUITY),
    ] {
      guard let value = members[key] else { continue }
      guard case .bool(let isOn) = value else { throw fault(path + key, "\"\(key)\" is true or false") }
      rule.flags = isOn ? rule.flags | bit : rule.flags & ~bit
    }
    return rule
  }

  private func usualReason(_ decision: LTP.Decision, _ state: State) -> UInt8 {
    guard decision != .execute else { return LTP_REASON_ADMITTED }
    return switch state {
    case .unknown: LTP_REASON_ORIENTATION_UNKNOWN
    case .healthy: LTP_REASON_POLICY_FORBIDS
    case .degraded: LTP_REASON_SYSTEM_DEGRADED
    case .saturated: LTP_REASON_SYSTEM_SATURATED
    case .unstable: LTP_REASON_SYSTEM_UNSTABLE
    case .failed: LTP_REASON_SYSTEM_FAILED
    case .recovering: LTP_REASON_SYSTEM_RECOVERING
    }
  }

  /// What loading would refuse, at the line that is to blame.
  private func checkWhole() throws(PolicyFileError) {
    var details = ltp_policy_error()
    let status = withUnsafePointer(to: policy.fields) { ltp_policy_check($0, &details) }
    guard status != LTP_OK else { return }
    var path = saidAt[Int(details.action_class)] ?? JSONPath()
    let message = withUnsafeBytes(of: details.message) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    if status == LTP_ERROR_POLICY_LIMITS, path.parts.isEmpty { path = limitPath(message) }
    if status == LTP_ERROR_SIGNAL_RULES {
      path = signalSaidAt[details.signal] ?? JSONPath() + "signals"
    }
    if let state = State(rawValue: details.state), !path.parts.isEmpty {
      path = path + "rules" + state.description
    }
    throw fault(path, message)
  }

  /// The limit that a message about limits names, if the file has it.
  private func limitPath(_ message: String) -> JSONPath {
    let limits = JSONPath() + "limits"
    let named = ["concurrency", "shedding", "tenant", "recovering", "total"].first { message.contains($0) }
    return named.map { limits + $0 } ?? limits
  }

  // MARK: Values

  func fault(_ path: JSONPath, _ reason: String) -> PolicyFileError {
    PolicyFileError(line: lines.line(of: path), reason: reason)
  }

  /// An object's members but its comment. `keys`: which it may have; nil: any.
  func object(
    _ value: JSONValue, _ path: JSONPath, keys: [String]?
  ) throws(PolicyFileError) -> [String: JSONValue] {
    guard case .object(var members) = value else {
      throw fault(path, "an object is wanted here, not \(value.kind)")
    }
    members["comment"] = nil
    if let keys, let odd = members.keys.sorted().first(where: { !keys.contains($0) }) {
      let known = keys.joined(separator: ", ")
      throw fault(path + odd, "\"\(odd)\" means nothing here; there are \(known), and comment")
    }
    return members
  }

  /// An object's members by state, each said once, by whichever of its names.
  private func byState(
    _ value: JSONValue, _ path: JSONPath
  ) throws(PolicyFileError) -> [(state: State, name: String, value: JSONValue)] {
    var found: [(state: State, name: String, value: JSONValue)] = []
    for (name, value) in try object(value, path, keys: nil).sorted(by: { $0.key < $1.key }) {
      let state = try state(name, path + name)
      if let other = found.first(where: { $0.state == state }) {
        throw fault(path + name, "\"\(name)\" and \"\(other.name)\" are one state, said twice")
      }
      found.append((state, name, value))
    }
    return found
  }

  func integer(
    _ value: JSONValue, _ path: JSONPath, _ range: ClosedRange<Int64>
  ) throws(PolicyFileError) -> Int64 {
    guard case .integer(let number) = value, range.contains(number) else {
      throw fault(
        path, "\(path.text): a whole number from \(range.lowerBound) to \(range.upperBound) is wanted here")
    }
    return number
  }

  func text(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) -> String {
    guard case .string(let text) = value else {
      throw fault(path, "a text is wanted here, not \(value.kind)")
    }
    return text
  }

  private func state(_ name: String, _ path: JSONPath) throws(PolicyFileError) -> State {
    guard let state = State(name: name) else {
      let known = State.allCases.map(\.description).joined(separator: ", ")
      throw fault(path, "no state is called \"\(name)\"; there are \(known)")
    }
    return state
  }
}
