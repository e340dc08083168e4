// SPDX-License-Identifier: Apache-2.0
// A page's handle: the mapping, and its end. Who is in a call with it is the gate's to know (Gate.swift).

import CLTP
import CLTPSystem
import LTPAdmission
import LTPOrientation

/// Fixed while the handle lives, so that any thread may read it; what changes lies beside it (`Page`).
struct PageState: ~Copyable {
  let mapped: MappedPage
  let isPublisher: Bool
  /// Nanoseconds; publishers' only.
  let lease: UInt64

  static let bytes = 4096
  static let offset = 64
}

/// A handle: copies refer to the same page.
struct Page {
  private let gate: Gate
  let state: UnsafeMutablePointer<PageState>

  /// Held while publishing.
  private var mutex: UnsafeMutablePointer<ltp_system_mutex> { at(1024) }
  /// This handle's publications. Guarded by the mutex.
  var publications: UnsafeMutablePointer<UInt64> { at(2048) }

  private func at<Value>(_ offset: Int) -> UnsafeMutablePointer<Value> {
    (gate.memory + offset).assumingMemoryBound(to: Value.self)
  }

  static func open(_ mapped: MappedPage, isPublisher: Bool, lease: UInt64) -> Page? {
    guard let gate = Gate(.page, bytes: PageState.bytes) else { return nil }
    let page = Page(gate)
    page.state.initialize(to: PageState(mapped: mapped, isPublisher: isPublisher, lease: lease))
    ltp_system_mutex_init(page.mutex)
    gate.open()
    return page
  }

  fileprivate init(_ gate: Gate) {
    self.gate = gate
    state = (gate.memory + PageState.offset).assumingMemoryBound(to: PageState.self)
  }

  var handle: OpaquePointer { gate.handle }

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

/// Calls `body` with the page of a handle, which stays open meanwhile.
func withPage(_ handle: OpaquePointer?, _ body: (Page) -> Int32) -> Int32 {
  guard let gate = try? Gate.enter(.page, handle) else { return LTP_ERROR_BAD_HANDLE }
  defer { gate.leave() }
  return body(Page(gate))
}
