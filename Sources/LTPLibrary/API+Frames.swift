// SPDX-License-Identifier: Apache-2.0
// ltp.h: frames. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import LTPFrames

@c @implementation
public func ltp_frame_check(
  _ bytes: UnsafeRawPointer!, _ available: Int, _ details: UnsafeMutablePointer<ltp_frame_error>!
) -> Int32 {
  frameCheck(bytes, available: available, error: details)
}

@c @implementation
public func ltp_frame_init(
  _ bytes: UnsafeMutableRawPointer!, _ capacity: Int, _ type: UInt8, _ flags: UInt16
) -> Int32 {
  frameInit(bytes, capacity: capacity, type: type, flags: flags)
}

@c @implementation
public func ltp_response_write(
  _ request: UnsafeRawPointer!, _ available: Int, _ verdict: UnsafePointer<ltp_verdict>!,
  _ response: UnsafeMutablePointer<ltp_route_response>!
) -> Int32 {
  guard let verdict, let response else { return LTP_ERROR_NULL_ARGUMENT }
  do throws(FrameError) {
    let asked = try RouteRequestView(checking: request, available: available)
    var fields = ltp_route_response()
    fields.frame_id = asked.frameID
    fields.session_id = asked.sessionID
    fields.request_frame_id = asked.frameID
    fields.epoch = verdict.pointee.epoch
    // Of an EXECUTE, that is its permit.
    fields.retry_after_ms =
      verdict.pointee.verdict == LTP_VERDICT_EXECUTE ? 0 : verdict.pointee.retry_after_ms
    fields.policy_generation = verdict.pointee.policy_generation
    fields.verdict = verdict.pointee.verdict
    fields.reason = verdict.pointee.reason
    fields.state = verdict.pointee.state
    fields.commitment = verdict.pointee.commitment
    _ = try RouteResponseView.write(
      fields, into: UnsafeMutableRawPointer(response), capacity: MemoryLayout<ltp_route_response>.size)
    return LTP_OK
  } catch {
    return error.status
  }
}
