// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 (Aumasson and Bernstein, 2012): keys are made of keys by it, tables that strangers fill are hashed by it, and tokens where
// the processor has no AES. The test compares it with the reference vectors. Libcrypto has it too, but makes a context for each message: a
// hundred times the time.

/// A 128-bit SipHash key.
public struct SipKey: Equatable, Sendable {
  public var low: UInt64
  public var high: UInt64

  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// SipHash-2-4 of the little-endian bytes of `words`.
  @inlinable
  package func hash<let count: Int>(_ words: InlineArray<count, UInt64>) -> UInt64 {
    var state = SipState(key: self)
    for index in 0..<count { state.absorb(words[index]) }
    state.absorb(UInt64(count * 8 & 0xFF) << 56)
    return state.finish()
  }

  /// A key of its own for each `label`.
  package func subkey(_ label: UInt64) -> SipKey { SipKey(low: hash([label, 3]), high: hash([label, 4])) }

  /// The key of one run of one log. The host's secret alone would not do: two cores that share it, or a directory that was
  /// restored from a copy, would accept each other's tokens.
  ///
  /// - Parameters:
  ///   - secret: the host's key, or random.
  ///   - random: 128 random bits that no other run has.
  ///   - logID: the log's 128-bit name.
  package static func ofRun(secret: SipKey, random: SipKey, logID: (low: UInt64, high: UInt64)) -> SipKey {
    func word(_ label: UInt64) -> UInt64 {
      secret.hash([random.low, random.high, logID.low, logID.high, label])
    }
    return SipKey(low: word(1), high: word(2))
  }
}

@usableFromInline
struct SipState {
  @usableFromInline var v0: UInt64
  @usableFromInline var v1: UInt64
  @usableFromInline var v2: UInt64
  @usableFromInline var v3: UInt64

  @inlinable
  init(key: SipKey) {
    v0 = key.low ^ 0x736F_6D65_7073_6575
    v1 = key.high ^ 0x646F_7261_6E64_6F6D
    v2 = key.low ^ 0x6C79_6765_6E65_7261
    v3 = key.high ^ 0x7465_6462_7974_6573
  }

  @inlinable
  @inline(__always)
  static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    value &<< bits | value &>> (64 &- bits)
  }

  @inlinable
  @inline(__always)
  mutating func round() {
    v0 = v0 &+ v1
    v2 = v2 &+ v3
    v1 = Self.rotate(v1, 13) ^ v0
    v3 = Self.rotate(v3, 16) ^ v2
    v0 = Self.rotate(v0, 32)
    v2 = v2 &+ v1
    v0 = v0 &+ v3
    v1 = Self.rotate(v1, 17) ^ v2
    v3 = Self.rotate(v3, 21) ^ v0
    v2 = Self.rotate(v2, 32)
  }

  @inlinable
  @inline(__always)
  mutating func absorb(_ word: UInt64) {
    v3 ^= word
    round()
    round()
    v0 ^= word
  }

  @inlinable
  @inline(__always)
  mutating func finish() -> UInt64 {
    v2 ^= 0xFF
    round()
    round()
    round()
    round()
    return v0 ^ v1 ^ v2 ^ v3
  }
}
