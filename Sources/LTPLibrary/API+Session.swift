// SPDX-License-Identifier: Apache-2.0
// ltp.h: a client's sessions. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPClient
import LTPCore
import LTPFrames

/// Calls `body` with the session, unless nothing was initialised there.
private func withSession(
  _ session: UnsafeMutablePointer<ltp_session>?, _ body: (ClientSession) -> Int32
) -> Int32 {
  guard let session else { return LTP_ERROR_NULL_ARGUMENT }
  let client = ClientSession(session)
  return client.isValid ? body(client) : LTP_ERROR_BAD_HANDLE
}

@c @implementation
public func ltp_session_init(
  _ session: UnsafeMutablePointer<ltp_session>!, _ sessionID: UInt64, _ domain: UInt8
) -> Int32 {
  guard let session else { return LTP_ERROR_NULL_ARGUMENT }
  guard sessionID != 0 else { return LTP_ERROR_OPTION_RANGE }
  ClientSession.initialize(session, id: sessionID, domain: domain)
  return LTP_OK
}

@c @implementation
public func ltp_session_hello(
  _ session: UnsafeMutablePointer<ltp_session>!, _ now: UInt64, _ hello: UnsafeMutablePointer<ltp_hello>!
) -> Int32 {
  withSession(session) { client in
    guard let hello else { return LTP_ERROR_NULL_ARGUMENT }
    guard let asked = client.hello(now: time(now)) else { return LTP_ERROR_SESSION_HELD }
    hello.pointee = asked
    return LTP_OK
  }
}

@c @implementation
public func ltp_session_greeted(
  _ session: UnsafeMutablePointer<ltp_session>!, _ now: UInt64, _ answer: UnsafeRawPointer!, _ available: Int
) -> Int32 {
  withSession(session) { client in
    withCopy(ofFrame: answer, available: available) { answer, available in
      do throws(FrameError) {
        let granted = try HelloView(checking: answer, available: available)
        guard granted.isAnswer else { return LTP_ERROR_FRAME_FLAGS }
        return client.greeted(granted.fields, now: time(now))
      } catch {
        return error.status
      }
    }
  }
}

@c @implementation
public func ltp_session_resynced(_ session: UnsafeMutablePointer<ltp_session>!) -> Int32 {
  withSession(session) { $0.resynced() }
}

@c @implementation
public func ltp_session_stamp(
  _ session: UnsafeMutablePointer<ltp_session>!, _ request: UnsafeMutablePointer<ltp_route_request>!
) -> Int32 {
  withSession(session) { client in
    guard let request else { return LTP_ERROR_NULL_ARGUMENT }
    return client.stamp(&request.pointee)
  }
}

@c @implementation
public func ltp_session_look(
  _ session: UnsafeMutablePointer<ltp_session>!, _ request: UnsafeMutablePointer<ltp_route_request>!
) -> Int32 {
  withSession(session) { client in
    guard let request else { return LTP_ERROR_NULL_ARGUMENT }
    return client.stamp(&request.pointee, onlyLooks: true)
  }
}

@c @implementation
public func ltp_session_carry(
  _ session: UnsafeMutablePointer<ltp_session>!, _ now: UInt64,
  _ request: UnsafeMutablePointer<ltp_route_request>!
) -> Int32 {
  withSession(session) { client in
    guard let request else { return LTP_ERROR_NULL_ARGUMENT }
    return client.carry(&request.pointee, now: time(now))
  }
}

@c @implementation
public func ltp_session_told(
  _ session: UnsafeMutablePointer<ltp_session>!, _ now: UInt64, _ request: UnsafePointer<ltp_route_request>!,
  _ response: UnsafeRawPointer!, _ available: Int, _ nextStep: UnsafeMutablePointer<UInt8>!
) -> Int32 {
  withSession(session) { client in
    guard let request else { return LTP_ERROR_NULL_ARGUMENT }
    let incarnation = request.pointee.incarnation
    return withCopy(ofFrame: response, available: available) { response, available in
      do throws(FrameError) {
        let told = try RouteResponseView(checking: response, available: available)
        let next = client.told(told.fields, incarnation: incarnation, now: time(now))
        nextStep?.pointee = next
        return LTP_OK
      } catch {
        return error.status
      }
    }
  }
}

@c @implementation
public func ltp_session_lost(
  _ session: UnsafeMutablePointer<ltp_session>!, _ now: UInt64, _ spreadMilliseconds: UInt32
) -> Int32 {
  withSession(session) { client in
    client.lost(spreadMilliseconds: spreadMilliseconds, now: time(now))
    return LTP_OK
  }
}
