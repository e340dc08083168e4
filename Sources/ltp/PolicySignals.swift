// SPDX-License-Identifier: Apache-2.0
// A policy's signal rules as `ltp policy show` prints them. The JSON is a policy file's "signals".

import CLTP
import LTP

struct PolicySignals: Encodable {
  struct Rule: Encodable {
    var signal: String
    var condition: String
    var enter: Int64
    var exit: Int64
    var enterDwellMs: UInt64
    var exitDwellMs: UInt64
    /// 0: it need not be pushed.
    var staleMs: UInt64
    var weight: UInt32
    var below: Bool

    enum CodingKeys: CodingKey {
      case condition, enter, exit, enterDwellMs, exitDwellMs, staleMs, weight, below
    }

    init?(_ signal: Signal, _ rule: ltp_signal_rule) {
      guard let condition = SignalRules.conditions.first(where: { $0.value == rule.condition }) else {
        return nil
      }
      self.signal = signal.description
      self.condition = condition.name
      enter = rule.enter
      exit = rule.exit
      enterDwellMs = rule.enter_dwell_ns / 1_000_000
      exitDwellMs = rule.exit_dwell_ns / 1_000_000
      staleMs = rule.stale_ns / 1_000_000
      weight = rule.weight
      below = rule.flags & LTP_SIGNAL_RULE_BELOW != 0
    }

    var cells: [String] {
      let (into, out) = below ? ("<=", ">") : (">=", "<")
      return [
        signal, condition, "\(into) \(enter.grouped) for \(enterDwellMs.grouped) ms",
        "\(out) \(exit.grouped) for \(exitDwellMs.grouped) ms", "\(weight)",
        staleMs > 0 ? "pushed every \(staleMs.grouped) ms, or UNKNOWN" : "",
      ]
    }
  }

  /// What the core reads by itself.
  var observe: [String]
  var observeIntervalMs: UInt64
  var stateDwellMs: UInt64
  var recoveringMs: UInt64
  /// Of the signals that are watched, in the order of their numbers.
  var rules: [Rule]

  enum CodingKeys: CodingKey { case observe, observeIntervalMs, stateDwellMs, recoveringMs, rules }

  /// With null for each signal that is not watched: a file that does not name it would have the built-in rule.
  func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: CodingKeys.self)
    try members.encode(observe, forKey: .observe)
    try members.encode(observeIntervalMs, forKey: .observeIntervalMs)
    try members.encode(stateDwellMs, forKey: .stateDwellMs)
    try members.encode(recoveringMs, forKey: .recoveringMs)
    var byName: [String: Rule?] = [:]
    for signal in SignalRules.observations {
      byName.updateValue(rules.first { $0.signal == signal.description }, forKey: signal.description)
    }
    try members.encode(byName, forKey: .rules)
  }

  init(_ signals: SignalRules) {
    let fields = signals.fields
    observe = SignalRules.sources.filter { fields.flags & $0.bit != 0 }.map(\.name)
    observeIntervalMs = fields.observe_interval_ns / 1_000_000
    stateDwellMs = fields.state_dwell_ns / 1_000_000
    recoveringMs = fields.recovering_ns / 1_000_000
    rules = SignalRules.observations.compactMap { Rule($0, signals[$0]) }
  }

  var lines: [String] {
    let table = [["signal", "condition", "active", "quiet", "weight", ""]] + rules.map(\.cells)
    let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
    var lines = table.map { row in
      let line = zip(row, widths)
        .map { cell, width in cell + String(repeating: " ", count: width - cell.count + 2) }.joined()
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
    if !observe.isEmpty {
      lines.append(
        "the core reads \(observe.joined(separator: ", ")) every \(observeIntervalMs.grouped) ms by itself")
    }
    lines.append(
      "a state lasts \(stateDwellMs.grouped) ms before a better one; RECOVERING ends after "
        + "\(recoveringMs.grouped) ms of quiet")
    return lines
  }
}
