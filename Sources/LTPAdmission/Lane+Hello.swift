// SPDX-License-Identifier: Apache-2.0
// Hellos: a life of a session begins, or is put off.
//
// Handshakes are admitted, too. A domain has a rate for them, and one session counts once: the same hello again is the same life, and
// costs neither a record nor the rate; a session that begins lives faster than it can live them is put off. What is put off leaves no
// record: a storm of hellos is not to fill the trace.

public import CLTP
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

/// The last hello of a session that this lane has answered. A place is shared by sessions, so what it does not know it treats as new.
struct RecentHello {
  static var placeBits: Int { 10 }
  static var placeCount: Int { 1 << placeBits }
  /// Lives that a session may begin within a second.
  static var livesMax: UInt32 { 4 }
  static var secondNanoseconds: UInt64 { 1_000_000_000 }

  var sessionID: UInt64 = 0
  var clientNonce: UInt64 = 0
  /// Of its domain, in full: an outage makes it a stranger ...
  var number: UInt64 = 0
  /// ... and so does its end by the host.
  var voids: UInt32 = 0
  var secondStart: UInt64 = 0
  var lives: UInt32 = 0
  var domain: UInt8 = 0
}

extension Lane {
  /// Answers a hello with the life that it begins, and records it. Any status but LTP_OK: none is begun.
  public func answer(hello: ltp_hello, into answer: inout ltp_hello) -> Int32 {
    guard settle() else {
      _ = denyUnrecorded()
      return LTP_ERROR_BACKPRESSURE
    }
    answer = hello
    answer.header.flags |= LTP_HELLO_ANSWER
    let now = state.pointee.clock
    guard state.pointee.outages[Int(hello.domain)] == 0 else {
      // Whatever was granted now would be void with the next report.
      let stay = state.pointee.orientation.domains.stayMilliseconds(of: hello.domain)
      return putOff(CompiledRule.spread(stay, sessionID: hello.session_id), &answer)
    }
    let domain = domain(hello.domain)
    let recent = recentHello(hello.session_id)
    var next = recent.pointee
    let voids = state.pointee.voided.count(hello.session_id)
    let isKnown =
      next.sessionID == hello.session_id && next.domain == hello.domain && next.number == domain.number
      && next.voids == voids
    if isKnown, next.clientNonce == hello.client_nonce {
      begin(hello, in: domain, &answer)
      return LTP_OK
    }
    if !isKnown || now - next.secondStart >= RecentHello.secondNanoseconds {
      let again = state.pointee.helloRates.admit(
        domain: hello.domain, rate: state.pointee.helloRate, now: now)
      guard again == 0 else { return putOff((again - now + 999_999) / 1_000_000, &answer) }
      next = RecentHello(
        sessionID: hello.session_id, number: domain.number, voids: voids, secondStart: now,
        domain: hello.domain)
    }
    guard next.lives < RecentHello.livesMax else {
      return putOff(CompiledRule.spread(1000, sessionID: hello.session_id), &answer)
    }
    begin(hello, in: domain, &answer)
    guard record(hello, answer) else { return LTP_ERROR_BACKPRESSURE }
    next.clientNonce = hello.client_nonce
    next.lives += 1
    recent.pointee = next
    // A session counts once, whatever it does.
    if next.lives == 1 { state.pointee.orientation.hellos.pointee.wrappingAdd(1, ordering: .relaxed) }
    return LTP_OK
  }

  private func recentHello(_ sessionID: UInt64) -> UnsafeMutablePointer<RecentHello> {
    let place = (sessionID &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - RecentHello.placeBits)
    return state.pointee.recentHellos + Int(place)
  }

  func record(_ hello: ltp_hello, _ answer: ltp_hello) -> Bool {
    var record = ltp_hello_record()
    record.kind = LTP_RECORD_HELLO
    record.domain = hello.domain
    record.continuity_epoch = answer.continuity_epoch
    record.time_us = state.pointee.timeMicroseconds
    record.node_id = hello.node_id <= UInt32(LTP_TEXT_COUNT_MAX) ? UInt16(hello.node_id) : 0
    record.incarnation = answer.incarnation
    record.frame_id = hello.frame_id
    record.session_id = hello.session_id
    return append(record)
  }

  private func putOff(_ milliseconds: UInt64, _ answer: inout ltp_hello) -> Int32 {
    answer.header.flags |= LTP_HELLO_LATER
    answer.retry_after_ms = UInt32(clamping: milliseconds)
    return LTP_ERROR_HELLO_LATER
  }
}
