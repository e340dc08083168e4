// SPDX-License-Identifier: Apache-2.0
// The end of a lane: its owner closes it, the writer takes what is left and dismisses it, and only then may its
// memory go back.

import CLTP
import Synchronization

extension Lane {
  private static let closing: UInt32 = 1
  private static let dismissed: UInt32 = 2

  /// The owner gives the lane up. What it denied without a record is said now if the trace has room.
  public func close() {
    if state.pointee.unrecorded.first != nil { _ = settle() }
    state.pointee.closing.store(Self.closing, ordering: .releasing)
  }

  public var isClosing: Bool { state.pointee.closing.load(ordering: .acquiring) == Self.closing }

  /// The writer has made everything that the lane wrote durable, and will not look at it again.
  public func dismiss() { state.pointee.closing.store(Self.dismissed, ordering: .releasing) }

  public var isDismissed: Bool { state.pointee.closing.load(ordering: .acquiring) == Self.dismissed }
}
