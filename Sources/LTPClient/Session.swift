// SPDX-License-Identifier: Apache-2.0
// The caller's side of continuity: one session's lives, and what may be sent in each.
//
//   phase    | hello()            | granted  | put off  | resynced() | told: rehandshake | told: resync | lost()
//   ---------|--------------------|----------|----------|------------|-------------------|--------------|-------
//   NEW      | GREETING, once the | -        | -        | -          | NEW               | NEW          | NEW
//            | wait is over       |          |          |            |                   |              |
//   GREETING | GREETING, the same | RESYNC   | NEW      | -          | GREETING          | GREETING     | NEW
//   RESYNC   | GREETING, anew     | -        | -        | LIVE       | NEW               | RESYNC       | NEW
//   LIVE     | GREETING, anew     | -        | -        | LIVE       | NEW               | RESYNC       | NEW
//
// "-": refused, nothing changes. An intent is stamped when it is made, in LIVE only (one that only looks, in RESYNC too), and never
// again: sent once more after an outage it is refused here, before the wire, as it would be there.

public import CLTP
import CLTPSystem

/// A handle on a caller's ltp_session.
public struct ClientSession {
  private let session: UnsafeMutablePointer<ltp_session>

  public init(_ session: UnsafeMutablePointer<ltp_session>) { self.session = session }

  public static func initialize(
    _ session: UnsafeMutablePointer<ltp_session>, id: UInt64, domain: UInt8
  ) {
    session.pointee = ltp_session()
    session.pointee.session_id = id
    session.pointee.domain = domain
    session.pointee.phase = LTP_SESSION_NEW
  }

  /// Nothing was initialised there, or something has written over it.
  public var isValid: Bool { session.pointee.session_id != 0 && session.pointee.phase < LTP_SESSION_COUNT }

  /// A hello for a new life, to be sent now; while one is under way, the same again, because its answer may be lost. nil: its time has
  /// not come.
  public func hello(now: UInt64) -> ltp_hello? {
    guard now >= session.pointee.not_before_ns else { return nil }
    if session.pointee.phase != LTP_SESSION_GREETING {
      guard let nonce = Self.nonce() else { return nil }
      session.pointee.phase = LTP_SESSION_GREETING
      session.pointee.client_nonce = nonce
      session.pointee.continuity_token = 0
      session.pointee.hellos &+= 1
    }
    let nonce = session.pointee.client_nonce
    var hello = ltp_hello()
    hello.header = ltp_frame_header(
      magic: LTP_FRAME_MAGIC, version: UInt8(LTP_PROTOCOL_VERSION), type: LTP_FRAME_HELLO,
      size_bytes: UInt16(MemoryLayout<ltp_hello>.size), flags: 0)
    hello.frame_id = UInt64(session.pointee.hellos)
    hello.session_id = session.pointee.session_id
    hello.client_nonce = nonce
    hello.domain = session.pointee.domain
    hello.version_min = UInt8(LTP_PROTOCOL_VERSION)
    hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
    return hello
  }

  private static func nonce() -> UInt64? {
    var nonce: UInt64 = 0
    let failed = withUnsafeMutableBytes(of: &nonce) { ltp_system_random($0.baseAddress, $0.count) != 0 }
    return failed || nonce == 0 ? nil : nonce
  }

  /// Takes a well-formed answer to the last hello; LTP_OK when a life has begun, LTP_ERROR_HELLO_LATER when it is put off. Any other
  /// answer is none to this hello, and changes nothing.
  public func greeted(_ answer: ltp_hello, now: UInt64) -> Int32 {
    guard session.pointee.phase == LTP_SESSION_GREETING, answer.session_id == session.pointee.session_id,
      answer.client_nonce == session.pointee.client_nonce, answer.domain == session.pointee.domain
    else { return LTP_ERROR_SESSION_ANSWER }
    guard answer.header.flags & LTP_HELLO_LATER == 0 else {
      session.pointee.phase = LTP_SESSION_NEW
      wait(UInt64(answer.retry_after_ms), now: now)
      return LTP_ERROR_HELLO_LATER
    }
    session.pointee.continuity_token = answer.continuity_token
    session.pointee.incarnation = answer.incarnation
    session.pointee.continuity_epoch = answer.continuity_epoch
    session.pointee.not_before_ns = 0
    session.pointee.phase = LTP_SESSION_RESYNC
    return LTP_OK
  }

  /// The caller has looked what the world is like.
  public func resynced() -> Int32 {
    guard session.pointee.phase == LTP_SESSION_RESYNC || session.pointee.phase == LTP_SESSION_LIVE else {
      return LTP_ERROR_SESSION_HELD
    }
    session.pointee.phase = LTP_SESSION_LIVE
    return LTP_OK
  }

  /// Stamps an intent that is made now. `onlyLooks`: it is asked in order to resync.
  public func stamp(_ request: inout ltp_route_request, onlyLooks: Bool = false) -> Int32 {
    let phase = session.pointee.phase
    guard phase == LTP_SESSION_LIVE || onlyLooks && phase == LTP_SESSION_RESYNC else {
      return LTP_ERROR_SESSION_HELD
    }
    request.session_id = session.pointee.session_id
    request.domain = session.pointee.domain
    request.intent_epoch = session.pointee.continuity_epoch
    request.incarnation = session.pointee.incarnation
    request.continuity_token = session.pointee.continuity_token
    return LTP_OK
  }

  /// Before an intent is sent, also for the first time. One of this epoch carries this life's token.
  public func carry(_ request: inout ltp_route_request, now: UInt64) -> Int32 {
    guard session.pointee.phase == LTP_SESSION_LIVE || session.pointee.phase == LTP_SESSION_RESYNC,
      now >= session.pointee.not_before_ns
    else { return LTP_ERROR_SESSION_HELD }
    guard request.session_id == session.pointee.session_id, request.domain == session.pointee.domain,
      request.intent_epoch == session.pointee.continuity_epoch
    else { return LTP_ERROR_INTENT_STALE }
    request.incarnation = session.pointee.incarnation
    request.continuity_token = session.pointee.continuity_token
    return LTP_OK
  }

  /// Takes a well-formed response to a request that carried `incarnation`; what the caller does next with that intent: LTP_NEXT_*.
  public func told(_ response: ltp_route_response, incarnation: UInt32, now: UInt64) -> UInt8 {
    guard response.session_id == session.pointee.session_id else { return LTP_NEXT_NONE }
    // A late answer to a life before says nothing of this one.
    guard incarnation == session.pointee.incarnation else { return response.next_step }
    switch response.next_step {
    case LTP_NEXT_REHANDSHAKE:
      // Once a life: the other answers of the same outage change nothing more.
      if session.pointee.phase == LTP_SESSION_LIVE || session.pointee.phase == LTP_SESSION_RESYNC {
        session.pointee.phase = LTP_SESSION_NEW
        wait(UInt64(response.retry_after_ms), now: now)
      }
    case LTP_NEXT_RESYNC:
      if session.pointee.phase == LTP_SESSION_LIVE { session.pointee.phase = LTP_SESSION_RESYNC }
    default: break
    }
    return response.next_step
  }

  /// The connection is gone: the next life begins after a wait that is spread over sessions.
  public func lost(spreadMilliseconds: UInt32, now: UInt64) {
    session.pointee.phase = LTP_SESSION_NEW
    session.pointee.continuity_token = 0
    let fraction = (session.pointee.session_id &* 0x9E37_79B9_7F4A_7C15) >> 32
    wait((UInt64(spreadMilliseconds) &* fraction) >> 32, now: now)
  }

  private func wait(_ milliseconds: UInt64, now: UInt64) {
    // What was told before still holds.
    session.pointee.not_before_ns = max(session.pointee.not_before_ns, now &+ milliseconds &* 1_000_000)
  }
}
