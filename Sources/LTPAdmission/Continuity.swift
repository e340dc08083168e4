// SPDX-License-Identifier: Apache-2.0
// Continuity tokens: proof that a session shook hands in the current continuity epoch.
//
// token = SipHash-2-4(K(epoch), session). K(epoch) comes from the core's 128-bit key by the same function, so a
// token of another epoch, session or core verifies only by chance (2^-64), and checking looks nothing up. The
// client's own idea of its epoch is not an input. SipHash: Aumasson and Bernstein, 2012; the test compares it
// with the reference vector. Libcrypto has it too, but makes a context for each message: a hundred times the time.

/// A 128-bit SipHash key.
public struct SipKey: Equatable, Sendable {
  public var low: UInt64
  public var high: UInt64

  @inlinable
  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// SipHash-2-4 of the little-endian bytes of `words`.
  package func hash<let count: Int>(_ words: InlineArray<count, UInt64>) -> UInt64 {
    var state = SipState(key: self)
    for index in 0..<count { state.absorb(words[index]) }
    state.absorb(UInt64(count * 8 & 0xFF) << 56)
    return state.finish()
  }

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

  /// SipHash-2-4 of the 8 little-endian bytes of `word`.
  @inlinable
  @inline(__always)
  public func hash(_ word: UInt64) -> UInt64 {
    var state = SipState(key: self)
    state.absorb(word)
    state.absorb(8 << 56)
    return state.finish()
  }
}

@frozen
@usableFromInline
struct SipState {
  @usableFromInline var v0: UInt64
  @usableFromInline var v1: UInt64
  @usableFromInline var v2: UInt64
  @usableFromInline var v3: UInt64

  @inlinable
  @inline(__always)
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

/// The key of one continuity epoch: grants tokens and checks them.
public struct ContinuityKey: Equatable, Sendable {
  public let epochKey: SipKey

  /// `continuityEpoch`: in full, so that tokens are void by key when its low bits come round.
  public init(coreKey: SipKey, continuityEpoch: UInt64) {
    epochKey = SipKey(low: coreKey.hash([continuityEpoch, 1]), high: coreKey.hash([continuityEpoch, 2]))
  }

  /// The session's token; never 0, which means "no token".
  @inlinable
  @inline(__always)
  public func token(sessionID: UInt64) -> UInt64 {
    let hash = epochKey.hash(sessionID)
    return hash == 0 ? 1 : hash
  }

  @inlinable
  @inline(__always)
  public func isValid(token: UInt64, sessionID: UInt64) -> Bool {
    token == self.token(sessionID: sessionID)
  }
}
