// SPDX-License-Identifier: Apache-2.0
// Which limits concern a class in a state, and what each says when it refuses.

public import CLTP
public import LTPRecords

/// The limits that a decision passes, as a set.
@frozen
public struct Gates: OptionSet, Sendable {
  /// Bit n is the limit with the number n (LTP_GATE_*), which refusals say; above them what is no limit of its own.
  public let rawValue: UInt32

  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  @inlinable
  init(gate: UInt8) { rawValue = 1 << UInt32(gate) }

  @inlinable public static var shed: Gates { Gates(gate: LTP_GATE_SHED) }
  @inlinable public static var classRate: Gates { Gates(gate: LTP_GATE_CLASS_RATE) }
  @inlinable public static var tenantRate: Gates { Gates(gate: LTP_GATE_TENANT_RATE) }
  @inlinable public static var totalRate: Gates { Gates(gate: LTP_GATE_TOTAL_RATE) }
  @inlinable public static var recoveringRate: Gates { Gates(gate: LTP_GATE_RECOVERING_RATE) }
  @inlinable public static var concurrency: Gates { Gates(gate: LTP_GATE_CONCURRENCY) }
  /// `tenantRate` only while something is refused.
  @inlinable public static var whenContended: Gates { Gates(rawValue: 1 << 16) }
  /// Counted, so that limits can follow the load.
  @inlinable public static var counted: Gates { Gates(rawValue: 1 << 17) }

  /// Of a class with these attributes and this rate of its own, in a state. RECOVERY classes are never held up: nobody
  /// could see the patient, or stop it.
  public init(limits: borrowing ltp_policy_limits, classRate: ltp_rate, attributes: UInt32, state: UInt8) {
    var gates: Gates = []
    if attributes & LTP_CLASS_RECOVERY == 0 {
      if classRate.per_second > 0 { gates.insert(.classRate) }
      if attributes & LTP_CLASS_EXEMPT == 0 {
        if limits.flags & LTP_LIMITS_SHED != 0 { gates.formUnion([.shed, .counted]) }
        if limits.tenant.per_second > 0 { gates.insert(.tenantRate) }
        if limits.tenant.per_second > 0, limits.flags & LTP_LIMITS_TENANT_WHEN_CONTENDED != 0 {
          gates.formUnion([.whenContended, .counted])
        }
        if limits.total.per_second > 0 { gates.insert(.totalRate) }
        if limits.recovering.per_second > 0, state == LTP_STATE_RECOVERING { gates.insert(.recoveringRate) }
        if limits.retry_horizon_max_ms > 0 { gates.insert(.counted) }
        if limits.concurrency != LTP_CONCURRENCY_NONE, attributes & LTP_CLASS_PERMIT != 0 {
          gates.formUnion([.concurrency, .counted])
        }
      }
    }
    self = gates
  }

  /// Those that can refuse just now: the others have been opened by the limits word.
  public func under(_ word: LimitsWord) -> Gates {
    var gates = self
    if word.shedLevel == 0 { gates.remove(.shed) }
    if contains(.whenContended), !word.isContended { gates.remove(.tenantRate) }
    gates.remove(.whenContended)
    return gates
  }

  /// Whether a refusal by this LTP_GATE_* can be: the class passes that gate.
  public func contains(gate: UInt8) -> Bool {
    gate == LTP_GATE_NONE || gate < LTP_GATE_COUNT && contains(Gates(gate: gate))
  }
}

extension LimitsWord {
  /// For a class with these gates: who is not counted is held up by nobody who waits.
  @inlinable
  public func retryFloor(under gates: Gates) -> UInt32 {
    gates.contains(.counted) ? retryFloorMilliseconds : 0
  }
}

/// LTP_REASON_* of a refusal by an LTP_GATE_*.
public func reason(ofGate gate: UInt8) -> UInt8 {
  switch gate {
  case LTP_GATE_SHED: LTP_REASON_PRIORITY_BELOW_THRESHOLD
  case LTP_GATE_RECOVERING_RATE: LTP_REASON_SYSTEM_RECOVERING
  case LTP_GATE_CONCURRENCY: LTP_REASON_CONCURRENCY_LIMITED
  default: LTP_REASON_RATE_LIMITED
  }
}
