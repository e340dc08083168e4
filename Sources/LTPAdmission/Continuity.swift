// SPDX-License-Identifier: Apache-2.0
// Continuity tokens: proof that this life of a session shook hands in its domain's current continuity epoch. Checking one looks
// nothing up but the domain.
//
// token = 56 bits of MAC(K, mask(domain, epoch), session, incarnation, voids of the session) | the epoch's low 8 bits
//
// The epoch's bits say which epoch's mask an old token is to be checked against, so that it is told from a forged one without a
// record of anything. A token of another session, incarnation, domain, epoch, run or core verifies by chance only (2^-56).
//
// MAC is one block of AES-128 under the run's key, of the message XOR a secret mask, cut to its first half. A block cipher under a
// mask that is a pseudorandom function of the tweak is a tweakable block cipher (XE: Rogaway, Asiacrypt 2004), so a message of
// exactly one block needs no chaining: the block is a pseudorandom function of (domain, epoch, session, incarnation), up to the
// birthday bound of 2^64 blocks, and such a function is a MAC, cut or not (Goldreich, Goldwasser, Micali 1986). Where the processor
// has no AES instructions it is SipHash-2-4 of the same words. Tokens die with their run, so no other machine ever has to agree.

import CLTP
public import CLTPSystem
public import LTPRecords

/// What a token's epoch is told by in the token itself.
private let epochBits: UInt64 = 0xFF

/// The key of one run, for all its tokens. A handle: copies mean the same key.
public struct TokenKey {
  @usableFromInline let mac: UnsafeMutablePointer<ltp_system_mac_key>

  /// Zeroed memory that a key takes, in bytes; it is aligned to 16.
  public static var memoryBytes: Int { MemoryLayout<ltp_system_mac_key>.stride }

  /// `usesProcessor`: the processor's AES instructions, where it has them.
  public init(memory: UnsafeMutableRawPointer, runKey: SipKey, usesProcessor: Bool = true) {
    mac = memory.bindMemory(to: ltp_system_mac_key.self, capacity: 1)
    // Other keys than those that masks are made with.
    let own = runKey.subkey(0)
    ltp_system_mac_init(mac, own.low, own.high)
    let masks = runKey.subkey(1)
    (mac.pointee.low, mac.pointee.high) = (masks.low, masks.high)
    if !usesProcessor { mac.pointee.has_aes = 0 }
  }

  private var secret: SipKey { SipKey(low: mac.pointee.low, high: mac.pointee.high) }

  @inlinable
  @inline(__always)
  func hash(_ mask: TokenMask, _ low: UInt64, _ high: UInt64) -> UInt64 {
    mac.pointee.has_aes != 0
      ? ltp_system_mac_aes(mac, mask.low, mask.high, low, high) : portableHash(mask, low, high)
  }

  @usableFromInline
  func portableHash(_ mask: TokenMask, _ low: UInt64, _ high: UInt64) -> UInt64 {
    secret.hash([mask.low, mask.high, low, high])
  }

  /// `epoch`: in full, so that tokens are void by the mask when its low bits come round.
  func mask(domain: UInt8, epoch: UInt64) -> TokenMask {
    TokenMask(
      low: secret.hash([UInt64(domain), epoch, 1]), high: secret.hash([UInt64(domain), epoch, 2]))
  }

  /// The life that a hello begins; never 0. The same hello again is the same life. Two lives of one session have one number with
  /// a chance of 2^-32.
  func incarnation(sessionID: UInt64, clientNonce: UInt64) -> UInt32 {
    let own = secret.subkey(0)
    let bits = hash(TokenMask(low: own.low, high: own.high), sessionID, clientNonce)
    return max(1, UInt32(truncatingIfNeeded: bits))
  }
}

/// What makes tokens of one domain in one epoch differ from all others.
@frozen
@usableFromInline
struct TokenMask: Equatable {
  @usableFromInline var low: UInt64
  @usableFromInline var high: UInt64

  @inlinable
  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }
}

/// A domain's current continuity epoch, as a lane has it.
@frozen
@usableFromInline
struct DomainEpoch {
  @usableFromInline var mask: TokenMask
  /// In full.
  @usableFromInline var number: UInt64
  /// The number that `mask` is of: masks are made when they are first asked for.
  @usableFromInline var maskedNumber: UInt64

  /// With its mask.
  init(_ key: TokenKey, domain: UInt8, number: UInt64) {
    mask = key.mask(domain: domain, epoch: number)
    self.number = number
    maskedNumber = number
  }

  @inlinable
  @inline(__always)
  func token(_ key: TokenKey, sessionID: UInt64, incarnation: UInt32, voids: UInt32) -> UInt64 {
    key.hash(mask, sessionID, UInt64(incarnation) | UInt64(voids) &<< 32) &<< 8 | number & 0xFF
  }
}

extension TokenKey {
  /// What a request without a valid token has shown: LTP_CONTINUITY_*, for a domain whose epoch is `number`. Epochs before `first` were
  /// granted by earlier runs, whose keys nobody has any more; `latest` is the last one of any domain.
  ///
  /// Costs about a microsecond, so that only refusals pay for it.
  func fault(of claim: ContinuityClaim, number: UInt64, latest: UInt64, first: UInt64) -> UInt16 {
    guard claim.token != 0 else { return LTP_CONTINUITY_NONE }
    // The last epoch up to `limit` whose low bits are the token's.
    func last(upTo limit: UInt64) -> UInt64 { limit &- (limit &- claim.token) & epochBits }
    let epoch = last(upTo: number)
    guard epoch <= number, epoch >= first else {
      // Another domain's epoch of this run, or one of an earlier run.
      let other = last(upTo: latest)
      return other <= latest && other >= first ? LTP_CONTINUITY_FORGED : LTP_CONTINUITY_NONE
    }
    let granted = DomainEpoch(self, domain: claim.domain, number: epoch)
    guard let voidsSince = voids(since: granted, claim) else { return LTP_CONTINUITY_FORGED }
    guard epoch == number, voidsSince == 0 else { return LTP_CONTINUITY_NONE }
    // A good token: then it is the intent. One of an epoch that has not come is nobody's.
    let isLater = Int32(bitPattern: claim.intentEpoch &- UInt32(truncatingIfNeeded: number)) > 0
    return isLater ? LTP_CONTINUITY_FORGED : LTP_CONTINUITY_STALE
  }
}

extension TokenKey {
  /// How often sessions of this hash were voided since the token was granted; nil: it was not granted, or too long ago to tell.
  private func voids(since granted: DomainEpoch, _ claim: ContinuityClaim) -> UInt32? {
    for ago in 0...min(claim.voids, Self.voidsMax) {
      let token = granted.token(
        self, sessionID: claim.sessionID, incarnation: claim.incarnation, voids: claim.voids - ago)
      if token == claim.token { return ago }
    }
    return nil
  }

  private static var voidsMax: UInt32 { 16 }
}

/// What a request says of its session's continuity.
struct ContinuityClaim {
  var sessionID: UInt64
  var token: UInt64
  var intentEpoch: UInt32
  var incarnation: UInt32
  var domain: UInt8
  /// Of the session, so far.
  var voids: UInt32 = 0
}
