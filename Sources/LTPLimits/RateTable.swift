// SPDX-License-Identifier: Apache-2.0
// Rates over all lanes: the generic cell rate algorithm (ITU-T I.371, annex A), one theoretical arrival time each.
//
// Lanes do not charge it request by request: each leases a chunk and spends it by itself, so what lanes share is
// written once a chunk. Everything that is let in was charged before, so over any time no more is let in than the burst
// and the rate allow, but for what lanes still hold of a lease of a few ticks.

public import CLTP
public import Synchronization

/// A handle: copies refer to the same rates, whose memory the core owns.
@frozen
public struct RateTable {
  /// Places of the limiters: each class, all together, the ramp, and tenants by hash.
  public static var totalIndex: Int { Int(LTP_CLASS_COUNT) }
  public static var rampIndex: Int { Int(LTP_CLASS_COUNT) + 1 }
  public static var tenantIndex: Int { Int(LTP_CLASS_COUNT) + 2 }
  public static var tenantCount: Int { 1024 }
  public static var count: Int { tenantIndex + tenantCount }
  /// Tenants have one rate for all.
  private static var rateCount: Int { tenantIndex + 1 }

  public static var memoryBytes: Int { (count + rateCount + 1) * 8 }

  /// When the next unit would conform if no burst were allowed, monotonic nanoseconds.
  private let arrivals: UnsafeMutablePointer<Atomic<UInt64>>
  /// Units a second, and the burst above them; 0: no limit.
  private let rates: UnsafeMutablePointer<Atomic<UInt64>>
  /// How far the ramp has come, in thousandths.
  private let ramp: UnsafeMutablePointer<Atomic<UInt64>>
  /// Of the core's clock: bursts are no finer.
  private let tick: UInt64

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer, tick: UInt64) {
    arrivals = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Self.count)
    rates = (memory + Self.count * 8).bindMemory(to: Atomic<UInt64>.self, capacity: Self.rateCount)
    ramp = (memory + (Self.count + Self.rateCount) * 8).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
    ramp.pointee.store(1000, ordering: .relaxed)
    self.tick = tick
  }

  /// A lease lasts so long; what is left of it then is void.
  var leaseNanoseconds: UInt64 { 4 * tick }

  /// Sets a limiter's rate. One thread at a time. A rate that changes starts with its whole burst.
  public func set(_ index: Int, _ rate: ltp_rate) {
    let burst = rate.burst == 0 ? max(1, rate.per_second / 10) : rate.burst
    let packed = rate.per_second == 0 ? 0 : UInt64(rate.per_second) | UInt64(burst) << 32
    guard rates[index].load(ordering: .relaxed) != packed else { return }
    rates[index].store(packed, ordering: .releasing)
    let end = index < Self.tenantIndex ? index + 1 : Self.count
    for place in index..<end { arrivals[place].store(0, ordering: .releasing) }
  }

  /// How far the ramp has come: its rate and its burst are so much of what they will be. Both, so that what the burst lasts
  /// for stays the same, and what was charged at a low rate holds nothing up for longer.
  public func setRamp(permille: UInt64) { ramp.pointee.store(min(permille, 1000), ordering: .releasing) }

  /// Charges `cost` units, or a chunk that has them. Returns how many were charged, or 0 and when to ask again.
  func lease(_ index: Int, cost: UInt64, now: UInt64) -> (granted: UInt64, askAgain: UInt64) {
    let rate = rates[min(index, Self.tenantIndex)].load(ordering: .acquiring)
    guard rate != 0 else { return (cost, 0) }
    let part = index == Self.rampIndex ? ramp.pointee.load(ordering: .acquiring) : 1000
    let perSecond = max(1, (rate & 0xFFFF_FFFF) * part / 1000)
    let burst = max(1, (rate >> 32) * part / 1000)
    let tolerance = max(duration(of: burst, at: perSecond), 2 * tick)
    // A quarter of a millisecond's worth, and no more than an eighth of the burst: unspent leases stay small.
    var amount = max(cost, min(perSecond / 4096, burst / 8))
    while true {
      let arrival = arrivals[index].load(ordering: .relaxed)
      let start = max(arrival, now)
      let next = start + duration(of: amount, at: perSecond)
      guard next - now <= tolerance else {
        if amount > cost {
          amount = cost
          continue
        }
        // Never, if the cost is more than the burst: then it is told to wait as for a whole burst.
        return (0, max(now + tick, next > now + tolerance ? next - tolerance : now))
      }
      let (won, _) = arrivals[index].compareExchange(
        expected: arrival, desired: next, ordering: .acquiringAndReleasing)
      if won { return (amount, 0) }
    }
  }

  /// How long `units` take at the rate, rounded up. Both have 32 bits.
  private func duration(of units: UInt64, at perSecond: UInt64) -> UInt64 {
    (units * 1_000_000_000 + perSecond - 1) / perSecond
  }
}

/// What one lane holds of each limiter's lease. Its thread only.
@frozen
public struct LaneRates {
  public static var memoryBytes: Int { RateTable.count * 32 + 24 }

  /// Four words a limiter: units left, when the lease ends, when to ask again, and for how many units that was said.
  @usableFromInline let words: UnsafeMutablePointer<UInt64>
  @usableFromInline let table: RateTable
  /// When the next lease ends that is spent without a look at the time; 0: look.
  @usableFromInline let nextEndWord: UnsafeMutablePointer<UInt64>
  /// Units of what has no rate, and of what may not be had.
  let plenty: UnsafeMutablePointer<UInt64>
  let nothing: UnsafeMutablePointer<UInt64>

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer, table: RateTable) {
    words = memory.bindMemory(to: UInt64.self, capacity: RateTable.count * 4 + 3)
    self.table = table
    nextEndWord = words + RateTable.count * 4
    plenty = nextEndWord + 1
    nothing = nextEndWord + 2
    plenty.pointee = Self.plentyUnits
  }

  /// Spends `cost` units. Returns 0, or when they may be had.
  @inlinable
  @inline(__always)
  public func consume(_ index: Int, cost: UInt64, now: UInt64) -> UInt64 {
    let entry = words + index &* 4
    if entry[0] >= cost, now < entry[1] {
      entry[0] &-= cost
      return 0
    }
    return leaseAndConsume(entry, index, cost: cost, now: now)
  }

  /// Gives units back that were taken for nothing: another limiter refused.
  @inlinable
  @inline(__always)
  public func refund(_ index: Int, cost: UInt64) { words[index &* 4] &+= cost }

  /// Nothing is leased, and nothing refused: other rates are in force.
  func reset() { for place in 0..<RateTable.count * 4 { words[place] = 0 } }

  // MARK: Spent without a look at the time

  /// More than is asked for between two looks.
  private static var plentyUnits: UInt64 { 1 << 62 }

  /// Where the units left of a limiter's lease are; of a class's, or of all classes together.
  func left(of index: Int) -> UnsafeMutablePointer<UInt64> { words + index * 4 }

  @inlinable
  @inline(__always)
  var nextEnd: UInt64 { nextEndWord.pointee }

  /// What is left of leases that have ended is void.
  @inline(never)
  @usableFromInline
  func endLeases(now: UInt64) {
    plenty.pointee = Self.plentyUnits
    var next = UInt64.max
    for index in 0...RateTable.totalIndex {
      let entry = words + index * 4
      guard entry[0] > 0 else { continue }
      if now >= entry[1] { entry[0] = 0 } else { next = min(next, entry[1]) }
    }
    nextEndWord.pointee = min(next, now &+ table.leaseNanoseconds)
  }

  @inline(never)
  @usableFromInline
  func leaseAndConsume(
    _ entry: UnsafeMutablePointer<UInt64>, _ index: Int, cost: UInt64, now: UInt64
  ) -> UInt64 {
    if now < entry[2], cost >= entry[3] { return entry[2] }
    let kept = now < entry[1] ? entry[0] : 0
    guard kept < cost else {
      entry[0] = kept - cost
      return 0
    }
    let (granted, askAgain) = table.lease(index, cost: cost - kept, now: now)
    guard granted > 0 else {
      entry[2] = askAgain
      entry[3] = cost
      return askAgain
    }
    entry[0] = kept + granted - cost
    entry[1] = now + table.leaseNanoseconds
    if index <= RateTable.totalIndex { nextEndWord.pointee = min(nextEnd, entry[1]) }
    return 0
  }
}
