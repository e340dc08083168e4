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

  /// Read the system's pressure, and push it as `.cpuPressure`, `.memoryPressure` and `.ioPressure`.
  public var observesPressure: Bool {
    get { fields.flags & LTP_OBSERVE_PRESSURE != 0 }
    set {
      fields.flags = newValue ? fields.flags | LTP_OBSERVE_PRESSURE : fields.flags & ~LTP_OBSERVE_PRESSURE
    }
  }

  /// Read the control group's memory limit, and push it as `.memoryPressure`.
  public var observesMemoryLimit: Bool {
    get { fields.flags & LTP_OBSERVE_MEMORY_LIMIT != 0 }
    set {
      fields.flags =
        newValue ? fields.flags | LTP_OBSERVE_MEMORY_LIMIT : fields.flags & ~LTP_OBSERVE_MEMORY_LIMIT
    }
  }

  /// Push how many hellos the lanes answer a second as `.wsReconnectStorm`.
  public var observesHellos: Bool {
    get { fields.flags & LTP_OBSERVE_HELLOS != 0 }
    set {
      fields.flags = newValue ? fields.flags | LTP_OBSERVE_HELLOS : fields.flags & ~LTP_OBSERVE_HELLOS
    }
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
    precondition(signal.rawValue < UInt8(LTP_SIGNAL_COUNT), "there is no such signal")
    return Int(signal.rawValue) * MemoryLayout<ltp_signal_rule>.stride
  }
}
