// SPDX-License-Identifier: Apache-2.0
// A client's session: its lives, and what may be sent in each.

public import CLTP

/// What whoever was refused should do next.
public enum NextStep: UInt8, Sendable, CaseIterable {
  case none = 0
  /// Wait for `retry_after`, then the same again.
  case wait = 1
  /// Shake hands, then ask anew.
  case rehandshake = 2
  /// Look what the world is like before asking anew.
  case resync = 3
  /// It will never be admissible like this.
  case giveUp = 4
}

/// One session of a client. A value: copy it only to give it away, because two copies that go on are two clients.
public struct Session: Sendable {
  public enum Phase: UInt8, Sendable {
    /// Has no life: a hello is to be sent, at `notBefore`.
    case new = 0
    /// A hello is under way.
    case greeting = 1
    /// Has a life: look what the world is like, then `resynced()`.
    case resync = 2
    /// Intents may be made.
    case live = 3
  }

  /// The C contract's form of it. Its token is a credential.
  public private(set) var fields = ltp_session()

  /// - Parameters:
  ///   - id: not 0.
  ///   - domain: the continuity domain that the session is in.
  public init(id: UInt64, domain: UInt8 = 0) throws(LTPError) {
    try check(ltp_session_init(&fields, id, domain))
  }

  public var phase: Phase { Phase(rawValue: fields.phase) ?? .new }
  /// Nanoseconds of CLOCK_MONOTONIC: until then nothing is sent.
  public var notBefore: UInt64 { fields.not_before_ns }

  /// Begins a new life: the hello to be sent. `now`, here and below: nanoseconds of CLOCK_MONOTONIC; 0 reads the clock.
  public mutating func hello(now: UInt64 = 0) throws(LTPError) -> ltp_hello {
    var hello = ltp_hello()
    try check(ltp_session_hello(&fields, now, &hello))
    return hello
  }

  /// Takes the answer to the last hello. Throws when it was put off, or answers another hello.
  public mutating func greeted(_ answer: ltp_hello, now: UInt64 = 0) throws(LTPError) {
    var answer = answer
    try check(ltp_session_greeted(&fields, now, &answer, MemoryLayout<ltp_hello>.size))
  }

  /// The caller has looked what became of its intents and of the world.
  public mutating func resynced() throws(LTPError) { try check(ltp_session_resynced(&fields)) }

  /// Stamps a request whose intent is made now. Once an intent: what is sent again keeps its stamp.
  public mutating func stamp(_ request: inout RouteRequest) throws(LTPError) {
    try check(ltp_session_stamp(&fields, &request.fields))
  }

  /// Stamps a request that only looks what the world is like, before `resynced()`.
  public mutating func look(_ request: inout RouteRequest) throws(LTPError) {
    try check(ltp_session_look(&fields, &request.fields))
  }

  /// Before each sending of a stamped request, the first one too. Throws when it was made before an outage.
  public mutating func carry(_ request: inout RouteRequest, now: UInt64 = 0) throws(LTPError) {
    try check(ltp_session_carry(&fields, now, &request.fields))
  }

  /// Takes the answer to a request as it was sent. An answer to a life before changes nothing of this one.
  public mutating func told(
    _ response: ltp_route_response, to request: RouteRequest, now: UInt64 = 0
  ) throws(LTPError) -> NextStep {
    var (request, response) = (request.fields, response)
    var next: UInt8 = 0
    try check(
      ltp_session_told(&fields, now, &request, &response, MemoryLayout<ltp_route_response>.size, &next))
    return NextStep(rawValue: next) ?? .none
  }

  /// The connection is gone. The next hello waits for up to `spreadMilliseconds`, each session for another part of it.
  public mutating func lost(spreadMilliseconds: UInt32, now: UInt64 = 0) throws(LTPError) {
    try check(ltp_session_lost(&fields, now, spreadMilliseconds))
  }
}
