// SPDX-License-Identifier: Apache-2.0
// How many lives may begin in each continuity domain over time (GCRA, ITU-T I.371), over all lanes. Who is refused is given a place in a
// queue that nobody keeps: each refusal's time to come back is one interval after the one before it, so that those who obey come
// back at the rate that can be answered. Nobody is told to wait for longer than ten minutes, so that holds for as many as the rate lets in
// within ten minutes; who comes after them is told ten minutes, and then a place behind the others.

public import CLTP
import Synchronization

/// A handle: copies refer to the same rates, whose memory the core owns.
public struct HelloRates {
  public static var memoryBytes: Int { 2 * Int(LTP_DOMAIN_COUNT) * 8 }
  /// Nobody is told to wait longer.
  static var horizonNanoseconds: UInt64 { 600_000_000_000 }

  /// By domain: when the next hello would conform if no burst were allowed, monotonic nanoseconds.
  private let arrivals: UnsafeMutablePointer<Atomic<UInt64>>
  /// By domain: the last time to come back that somebody was told.
  private let returns: UnsafeMutablePointer<Atomic<UInt64>>
  private let tick: UInt64

  /// `memory`: `memoryBytes` zeroed bytes. `tick`: of the core's clock, in nanoseconds: bursts are no finer.
  public init(memory: UnsafeMutableRawPointer, tick: UInt64) {
    arrivals = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Int(LTP_DOMAIN_COUNT))
    returns = (memory + Int(LTP_DOMAIN_COUNT) * 8)
      .bindMemory(to: Atomic<UInt64>.self, capacity: Int(LTP_DOMAIN_COUNT))
    self.tick = tick
  }

  /// Another policy is in force: what was charged at another rate is void.
  public func reset() {
    for place in 0..<Int(LTP_DOMAIN_COUNT) {
      arrivals[place].store(0, ordering: .relaxed)
      returns[place].store(0, ordering: .relaxed)
    }
  }

  /// 0: it is let in, and charged. Else when to come back, monotonic. `rate.per_second` 0: there is no rate.
  public func admit(domain: UInt8, rate: ltp_rate, now: UInt64) -> UInt64 {
    guard rate.per_second > 0 else { return 0 }
    let interval = max(1, 1_000_000_000 / UInt64(rate.per_second))
    let burst = rate.burst == 0 ? max(1, rate.per_second / 10) : rate.burst
    let tolerance = max(UInt64(burst) * interval, 2 * tick)
    let cell = arrivals + Int(domain)
    var before = cell.pointee.load(ordering: .relaxed)
    while true {
      let arrival = max(before, now)
      guard arrival - now < tolerance else {
        return comeBack(domain, after: arrival - tolerance, interval, now)
      }
      let (isOurs, found) = cell.pointee.compareExchange(
        expected: before, desired: arrival + interval, ordering: .relaxed)
      if isOurs { return 0 }
      before = found
    }
  }

  private func comeBack(_ domain: UInt8, after least: UInt64, _ interval: UInt64, _ now: UInt64) -> UInt64 {
    let cell = returns + Int(domain)
    var before = cell.pointee.load(ordering: .relaxed)
    while true {
      let time = max(before, max(least, now)) + interval
      // Who never comes back must not push the others out for ever.
      guard time - now <= Self.horizonNanoseconds else { return now + Self.horizonNanoseconds }
      let (isOurs, found) = cell.pointee.compareExchange(expected: before, desired: time, ordering: .relaxed)
      if isOurs { return time }
      before = found
    }
  }
}
