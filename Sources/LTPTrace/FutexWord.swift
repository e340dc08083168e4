// SPDX-License-Identifier: Apache-2.0
// Sleeping on a 32-bit atomic word.

import CLTPSystem
public import Synchronization

public enum FutexWord {
  /// Sleeps while the word is `expected`, for at most this long. May return early.
  public static func wait(
    _ word: UnsafeMutablePointer<Atomic<UInt32>>, expected: UInt32, timeoutNanoseconds: UInt64
  ) {
    _ = ltp_system_futex_wait(
      UnsafeMutableRawPointer(word).assumingMemoryBound(to: UInt32.self), expected, timeoutNanoseconds)
  }

  public static func wakeOne(_ word: UnsafeMutablePointer<Atomic<UInt32>>) {
    ltp_system_futex_wake_one(UnsafeMutableRawPointer(word).assumingMemoryBound(to: UInt32.self))
  }

  public static func wakeAll(_ word: UnsafeMutablePointer<Atomic<UInt32>>) {
    ltp_system_futex_wake_all(UnsafeMutableRawPointer(word).assumingMemoryBound(to: UInt32.self))
  }
}
