// SPDX-License-Identifier: Apache-2.0
// What a caller passes, copied before it is looked at: another thread, or another process that shares the memory, may
// change it at any time. What is checked, compiled and stored is the copy, and nothing reads the original again.

import CLTP
import CLTPSystem
import LTPCore

/// Calls `body` with a copy of the caller's policy.
func withCopy<Details: ErrorDetails>(
  of policy: UnsafePointer<ltp_policy>, _ details: UnsafeMutablePointer<Details>?,
  _ body: (UnsafePointer<ltp_policy>) -> Int32
) -> Int32 {
  withPolicyMemory(details) { copy in
    ltp_system_copy(copy, policy, MemoryLayout<ltp_policy>.size)
    return body(copy)
  }
}

/// Calls `body` with zeroed memory for a policy: it is too large for a stack.
func withPolicyMemory<Details: ErrorDetails>(
  _ details: UnsafeMutablePointer<Details>?, _ body: (UnsafeMutablePointer<ltp_policy>) -> Int32
) -> Int32 {
  let bytes = MemoryLayout<ltp_policy>.size
  guard let memory = ltp_system_map(bytes, 0) else { return Details.report(details, LTP_ERROR_NO_MEMORY) }
  defer { ltp_system_unmap(memory, bytes) }
  return body(memory.bindMemory(to: ltp_policy.self, capacity: 1))
}

/// Calls `body` with a copy of as much of the caller's frame as any frame can have.
func withCopy(
  ofFrame bytes: UnsafeRawPointer?, available: Int, _ body: (UnsafeRawPointer?, Int) -> Int32
) -> Int32 {
  guard let bytes, available > 0 else { return body(bytes, available) }
  let count = min(available, Int(LTP_FRAME_BYTES_MAX))
  return withUnsafeTemporaryAllocation(byteCount: Int(LTP_FRAME_BYTES_MAX), alignment: 8) { buffer in
    ltp_system_copy(buffer.baseAddress!, bytes, count)
    return body(UnsafeRawPointer(buffer.baseAddress!), count)
  }
}

/// Calls `body` with a copy of the caller's path. `tooLong`: the status for one that the system would not take.
func withCopy(
  ofPath path: UnsafePointer<CChar>, tooLong: Int32, _ details: UnsafeMutablePointer<ltp_error>?,
  _ body: (UnsafePointer<CChar>) -> Int32
) -> Int32 {
  // The system's longest, with its zero.
  let capacity = 4096
  guard let memory = ltp_system_map(capacity, 0) else { return report(details, LTP_ERROR_NO_MEMORY) }
  defer { ltp_system_unmap(memory, capacity) }
  let copy = memory.bindMemory(to: CChar.self, capacity: capacity)
  guard ltp_system_copy_text(copy, path, capacity) < capacity else {
    return report(details, tooLong, code: LTP_SYSTEM_ENAMETOOLONG)
  }
  return body(copy)
}

/// Calls `body` with a copy of a text of at most LTP_TEXT_BYTES_MAX bytes, zero-terminated, and its length.
func withCopy(ofText text: UnsafePointer<CChar>, _ body: (UnsafePointer<CChar>, Int) -> Int32) -> Int32 {
  let capacity = Int(LTP_TEXT_BYTES_MAX) + 1
  return withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
    let length = ltp_system_copy_text(buffer.baseAddress!, text, capacity)
    guard length < capacity else { return LTP_ERROR_TEXT_TOO_LONG }
    return body(UnsafePointer(buffer.baseAddress!), length)
  }
}
