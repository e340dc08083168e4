// SPDX-License-Identifier: Apache-2.0
// Handles: which one is good, who is in a call with it, and who closes it. The words are ltp_system.h's.

import CLTP
import CLTPSystem

/// A handle's latch: copies refer to the same one. It outlives the handle's memory.
package struct Latch {
  package enum Kind {
    case lane, core, page

    fileprivate var number: Int32 {
      switch self {
      case .lane: LTP_SYSTEM_HANDLE_LANE
      case .core: LTP_SYSTEM_HANDLE_CORE
      case .page: LTP_SYSTEM_HANDLE_PAGE
      }
    }
  }

  private let pointer: OpaquePointer

  private init(_ pointer: OpaquePointer) { self.pointer = pointer }

  /// Zeroed memory under a new handle, which is good once the latch is opened. Nil: there is no memory.
  init?(_ kind: Kind, bytes: Int) {
    guard let pointer = ltp_system_latch_take_memory(kind.number, bytes) else { return nil }
    self.pointer = pointer
  }

  /// The latch of memory whose handle is good, or was and has not been given back.
  init(of memory: UnsafeMutableRawPointer) {
    pointer = memory.assumingMemoryBound(to: ltp_system_handle_head.self).pointee.latch
  }

  package var memory: UnsafeMutableRawPointer { ltp_system_latch_memory(pointer) }
  package var handle: OpaquePointer { OpaquePointer(ltp_system_latch_handle(pointer)) }

  func open() { ltp_system_latch_open(pointer) }

  /// Discards the memory. Nobody is in a call, and the handle is never good again.
  func discardMemory() { ltp_system_latch_discard_memory(pointer) }

  // MARK: Calls

  /// Begins a call, which `leave` ends.
  package static func enter(_ kind: Kind, _ handle: OpaquePointer?) throws(HandleFault) -> Latch {
    try found(kind, handle, ltp_system_latch_enter)
  }

  package func leave() { ltp_system_latch_leave(pointer) }

  // MARK: Closing

  /// Begins to close: one thread does at a time. Others may still enter.
  package static func claim(_ kind: Kind, _ handle: OpaquePointer?) throws(HandleFault) -> Latch {
    try found(kind, handle, ltp_system_latch_claim)
  }

  /// Begins to close where nobody is in a call, and lets nobody in.
  static func claimEmpty(_ kind: Kind, _ handle: OpaquePointer?) throws(HandleFault) -> Latch {
    try found(kind, handle, ltp_system_latch_claim_empty)
  }

  /// Closes no more; the latch is open.
  func unclaim() { ltp_system_latch_unclaim(pointer) }

  /// Nobody enters any more.
  func shut() { ltp_system_latch_shut(pointer) }
  func reopen() { ltp_system_latch_reopen(pointer) }
  package var isShut: Bool { ltp_system_latch_is_shut(pointer) != 0 }

  /// Shuts the latch and takes the handle's mark away.
  func hide() {
    shut()
    ltp_system_latch_hide(pointer)
  }

  var isEmpty: Bool { ltp_system_latch_users(pointer) == 0 }

  /// Waits until whoever is in a call has left a shut latch.
  func waitUntilEmpty() {
    while !isEmpty { ltp_system_latch_wait(pointer, 100_000_000) }
  }

  private static func found(
    _ kind: Kind, _ handle: OpaquePointer?,
    _ step: (Int32, UnsafeRawPointer?, UnsafeMutablePointer<OpaquePointer?>?) -> Int32
  ) throws(HandleFault) -> Latch {
    var latch: OpaquePointer?
    let result = step(kind.number, handle.map { UnsafeRawPointer($0) }, &latch)
    guard result == 0, let latch else { throw HandleFault(result) }
    return Latch(latch)
  }
}

/// Why a handle cannot be used.
package enum HandleFault: Error {
  case bad
  case closing
  case inUse

  fileprivate init(_ result: Int32) {
    switch result {
    case -LTP_SYSTEM_ESHUTDOWN: self = .closing
    case -LTP_SYSTEM_EBUSY: self = .inUse
    default: self = .bad
    }
  }

  package var status: Int32 {
    switch self {
    case .bad: LTP_ERROR_BAD_HANDLE
    case .closing: LTP_ERROR_CLOSING
    case .inUse: LTP_ERROR_IN_USE
    }
  }
}
