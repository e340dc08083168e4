// SPDX-License-Identifier: Apache-2.0
// The protocol's words. Raw values are those of ltp.h.

import CLTP

/// The overload state of a service. `unknown`, the zero, admits nothing but recovery actions.
public enum State: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  case unknown, healthy, degraded, saturated, unstable, failed, recovering

  /// The state of this name, as `description` gives it, in capitals or not; STABLE is HEALTHY.
  public init?(name: String) {
    let name = name.uppercased() == "STABLE" ? "HEALTHY" : name.uppercased()
    guard let state = Self.allCases.first(where: { $0.description == name }) else { return nil }
    self = state
  }

  public var description: String { String(cString: ltp_state_name(rawValue)) }
}

/// What a verdict says. `deny` is the zero.
public enum Decision: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  case deny, `defer`, execute

  public var description: String { String(cString: ltp_verdict_name(rawValue)) }
}

/// Why a verdict says so: `LTP_REASON_*`. Not an enumeration: a later library may know more reasons.
public struct Reason: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt8

  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let admitted = Reason(rawValue: LTP_REASON_ADMITTED)
  public static let systemDegraded = Reason(rawValue: LTP_REASON_SYSTEM_DEGRADED)
  public static let systemSaturated = Reason(rawValue: LTP_REASON_SYSTEM_SATURATED)
  public static let systemUnstable = Reason(rawValue: LTP_REASON_SYSTEM_UNSTABLE)
  public static let systemFailed = Reason(rawValue: LTP_REASON_SYSTEM_FAILED)
  public static let systemRecovering = Reason(rawValue: LTP_REASON_SYSTEM_RECOVERING)
  public static let orientationUnknown = Reason(rawValue: LTP_REASON_ORIENTATION_UNKNOWN)
  public static let rehandshakeRequired = Reason(rawValue: LTP_REASON_REHANDSHAKE_REQUIRED)
  public static let staleIntent = Reason(rawValue: LTP_REASON_STALE_INTENT)
  public static let continuityForged = Reason(rawValue: LTP_REASON_CONTINUITY_FORGED)
  public static let otherIncarnation = Reason(rawValue: LTP_REASON_OTHER_INCARNATION)
  public static let priorityBelowThreshold = Reason(rawValue: LTP_REASON_PRIORITY_BELOW_THRESHOLD)
  public static let rateLimited = Reason(rawValue: LTP_REASON_RATE_LIMITED)
  public static let concurrencyLimited = Reason(rawValue: LTP_REASON_CONCURRENCY_LIMITED)
  public static let deadlineExceeded = Reason(rawValue: LTP_REASON_DEADLINE_EXCEEDED)
  public static let quorumLost = Reason(rawValue: LTP_REASON_QUORUM_LOST)
  public static let policyForbids = Reason(rawValue: LTP_REASON_POLICY_FORBIDS)
  public static let traceBackpressure = Reason(rawValue: LTP_REASON_TRACE_BACKPRESSURE)
  public static let deferQueueFull = Reason(rawValue: LTP_REASON_DEFER_QUEUE_FULL)
  public static let malformedFrame = Reason(rawValue: LTP_REASON_MALFORMED_FRAME)
  public static let unknownActionClass = Reason(rawValue: LTP_REASON_UNKNOWN_ACTION_CLASS)
  public static let alreadyReplayed = Reason(rawValue: LTP_REASON_ALREADY_REPLAYED)
  public static let intentPending = Reason(rawValue: LTP_REASON_INTENT_PENDING)
  public static let intentEnded = Reason(rawValue: LTP_REASON_INTENT_ENDED)
  public static let keyReused = Reason(rawValue: LTP_REASON_KEY_REUSED)

  public var description: String { String(cString: ltp_reason_name(rawValue)) }
}

/// Why an orientation changed: `LTP_SIGNAL_*`.
public struct Signal: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt8

  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let connectionBacklogGrowing = Signal(rawValue: LTP_SIGNAL_CONNECTION_BACKLOG_GROWING)
  public static let wsReconnectStorm = Signal(rawValue: LTP_SIGNAL_WS_RECONNECT_STORM)
  public static let queueLatencySpike = Signal(rawValue: LTP_SIGNAL_QUEUE_LATENCY_SPIKE)
  public static let memoryPressure = Signal(rawValue: LTP_SIGNAL_MEMORY_PRESSURE)
  public static let cpuPressure = Signal(rawValue: LTP_SIGNAL_CPU_PRESSURE)
  public static let ioPressure = Signal(rawValue: LTP_SIGNAL_IO_PRESSURE)
  public static let dbWriteLatency = Signal(rawValue: LTP_SIGNAL_DB_WRITE_LATENCY)
  public static let transportDisconnected = Signal(rawValue: LTP_SIGNAL_TRANSPORT_DISCONNECTED)
  public static let heartbeatTimeout = Signal(rawValue: LTP_SIGNAL_HEARTBEAT_TIMEOUT)
  public static let partialOutage = Signal(rawValue: LTP_SIGNAL_PARTIAL_OUTAGE)
  public static let quorumLost = Signal(rawValue: LTP_SIGNAL_QUORUM_LOST)
  public static let metricsStabilized = Signal(rawValue: LTP_SIGNAL_METRICS_STABILIZED)
  public static let recoveryComplete = Signal(rawValue: LTP_SIGNAL_RECOVERY_COMPLETE)
  public static let linkLoss = Signal(rawValue: LTP_SIGNAL_LINK_LOSS)
  public static let linkLatency = Signal(rawValue: LTP_SIGNAL_LINK_LATENCY)
  public static let cacheStale = Signal(rawValue: LTP_SIGNAL_CACHE_STALE)
  public static let `operator` = Signal(rawValue: LTP_SIGNAL_OPERATOR)
  public static let coreStarted = Signal(rawValue: LTP_SIGNAL_CORE_STARTED)
  public static let policyChanged = Signal(rawValue: LTP_SIGNAL_POLICY_CHANGED)
  public static let orientationOverrun = Signal(rawValue: LTP_SIGNAL_ORIENTATION_OVERRUN)
  public static let orientationLost = Signal(rawValue: LTP_SIGNAL_ORIENTATION_LOST)

  /// The signal of this name, as `description` gives it.
  public init?(name: String) {
    let own = UInt8(LTP_SIGNAL_OWN_FIRST)..<UInt8(LTP_SIGNAL_OWN_FIRST + LTP_SIGNAL_OWN_COUNT)
    for value in Array(1...UInt8(LTP_OBSERVATION_COUNT)) + own
    where String(cString: ltp_signal_name(value)) == name {
      self.init(rawValue: value)
      return
    }
    return nil
  }

  public var description: String { String(cString: ltp_signal_name(rawValue)) }
}
