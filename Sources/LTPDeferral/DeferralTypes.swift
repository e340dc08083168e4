// SPDX-License-Identifier: Apache-2.0
// What goes into a deferral log and comes out of it.

package import CLTP
package import LTPStorage

package struct DeferralConfiguration: Sendable {
  package var chain = ChainConfiguration()
  /// Intents that are not forgotten, at most.
  package var capacity = 1 << 16
  /// Of one session, and not ended.
  package var perSessionMax = 1024
  /// Payloads of intents that have not ended, in bytes.
  package var bytesMax: UInt64 = 1 << 30
  package var payloadBytesMax = 64 << 10
  /// How long it is remembered how an intent ended.
  package var rememberNanoseconds: UInt64 = 3_600_000_000_000

  package static let naming = ChainNaming(prefix: "deferred-")

  package init() { chain.naming = Self.naming }
}

/// An intent to be kept.
package struct IntentDraft {
  package var request: ltp_route_request
  /// All zero: session and frame id are the key.
  package var key: (UInt64, UInt64) = (0, 0)
  package var condition: UInt8 = LTP_COMMITMENT_WHEN_STABLE
  package var attemptsMax: UInt16 = 10
  package var expiresUnixNanoseconds: UInt64

  package init(_ request: ltp_route_request, expiresUnixNanoseconds: UInt64) {
    self.request = request
    self.expiresUnixNanoseconds = expiresUnixNanoseconds
  }
}

package enum Keeping: Equatable, Sendable {
  /// A new intent; durable with the log's slots up to `sequence`.
  case kept(Ticket, sequence: UInt64)
  /// The same intent is kept already.
  case pending(Ticket, sequence: UInt64)
  /// The same intent has ended: LTP_END_*, NONE when it was carried out.
  case ended(Ticket, end: UInt8)
  /// Its key is another intent's.
  case differs(Ticket)
  /// The table, its bytes, or the session's share is full.
  case full
  /// It can never be kept: no payload, or too large a one, or it has expired.
  case refused
  /// Not before something has completed.
  case later
}

package struct Handout: Equatable, Sendable {
  package let ticket: Ticket
  package let attempt: UInt16
  package let payloadBytes: Int
  /// It was begun before, and nobody has said that it was not carried out.
  package let mayHaveHappened: Bool
}

package enum StepAnswer: Equatable, Sendable {
  case done
  /// No such intent is pending: never given, forgotten, or another log's.
  case unknown
  /// It has ended already.
  case ended
  /// Somebody else has it, or nobody: the lease ran out.
  case notYours
  case later
}
