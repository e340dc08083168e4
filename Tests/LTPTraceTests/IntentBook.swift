// SPDX-License-Identifier: Apache-2.0
// What the host remembers of the intents that it sent, beside both logs and independently of them: what each was, what it was told of it,
// and when. Outlives every crash.

import CLTP
import LTPDeferral
import LTPRecords
import LTPTestSupport

/// One intent, from when the deferral log gave it a ticket.
final class SentIntent {
  let request: ltp_route_request
  let key: (UInt64, UInt64)
  let payload: UnsafeRawBufferPointer
  let hash: Digest
  let attemptsMax: UInt16
  let expires: UInt64
  let ticket: Ticket
  var isAcknowledged = false
  /// How it ended, as far as the host knows; and whether that was acknowledged.
  var end: UInt8?
  var endIsAcknowledged = false
  /// How often it was handed out, also by runs whose records a crash took.
  var handedOut = 0
  /// A crash took it before it was acknowledged.
  var isLost = false

  init(_ letter: IntentLetter, ticket: Ticket) {
    request = letter.request
    key = letter.key
    payload = letter.payload
    hash = letter.hash
    attemptsMax = letter.attemptsMax
    expires = letter.expires
    self.ticket = ticket
  }

  var frame: UInt64 { request.frame_id }
  var session: UInt64 { request.session_id }

  /// The same, sent again by its sender.
  var letter: IntentLetter {
    IntentLetter(
      request: request, key: key, payload: payload, hash: hash, attemptsMax: attemptsMax, expires: expires)
  }

  /// Nobody has to have ended it: its time is over, or its attempts are used up.
  func mayEndByItself(as end: UInt8, at now: UInt64) -> Bool {
    switch end {
    case LTP_END_EXPIRED: expires <= now
    case LTP_END_ATTEMPTS: handedOut >= Int(attemptsMax)
    default: false
    }
  }
}

/// What a sender sends.
struct IntentLetter {
  var request: ltp_route_request
  var key: (UInt64, UInt64)
  var payload: UnsafeRawBufferPointer
  var hash: Digest
  var attemptsMax: UInt16
  var expires: UInt64

  var draft: IntentDraft {
    var draft = IntentDraft(request, expiresUnixNanoseconds: expires)
    draft.key = key
    draft.attemptsMax = attemptsMax
    return draft
  }
}

final class IntentBook {
  /// By the number of their letter: two letters with one number are one intent, sent again. An intent that was forgotten may have
  /// another one in its place.
  private(set) var intents: [SentIntent] = []
  private(set) var byTicket: [UInt64: SentIntent] = [:]
  private var places: [UInt64: Int] = [:]
  /// Frames that were used.
  private var lastFrame: UInt64 = 0
  /// What is said of an intent once the deferral log is durable up to `sequence`.
  private var waiting: [(sequence: UInt64, intent: SentIntent, isEnd: Bool)] = []

  /// A new letter of a session.
  func letter(session: UInt64, now: UInt64, _ random: inout SplitMix64) -> IntentLetter {
    lastFrame += 1
    let bits = random.next()
    let count = 1 + (bits & 7 == 0 ? random.below(SomeBytes.countMax) : random.below(90))
    let payload = SomeBytes.piece(lastFrame, count: count)
    return IntentLetter(
      request: request(25, frameID: lastFrame, sessionID: session),
      key: bits >> 3 & 3 == 0 ? (lastFrame, bits | 1) : (0, 0), payload: payload,
      hash: Digest(of: payload.baseAddress!, count: count)!, attemptsMax: bits >> 5 & 3 == 0 ? 2 : 100,
      expires: now + (bits >> 7 & 7 == 0 ? UInt64(1 + random.below(30)) * millisecond : 3600 * second))
  }

  /// The deferral log has given it a ticket.
  func enter(_ letter: IntentLetter, _ ticket: Ticket, sequence: UInt64) -> SentIntent {
    let intent = SentIntent(letter, ticket: ticket)
    byTicket[ticket.rawValue] = intent
    if let place = places[intent.frame] {
      intents[place] = intent
    } else {
      places[intent.frame] = intents.count
      intents.append(intent)
    }
    waiting.append((sequence, intent, false))
    return intent
  }

  /// The one before it with the same key, which had ended, is what is known of the key.
  func restore(_ intent: SentIntent) { intents[places[intent.frame]!] = intent }

  /// It has ended, by a record of the deferral log that ends at `sequence`.
  func end(_ intent: SentIntent, as end: UInt8, sequence: UInt64) {
    intent.end = end
    waiting.append((sequence, intent, true))
  }

  /// What of the deferral log is said to be on disk.
  enum Said { case all, intents, ends }

  /// The deferral log says that it is durable up to there: the host tells senders and workers.
  func acknowledge(below sequence: UInt64, _ said: Said = .all) {
    waiting.removeAll { wait in
      guard wait.sequence <= sequence, said == .all || (said == .ends) == wait.isEnd else { return false }
      if wait.isEnd { wait.intent.endIsAcknowledged = true } else { wait.intent.isAcknowledged = true }
      return true
    }
  }

  /// Nobody waits any more: the process is gone.
  func forgetWaiting() { waiting.removeAll(keepingCapacity: true) }
}
