// SPDX-License-Identifier: Apache-2.0
// ltp.h: frames. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import LTPCore
import LTPFrames

@c @implementation
public func ltp_frame_check(
  _ bytes: UnsafeRawPointer!, _ available: Int, _ details: UnsafeMutablePointer<ltp_frame_error>!
) -> Int32 {
  withCopy(ofFrame: bytes, available: available) { frameCheck($0, available: $1, error: details) }
}

@c @implementation
public func ltp_frame_init(
  _ bytes: UnsafeMutableRawPointer!, _ capacity: Int, _ type: UInt8, _ flags: UInt16
) -> Int32 {
  frameInit(bytes, capacity: capacity, type: type, flags: flags)
}

@c @implementation
public func ltp_request_restrict(
  _ request: UnsafeMutablePointer<ltp_route_request>!, _ vouched: UnsafePointer<ltp_vouched>!
) -> Int32 {
  guard let request, vouched != nil else { return LTP_ERROR_NULL_ARGUMENT }
  let known = copied(vouched, as: ltp_vouched.self)
  guard known.flags & ~LTP_VOUCHED_ALL == 0, known.reserved == 0 else { return LTP_ERROR_OPTION_RANGE }
  if known.flags & LTP_VOUCHED_SESSION != 0 { request.pointee.session_id = known.session_id }
  if known.flags & LTP_VOUCHED_TENANT != 0 { request.pointee.tenant_id = known.tenant_id }
  if known.flags & LTP_VOUCHED_COHORT != 0 { request.pointee.cohort = known.cohort }
  if known.flags & LTP_VOUCHED_DOMAIN != 0 { request.pointee.domain = known.domain }
  request.pointee.priority = min(request.pointee.priority, known.priority_max)
  request.pointee.cost = max(request.pointee.cost, known.cost_min)
  return LTP_OK
}

@c @implementation
public func ltp_response_write(
  _ request: UnsafeRawPointer!, _ available: Int, _ verdict: UnsafePointer<ltp_verdict>!,
  _ response: UnsafeMutablePointer<ltp_route_response>!
) -> Int32 {
  guard let verdict, let response else { return LTP_ERROR_NULL_ARGUMENT }
  let decided = copied(verdict, as: ltp_verdict.self)
  return withCopy(ofFrame: request, available: available) { request, available in
    do throws(FrameError) {
      let asked = try RouteRequestView(checking: request, available: available)
      _ = try RouteResponseView.write(
        responseFields(to: asked, decided), into: UnsafeMutableRawPointer(response),
        capacity: MemoryLayout<ltp_route_response>.size)
      return LTP_OK
    } catch {
      return error.status
    }
  }
}

private func responseFields(to asked: RouteRequestView, _ verdict: ltp_verdict) -> ltp_route_response {
  var fields = ltp_route_response()
  fields.frame_id = asked.frameID
  fields.session_id = asked.sessionID
  fields.request_frame_id = asked.frameID
  fields.epoch = verdict.epoch
  // Of an EXECUTE, that is its permit.
  fields.retry_after_ms = verdict.verdict == LTP_VERDICT_EXECUTE ? 0 : verdict.retry_after_ms
  fields.policy_generation = verdict.policy_generation
  fields.verdict = verdict.verdict
  fields.reason = verdict.reason
  fields.state = verdict.state
  fields.commitment = verdict.commitment
  fields.domain = asked.domain
  fields.next_step = nextStep(verdict)
  return fields
}

/// What the sender of a request with this verdict should do: LTP_NEXT_*.
private func nextStep(_ verdict: ltp_verdict) -> UInt8 {
  guard verdict.verdict == LTP_VERDICT_DENY else { return LTP_NEXT_NONE }
  return switch verdict.reason {
  case LTP_REASON_REHANDSHAKE_REQUIRED, LTP_REASON_CONTINUITY_FORGED, LTP_REASON_OTHER_INCARNATION:
    LTP_NEXT_REHANDSHAKE
  case LTP_REASON_STALE_INTENT: LTP_NEXT_RESYNC
  case LTP_REASON_POLICY_FORBIDS, LTP_REASON_DEADLINE_EXCEEDED, LTP_REASON_MALFORMED_FRAME,
    LTP_REASON_UNKNOWN_ACTION_CLASS, LTP_REASON_ALREADY_REPLAYED:
    LTP_NEXT_GIVE_UP
  default: LTP_NEXT_WAIT
  }
}
