// SPDX-License-Identifier: Apache-2.0
// Continuity tokens, and the functions that they are made with.

import CLTP
import CLTPSystem
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission

@Suite(.guarded) struct ContinuityTests {
  @Test("SipHash-2-4 gives the reference vectors for the bytes 0 to 7 and 0 to 15 under the key 0 to 15")
  func sipHashVectors() {
    let key = SipKey(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
    #expect(key.hash([0x0706_0504_0302_0100]) == 0x93F5_F579_9A93_2462)
    #expect(key.hash([0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908]) == 0x3F2A_CC7F_57C2_9BDB)
  }

  @Test(
    "the processor's AES-128 gives the vector of FIPS 197, C.1, and the mask is what is added to the message")
  func aesVector() throws {
    var key = ltp_system_mac_key()
    ltp_system_mac_init(&key, 0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)
    // A processor without: nothing to test, and tokens are SipHash's.
    guard key.has_aes != 0 else { return }
    let (low, high): (UInt64, UInt64) = (0x7766_5544_3322_1100, 0xFFEE_DDCC_BBAA_9988)
    #expect(ltp_system_mac_aes(&key, 0, 0, low, high) == 0x3004_7B6A_D8E0_C469)
    #expect(ltp_system_mac_aes(&key, low, high, 0, 0) == 0x3004_7B6A_D8E0_C469)
    #expect(ltp_system_mac_aes(&key, 5, 9, low ^ 5, high ^ 9) == 0x3004_7B6A_D8E0_C469)
  }

  /// A key in memory of its own, which stays.
  private func key(_ low: UInt64 = 1, usesProcessor: Bool) -> TokenKey {
    TokenKey(
      memory: .allocate(byteCount: TokenKey.memoryBytes, alignment: 16), runKey: SipKey(low: low, high: 2),
      usesProcessor: usesProcessor)
  }

  @Test("a token is good for its session, incarnation, domain, epoch and run only", arguments: [true, false])
  func tokensAreBound(usesProcessor: Bool) {
    let key = key(usesProcessor: usesProcessor)
    func token(
      _ key: TokenKey, session: UInt64 = 9, incarnation: UInt32 = 3, domain: UInt8 = 7, epoch: UInt64 = 261
    ) -> UInt64 {
      DomainEpoch(key, domain: domain, number: epoch)
        .token(key, sessionID: session, incarnation: incarnation, voids: 0)
    }
    let good = token(key)
    #expect(good & 0xFF == 5)
    let others = [
      token(key, session: 10), token(key, incarnation: 4), token(key, domain: 8), token(key, epoch: 5),
      token(self.key(3, usesProcessor: usesProcessor)), token(self.key(usesProcessor: !usesProcessor)),
    ]
    for other in others { #expect(other != good && other >> 8 != good >> 8) }
    #expect(token(self.key(usesProcessor: usesProcessor)) == good)
    let life = key.incarnation(sessionID: 9, clientNonce: 1)
    #expect(life == key.incarnation(sessionID: 9, clientNonce: 1) && life != 0)
    #expect(life != key.incarnation(sessionID: 9, clientNonce: 2))
    #expect(life != key.incarnation(sessionID: 8, clientNonce: 1))
  }

  @Test("what is wrong with a token or an intent is told apart", arguments: [true, false])
  func faults(usesProcessor: Bool) {
    let key = key(usesProcessor: usesProcessor)
    let (first, number): (UInt64, UInt64) = (1000, 1300)
    func fault(token epoch: UInt64, intent: UInt64, flipping bit: UInt64 = 0) -> UInt16 {
      let granted = DomainEpoch(key, domain: 7, number: epoch)
      let claim = ContinuityClaim(
        sessionID: 9, token: granted.token(key, sessionID: 9, incarnation: 3, voids: 0) ^ bit,
        intentEpoch: UInt32(truncatingIfNeeded: intent), incarnation: 3, domain: 7)
      return key.fault(of: claim, number: number, latest: number, first: first)
    }
    #expect(fault(token: number, intent: number - 1) == LTP_CONTINUITY_STALE)
    #expect(fault(token: number, intent: 0) == LTP_CONTINUITY_STALE)
    #expect(fault(token: number, intent: number + 1) == LTP_CONTINUITY_FORGED)
    #expect(fault(token: number, intent: number, flipping: 1 << 40) == LTP_CONTINUITY_FORGED)
    for age in [1, 2, 100, 255] as [UInt64] {
      // Whatever the intent claims.
      for intent in [number - age, number, number - 300] {
        #expect(fault(token: number - age, intent: intent) == LTP_CONTINUITY_NONE)
      }
      #expect(fault(token: number - age, intent: number, flipping: 1 << 63) == LTP_CONTINUITY_FORGED)
    }
    // Too old to be told.
    #expect(fault(token: number - 256, intent: number) == LTP_CONTINUITY_FORGED)
    let none = ContinuityClaim(sessionID: 9, token: 0, intentEpoch: 0, incarnation: 0, domain: 7)
    #expect(key.fault(of: none, number: number, latest: number, first: first) == LTP_CONTINUITY_NONE)
    // Of an epoch that another domain has come to, and this one has not.
    let ahead = DomainEpoch(key, domain: 8, number: number + 3)
    let stray = ContinuityClaim(
      sessionID: 9, token: ahead.token(key, sessionID: 9, incarnation: 3, voids: 0),
      intentEpoch: UInt32(number), incarnation: 3, domain: 7)
    #expect(
      key.fault(of: stray, number: number, latest: number + 5, first: number - 1) == LTP_CONTINUITY_FORGED)
    // Of an earlier run: nobody can say more.
    let early = DomainEpoch(key, domain: 7, number: 1299)
    let claim = ContinuityClaim(
      sessionID: 9, token: early.token(key, sessionID: 9, incarnation: 3, voids: 0), intentEpoch: 1299,
      incarnation: 3,
      domain: 7)
    #expect(key.fault(of: claim, number: number, latest: number, first: 1300) == LTP_CONTINUITY_NONE)
  }
}
