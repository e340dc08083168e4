// SPDX-License-Identifier: Apache-2.0
// A page's handle: the mapping, and its end. Who is in a call with it is the latch's to know (Latch.swift).

import CLTP
import CLTPSystem
import LTPOrientation

/// Fixed while the handle lives, so that any thread may read it; what changes lies beside it (`Page`).
package struct PageState: ~Copyable {
  package let mapped: MappedPage
  package let isPublisher: Bool
  /// Nanoseconds; publishers' only.
  package let lease: UInt64

  static let bytes = 4096
  static let offset = 64
}

/// A handle: copies refer to the same page.
package struct Page {
  private let latch: Latch
  package let state: UnsafeMutablePointer<PageState>

  /// Held while publishing.
  private var mutex: UnsafeMutablePointer<ltp_system_mutex> { at(1024) }
  /// This handle's publications. Guarded by the mutex.
  package var publications: UnsafeMutablePointer<UInt64> { at(2048) }

  private func at<Value>(_ offset: Int) -> UnsafeMutablePointer<Value> {
    (latch.memory + offset).assumingMemoryBound(to: Value.self)
  }

  package static func open(_ mapped: MappedPage, isPublisher: Bool, lease: UInt64) -> Page? {
    guard let latch = Latch(.page, bytes: PageState.bytes) else { return nil }
    let page = Page(latch)
    page.state.initialize(to: PageState(mapped: mapped, isPublisher: isPublisher, lease: lease))
    ltp_system_mutex_init(page.mutex)
    latch.open()
    return page
  }

  package init(_ latch: Latch) {
    self.latch = latch
    state = (latch.memory + PageState.offset).assumingMemoryBound(to: PageState.self)
  }

  package var handle: OpaquePointer { latch.handle }

  package func withMutex<R>(_ body: () -> R) -> R {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    return body()
  }

  package func wakeWaiters() {
    ltp_system_shared_futex_wake_all(
      state.pointee.mapped.page.changes.assumingMemoryBound(to: UInt32.self))
  }

  package static func close(_ handle: OpaquePointer?) -> Int32 {
    let latch: Latch
    do throws(HandleFault) { latch = try .claimEmpty(.page, handle) } catch {
      // Closing ends at once: for whoever comes second it has ended.
      return error == .closing ? LTP_ERROR_BAD_HANDLE : error.status
    }
    Page(latch).state.pointee.mapped.release()
    latch.discardMemory()
    return LTP_OK
  }
}
