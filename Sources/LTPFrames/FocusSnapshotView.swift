// SPDX-License-Identifier: Apache-2.0
//
// focus_snapshot: periodically the current picture, with the verdicts counted and the peers' states.
//
// Invariant: the first peer_count entries name a peer in a state that exists, the others are all zero.

public import CLTP

/// The current picture.
public struct FocusSnapshotView: TypedFrameView {
  public typealias Fields = ltp_focus_snapshot
  @inlinable public static var type: UInt8 { LTP_FRAME_FOCUS_SNAPSHOT }
  public let bytes: UnsafeRawPointer

  @inlinable
  public init(checked bytes: UnsafeRawPointer) {
    self.bytes = bytes
  }

  @inlinable public var fields: ltp_focus_snapshot { bytes.loadUnaligned(as: ltp_focus_snapshot.self) }

  @inlinable public var frameID: UInt64 { fields.frame_id }
  @inlinable public var timeUnixNanoseconds: UInt64 { fields.time_unix_ns }
  /// Text id, 0 for none.
  @inlinable public var nodeID: UInt32 { fields.node_id }
  /// Text id.
  @inlinable public var noteID: UInt32 { fields.note_id }
  /// Text id.
  @inlinable public var topologyID: UInt32 { fields.topology_id }
  @inlinable public var epoch: UInt32 { fields.epoch }
  @inlinable public var continuityEpoch: UInt32 { fields.continuity_epoch }
  /// That the counts cover.
  @inlinable public var intervalMilliseconds: UInt32 { fields.interval_ms }
  /// `LTP_STATE_*`
  @inlinable public var state: UInt8 { fields.state }
  /// Requests below it are not admitted.
  @inlinable public var priorityThreshold: UInt8 { fields.priority_threshold }
  /// 0 to `LTP_PEERS_MAX`
  @inlinable public var peerCount: UInt8 { fields.peer_count }
  @inlinable public var executedCount: UInt64 { fields.executed_count }
  @inlinable public var deniedCount: UInt64 { fields.denied_count }
  @inlinable public var deferredCount: UInt64 { fields.deferred_count }

  /// A copy of the entry at `index`, which must be below `LTP_PEERS_MAX`; zero from `peerCount` on.
  public func peer(_ index: Int) -> ltp_peer { entry(index, of: fields.peers, as: ltp_peer.self) }

  public func checkBody() throws(FrameError) {
    let check = FrameCheck(fields, base: 0)
    let snapshot = check.part
    try check.requireState(snapshot.state, "focus_snapshot.state") { address(&$0.state) }
    try check.require(snapshot.peer_count <= UInt8(LTP_PEERS_MAX), "focus_snapshot.peer_count") {
      address(&$0.peer_count)
    }
    try check.requireZero(snapshot.reserved, "focus_snapshot.reserved") { address(&$0.reserved) }
    try check.requireZero(snapshot.reserved_2, "focus_snapshot.reserved_2") { address(&$0.reserved_2) }
    try checkPeers(check)
  }

  private func checkPeers(_ check: FrameCheck<ltp_focus_snapshot>) throws(FrameError) {
    let first = check.offset { address(&$0.peers) }
    for index in 0..<Int(LTP_PEERS_MAX) {
      let peer = entry(index, of: check.part.peers, as: ltp_peer.self)
      let checkPeer = FrameCheck(peer, base: first + index * MemoryLayout<ltp_peer>.stride)
      let names = focusPeerNames(index)
      if index < Int(check.part.peer_count) {
        try checkPeer.require(peer.peer_id != 0, names.identifier) { address(&$0.peer_id) }
        try checkPeer.requireState(peer.state, names.code) { address(&$0.state) }
        try checkPeer.requireZero(peer.reserved, names.reserved) { address(&$0.reserved) }
      } else {
        try checkPeer.requireZero(peer, names.entry) { address(&$0) }
      }
    }
  }

  public func copyFields(to writer: FrameWriter<Self>) {
    var copy = ltp_focus_snapshot()
    copy.frame_id = frameID
    copy.time_unix_ns = timeUnixNanoseconds
    copy.node_id = nodeID
    copy.note_id = noteID
    copy.topology_id = topologyID
    copy.epoch = epoch
    copy.continuity_epoch = continuityEpoch
    copy.interval_ms = intervalMilliseconds
    copy.state = state
    copy.priority_threshold = priorityThreshold
    copy.peer_count = peerCount
    copy.executed_count = executedCount
    copy.denied_count = deniedCount
    copy.deferred_count = deferredCount
    for index in 0..<Int(peerCount) {
      let peer = peer(index)
      let peerCopy = ltp_peer(peer_id: peer.peer_id, state: peer.state, reserved: (0, 0, 0))
      setEntry(index, of: &copy.peers, to: peerCopy)
    }
    writer.set(copy)
  }
}
