// SPDX-License-Identifier: Apache-2.0
// A value behind the C library's mutex.
//
// Not the Synchronization module's: what that does when threads meet lies in a library that the thread sanitizer does not
// see, so it took guarded accesses for a race.

import CLTPSystem

final class Guarded<Value>: @unchecked Sendable {
  private var value: Value
  private let mutex = UnsafeMutablePointer<ltp_system_mutex>.allocate(capacity: 1)

  init(_ value: Value) {
    self.value = value
    ltp_system_mutex_init(mutex)
  }

  deinit { mutex.deallocate() }

  /// Calls `body` while no other thread is in a call of this. Not from within `body`.
  func withLock<Answer>(_ body: (inout Value) -> Answer) -> Answer {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    return body(&value)
  }
}
