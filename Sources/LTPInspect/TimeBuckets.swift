// SPDX-License-Identifier: Apache-2.0
// Decisions by verdict over time, in buckets that double in width when there are too many: a trace of a second and one of a year take the same
// memory.

import CLTP

public struct TimeBuckets: Sendable {
  public struct Bucket: Sendable, Equatable {
    public var executed: UInt64 = 0
    public var deferred: UInt64 = 0
    public var denied: UInt64 = 0
    /// Kept intents that were let in.
    public var replayed: UInt64 = 0

    public var total: UInt64 { executed + deferred + denied + replayed }

    static func += (sum: inout Bucket, other: Bucket) {
      sum.executed += other.executed
      sum.deferred += other.deferred
      sum.denied += other.denied
      sum.replayed += other.replayed
    }
  }

  public static let bucketsMax = 2048
  /// The narrowest bucket: 1/128 s, so that doubling comes to whole seconds.
  static let unitNanoseconds: UInt64 = 7_812_500

  public private(set) var buckets: [Bucket] = []
  /// In units, of a bucket.
  private var width: UInt64 = 1
  /// In units, where the first bucket begins; a multiple of `width`.
  private var base: UInt64 = 0

  public var widthNanoseconds: UInt64 { width * Self.unitNanoseconds }
  public var firstUnixNanoseconds: UInt64 { base * Self.unitNanoseconds }

  mutating func add(_ unixNanoseconds: UInt64, _ change: (inout Bucket) -> Void) {
    let unit = unixNanoseconds / Self.unitNanoseconds
    if buckets.isEmpty { base = unit }
    if unit < base || (unit - base) / width >= UInt64(buckets.count) { reach(unit) }
    change(&buckets[Int((unit - base) / width)])
  }

  /// Makes room for a time before the first bucket or behind the last: lanes' blocks come in the order in which they were sealed.
  private mutating func reach(_ unit: UInt64) {
    var wide = width
    let end = base + UInt64(buckets.count) * width
    let (first, last) = (min(base, unit), max(end - min(end, 1), unit))
    while last / wide - first / wide >= UInt64(Self.bucketsMax) { wide *= 2 }
    let start = first / wide * wide
    var wider = [Bucket](repeating: Bucket(), count: Int(last / wide - start / wide) + 1)
    for (index, bucket) in buckets.enumerated() {
      wider[Int((base + UInt64(index) * width - start) / wide)] += bucket
    }
    (buckets, base, width) = (wider, start, wide)
  }
}
