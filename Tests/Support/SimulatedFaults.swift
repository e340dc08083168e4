// SPDX-License-Identifier: Apache-2.0
// What goes wrong on a simulated disk, and when.

import CLTPSystem

/// The calls of the storage seam, as faults name them. Blocks, zeros and syncs of segments go by their completions.
package enum SimulatedCall: Int, CaseIterable {
  case list, open, create, lock, size, read, write, truncate, sync, syncDirectory, rename, remove
  case blockWrite, zeroWrite, segmentSync
}

/// The `nth` use of a call (from 1) and those after it, `times` in all, fail with `code`.
package struct PlannedFault {
  package var call: SimulatedCall
  package var nth: Int
  package var code: Int32
  package var times = 1

  package init(call: SimulatedCall, nth: Int, code: Int32, times: Int = 1) {
    self.call = call
    self.nth = nth
    self.code = code
    self.times = times
  }
}

/// A bug planted in the storage, which the checker must find.
package enum PlantedBug: CaseIterable {
  /// Says that a durable write is complete while the data is still in a volatile cache.
  case acknowledgesVolatileData
  /// Says that a durable write is complete before the device has begun it.
  case acknowledgesBeforeCompletion
  /// A durable write fails and its data is gone; the "retry" says success.
  case retriesFailedSync
  /// The file "durable" is one block ahead of the data.
  case watermarkAhead
  /// A block gets another previous hash, and a block hash that agrees with it.
  case forgesPreviousHash
  /// A record is changed after it was issued, before it is hashed again.
  case changesRecord
  /// Recovery's sync does nothing.
  case skipsSync
}

package struct SimulatedFaults {
  /// Operations under way at most; `start` returns false beyond it.
  package var queueDepth = 64
  package var delayNanosecondsMax = 3_000_000
  /// Once in so many completions; 0: never.
  package var passingErrorOneIn = 0
  package var shortWriteOneIn = 0
  /// Short writes end anywhere, not only between sectors.
  package var shortWritesAreOdd = false
  package var registersMemory = true
  /// No completion before this time.
  package var stalledUntil: UInt64 = 0
  /// How many tries of the directory's lock fail first.
  package var lockTriesRefused = 0
  package var planned: [PlannedFault] = []
  package var planted: PlantedBug?
  /// The bug is in files whose names begin like this, and in no others.
  package var plantedPrefix: StaticString = ""
  /// The machine dies before the call of this number (from 1), counted over all synchronous calls.
  package var diesAtCall = 0

  package init() {}

  /// Those of one run of a history, drawn.
  package static func some(_ random: inout SplitMix64, now: UInt64) -> SimulatedFaults {
    var faults = SimulatedFaults()
    faults.delayNanosecondsMax = [0, 300_000, 3_000_000, 20_000_000][random.below(4)]
    faults.queueDepth = [1, 2, 64, 64][random.below(4)]
    faults.registersMemory = !random.oneIn(4)
    if random.oneIn(3) { faults.passingErrorOneIn = 3 + random.below(8) }
    if random.oneIn(3) { faults.shortWriteOneIn = 2 + random.below(6) }
    faults.shortWritesAreOdd = random.oneIn(2)
    if random.oneIn(8) { faults.stalledUntil = now + UInt64(random.below(40_000_000)) }
    if random.oneIn(4) {
      let call = SimulatedCall.allCases[random.below(SimulatedCall.allCases.count)]
      let code = [LTP_SYSTEM_EIO, LTP_SYSTEM_ENOSPC, LTP_SYSTEM_EDQUOT][random.below(3)]
      faults.planned = [
        PlannedFault(call: call, nth: 1 + random.below(12), code: code, times: 1 + random.below(3))
      ]
    }
    return faults
  }
}
