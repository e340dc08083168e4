// SPDX-License-Identifier: Apache-2.0
// The caller's side: what a server would deny most likely is denied before the wire, and retries keep to a share of the
// requests. Adaptive throttling as in "Site Reliability Engineering" (Beyer et al., 2016), chapter 21: reject with
// probability (requests - K * accepts - 10) / (requests + 1) over a window. The retry budget as in Finagle's.
//
// Everything is counted in buckets of a sixteenth of the window, each a word with its bucket's number in it, so that a
// bucket that is used again is begun anew by whoever comes first. No locks; any number of threads.

public import CLTP
import Synchronization

/// A handle on a caller's ltp_throttle.
public struct Throttle {
  private static let magic: UInt64 = 0x454C_5454_4F52_4854
  private static let bucketCount = 16
  private static let countBits: UInt64 = 40
  /// So many requests may be out without an answer before any is denied: a start is no overload.
  private static let unanswered: UInt64 = 10

  private enum Word {
    static let magic = 0
    static let bucketNanoseconds = 1
    /// Accepts that a request may cost, in hundredths.
    static let multiplier = 2
    /// Retries a request, in thousandths.
    static let retryRatio = 3
    /// Retries a window, beside the ratio's.
    static let retriesLeast = 4
    static let draws = 5
    static let requests = 8
    static let accepts = 24
    static let retries = 40
  }

  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  /// Nil when nothing was initialised there.
  public init?(_ throttle: UnsafeMutablePointer<ltp_throttle>) {
    words = UnsafeMutableRawPointer(throttle).assumingMemoryBound(to: Atomic<UInt64>.self)
    guard words[Word.magic].load(ordering: .acquiring) == Self.magic else { return nil }
  }

  /// Lays one out. The options are in range.
  public static func initialize(
    _ throttle: UnsafeMutablePointer<ltp_throttle>, _ options: ltp_throttle_options
  ) {
    throttle.pointee = ltp_throttle()
    let words = UnsafeMutableRawPointer(throttle).assumingMemoryBound(to: Atomic<UInt64>.self)
    let bucket = options.window_ns / UInt64(bucketCount)
    words[Word.bucketNanoseconds].store(bucket, ordering: .relaxed)
    words[Word.multiplier].store(UInt64(options.accept_multiplier_percent), ordering: .relaxed)
    words[Word.retryRatio].store(UInt64(options.retry_ratio_permille), ordering: .relaxed)
    words[Word.retriesLeast].store(
      (UInt64(options.retries_per_second_min) * options.window_ns + 999_999_999) / 1_000_000_000,
      ordering: .relaxed)
    words[Word.draws].store(options.seed, ordering: .relaxed)
    words[Word.magic].store(magic, ordering: .releasing)
  }

  /// Whether to send a request; counted either way, because what is denied here was asked for.
  public func request(now: UInt64) -> Bool {
    let bucket = bucket(now)
    let requests = sum(Word.requests, bucket)
    let earned = sum(Word.accepts, bucket) &* words[Word.multiplier].load(ordering: .relaxed) / 100
    let covered = earned + Self.unanswered
    add(Word.requests, bucket)
    guard requests > covered else { return true }
    // Denied with probability (requests - covered) / (requests + 1).
    let draw = draw().multipliedFullWidth(by: requests + 1).high
    return draw >= requests - covered
  }

  /// What became of a request that was sent: the server took it.
  public func accepted(now: UInt64) { add(Word.accepts, bucket(now)) }

  /// Whether a request may be tried again; counted if so.
  public func retry(now: UInt64) -> Bool {
    let bucket = bucket(now)
    let earned = sum(Word.requests, bucket) &* words[Word.retryRatio].load(ordering: .relaxed) / 1000
    let most = earned &+ words[Word.retriesLeast].load(ordering: .relaxed)
    guard sum(Word.retries, bucket) < most else { return false }
    add(Word.retries, bucket)
    return true
  }

  // MARK: Buckets

  private func bucket(_ now: UInt64) -> UInt64 {
    // Another thread may be laying it out again.
    now / max(words[Word.bucketNanoseconds].load(ordering: .relaxed), 1)
  }

  /// A word of a bucket: its number's lower bits above, the count below.
  private func tag(_ bucket: UInt64) -> UInt64 { (bucket & 0xFF_FFFF) << Self.countBits }

  private func add(_ kind: Int, _ bucket: UInt64) {
    let word = words + kind + Int(bucket % UInt64(Self.bucketCount))
    let tag = tag(bucket)
    var before = word.pointee.load(ordering: .relaxed)
    while true {
      let isOurs = before & ~(1 << Self.countBits - 1) == tag
      // Somebody with a later time has begun the bucket anew: this count is of a window that is past.
      if !isOurs, before != 0, (before &- tag) >> Self.countBits & 0xFF_FFFF < 0x80_0000 { return }
      let (done, found) = word.pointee.weakCompareExchange(
        expected: before, desired: isOurs ? before + 1 : tag | 1, ordering: .relaxed)
      if done { return }
      before = found
    }
  }

  private func sum(_ kind: Int, _ bucket: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for age in 0..<min(UInt64(Self.bucketCount), bucket + 1) {
      let one = bucket - age
      let word = words[kind + Int(one % UInt64(Self.bucketCount))].load(ordering: .relaxed)
      if word & ~(1 << Self.countBits - 1) == tag(one) { sum += word & (1 << Self.countBits - 1) }
    }
    return sum
  }

  /// SplitMix64 over a shared counter: as many sequences as seeds, the same one for the same seed.
  private func draw() -> UInt64 {
    var word = words[Word.draws].wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word >> 31
  }
}

extension ltp_throttle_options {
  /// K = 2 over two minutes; one retry in ten requests, and ten a second.
  public static func builtIn() -> ltp_throttle_options {
    var options = ltp_throttle_options()
    options.struct_size = UInt32(MemoryLayout<ltp_throttle_options>.size)
    options.accept_multiplier_percent = 200
    options.window_ns = 120_000_000_000
    options.retry_ratio_permille = 100
    options.retries_per_second_min = 10
    return options
  }

  /// What is out of range; nil: nothing.
  public var fault: StaticString? {
    guard (100...1000).contains(accept_multiplier_percent) else {
      return "accept_multiplier_percent is not from 100 to 1000"
    }
    guard (1_000_000...3_600_000_000_000).contains(window_ns) else {
      return "window_ns is not from 1 ms to 1 h"
    }
    guard retry_ratio_permille <= 1000 else { return "retry_ratio_permille is more than 1000" }
    return retries_per_second_min <= 1_000_000 ? nil : "retries_per_second_min is more than 1,000,000"
  }
}
