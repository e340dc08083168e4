// SPDX-License-Identifier: Apache-2.0
// Permits of the concurrency limit. Each is somewhere: in the pool, in a lane's stock, out, or on its way back; their
// number is the limit, so the limit is hard however lanes race.
//
// A lane takes permits from the pool in small chunks and hands them out by itself. Which are out stands in the lane's
// places, each with a generation, so that a permit released twice, or after it has expired, is told from a good one.

import CLTP
public import Synchronization

/// The permits that no lane has. A handle.
@frozen
public struct PermitPool {
  public static var memoryBytes: Int { 64 }

  /// Below zero after the limit was lowered, until enough have come back.
  private let free: UnsafeMutablePointer<Atomic<Int64>>
  /// What one lane takes at a time.
  private let chunk: UnsafeMutablePointer<Atomic<Int64>>

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer) {
    free = memory.bindMemory(to: Atomic<Int64>.self, capacity: 1)
    chunk = (memory + 8).bindMemory(to: Atomic<Int64>.self, capacity: 1)
  }

  public func setChunk(_ size: Int64) { chunk.pointee.store(max(1, size), ordering: .relaxed) }

  var chunkSize: Int64 { max(1, chunk.pointee.load(ordering: .relaxed)) }

  /// The limit was lowered, and not enough has come back yet.
  var isInDebt: Bool { free.pointee.load(ordering: .relaxed) < 0 }

  public func release(_ count: Int64) {
    if count != 0 { free.pointee.add(count, ordering: .acquiringAndReleasing) }
  }

  /// Up to a chunk of permits.
  func acquire() -> Int64 {
    while true {
      let left = free.pointee.load(ordering: .relaxed)
      guard left > 0 else { return 0 }
      let count = min(left, chunkSize)
      let (won, _) = free.pointee.compareExchange(
        expected: left, desired: left - count, ordering: .acquiringAndReleasing)
      if won { return count }
    }
  }
}

/// What came back with permits since somebody last looked.
public struct PermitSamples {
  public var count: UInt64 = 0
  public var latencySumNanoseconds: UInt64 = 0
  public var droppedCount: UInt64 = 0

  public init() {}
}

/// One lane's permits. A handle.
@frozen
public struct LanePermits {
  static var placesMax: Int { Int(LTP_PERMITS_MAX) }
  public static var memoryBytes: Int { 192 + placesMax * 8 }

  /// Permits in stock: the lane takes them, the regulator may collect them.
  private let stock: UnsafeMutablePointer<Atomic<Int64>>
  /// Where to look for a free place first; the lane's thread only.
  private let nextPlace: UnsafeMutablePointer<Int>
  // Any thread: permits on their way back, and what came with them.
  private let returned: UnsafeMutablePointer<Atomic<Int64>>
  private let counts: UnsafeMutablePointer<Atomic<UInt64>>
  /// Bit 63: out. Below it 20 bits of generation, then 43 of microseconds of the core's clock.
  private let places: UnsafeMutablePointer<Atomic<UInt64>>
  private let pool: PermitPool
  /// Added to generations, so that a permit of another lane is most likely told from this one's.
  private let salt: UInt64

  private static var out: UInt64 { 1 << 63 }
  private static var generationShift: UInt64 { 43 }
  private static var generationMask: UInt64 { 0xFFFFF }
  private static var timeMask: UInt64 { 1 << 43 - 1 }

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer, pool: PermitPool, laneID: UInt32) {
    salt = (UInt64(laneID) &* 0x9E37_79B9_7F4A_7C15) >> 44
    stock = memory.bindMemory(to: Atomic<Int64>.self, capacity: 1)
    nextPlace = (memory + 8).bindMemory(to: Int.self, capacity: 1)
    returned = (memory + 64).bindMemory(to: Atomic<Int64>.self, capacity: 1)
    counts = (memory + 128).bindMemory(to: Atomic<UInt64>.self, capacity: 4)
    places = (memory + 192).bindMemory(to: Atomic<UInt64>.self, capacity: Self.placesMax)
    self.pool = pool
  }

  // MARK: The lane's thread

  /// A permit, or 0: none is to be had now.
  public func acquire(now: UInt64) -> UInt32 {
    guard acquireFromStock() || restock() else { return 0 }
    guard let place = freePlace() else {
      pool.release(1)
      return 0
    }
    let before = places[place].load(ordering: .relaxed)
    var generation = (before >> Self.generationShift &+ 1) & Self.generationMask
    // No permit is 0.
    if number(generation) == 0 { generation = (generation &+ 1) & Self.generationMask }
    let time = now / 1000 & Self.timeMask
    places[place].store(
      Self.out | generation << Self.generationShift | time, ordering: .releasing)
    return number(generation) << 12 | UInt32(place)
  }

  /// A generation as permits have it.
  private func number(_ generation: UInt64) -> UInt32 {
    UInt32((generation &+ salt) & Self.generationMask)
  }

  private func acquireFromStock() -> Bool {
    while true {
      let left = stock.pointee.load(ordering: .relaxed)
      guard left > 0 else { return false }
      let (won, _) = stock.pointee.compareExchange(expected: left, desired: left - 1, ordering: .acquiring)
      if won { return true }
    }
  }

  /// Takes one permit, and up to a chunk of what has come back, or of the pool, into stock. The rest is for other lanes, and
  /// all of it while more are out than the limit allows.
  @inline(never)
  private func restock() -> Bool {
    let back =
      returned.pointee.load(ordering: .relaxed) > 0 ? returned.pointee.exchange(0, ordering: .acquiring) : 0
    let kept = pool.isInDebt ? 0 : min(back, pool.chunkSize)
    pool.release(back - kept)
    let got = kept > 0 ? kept : pool.acquire()
    guard got > 0 else { return false }
    stock.pointee.add(got - 1, ordering: .releasing)
    return true
  }

  /// Cyclic, so that places are not used again at once; places come free in about the order in which they were taken.
  private func freePlace() -> Int? {
    var place = nextPlace[0]
    for _ in 0..<Self.placesMax {
      if places[place].load(ordering: .acquiring) & Self.out == 0 {
        nextPlace[0] = (place + 1) & (Self.placesMax - 1)
        return place
      }
      place = (place + 1) & (Self.placesMax - 1)
    }
    return nil
  }

  // MARK: Any thread

  /// Takes a permit back. False: it is not out. `latency`: nil: by the core's clock.
  public func release(_ permit: UInt32, outcome: UInt8, latency: UInt64?, now: UInt64) -> Bool {
    let place = places + Int(permit & 0xFFF)
    let word = place.pointee.load(ordering: .acquiring)
    let generation = word >> Self.generationShift & Self.generationMask
    guard word & Self.out != 0, number(generation) == permit >> 12 else { return false }
    let (won, _) = place.pointee.compareExchange(
      expected: word, desired: word & ~Self.out, ordering: .acquiringAndReleasing)
    guard won else { return false }
    let since = (now / 1000 &- word) & Self.timeMask
    addSample(outcome, latency: latency ?? since &* 1000)
    returned.pointee.add(1, ordering: .acquiringAndReleasing)
    return true
  }

  private func addSample(_ outcome: UInt8, latency: UInt64) {
    switch outcome {
    case LTP_OUTCOME_SUCCESS:
      counts[0].wrappingAdd(1, ordering: .relaxed)
      // Longer than a minute says no more than a minute, and a window's sum does not overflow by that.
      counts[1].wrappingAdd(min(latency, 60_000_000_000), ordering: .relaxed)
    case LTP_OUTCOME_DROPPED: counts[2].wrappingAdd(1, ordering: .relaxed)
    default: break
    }
  }

  // MARK: The clock's thread

  /// Puts what has come back into the pool, so that idle lanes hold nothing up.
  public func sweep() {
    guard returned.pointee.load(ordering: .relaxed) > 0 else { return }
    pool.release(returned.pointee.exchange(0, ordering: .acquiring))
  }

  /// Puts what the lane has in stock into the pool: others need it, or the limit is lower now.
  public func collectStock() { pool.release(stock.pointee.exchange(0, ordering: .acquiring)) }

  /// Takes back what has been out for longer than `ttl`, in nanoseconds. Returns how many.
  public func expire(ttl: UInt64, now: UInt64) -> UInt64 {
    var expired: UInt64 = 0
    for index in 0..<Self.placesMax {
      let word = places[index].load(ordering: .relaxed)
      guard word & Self.out != 0, (now / 1000 &- word) & Self.timeMask > ttl / 1000,
        // A lane's clock may be ahead of `now` by a tick.
        (now / 1000 &- word) & Self.timeMask < Self.timeMask / 2
      else { continue }
      let (won, _) = places[index].compareExchange(
        expected: word, desired: word & ~Self.out, ordering: .acquiringAndReleasing)
      guard won else { continue }
      counts[2].wrappingAdd(1, ordering: .relaxed)
      returned.pointee.add(1, ordering: .acquiringAndReleasing)
      expired += 1
    }
    return expired
  }

  public func collectSamples(into samples: inout PermitSamples) {
    samples.count += counts[0].exchange(0, ordering: .relaxed)
    samples.latencySumNanoseconds &+= counts[1].exchange(0, ordering: .relaxed)
    samples.droppedCount += counts[2].exchange(0, ordering: .relaxed)
  }

  /// How many are out. An instant's picture.
  public func outCount() -> Int {
    var count = 0
    for index in 0..<Self.placesMax where places[index].load(ordering: .relaxed) & Self.out != 0 {
      count += 1
    }
    return count
  }

  /// The lane is gone: everything that it had is the pool's again.
  public func dissolve() {
    for index in 0..<Self.placesMax {
      let word = places[index].load(ordering: .acquiring)
      guard word & Self.out != 0 else { continue }
      let (won, _) = places[index].compareExchange(
        expected: word, desired: word & ~Self.out, ordering: .acquiringAndReleasing)
      if won { returned.pointee.add(1, ordering: .acquiringAndReleasing) }
    }
    sweep()
    collectStock()
  }
}
