// SPDX-License-Identifier: Apache-2.0

import CLTP

/// One measured fact behind a transition, in the signal's own unit.
public struct Evidence: Hashable, Sendable {
  public var signal: Signal
  public var value: Int64
  public var threshold: Int64
  /// A text of the core's that names it, such as "queue_depth"; 0: the signal's own name.
  public var nameID: UInt32

  public init(_ signal: Signal, value: Int64, threshold: Int64, nameID: UInt32 = 0) {
    self.signal = signal
    self.value = value
    self.threshold = threshold
    self.nameID = nameID
  }
}

/// A change of the orientation, with its evidence.
public struct Transition: Sendable {
  public var state: State
  /// An observation, or `.operator`.
  public var reason: Signal
  /// At most three.
  public var evidence: [Evidence]
  /// Free text, of which 119 bytes are kept.
  public var text: String
  /// Requests of lower priority are not admitted; nil: the policy says.
  public var priorityThreshold: UInt8?
  /// Sessions must shake hands again. Going to `unstable` or `failed` always asks for that.
  public var advancesContinuity: Bool

  public init(
    to state: State, because reason: Signal, evidence: [Evidence] = [], text: String = "",
    priorityThreshold: UInt8? = nil, advancesContinuity: Bool = false
  ) {
    self.state = state
    self.reason = reason
    self.evidence = evidence
    self.text = text
    self.priorityThreshold = priorityThreshold
    self.advancesContinuity = advancesContinuity
  }

  /// Hands it to a function of the contract that publishes it; returns the new epoch.
  func publish(
    _ function: (UnsafePointer<ltp_transition>, UnsafeMutablePointer<UInt32>) -> Int32
  ) throws(LTPError) -> UInt32 {
    var epoch: UInt32 = 0
    try check(withUnsafePointer(to: fields) { function($0, &epoch) })
    return epoch
  }

  var fields: ltp_transition {
    var fields = ltp_transition()
    fields.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    fields.to = state.rawValue
    fields.reason = reason.rawValue
    fields.flags =
      (advancesContinuity ? LTP_TRANSITION_ADVANCE_CONTINUITY : 0)
      | (priorityThreshold != nil ? LTP_TRANSITION_SET_THRESHOLD : 0)
    fields.priority_threshold = priorityThreshold ?? 0
    // More than there is room for is refused by the core.
    fields.evidence_count = UInt8(clamping: evidence.count)
    withUnsafeMutableBytes(of: &fields.evidence) { bytes in
      for (index, fact) in evidence.prefix(Int(LTP_EVIDENCE_MAX)).enumerated() {
        let entry = ltp_evidence(
          name_id: fact.nameID, signal: fact.signal.rawValue, reserved: (0, 0, 0), value: fact.value,
          threshold: fact.threshold)
        bytes.storeBytes(
          of: entry, toByteOffset: index * MemoryLayout<ltp_evidence>.stride, as: ltp_evidence.self)
      }
    }
    write(text, to: &fields.text)
    return fields
  }
}
