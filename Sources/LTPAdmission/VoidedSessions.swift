// SPDX-License-Identifier: Apache-2.0
// Sessions whose lives the host has ended: no table of them, but counts by a hash. A token is bound to its session's count, so that one
// more voids every token of the count before. Other sessions with the same hash have to shake hands as well; none is ever let in
// that was voided. Counts are never given back, and need not be: a new token is bound to the new one.

public import Synchronization

/// A handle: copies refer to the same counts, whose memory the core owns.
@frozen
public struct VoidedSessions {
  /// 256 KiB, of which only what is ever voided takes memory.
  @usableFromInline static var placeBits: UInt64 { 16 }
  public static var memoryBytes: Int { 4 << Int(placeBits) }

  @usableFromInline let counts: UnsafeMutablePointer<Atomic<UInt32>>

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer) {
    counts = memory.bindMemory(to: Atomic<UInt32>.self, capacity: 1 << Int(Self.placeBits))
  }

  @inlinable
  @inline(__always)
  func place(_ sessionID: UInt64) -> UnsafeMutablePointer<Atomic<UInt32>> {
    counts + Int(truncatingIfNeeded: (sessionID &* 0x9E37_79B9_7F4A_7C15) &>> (64 &- Self.placeBits))
  }

  /// What the session's tokens are bound to.
  @inlinable
  @inline(__always)
  func count(_ sessionID: UInt64) -> UInt32 { place(sessionID).pointee.load(ordering: .acquiring) }

  func void(_ sessionID: UInt64) {
    place(sessionID).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
  }
}
