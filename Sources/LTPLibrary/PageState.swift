// SPDX-License-Identifier: Apache-2.0
// A page's handle: the mapping, who is in a call with it, and its end. As with cores, the memory of a closed handle
// reads as zeros, and so it does in a child after fork.

import CLTP
import CLTPSystem
import LTPAdmission

/// Fixed while the handle lives, so that any thread may read it; what changes lies beside it (`Page`).
struct PageState: ~Copyable {
  var magic: UInt64
  let mapped: MappedPage
  let isPublisher: Bool
  /// Nanoseconds; publishers' only.
  let lease: UInt64

  static let bytes = 4096
  static var live: UInt64 { 0x5041_4745_4C49_5645 }
}

/// A handle: copies refer to the same page. Whoever gets one by `entering` leaves it again.
struct Page {
  let state: UnsafeMutablePointer<PageState>

  /// Held while publishing.
  private var mutex: UnsafeMutablePointer<ltp_system_mutex> { at(1024) }
  /// This handle's publications. Guarded by the mutex.
  var publications: UnsafeMutablePointer<UInt64> { at(2048) }
  /// Calls under way. Under the handles' lock.
  private var users: UnsafeMutablePointer<Int> { at(3072) }

  private func at<Value>(_ offset: Int) -> UnsafeMutablePointer<Value> {
    (UnsafeMutableRawPointer(state) + offset).assumingMemoryBound(to: Value.self)
  }

  static func open(_ mapped: MappedPage, isPublisher: Bool, lease: UInt64) -> Page? {
    guard let memory = ltp_system_handle_take(LTP_SYSTEM_HANDLE_PAGE, PageState.bytes) else { return nil }
    let page = Page(state: memory.bindMemory(to: PageState.self, capacity: 1))
    page.state.initialize(
      to: PageState(magic: PageState.live, mapped: mapped, isPublisher: isPublisher, lease: lease))
    ltp_system_mutex_init(page.mutex)
    return page
  }

  private init(state: UnsafeMutablePointer<PageState>) { self.state = state }

  private init?(live handle: OpaquePointer?) {
    guard let handle, UInt(bitPattern: handle) % 4096 == 0 else { return nil }
    state = UnsafeMutablePointer(handle)
    guard state.pointee.magic == PageState.live else { return nil }
  }

  /// Begins a call. Nil when the handle is not a page's, or is closed, or comes from before a fork.
  init?(entering handle: OpaquePointer?) {
    // Looked at without the mutex first: a child may have it locked for ever, and has zeros here.
    guard Page(live: handle) != nil else { return nil }
    ltp_system_handles_lock()
    defer { ltp_system_handles_unlock() }
    self.init(live: handle)
    users.pointee += 1
  }

  func leave() {
    ltp_system_handles_lock()
    users.pointee -= 1
    ltp_system_handles_unlock()
  }

  var handle: OpaquePointer { OpaquePointer(state) }

  func withMutex<R>(_ body: () -> R) -> R {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    return body()
  }

  func wakeWaiters() {
    ltp_system_shared_futex_wake_all(
      state.pointee.mapped.page.changes.assumingMemoryBound(to: UInt32.self))
  }

  static func close(_ handle: OpaquePointer?) -> Int32 {
    guard Page(live: handle) != nil else { return LTP_ERROR_BAD_HANDLE }
    ltp_system_handles_lock()
    defer { ltp_system_handles_unlock() }
    guard let page = Page(live: handle) else { return LTP_ERROR_BAD_HANDLE }
    guard page.users.pointee == 0 else { return LTP_ERROR_IN_USE }
    page.state.pointee.magic = 0
    page.state.pointee.mapped.release()
    ltp_system_handle_give(LTP_SYSTEM_HANDLE_PAGE, page.state, PageState.bytes)
    return LTP_OK
  }
}
