// SPDX-License-Identifier: Apache-2.0
// A policy file's signals: what makes the states. What the file does not say is the built-in rules'.

import CLTP
import LTP

extension PolicyReader {
  private static let hourMilliseconds: Int64 = 3_600_000

  mutating func readSignals(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(
      value, path,
      keys: ["observe", "observe_interval_ms", "state_dwell_ms", "recovering_ms", "rules"])
    var signals = SignalRules.builtIn
    if let observed = members["observe"] {
      signals.fields.flags = try readObserved(observed, path + "observe")
    }
    let longest = Self.hourMilliseconds
    if let interval = try nanoseconds(members, "observe_interval_ms", path, 1...longest) {
      signals.fields.observe_interval_ns = interval
    }
    if let dwell = try nanoseconds(members, "state_dwell_ms", path, 0...longest) {
      signals.fields.state_dwell_ns = dwell
    }
    if let recovering = try nanoseconds(members, "recovering_ms", path, 0...longest) {
      signals.fields.recovering_ns = recovering
    }
    if let rules = members["rules"] { try readSignalRules(rules, path + "rules", into: &signals) }
    policy.signals = signals
  }

  private func readObserved(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) -> UInt32 {
    guard case .array(let items) = value else {
      throw fault(path, "a list of what the core is to read is wanted, not \(value.kind)")
    }
    var flags: UInt32 = 0
    for (place, item) in items.enumerated() {
      let name = try text(item, path + place)
      guard let known = SignalRules.sources.first(where: { $0.name == name }) else {
        let names = SignalRules.sources.map(\.name).joined(separator: ", ")
        throw fault(path + place, "nothing that can be observed is called \"\(name)\"; there are \(names)")
      }
      flags |= known.bit
    }
    return flags
  }

  private mutating func readSignalRules(
    _ value: JSONValue, _ path: JSONPath, into signals: inout SignalRules
  ) throws(PolicyFileError) {
    for (name, value) in try object(value, path, keys: nil).sorted(by: { $0.key < $1.key }) {
      let path = path + name
      let signal = try observation(name, path)
      if let other = signalSaidAt.updateValue(path, forKey: signal.rawValue) {
        throw fault(path, "\(signal) is said twice, in line \(lines.line(of: other)) too")
      }
      if case .null = value {
        signals[signal] = ltp_signal_rule()
      } else {
        signals[signal] = try readSignalRule(value, path, from: signals[signal])
      }
    }
  }

  private func readSignalRule(
    _ value: JSONValue, _ path: JSONPath, from old: ltp_signal_rule
  ) throws(PolicyFileError) -> ltp_signal_rule {
    let members = try object(
      value, path,
      keys: ["condition", "enter", "exit", "enter_dwell_ms", "exit_dwell_ms", "stale_ms", "weight", "below"])
    var rule = old
    if old.condition == LTP_CONDITION_NONE {
      for key in ["condition", "enter", "exit"] where members[key] == nil {
        throw fault(path, "\"\(key)\" is missing: there is no built-in rule for this signal")
      }
      rule.weight = UInt32(LTP_WEIGHT_FULL)
    }
    if let condition = members["condition"] {
      let name = try text(condition, path + "condition").uppercased()
      guard let known = SignalRules.conditions.first(where: { $0.name == name }) else {
        let names = SignalRules.conditions.map(\.name).joined(separator: ", ")
        throw fault(path + "condition", "no condition is called \"\(name)\"; there are \(names)")
      }
      rule.condition = known.value
    }
    if let enter = members["enter"] { rule.enter = try integer(enter, path + "enter", 0...Int64.max) }
    if let exit = members["exit"] { rule.exit = try integer(exit, path + "exit", 0...Int64.max) }
    let longest = Self.hourMilliseconds
    if let dwell = try nanoseconds(members, "enter_dwell_ms", path, 0...longest) {
      rule.enter_dwell_ns = dwell
    }
    if let dwell = try nanoseconds(members, "exit_dwell_ms", path, 0...longest) { rule.exit_dwell_ns = dwell }
    if let stale = try nanoseconds(members, "stale_ms", path, 0...24 * longest) { rule.stale_ns = stale }
    if let weight = members["weight"] {
      rule.weight = UInt32(try integer(weight, path + "weight", 1...Int64(LTP_WEIGHT_FULL)))
    }
    if let below = members["below"] {
      guard case .bool(let isBelow) = below else { throw fault(path + "below", "\"below\" is true or false") }
      rule.flags = isBelow ? LTP_SIGNAL_RULE_BELOW : 0
    }
    return rule
  }

  func observation(_ name: String, _ path: JSONPath) throws(PolicyFileError) -> Signal {
    if let known = SignalRules.observations.first(where: { $0.description == name.uppercased() }) {
      return known
    }
    let names = SignalRules.observations.map(\.description).joined(separator: ", ")
    throw fault(path, "no observation is called \"\(name)\"; there are \(names)")
  }

  /// Milliseconds under `key`, if they are there, as nanoseconds.
  private func nanoseconds(
    _ members: [String: JSONValue], _ key: String, _ path: JSONPath, _ range: ClosedRange<Int64>
  ) throws(PolicyFileError) -> UInt64? {
    guard let value = members[key] else { return nil }
    return UInt64(try integer(value, path + key, range)) * 1_000_000
  }
}
