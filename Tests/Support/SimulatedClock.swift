// SPDX-License-Identifier: Apache-2.0
// Time in a test, in nanoseconds.

package let second: UInt64 = 1_000_000_000
package let millisecond: UInt64 = 1_000_000

/// The simulated disk's time, or fixed steps over real storage.
package final class SimulatedClock {
  private let disk: SimulatedDisk?
  private var time: UInt64 = 1_000_000_000
  /// What the realtime clock is ahead of the monotonic one.
  package var unixOffset: UInt64 = 1_700_000_000_000_000_000

  package init(_ disk: SimulatedDisk? = nil) { self.disk = disk }

  package var monotonic: UInt64 { disk?.now ?? time }
  package var unix: UInt64 { monotonic &+ unixOffset }

  package func advance(_ nanoseconds: UInt64) {
    if let disk { disk.now += nanoseconds } else { time += nanoseconds }
  }
}
