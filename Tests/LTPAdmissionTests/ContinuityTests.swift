// SPDX-License-Identifier: Apache-2.0
// Continuity tokens, and the hash that they are made with.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPAdmission

@Suite(.guarded) struct ContinuityTests {
  @Test("SipHash-2-4 gives the reference vector for the bytes 0 to 7 under the key 0 to 15")
  func sipHashVector() {
    let key = SipKey(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
    #expect(key.hash(0x0706_0504_0302_0100) == 0x93F5_F579_9A93_2462)
    #expect(key.hash([0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908]) == 0x3F2A_CC7F_57C2_9BDB)
  }

  @Test func tokensAreBoundToSessionEpochAndKey() {
    let key = ContinuityKey(coreKey: SipKey(low: 1, high: 2), continuityEpoch: 5)
    let token = key.token(sessionID: 9)
    #expect(key.isValid(token: token, sessionID: 9))
    #expect(!key.isValid(token: token, sessionID: 10))
    #expect(!key.isValid(token: token ^ 1, sessionID: 9))
    #expect(!key.isValid(token: 0, sessionID: 9))
    let next = ContinuityKey(coreKey: SipKey(low: 1, high: 2), continuityEpoch: 6)
    #expect(!next.isValid(token: token, sessionID: 9))
    let other = ContinuityKey(coreKey: SipKey(low: 1, high: 3), continuityEpoch: 5)
    #expect(!other.isValid(token: token, sessionID: 9))
  }
}
