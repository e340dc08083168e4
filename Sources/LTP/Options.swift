// SPDX-License-Identifier: Apache-2.0

public import CLTP

extension Core {
  /// What a core is opened with. ltp.h and README give ranges and defaults.
  public struct Options: Sendable {
    /// Must exist.
    public var traceDirectory: String
    /// nil: the built-in one.
    public var policy: Policy?
    /// 16 secret bytes (`continuityKey(file:)` reads them); nil: random.
    public var continuityKey: [UInt8]?
    /// Follow what another process publishes there; nil: this process publishes.
    public var orientationPage: String?
    /// The core orients itself by these rules, from what is pushed; nil: it does not.
    public var signalRules: SignalRules?
    /// Deferred intents are kept, within these bounds (zero: the default); nil: DEFER is advice.
    public var deferral: ltp_deferral_options?
    /// The C contract's options, for all that has no name here. Its pointers are filled in from the fields above.
    public nonisolated(unsafe) var fields: ltp_core_options

    public init(traceDirectory: String) {
      self.traceDirectory = traceDirectory
      fields = ltp_core_options()
      _ = ltp_core_options_init(&fields, MemoryLayout<ltp_core_options>.size)
    }

    /// No thread is started: the host calls `poll()`.
    public var isHostDriven: Bool {
      get { fields.flags & LTP_OPEN_HOST_DRIVEN != 0 }
      set {
        fields.flags = newValue ? fields.flags | LTP_OPEN_HOST_DRIVEN : fields.flags & ~LTP_OPEN_HOST_DRIVEN
      }
    }

    /// A continuity key from a file: 16 bytes, not all equal, in a regular file of this user's or root's that others may neither read
    /// nor write (its group may read it). Throws `LTP_ERROR_KEY_FILE`, with a message that says what is wrong with it.
    public static func continuityKey(file path: String) throws(LTPError) -> [UInt8] {
      var key = [UInt8](repeating: 0, count: Int(LTP_KEY_BYTES))
      try path.withCStringTyped { (path) throws(LTPError) in
        try checkDetails { ltp_key_read(path, &key, $0) }
      }
      return key
    }

    /// Calls `body` with everything in place.
    func withFields(_ body: (UnsafePointer<ltp_core_options>) throws(LTPError) -> Void) throws(LTPError) {
      if let continuityKey, continuityKey.count != 16 { throw LTPError(status: LTP_ERROR_OPTION_RANGE) }
      var fields = fields
      try traceDirectory.withCStringTyped { (path) throws(LTPError) in
        fields.trace_directory = path
        try (orientationPage ?? "").withCStringTyped { (page) throws(LTPError) in
          fields.orientation_page = orientationPage == nil ? nil : page
          let key = continuityKey ?? []
          try key.withUnsafeBufferPointer { (bytes) throws(LTPError) in
            fields.continuity_key = bytes.isEmpty ? nil : bytes.baseAddress
            try withUnsafePointer(to: (policy ?? .builtIn).fields) { (pointer) throws(LTPError) in
              fields.policy = policy == nil ? nil : pointer
              try withUnsafePointer(to: (signalRules ?? .builtIn).fields) { (rules) throws(LTPError) in
                fields.signal_rules = signalRules == nil ? nil : rules
                var deferral = deferral ?? ltp_deferral_options()
                deferral.struct_size = UInt32(MemoryLayout<ltp_deferral_options>.size)
                try withUnsafePointer(to: deferral) { (kept) throws(LTPError) in
                  fields.deferral = self.deferral == nil ? nil : kept
                  try withUnsafePointer(to: fields, body)
                }
              }
            }
          }
        }
      }
    }
  }
}

extension String {
  /// `withCString` with a typed error.
  func withCStringTyped(_ body: (UnsafePointer<CChar>) throws(LTPError) -> Void) throws(LTPError) {
    var failure: LTPError?
    withCString { pointer in
      do throws(LTPError) { try body(pointer) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

/// What happens to which class in which state. Start from the built-in one.
public struct Policy: Sendable {
  /// The C contract's form of it.
  public var fields: ltp_policy

  /// The protocol's state table over the classes that a service usually needs.
  public static var builtIn: Policy {
    var policy = Policy(fields: ltp_policy())
    _ = ltp_policy_default(&policy.fields)
    return policy
  }

  public init(fields: ltp_policy) { self.fields = fields }

  /// What makes the states; nil: the policy does not say.
  public var signals: SignalRules? {
    get { fields.signals.struct_size == 0 ? nil : SignalRules(fields: fields.signals) }
    set { fields.signals = newValue?.fields ?? ltp_signal_rules() }
  }

  /// Throws what is wrong with it: its shape first, then the never list.
  public func check() throws(LTPError) {
    var details = ltp_policy_error()
    let status = withUnsafePointer(to: fields) { ltp_policy_check($0, &details) }
    guard status == LTP_OK else { throw LTPError(details) }
  }

  /// A class's rule in a state. `actionClass` is below `LTP_CLASS_COUNT`.
  public subscript(state: State, actionClass: Int) -> ltp_policy_rule {
    get {
      withUnsafeBytes(of: fields) {
        $0.load(fromByteOffset: Self.offset(state, actionClass), as: ltp_policy_rule.self)
      }
    }
    set {
      withUnsafeMutableBytes(of: &fields) {
        $0.storeBytes(of: newValue, toByteOffset: Self.offset(state, actionClass), as: ltp_policy_rule.self)
      }
    }
  }

  private static func offset(_ state: State, _ actionClass: Int) -> Int {
    precondition((0..<Int(LTP_CLASS_COUNT)).contains(actionClass), "there is no such action class")
    let place = Int(state.rawValue) * Int(LTP_CLASS_COUNT) + actionClass
    return LTP_AT_policy_rules + place * MemoryLayout<ltp_policy_rule>.stride
  }
}
