// SPDX-License-Identifier: Apache-2.0
// What goes into a deferral log and comes out of it.

package import CLTP
package import LTPRecords
package import LTPStorage

package struct DeferralConfiguration: Sendable {
  package var chain = ChainConfiguration()
  /// Intents that are not forgotten, at most.
  package var capacity = 1 << 16
  /// Of one session, and not ended.
  package var perSessionMax = 1024
  /// Of one tenant, and not ended.
  package var perTenantMax = Int.max
  /// Payloads of intents that have not ended, in bytes: of all, of one session, of one tenant.
  package var bytesMax: UInt64 = 1 << 30
  package var sessionBytesMax = UInt64.max
  package var tenantBytesMax = UInt64.max
  package var payloadBytesMax = 64 << 10
  /// How long it is remembered how an intent ended.
  package var rememberNanoseconds: UInt64 = 3_600_000_000_000

  package var leaseNanoseconds: UInt64 = 30_000_000_000
  /// For intents that do not say it themselves.
  package var expiryNanoseconds: UInt64 = 86_400_000_000_000
  package var attemptsMax: UInt16 = 10
  /// What keys are hashed under in memory: random, but for tests.
  package var secret = SipKey(low: 3, high: 5)
  /// The trace that the log belongs to, and how far it is told there.
  package var trace = TraceStanding()

  /// No intent lives, and none is put off, for longer: ten years.
  package static var longestMilliseconds: UInt64 { 10 * 365 * 86_400_000 }

  package static let naming = ChainNaming(prefix: "deferred-")

  package init() { chain.naming = Self.naming }
}

/// What a deferral log knows of the trace beside it when it is opened.
package struct TraceStanding: Sendable {
  package var logID = LogID(low: 0, high: 0)
  /// Blocks that are durable.
  package var blocks: UInt64 = 0
  /// And those that are sealed.
  package var sealedBlocks: UInt64 = 0
  /// Sealed blocks tell the deferral log's records that end up to here; what is still being gathered tells more.
  package var sealedSequence: UInt64 = 0
  /// What it tells of a deferral log; nil: of none.
  package var told: ToldDeferral?
  /// Pending intents whose last record ends at or below this are to be told again; 0: none.
  package var wantedAgain: UInt64 = 0

  package init() {}
}

/// An intent to be kept.
package struct IntentDraft {
  package var request: ltp_route_request
  /// All zero: session and frame id are the key.
  package var key: (UInt64, UInt64) = (0, 0)
  package var condition: UInt8 = LTP_COMMITMENT_WHEN_STABLE
  package var attemptsMax: UInt16 = 10
  package var needsHello = false
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
  /// The table, its bytes, or the session's or the tenant's share is full.
  case full
  /// It can never be kept: no payload, or too large a one, or it has expired.
  case refused
  /// Not before something has completed.
  case later
}

/// An intent's record, read back.
package struct KeptIntent {
  package var request = ltp_route_request()
  package var key: (UInt64, UInt64) = (0, 0)
  package var keptUnixNanoseconds: UInt64 = 0
  /// The first 8 bytes of its payload's hash.
  package var contentHash: UInt64 = 0
  package var payloadBytes = 0

  init(_ record: UnsafePointer<ltp_deferral_intent>) {
    request = record.pointee.request
    key = record.keyWords
    keptUnixNanoseconds = record.pointee.kept_unix_ns
    contentHash = record.contentWord
    payloadBytes = Int(record.pointee.payload_bytes)
  }
}

/// Since the log was opened.
package struct DeferralCounts: Sendable {
  package var kept: UInt64 = 0
  package var committed: UInt64 = 0
  /// By LTP_END_*.
  package var ends: InlineArray<8, UInt64> = InlineArray(repeating: 0)
  package var refusedFull: UInt64 = 0
  /// Records that were copied to the log's end, so that their segment could go, or one of the trace.
  package var moved: UInt64 = 0
}

package enum NextIntent: Equatable, Sendable {
  case intent(Ticket)
  /// None is due, or let in.
  case nothing
  /// One is, but there is no place for its record before something has completed.
  case later
  /// One is, and it is not on disk yet that this run hands any out.
  case unsaid

  package var ticket: Ticket? {
    if case .intent(let ticket) = self { ticket } else { nil }
  }
}

/// Whether a run hands intents out: it says so on disk before it does.
enum Handing { case no, due, said, yes }

package struct Handout: Equatable, Sendable {
  package let ticket: Ticket
  package let attempt: UInt16
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
