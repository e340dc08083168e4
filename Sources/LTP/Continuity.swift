// SPDX-License-Identifier: Apache-2.0
// Lives of sessions, the connections that they speak over, and the domains that can be lost by themselves.

public import CLTP

/// One life of a session: what a hello's answer grants, and each of its requests shows.
public struct Continuity: Hashable, Sendable {
  /// A credential: not for logs.
  public let token: UInt64
  public let incarnation: UInt32
  /// The domain's continuity epoch, its low 32 bits.
  public let epoch: UInt32
  public let domain: UInt8

  public init(_ answer: ltp_hello) {
    token = answer.continuity_token
    incarnation = answer.incarnation
    epoch = answer.continuity_epoch
    domain = answer.domain
  }
}

/// What a host keeps for each connection: the life of the session that speaks there.
public struct Connection: Sendable {
  /// The C contract's form of it.
  public private(set) var fields = ltp_connection()

  /// Bound to no life: nothing is admitted over it.
  public init() {}

  /// Binds it to the life that a hello's answer began; frames of the life before are refused from here on.
  public mutating func bind(_ answer: ltp_hello) throws(LTPError) {
    var answer = answer
    try check(ltp_connection_bind(&fields, &answer))
  }
}

/// What became of a domain's transport.
public enum TransportEvent: UInt8, Sendable, CaseIterable {
  case connected = 1
  case disconnected = 2
  /// It was lost and is back, with nothing of what it knew.
  case restarted = 3
}

extension Core {
  /// Reports what became of a domain's transport. Losing it begins an outage of the domain, and of no other.
  ///
  /// - Throws: `backpressure` when the trace can take no transition now; report it again.
  public func report(_ event: TransportEvent, domain: UInt8) throws(LTPError) {
    try check(ltp_transport_event(live, domain, event.rawValue))
  }
}

extension Lane {
  /// Decides a request that came over this connection: what is of another life than the connection's is denied.
  public mutating func admit(_ request: RouteRequest, from connection: Connection) -> Verdict {
    withUnsafeBytes(of: request.fields) { bytes in
      withUnsafePointer(to: connection.fields) {
        Verdict(ltp_admit_from(handle, $0, bytes.baseAddress, bytes.count))
      }
    }
  }

  /// The fencing number of a verdict just given: the domain's continuity epoch, in full, which only grows. It goes with the work to whoever
  /// carries it out; who has seen a higher one refuses it, because it was let in before an outage. nil: the lane has seen another
  /// orientation since; ask anew.
  public func fence(of verdict: Verdict, domain: UInt8 = 0) -> UInt64? {
    let number = ltp_lane_fence(handle, domain, verdict.epoch)
    return number == 0 ? nil : number
  }
}
