// SPDX-License-Identifier: Apache-2.0
//
// hello: a session shakes hands and gets a continuity token for the current continuity epoch.
//
// Invariants: an answer grants something, or says when to ask again. A hello that asks carries no token, no epoch and no incarnation;
// only the server's answer does. Each has a client's nonce.

public import CLTP

/// A hello, asking or answering.
public struct HelloView: TypedFrameView {
  public typealias Fields = ltp_hello
  @inlinable public static var type: UInt8 { LTP_FRAME_HELLO }
  public let bytes: UnsafeRawPointer

  @inlinable
  public init(checked bytes: UnsafeRawPointer) {
    self.bytes = bytes
  }

  @inlinable public var fields: ltp_hello { bytes.loadUnaligned(as: ltp_hello.self) }

  /// Whether this is the server's answer.
  @inlinable public var isAnswer: Bool { flags & LTP_HELLO_ANSWER != 0 }
  @inlinable public var frameID: UInt64 { fields.frame_id }
  @inlinable public var sessionID: UInt64 { fields.session_id }
  @inlinable public var continuityToken: UInt64 { fields.continuity_token }
  /// The client's own; the answer repeats it.
  @inlinable public var clientNonce: UInt64 { fields.client_nonce }
  @inlinable public var continuityEpoch: UInt32 { fields.continuity_epoch }
  /// Of the session; 0 when asking.
  @inlinable public var incarnation: UInt32 { fields.incarnation }
  /// Text id, 0 for none.
  @inlinable public var nodeID: UInt32 { fields.node_id }
  @inlinable public var heartbeatIntervalMilliseconds: UInt32 { fields.heartbeat_interval_ms }
  /// Continuity domain.
  @inlinable public var domain: UInt8 { fields.domain }
  @inlinable public var versionMin: UInt8 { fields.version_min }
  @inlinable public var versionMax: UInt8 { fields.version_max }
  /// The server's answer, which grants nothing.
  @inlinable public var isLater: Bool { flags & LTP_HELLO_LATER != 0 }
  /// 0 unless `isLater`.
  @inlinable public var retryAfterMilliseconds: UInt32 { fields.retry_after_ms }

  public func checkBody() throws(FrameError) {
    let check = FrameCheck(fields, base: 0)
    let hello = check.part
    let isLater = hello.header.flags & LTP_HELLO_LATER != 0
    try check.require(!isLater || hello.header.flags & LTP_HELLO_ANSWER != 0, "header.flags") {
      address(&$0.header.flags)
    }
    let isAnswer = hello.header.flags & LTP_HELLO_ANSWER != 0 && !isLater
    try check.require(hello.session_id != 0, "hello.session_id") { address(&$0.session_id) }
    try check.require(isAnswer || hello.continuity_token == 0, "hello.continuity_token") {
      address(&$0.continuity_token)
    }
    try check.require(isAnswer || hello.continuity_epoch == 0, "hello.continuity_epoch") {
      address(&$0.continuity_epoch)
    }
    try check.require(hello.client_nonce != 0, "hello.client_nonce") { address(&$0.client_nonce) }
    try check.require(isAnswer == (hello.incarnation != 0), "hello.incarnation") { address(&$0.incarnation) }
    try check.require(hello.version_min <= hello.version_max, "hello.version_min") {
      address(&$0.version_min)
    }
    try check.requireZero(hello.reserved, "hello.reserved") { address(&$0.reserved) }
    try check.require(isLater || hello.retry_after_ms == 0, "hello.retry_after_ms") {
      address(&$0.retry_after_ms)
    }
  }

  public func copyFields(to writer: FrameWriter<Self>) {
    var copy = ltp_hello()
    copy.frame_id = frameID
    copy.session_id = sessionID
    copy.continuity_token = continuityToken
    copy.client_nonce = clientNonce
    copy.continuity_epoch = continuityEpoch
    copy.incarnation = incarnation
    copy.node_id = nodeID
    copy.heartbeat_interval_ms = heartbeatIntervalMilliseconds
    copy.domain = domain
    copy.version_min = versionMin
    copy.version_max = versionMax
    copy.retry_after_ms = retryAfterMilliseconds
    writer.set(copy)
  }
}
