// SPDX-License-Identifier: Apache-2.0
// What goes wrong on a simulated disk, and when.

/// The calls of the storage seam, as faults name them. Blocks, zeros and syncs of segments go by their completions.
enum SimulatedCall: Int, CaseIterable {
  case list, open, create, lock, size, read, write, truncate, sync, syncDirectory, rename, remove
  case blockWrite, zeroWrite, segmentSync
}

/// The `nth` use of a call (from 1) and those after it, `times` in all, fail with `code`.
struct PlannedFault {
  var call: SimulatedCall
  var nth: Int
  var code: Int32
  var times = 1
}

/// A bug planted in the storage, which the checker must find.
enum PlantedBug: CaseIterable {
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

struct SimulatedFaults {
  /// Operations under way at most; `start` returns false beyond it.
  var queueDepth = 64
  var delayNanosecondsMax = 3_000_000
  /// Once in so many completions; 0: never.
  var passingErrorOneIn = 0
  var shortWriteOneIn = 0
  /// Short writes end anywhere, not only between sectors.
  var shortWritesAreOdd = false
  var registersMemory = true
  /// No completion before this time.
  var stalledUntil: UInt64 = 0
  /// How many tries of the directory's lock fail first.
  var lockTriesRefused = 0
  var planned: [PlannedFault] = []
  var planted: PlantedBug?
  /// The machine dies before the call of this number (from 1), counted over all synchronous calls.
  var diesAtCall = 0
}
