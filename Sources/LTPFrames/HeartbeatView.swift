// SPDX-License-Identifier: Apache-2.0
//
// heartbeat: a sender is alive, and says which state it is in.
//
// Invariant: the state is one of the seven.

public import CLTP

/// A heartbeat.
public struct HeartbeatView: TypedFrameView {
  public typealias Fields = ltp_heartbeat
  @inlinable public static var type: UInt8 { LTP_FRAME_HEARTBEAT }
  public let bytes: UnsafeRawPointer

  @inlinable
  public init(checked bytes: UnsafeRawPointer) {
    self.bytes = bytes
  }

  @inlinable public var fields: ltp_heartbeat { bytes.loadUnaligned(as: ltp_heartbeat.self) }

  @inlinable public var frameID: UInt64 { fields.frame_id }
  @inlinable public var sessionID: UInt64 { fields.session_id }
  @inlinable public var timeUnixNanoseconds: UInt64 { fields.time_unix_ns }
  @inlinable public var sequence: UInt64 { fields.sequence }
  @inlinable public var orientationEpoch: UInt32 { fields.orientation_epoch }
  @inlinable public var intervalMilliseconds: UInt32 { fields.interval_ms }
  /// `LTP_STATE_*`
  @inlinable public var state: UInt8 { fields.state }
  /// Of the session or node that sends it.
  @inlinable public var incarnation: UInt32 { fields.incarnation }
  /// Continuity domain.
  @inlinable public var domain: UInt8 { fields.domain }

  public func checkBody() throws(FrameError) {
    let check = FrameCheck(fields, base: 0)
    let heartbeat = check.part
    try check.requireState(heartbeat.state, "heartbeat.state") { address(&$0.state) }
    try check.requireZero(heartbeat.reserved, "heartbeat.reserved") { address(&$0.reserved) }
  }

  public func copyFields(to writer: FrameWriter<Self>) {
    var copy = ltp_heartbeat()
    copy.frame_id = frameID
    copy.session_id = sessionID
    copy.time_unix_ns = timeUnixNanoseconds
    copy.sequence = sequence
    copy.orientation_epoch = orientationEpoch
    copy.interval_ms = intervalMilliseconds
    copy.incarnation = incarnation
    copy.state = state
    copy.domain = domain
    writer.set(copy)
  }
}
