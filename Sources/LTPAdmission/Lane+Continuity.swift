// SPDX-License-Identifier: Apache-2.0
// Continuity off the fast path: a domain that is looked at anew, a request that lacks continuity, a life that begins.

import CLTP
public import LTPFrames
import LTPOrientation
import LTPRecords
import LTPRules

extension Lane {
  /// Takes over where the domains stand under `word`, which the caller then finds unchanged, or calls again.
  func copyDomains(under word: OrientationWord) {
    let domains = state.pointee.orientation.domains
    var outages: UInt8 = 0
    for domain in 0..<Int(LTP_DOMAIN_COUNT) {
      state.pointee.domains[domain].number = domains.number(of: domain)
      let own = domains.state(of: domain)
      state.pointee.outages[domain] = own
      outages |= own
    }
    state.pointee.hasOutages = outages != 0 && CompiledRule.isTouchedByOutages(word.state)
  }

  /// The domain's epoch under the lane's word.
  func domain(_ domain: UInt8) -> DomainEpoch {
    let place = state.pointee.domains + Int(domain)
    if place.pointee.maskedNumber != place.pointee.number {
      place.pointee = DomainEpoch(state.pointee.tokenKey, domain: domain, number: place.pointee.number)
    }
    return place.pointee
  }

  /// `continuityInputs` for a domain whose mask has not been made yet.
  @inline(never)
  @usableFromInline
  func continuityInputsAnew(of request: RouteRequestView) -> UInt64 {
    _ = domain(request.domain)
    return continuityInputs(of: request)
  }

  /// What is wrong with the continuity of a request: LTP_CONTINUITY_*.
  @inline(never)
  @usableFromInline
  func continuityFault(of request: RouteRequestView) -> UInt64 {
    // Once: the caller's memory may change.
    let fields = request.fields
    let claim = ContinuityClaim(
      sessionID: fields.session_id, token: fields.continuity_token, intentEpoch: fields.intent_epoch,
      incarnation: fields.incarnation, domain: fields.domain,
      voids: state.pointee.voided.count(fields.session_id))
    return UInt64(
      state.pointee.tokenKey.fault(
        of: claim, number: domain(fields.domain).number,
        latest: state.pointee.orientation.numbers(of: OrientationWord(rawValue: state.pointee.word))
          .continuityEpoch,
        first: state.pointee.orientation.firstContinuityEpoch))
  }

  /// Begins the life that a hello asks for: its incarnation, and the token for it.
  func begin(_ hello: ltp_hello, in domain: DomainEpoch, _ answer: inout ltp_hello) {
    let key = state.pointee.tokenKey
    var incarnation = key.incarnation(sessionID: hello.session_id, clientNonce: hello.client_nonce)
    let voids = state.pointee.voided.count(hello.session_id)
    answer.continuity_token = domain.token(
      key, sessionID: hello.session_id, incarnation: incarnation, voids: voids)
    // 0 means that there is none.
    while answer.continuity_token == 0 {
      incarnation = max(1, incarnation &+ 1)
      answer.continuity_token = domain.token(
        key, sessionID: hello.session_id, incarnation: incarnation, voids: voids)
    }
    answer.incarnation = incarnation
    answer.continuity_epoch = UInt32(truncatingIfNeeded: domain.number)
  }

  /// Ends every life of a session so far. False: the trace can take no record now, and nothing has changed.
  public func void(sessionID: UInt64) -> Bool {
    guard settle() else { return false }
    var record = ltp_voided_record()
    record.kind = LTP_RECORD_VOIDED
    record.time_us = state.pointee.timeMicroseconds
    record.session_id = sessionID
    guard append(record) else { return false }
    state.pointee.voided.void(sessionID)
    return true
  }

  /// The domain's continuity epoch that decisions of this epoch were under, in full; 0: the lane has gone on.
  public func fence(_ domain: UInt8, epoch: UInt32) -> UInt64 {
    state.pointee.epoch == UInt64(epoch) ? state.pointee.domains[Int(domain)].number : 0
  }
}
