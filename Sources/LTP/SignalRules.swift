// SPDX-License-Identifier: Apache-2.0

public import CLTP

/// When which signal is active, and what that says of the service. Start from the built-in ones.
public struct SignalRules: Sendable {
  /// The C contract's form of it.
  public var fields: ltp_signal_rules

  public static var builtIn: SignalRules {
    var rules = SignalRules(fields: ltp_signal_rules())
    _ = ltp_signal_rules_default(&rules.fields, MemoryLayout<ltp_signal_rules>.size)
    return rules
  }

  public init(fields: ltp_signal_rules) { self.fields = fields }

  /// Every observation: what can have a rule.
  public static var observations: [Signal] {
    (1...UInt8(LTP_OBSERVATION_COUNT)).map { Signal(rawValue: $0) }
  }

  /// What the core can read by itself, by name (`LTP_OBSERVE_*`).
  public static let sources: [(name: String, bit: UInt32)] = [
    ("pressure", LTP_OBSERVE_PRESSURE), ("memory_limit", LTP_OBSERVE_MEMORY_LIMIT),
    ("hellos", LTP_OBSERVE_HELLOS),
  ]

  /// What an active signal can say, by name (`LTP_CONDITION_*`).
  public static let conditions: [(name: String, value: UInt8)] = [
    ("STRAINED", LTP_CONDITION_STRAINED), ("SATURATED", LTP_CONDITION_SATURATED),
    ("UNSTABLE", LTP_CONDITION_UNSTABLE), ("FAILED", LTP_CONDITION_FAILED),
  ]

  /// Read the system's pressure, and push it as `.cpuPressure`, `.memoryPressure` and `.ioPressure`.
  public var observesPressure: Bool {
    get { self[flag: LTP_OBSERVE_PRESSURE] }
    set { self[flag: LTP_OBSERVE_PRESSURE] = newValue }
  }

  /// Read the control group's memory limit, and push it as `.memoryPressure`.
  public var observesMemoryLimit: Bool {
    get { self[flag: LTP_OBSERVE_MEMORY_LIMIT] }
    set { self[flag: LTP_OBSERVE_MEMORY_LIMIT] = newValue }
  }

  /// Push how many hellos the lanes answer a second as `.wsReconnectStorm`.
  public var observesHellos: Bool {
    get { self[flag: LTP_OBSERVE_HELLOS] }
    set { self[flag: LTP_OBSERVE_HELLOS] = newValue }
  }

  private subscript(flag flag: UInt32) -> Bool {
    get { fields.flags & flag != 0 }
    set { fields.flags = newValue ? fields.flags | flag : fields.flags & ~flag }
  }

  /// A signal's rule. Only observations have one.
  public subscript(signal: Signal) -> ltp_signal_rule {
    get {
      withUnsafeBytes(of: fields.rules) {
        $0.load(fromByteOffset: Self.offset(signal), as: ltp_signal_rule.self)
      }
    }
    set {
      withUnsafeMutableBytes(of: &fields.rules) {
        $0.storeBytes(of: newValue, toByteOffset: Self.offset(signal), as: ltp_signal_rule.self)
      }
    }
  }

  private static func offset(_ signal: Signal) -> Int {
    precondition(signal.rawValue <= UInt8(LTP_OBSERVATION_MAX), "only observations have rules")
    return Int(signal.rawValue) * MemoryLayout<ltp_signal_rule>.stride
  }
}
