// SPDX-License-Identifier: Apache-2.0
// ltp.h: the caller's side. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPClient
import LTPCore

@c @implementation
public func ltp_throttle_options_init(
  _ options: UnsafeMutablePointer<ltp_throttle_options>!, _ structSize: Int
) -> Int32 {
  let least = MemoryLayout<ltp_throttle_options>.size
  return writeSized(ltp_throttle_options.builtIn(), to: options, size: structSize, least: least)
}

@c @implementation
public func ltp_throttle_init(
  _ throttle: UnsafeMutablePointer<ltp_throttle>!, _ options: UnsafePointer<ltp_throttle_options>!
) -> Int32 {
  guard let throttle else { return LTP_ERROR_NULL_ARGUMENT }
  var given = ltp_throttle_options.builtIn()
  if let options {
    do throws(OptionFault) {
      given = try readSized(options, least: MemoryLayout<ltp_throttle_options>.size)
    } catch {
      return error.status
    }
  }
  guard given.fault == nil else { return LTP_ERROR_OPTION_RANGE }
  Throttle.initialize(throttle, given)
  return LTP_OK
}

/// The clock's time when the caller gives none.
func time(_ now: UInt64) -> UInt64 { now != 0 ? now : ltp_system_monotonic_ns() }

@c @implementation
public func ltp_throttle_request(_ throttle: UnsafeMutablePointer<ltp_throttle>!, _ now: UInt64) -> Int32 {
  guard let throttle else { return LTP_ERROR_NULL_ARGUMENT }
  guard let throttle = Throttle(throttle) else { return LTP_ERROR_BAD_HANDLE }
  return throttle.request(now: time(now)) ? LTP_OK : LTP_ERROR_THROTTLED
}

@c @implementation
public func ltp_throttle_accepted(_ throttle: UnsafeMutablePointer<ltp_throttle>!, _ now: UInt64) -> Int32 {
  guard let throttle else { return LTP_ERROR_NULL_ARGUMENT }
  guard let throttle = Throttle(throttle) else { return LTP_ERROR_BAD_HANDLE }
  throttle.accepted(now: time(now))
  return LTP_OK
}

@c @implementation
public func ltp_throttle_retry(_ throttle: UnsafeMutablePointer<ltp_throttle>!, _ now: UInt64) -> Int32 {
  guard let throttle else { return LTP_ERROR_NULL_ARGUMENT }
  guard let throttle = Throttle(throttle) else { return LTP_ERROR_BAD_HANDLE }
  return throttle.retry(now: time(now)) ? LTP_OK : LTP_ERROR_RETRY_BUDGET
}
