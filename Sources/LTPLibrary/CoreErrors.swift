// SPDX-License-Identifier: Apache-2.0
// ltp_error and ltp_policy_error, filled in.

import CLTP
import CLTPSystem
import LTPAdmission
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
  error.pointee.action_class = LTP_CLASS_NONE
  error.pointee.state = UInt8(LTP_STATE_COUNT)
  withUnsafeMutableBytes(of: &error.pointee.message) { bytes in
    var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
    message.append(statusText(status))
  }
  return status
}

/// Every status in words that say what to do.
func statusText(_ status: Int32) -> StaticString {
  switch status {
  case LTP_OK: "done"
  case LTP_ERROR_NULL_ARGUMENT: "an argument that must not be NULL is NULL"
  case LTP_ERROR_STRUCT_SIZE: "struct_size is wrong; call the structure's init function first"
  case LTP_ERROR_OPTION_RANGE: "an option is out of range; ltp.h says the ranges"
  case LTP_ERROR_BAD_HANDLE: "not a live handle: closed already, or used in a child after fork"
  case LTP_ERROR_LANES_MAX: "all lanes are in use; close one, or raise options.lanes_max"
  case LTP_ERROR_LANES_OPEN: "lanes are still open; close each, then close the core again"
  case LTP_ERROR_CLOSING: "the core is closing, or another thread closes it just now"
  case LTP_ERROR_TIMED_OUT: "timed out; the work goes on, wait again"
  case LTP_ERROR_NO_MEMORY: "out of memory"
  case LTP_ERROR_THREAD: "a background thread could not be started; raise the limit (ulimit -u)"
  case LTP_ERROR_PERMIT: "no such permit is out: released already, expired, or taken from another lane"
  case LTP_ERROR_POLICY_LIMITS: "the policy's limits are out of range, or contradict one another"
  case LTP_ERROR_TEXT_TOO_LONG: "the text is longer than 115 bytes"
  case LTP_ERROR_TEXTS_MAX: "1,024 texts are interned already; intern names, not values"
  case LTP_ERROR_UNKNOWN_STATE: "not one of LTP_STATE_*"
  case LTP_ERROR_UNKNOWN_SIGNAL: "not a signal that a host may publish (LTP_SIGNAL_*)"
  case LTP_ERROR_EVIDENCE_COUNT: "evidence_count is more than LTP_EVIDENCE_MAX"
  case LTP_ERROR_EXHAUSTED: "a number that must not repeat in a log has run out; start a new trace"
  case LTP_ERROR_BACKPRESSURE: "the trace cannot take it just now; nothing was changed, try again"
  case LTP_ERROR_SEQUENCE_AHEAD: "no record has this sequence yet"
  case LTP_ERROR_BUFFER_TOO_SMALL: "the buffer is too small"
  case LTP_ERROR_IN_USE: "another thread is in a call with this handle, or polls; let it end that first"
  case LTP_ERROR_OBSERVING: "this core orients itself; push signals, or force a state"
  case LTP_ERROR_NOT_OBSERVING: "this core does not orient itself; open it with signal rules"
  case LTP_ERROR_SIGNAL_RULES: "the signal rules are malformed"
  case LTP_ERROR_SIGNAL_VALUE: "a signal's value is below zero"
  case LTP_ERROR_PRESSURE:
    "/proc/pressure (boot with psi=1), or the control group's memory, cannot be read here; leave its LTP_OBSERVE_* out"
  case LTP_ERROR_THROTTLED: "the server denies too much: treat this request as denied"
  case LTP_ERROR_RETRY_BUDGET: "the retry budget is spent: do not try it again"
  case LTP_ERROR_NOT_HOST_DRIVEN: "this core has threads of its own; open it with LTP_OPEN_HOST_DRIVEN"
  case LTP_ERROR_FRAME_SHORT: "the frame is cut short"
  case LTP_ERROR_FRAME_MAGIC: "not a frame: it does not begin with \"LT\""
  case LTP_ERROR_FRAME_VERSION: "a protocol version that is not spoken here"
  case LTP_ERROR_FRAME_TYPE: "not a frame type that is known, or not the one that is wanted here"
  case LTP_ERROR_FRAME_SIZE: "size_bytes is not the size that type and flags call for"
  case LTP_ERROR_FRAME_FLAGS: "unknown flag"
  case LTP_ERROR_FRAME_RESERVED: "reserved bytes are not zero"
  case LTP_ERROR_FRAME_RANGE: "a field is out of range, or contradicts another"
  case LTP_ERROR_POLICY_VERSION: "a policy version that this library does not know"
  case LTP_ERROR_POLICY_CLASS: "an action class is malformed"
  case LTP_ERROR_POLICY_RULE: "a rule is malformed"
  case LTP_ERROR_POLICY_NEVER_1: "never list, 1: a critical action would be EXECUTEd while FAILED"
  case LTP_ERROR_POLICY_NEVER_2: "never list, 2: continuity would be waived while RECOVERING"
  case LTP_ERROR_POLICY_NEVER_3: "never list, 3: UNKNOWN would pass as healthy"
  case LTP_ERROR_TRACE_DIRECTORY: "the trace directory cannot be opened; create it first"
  case LTP_ERROR_TRACE_READ_ONLY: "the trace directory may not be written"
  case LTP_ERROR_TRACE_LOCKED: "another process writes this trace"
  case LTP_ERROR_TRACE_FOREIGN: "a part of another log lies in the trace directory; move it away"
  case LTP_ERROR_TRACE_VERSION: "the trace was written in a format that this library does not know"
  case LTP_ERROR_TRACE_CORRUPT: "the trace is damaged; run: ltp inspect verify DIR"
  case LTP_ERROR_TRACE_LOST: "acknowledged records are gone from the trace; run: ltp inspect verify DIR"
  case LTP_ERROR_TRACE_NO_SPACE: "no space is left for the trace; free some, then open it again"
  case LTP_ERROR_TRACE_IO: "writing the trace failed; it takes no more records: open it again"
  case LTP_ERROR_TRACE_DESCRIPTORS: "no file descriptor is left; raise the limit (ulimit -n)"
  case LTP_ERROR_STORAGE_UNAVAILABLE: "the storage asked for cannot be had here; use LTP_STORAGE_AUTO"
  case LTP_ERROR_PAGE_FILE: "the orientation page's file cannot be used"
  case LTP_ERROR_PAGE_FORMAT:
    "not an orientation page, or not yet; if it should be one, remove it, publish, and open it again"
  case LTP_ERROR_PAGE_VERSION: "an orientation page of a version that this library does not know"
  case LTP_ERROR_PAGE_OWNER: "the orientation page belongs to another user; only its owner publishes in it"
  case LTP_ERROR_PAGE_WRITABLE: "others may write the orientation page; run: chmod go-w FILE"
  case LTP_ERROR_PAGE_LOCKED: "another process publishes in this orientation page"
  case LTP_ERROR_PAGE_READ_ONLY: "this handle only reads the orientation page"
  case LTP_ERROR_PAGE_FOLLOWED: "this core follows an orientation page; publish there"
  case LTP_ERROR_PAGE_UNPUBLISHED: "nothing was published by this handle yet; publish, then renew"
  default: "unknown status"
  }
}
