// SPDX-License-Identifier: Apache-2.0
// What a handle stands for, during one call.

import CLTP
import LTPCore

/// Calls `body` with the core of a handle, which stays open meanwhile, or returns the status that says why not.
func withCore(_ handle: OpaquePointer?, _ body: (Core) -> Int32) -> Int32 {
  let latch: Latch
  do throws(HandleFault) { latch = try .enter(.core, handle) } catch { return error.status }
  defer { latch.leave() }
  return body(Core(latch))
}

/// The same where the caller wants to be told in words.
func withCore<Details: ErrorDetails>(
  _ handle: OpaquePointer?, _ details: UnsafeMutablePointer<Details>?, _ body: (Core) -> Int32
) -> Int32 {
  let latch: Latch
  do throws(HandleFault) { latch = try .enter(.core, handle) } catch {
    return Details.report(details, error.status)
  }
  defer { latch.leave() }
  return body(Core(latch))
}

/// Calls `body` with the page of a handle, which stays open meanwhile.
func withPage(_ handle: OpaquePointer?, _ body: (Page) -> Int32) -> Int32 {
  guard let latch = try? Latch.enter(.page, handle) else { return LTP_ERROR_BAD_HANDLE }
  defer { latch.leave() }
  return body(Page(latch))
}
