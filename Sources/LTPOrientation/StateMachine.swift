// SPDX-License-Identifier: Apache-2.0
// From values to transitions. Deterministic: the same values at the same times give the same transitions.
//
// A signal becomes active once its value has been at or beyond `enter` for its dwell, and quiet once it has been
// before `exit` for its dwell. What all active signals weigh gives the condition, the table gives the next state.
// What is worse is entered at once; what is better, not before the state has lasted for its dwell.

public import CLTP
import LTPRules

/// A signal's place between quiet and active.
private struct SignalFilter {
  var isActive = false
  /// Since when the value speaks for the other place; nil: it does not.
  var turningSince: UInt64?
  var value: Int64 = 0
  var time: UInt64 = 0
  /// Since when the core reads it because of rules that were loaded: it counts as seen then. 0: it does not.
  var fedSince: UInt64 = 0

  /// When something was known of it last; 0: never.
  var seen: UInt64 { max(time, fedSince) }
}

/// What a step found.
public struct Finding {
  public var to: UInt8
  public var reason: UInt8
  public var condition: Condition
  public var evidenceCount = 0
  public var evidence = InlineArray<3, ltp_evidence>(repeating: ltp_evidence())

  mutating func add(_ signal: Int, value: Int64, threshold: Int64) {
    guard evidenceCount < Int(LTP_EVIDENCE_MAX) else { return }
    evidence[evidenceCount].signal = UInt8(signal)
    evidence[evidenceCount].value = value
    evidence[evidenceCount].threshold = threshold
    evidenceCount += 1
  }
}

public struct StateMachine: ~Copyable {
  private var rules: ltp_signal_rules
  private var filters = InlineArray<64, SignalFilter>(repeating: SignalFilter())
  private var now: UInt64 = 0
  private var stateSince: UInt64
  private let begun: UInt64
  private var clearSince: UInt64?
  private var hasObserved = false
  /// The signal that became quiet last; 0: none yet.
  private var lastQuiet = 0

  /// `rules` have passed their check.
  public init(rules: ltp_signal_rules, now: UInt64) {
    self.rules = rules
    self.now = now
    begun = now
    stateSince = now
  }

  /// Goes on under other rules, which have passed their check. What is active stays so until it has been quiet by its new
  /// rule, so that no rule masks a failure by being loaded; what is not watched any more says nothing, nor does what the
  /// core read itself and does not read any more. What it reads from now on has as long as it takes to be stale.
  public mutating func adopt(_ next: ltp_signal_rules, now time: UInt64) {
    now = max(now, time)
    var isOther = false
    for signal in 1..<SignalBoard.count {
      let (wasFed, isFed) = (
        ltp_signal_rules.isFed(signal, by: rules.flags), ltp_signal_rules.isFed(signal, by: next.flags)
      )
      if isFed, !wasFed { filters[signal].fedSince = now }
      if wasFed, !isFed { filters[signal] = SignalFilter() }
      let rule = next.rule(signal)
      guard !rule.isSame(as: rules.rule(signal)) else { continue }
      isOther = true
      filters[signal].turningSince = nil
      if rule.condition == LTP_CONDITION_NONE { filters[signal].isActive = false }
    }
    rules = next
    // Of what is watched now, and by its rules.
    hasObserved = false
    guard isOther else { return }
    clearSince = nil
    lastQuiet = 0
  }

  /// What a signal's value is now, and when that was pushed (0: never). Before `step`.
  public mutating func observe(_ signal: Int, value: Int64, time: UInt64) {
    filters[signal].value = value
    filters[signal].time = time
    if filters[signal].seen > 0, rules.rule(signal).condition != LTP_CONDITION_NONE { hasObserved = true }
  }

  /// Takes the time on, which never goes back, and says what `state` should become; nil: it stays.
  public mutating func step(state: UInt8, now time: UInt64) -> Finding? {
    now = max(now, time)
    for signal in 1..<SignalBoard.count { updateFilter(signal) }
    var condition = worst()
    if condition == .clear {
      clearSince = clearSince ?? now
    } else {
      clearSince = nil
    }
    if state == LTP_STATE_RECOVERING, let since = clearSince,
      now - max(since, stateSince) >= rules.recovering_ns
    {
      condition = .recovered
    }
    let next = StateTable.next(state, condition)
    guard next != state else { return nil }
    let isBetter = StateTable.severity(next) < StateTable.severity(state)
    guard !isBetter || now - stateSince >= rules.state_dwell_ns else { return nil }
    return explain(condition, to: next)
  }

  /// The finding was published: the state is what it said, from now on.
  public mutating func entered(now time: UInt64) {
    now = max(now, time)
    stateSince = now
  }

  // MARK: Signals

  private mutating func updateFilter(_ signal: Int) {
    let rule = rules.rule(signal)
    guard rule.condition != LTP_CONDITION_NONE, filters[signal].time > 0 else { return }
    let value = filters[signal].value
    let isBelow = rule.flags & LTP_SIGNAL_RULE_BELOW != 0
    let isActive = filters[signal].isActive
    let wantsActive = isBelow ? value <= rule.enter : value >= rule.enter
    // At the exit itself only where it is the entrance too: a signal of 0 and 1.
    let wantsQuiet = isBelow ? value > rule.exit : value < rule.exit
    guard isActive ? wantsQuiet : wantsActive else {
      filters[signal].turningSince = nil
      return
    }
    let since = filters[signal].turningSince ?? now
    filters[signal].turningSince = since
    guard now - since >= (isActive ? rule.exit_dwell_ns : rule.enter_dwell_ns) else { return }
    filters[signal].isActive = !isActive
    filters[signal].turningSince = nil
    if isActive { lastQuiet = signal }
  }

  /// The worst condition whose signals, and those of worse ones, weigh enough together.
  private func worst() -> Condition {
    var weight: UInt32 = 0
    for condition in (LTP_CONDITION_STRAINED...LTP_CONDITION_FAILED).reversed() {
      for signal in 1..<SignalBoard.count where filters[signal].isActive {
        let rule = rules.rule(signal)
        if rule.condition == condition { weight += rule.weight }
      }
      if weight >= UInt32(LTP_WEIGHT_FULL) { return Condition(rawValue: condition + 1)! }
      // What is not observed may be as bad as an outage: nothing better is said of it than UNKNOWN.
      if condition == LTP_CONDITION_UNSTABLE, missing() != nil || !hasObserved { return .nothing }
    }
    return .clear
  }

  /// A signal that must be pushed, and has not been for too long.
  private func missing() -> Int? {
    for signal in 1..<SignalBoard.count {
      let rule = rules.rule(signal)
      guard rule.condition != LTP_CONDITION_NONE, rule.stale_ns > 0 else { continue }
      let time = filters[signal].seen
      if time == 0 || now > time && now - time > rule.stale_ns { return signal }
    }
    return nil
  }

  // MARK: Why

  private func explain(_ condition: Condition, to next: UInt8) -> Finding {
    var finding = Finding(to: next, reason: LTP_SIGNAL_METRICS_STABILIZED, condition: condition)
    switch condition {
    case .recovered: finding.reason = LTP_SIGNAL_RECOVERY_COMPLETE
    case .clear: addQuiet(&finding)
    case .nothing:
      finding.reason = LTP_SIGNAL_ORIENTATION_LOST
      if let signal = missing() {
        let rule = rules.rule(signal)
        // How many milliseconds ago it was pushed, against how many it may be; then what it said.
        let age = (now - min(max(filters[signal].seen, begun), now)) / 1_000_000
        finding.add(
          Int(LTP_SIGNAL_HEARTBEAT_TIMEOUT), value: Int64(clamping: age),
          threshold: Int64(clamping: rule.stale_ns / 1_000_000))
        finding.add(signal, value: filters[signal].value, threshold: rule.enter)
      }
    default:
      // A better state although something is still active: what was worse has ended.
      guard next != LTP_STATE_RECOVERING else {
        addQuiet(&finding)
        break
      }
      addActive(&finding)
      finding.reason = mainSignal(condition) ?? finding.evidence[0].signal
    }
    return finding
  }

  /// The heaviest signal of just this condition.
  private func mainSignal(_ condition: Condition) -> UInt8? {
    let code = condition.rawValue - 1
    guard let weight = heaviest(of: code, under: UInt32(LTP_WEIGHT_FULL) + 1) else { return nil }
    return (1..<SignalBoard.count).first {
      let rule = rules.rule($0)
      return filters[$0].isActive && rule.condition == code && rule.weight == weight
    }.map { UInt8($0) }
  }

  /// The worst signals, heaviest first.
  private func addActive(_ finding: inout Finding) {
    for condition in (LTP_CONDITION_STRAINED...LTP_CONDITION_FAILED).reversed() {
      var bound = UInt32(LTP_WEIGHT_FULL) + 1
      while let weight = heaviest(of: condition, under: bound) {
        for signal in 1..<SignalBoard.count where filters[signal].isActive {
          let rule = rules.rule(signal)
          guard rule.condition == condition, rule.weight == weight else { continue }
          finding.add(signal, value: filters[signal].value, threshold: rule.enter)
        }
        bound = weight
      }
    }
  }

  private func heaviest(of condition: UInt8, under bound: UInt32) -> UInt32? {
    var heaviest: UInt32 = 0
    for signal in 1..<SignalBoard.count where filters[signal].isActive {
      let rule = rules.rule(signal)
      if rule.condition == condition, rule.weight < bound { heaviest = max(heaviest, rule.weight) }
    }
    return heaviest > 0 ? heaviest : nil
  }

  private func addQuiet(_ finding: inout Finding) {
    guard lastQuiet > 0, !filters[lastQuiet].isActive else { return }
    finding.add(lastQuiet, value: filters[lastQuiet].value, threshold: rules.rule(lastQuiet).exit)
  }
}

extension ltp_signal_rule {
  fileprivate func isSame(as other: ltp_signal_rule) -> Bool {
    enter == other.enter && exit == other.exit && enter_dwell_ns == other.enter_dwell_ns
      && exit_dwell_ns == other.exit_dwell_ns && stale_ns == other.stale_ns && weight == other.weight
      && condition == other.condition && flags == other.flags
  }
}
