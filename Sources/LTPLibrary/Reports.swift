// SPDX-License-Identifier: Apache-2.0
// What a call tells in words: ltp_error and ltp_policy_error, filled in.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPRecords
import LTPRules
import LTPStorage
import LTPTrace

/// Writes the caller's error, if it asked for one, and returns the status.
func report(
  _ error: UnsafeMutablePointer<ltp_error>?, _ status: Int32, code: Int32 = 0, segment: UInt64 = 0,
  offset: UInt64 = 0, block: UInt64 = 0, text: StaticString? = nil
) -> Int32 {
  guard let error else { return status }
  error.pointee = ltp_error()
  error.pointee.status = status
  error.pointee.system_error = code
  error.pointee.segment = segment
  error.pointee.offset = offset
  error.pointee.block_index = block
  withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
    message.append(text ?? statusText(status))
    if segment != 0 || offset != 0 || block != 0 {
      message.append(" (segment ")
      message.append(segment)
      message.append(", offset ")
      message.append(offset)
      message.append(", block ")
      message.append(block)
      message.append(")")
    }
    if code != 0 {
      message.append(": ")
      message.append(ltp_system_error_text(code))
    }
  }
  return status
}

func report(_ error: UnsafeMutablePointer<ltp_error>?, fault: OpenFault) -> Int32 {
  report(
    error, fault.status, code: fault.code, segment: fault.segment, offset: fault.offset, block: fault.block,
    text: fault.text)
}

func report(_ error: UnsafeMutablePointer<ltp_error>?, fault: OptionFault) -> Int32 {
  let status = report(error, fault.status, text: fault.text)
  guard fault.signal != LTP_SIGNAL_NONE, let error else { return status }
  withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
    message.append(signalName(fault.signal))
    message.append(": ")
    message.append(fault.text)
  }
  return status
}

func report(_ error: UnsafeMutablePointer<ltp_error>?, fault: CloseFault) -> Int32 {
  guard let lostFrom = fault.lostFrom else { return report(error, fault.status) }
  return report(
    error, fault.status, code: fault.code, block: lostFrom,
    text: "closed, but records from this block on are not durable")
}

func report(_ error: UnsafeMutablePointer<ltp_error>?, fault: PageFault) -> Int32 {
  report(error, fault.status, code: fault.code)
}

/// What a call tells in words, if its caller wants that.
protocol ErrorDetails {
  static func report(_ details: UnsafeMutablePointer<Self>?, _ status: Int32) -> Int32
}

extension ltp_error: ErrorDetails {
  static func report(_ details: UnsafeMutablePointer<ltp_error>?, _ status: Int32) -> Int32 {
    LTPLibrary.report(details, status)
  }
}

extension ltp_policy_error: ErrorDetails {
  static func report(_ details: UnsafeMutablePointer<ltp_policy_error>?, _ status: Int32) -> Int32 {
    LTPLibrary.report(details, status)
  }
}

/// A refused policy, told through the error of the call that was to load it.
func report(
  _ error: UnsafeMutablePointer<ltp_error>?, refusal: PolicyRefusal, policy: UnsafePointer<ltp_policy>
) -> Int32 {
  guard let error else { return refusal.status }
  error.pointee = ltp_error()
  error.pointee.status = refusal.status
  withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
    refusal.describe(in: &message, policy: policy)
  }
  return refusal.status
}

func report(
  _ error: UnsafeMutablePointer<ltp_policy_error>?, refusal: PolicyRefusal,
  policy: UnsafePointer<ltp_policy>?
) -> Int32 {
  guard let error else { return refusal.status }
  error.pointee = ltp_policy_error()
  error.pointee.status = refusal.status
  error.pointee.action_class = refusal.actionClass
  error.pointee.state = refusal.state
  error.pointee.signal = refusal.signal
  withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
    refusal.describe(in: &message, policy: policy)
  }
  return refusal.status
}

func report(_ error: UnsafeMutablePointer<ltp_policy_error>?, _ status: Int32) -> Int32 {
  guard let error else { return status }
  error.pointee = ltp_policy_error()
  error.pointee.status = status
  error.pointee.action_class = UInt16(LTP_CLASS_NONE)
  error.pointee.state = UInt8(LTP_STATE_COUNT)
  withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
    message.append(statusText(status))
  }
  return status
}
