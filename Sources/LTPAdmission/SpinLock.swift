// SPDX-License-Identifier: Apache-2.0
// A lock for what takes a fraction of a microsecond and is rarely wanted by two at once. In memory that the core owns, so
// that it needs no end of its own.

import CLTPSystem
import Synchronization

public struct SpinLock: ~Copyable {
  /// 1: somebody is in.
  private let word = Atomic<UInt32>(0)

  public init() {}

  /// Waits, and sleeps after a while: whoever is in may have lost its processor.
  public borrowing func enter() {
    var spins = 0
    while word.exchange(1, ordering: .acquiring) != 0 {
      spins += 1
      if spins < 64 { ltp_system_pause() } else { ltp_system_sleep_ns(20_000) }
    }
  }

  public borrowing func leave() { word.store(0, ordering: .releasing) }
}
