// SPDX-License-Identifier: Apache-2.0
//
// orientation: a transition of the overload state, with up to three measured facts behind it. The third line, what nodes
// tell each other, is in OrientationPeerView.swift.
//
// Invariant: the first evidence_count entries name a signal, the others are all zero.

public import CLTP

/// A transition, or the current orientation.
public struct OrientationView: TypedFrameView {
  public typealias Fields = ltp_orientation
  @inlinable public static var type: UInt8 { LTP_FRAME_ORIENTATION }
  public let bytes: UnsafeRawPointer

  @inlinable
  public init(checked bytes: UnsafeRawPointer) {
    self.bytes = bytes
  }

  @inlinable public var fields: ltp_orientation { bytes.loadUnaligned(as: ltp_orientation.self) }

  @inlinable public var frameID: UInt64 { fields.frame_id }
  @inlinable public var timeUnixNanoseconds: UInt64 { fields.time_unix_ns }
  /// Text id, 0 for none.
  @inlinable public var nodeID: UInt32 { fields.node_id }
  /// Text id.
  @inlinable public var hintID: UInt32 { fields.hint_id }
  @inlinable public var epoch: UInt32 { fields.epoch }
  @inlinable public var continuityEpoch: UInt32 { fields.continuity_epoch }
  @inlinable public var policyGeneration: UInt32 { fields.policy_generation }
  /// `LTP_STATE_*`
  @inlinable public var from: UInt8 { fields.from }
  /// `LTP_STATE_*`
  @inlinable public var to: UInt8 { fields.to }
  /// `LTP_SIGNAL_*`
  @inlinable public var reason: UInt8 { fields.reason }
  /// Requests below it are not admitted.
  @inlinable public var priorityThreshold: UInt8 { fields.priority_threshold }
  /// 0 to `LTP_EVIDENCE_MAX`
  @inlinable public var evidenceCount: UInt8 { fields.evidence_count }

  /// The third line, if the frame has one.
  @inlinable public var peer: OrientationPeerView? {
    flags & LTP_ORIENTATION_HAS_PEER != 0
      ? OrientationPeerView(line: bytes + MemoryLayout<ltp_orientation>.size) : nil
  }

  /// A copy of the entry at `index`, which must be below `LTP_EVIDENCE_MAX`; zero from `evidenceCount` on.
  public func evidence(_ index: Int) -> ltp_evidence {
    entry(index, of: fields.evidence, as: ltp_evidence.self)
  }

  public func checkBody() throws(FrameError) {
    let check = FrameCheck(fields, base: 0)
    let orientation = check.part
    try check.requireState(orientation.from, "orientation.from") { address(&$0.from) }
    try check.requireState(orientation.to, "orientation.to") { address(&$0.to) }
    try check.requireSignal(orientation.reason, "orientation.reason") { address(&$0.reason) }
    try check.require(
      orientation.evidence_count <= UInt8(LTP_EVIDENCE_MAX), "orientation.evidence_count"
    ) { address(&$0.evidence_count) }
    try check.requireZero(orientation.reserved, "orientation.reserved") { address(&$0.reserved) }
    try checkEvidence(check)
    try peer?.check()
  }

  private func checkEvidence(_ check: FrameCheck<ltp_orientation>) throws(FrameError) {
    let first = check.offset { address(&$0.evidence) }
    for index in 0..<Int(LTP_EVIDENCE_MAX) {
      let fact = entry(index, of: check.part.evidence, as: ltp_evidence.self)
      let checkFact = FrameCheck(fact, base: first + index * MemoryLayout<ltp_evidence>.stride)
      let names = evidenceNames(index)
      if index < Int(check.part.evidence_count) {
        try checkFact.requireSignal(fact.signal, names.code) { address(&$0.signal) }
        try checkFact.requireZero(fact.reserved, names.reserved) { address(&$0.reserved) }
      } else {
        try checkFact.requireZero(fact, names.entry) { address(&$0) }
      }
    }
  }

  public func copyFields(to writer: FrameWriter<Self>) {
    var copy = ltp_orientation()
    copy.frame_id = frameID
    copy.time_unix_ns = timeUnixNanoseconds
    copy.node_id = nodeID
    copy.hint_id = hintID
    copy.epoch = epoch
    copy.continuity_epoch = continuityEpoch
    copy.policy_generation = policyGeneration
    copy.from = from
    copy.to = to
    copy.reason = reason
    copy.priority_threshold = priorityThreshold
    copy.evidence_count = evidenceCount
    for index in 0..<Int(evidenceCount) {
      let fact = evidence(index)
      let factCopy = ltp_evidence(
        name_id: fact.name_id, signal: fact.signal, reserved: (0, 0, 0), value: fact.value,
        threshold: fact.threshold)
      setEntry(index, of: &copy.evidence, to: factCopy)
    }
    writer.set(copy)
    if let peer { writer.setPeer(peer.copied) }
  }
}
