// SPDX-License-Identifier: Apache-2.0
// A page's handle: the mapping, and its end. Who is in a call with it is the gate's to know (Gate.swift).

import CLTP
import CLTPSystem
import LTPAdmission
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
  private let gate: Gate
  package let state: UnsafeMutablePointer<PageState>

  /// Held while publishing.
  private var mutex: UnsafeMutablePointer<ltp_system_mutex> { at(1024) }
  /// This handle's publications. Guarded by the mutex.
  package var publications: UnsafeMutablePointer<UInt64> { at(2048) }

  private func at<Value>(_ offset: Int) -> UnsafeMutablePointer<Value> {
    (gate.memory + offset).assumingMemoryBound(to: Value.self)
  }

  package static func open(_ mapped: MappedPage, isPublisher: Bool, lease: UInt64) -> Page? {
    guard let gate = Gate(.page, bytes: PageState.bytes) else { return nil }
    let page = Page(gate)
    page.state.initialize(to: PageState(mapped: mapped, isPublisher: isPublisher, lease: lease))
    ltp_system_mutex_init(page.mutex)
    gate.open()
    return page
  }

  package init(_ gate: Gate) {
    self.gate = gate
    state = (gate.memory + PageState.offset).assumingMemoryBound(to: PageState.self)
  }

  package var handle: OpaquePointer { gate.handle }

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
    let gate: Gate
    do throws(HandleFault) { gate = try .claimEmpty(.page, handle) } catch {
      // Closing ends at once: for whoever comes second it has ended.
      return error == .closing ? LTP_ERROR_BAD_HANDLE : error.status
    }
    Page(gate).state.pointee.mapped.release()
    gate.give()
    return LTP_OK
  }
}
