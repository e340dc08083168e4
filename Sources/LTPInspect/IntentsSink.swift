// SPDX-License-Identifier: Apache-2.0
// Kept intents, as the trace alone tells of them: those without an end, and all that became of one. So they can be looked at while another process
// has the log open.

import CLTP
import LTPRecords

public struct WaitingIntent: Sendable, Encodable {
  public var ticket: String
  public var frame: String
  public var session: String
  public var actionClass: String
  public var keptUnixNanoseconds: UInt64
  public var expiresUnixNanoseconds: UInt64
  public var payloadBytes: UInt32
  public var attempts: UInt16
  public var attemptsMax: UInt16
  /// A worker has it, as far as the trace tells.
  public var isBegun: Bool
  /// The lease's end, or before when it is not handed out; 0: neither.
  public var untilUnixNanoseconds: UInt64
}

public struct IntentsReport: Sendable {
  public struct Session: Sendable, Encodable {
    public var session: String
    public var count: UInt64
    public var oldestUnixNanoseconds: UInt64
  }

  public var inspection: InspectReport
  public var totals: DeferralTotals
  /// The trace has told of a deferral log.
  public var hasDeferralLog: Bool
  /// As the trace counts them; more than `waiting` has where older segments have left it.
  public var pending: UInt64
  /// Those that have waited longest first.
  public var waiting: [WaitingIntent]
  public var bytes: UInt64
  /// Those with the most first.
  public var sessions: [Session]
}

public struct IntentReport: Sendable {
  public var inspection: InspectReport
  /// nil: the trace tells nothing of it.
  public var story: FrameStory?
}

struct IntentsSink: RecordSink {
  private var counting = CountSink()
  private(set) var stories: FrameStories?

  init(ticket: UInt64?) { stories = ticket.map { FrameStories(.ticket($0)) } }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = counting.decisions(body, from: from, to: to, context: context, log: log)
    guard stories != nil, count > 0 else { return count }
    // Only the last of them can be followed by a KEPT record.
    let slot = from + count - 1
    let record = RecordView(body, slot: slot).decision
    let followers = DecisionFollowers(of: record.pointee.inputs, body, slot + 1, to)
    if followers.kept != nil { stories!.decision(record, followers, slot: slot, context) }
    return count
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    switch kind {
    case .intent: stories?.intent(record.intent, slot: slot, context, log)
    case .step: stories?.step(record.step, slot: slot, context)
    default: break
    }
  }
}

extension Inspector {
  /// Intents that have no end yet.
  public func intents() throws(InspectFailure) -> IntentsReport {
    let (report, _, log) = try runKeepingLog(IntentsSink(ticket: nil), salvages: true)
    let policy = log.shelf.policies.last
    var sessions: [UInt64: (count: UInt64, oldest: UInt64)] = [:]
    var bytes: UInt64 = 0
    for intent in log.deferral.pending.values {
      let known = sessions[intent.session] ?? (0, .max)
      sessions[intent.session] = (known.count + 1, min(known.oldest, intent.keptUnixNanoseconds))
      bytes += UInt64(intent.payloadBytes)
    }
    let waiting = log.deferral.pending.map { ticket, intent in
      WaitingIntent(
        ticket: "\(ticket)", frame: "\(intent.frame)", session: "\(intent.session)",
        actionClass: policy?.name(intent.actionClass) ?? className(intent.actionClass),
        keptUnixNanoseconds: intent.keptUnixNanoseconds,
        expiresUnixNanoseconds: intent.expiresUnixNanoseconds,
        payloadBytes: intent.payloadBytes, attempts: intent.attempt, attemptsMax: intent.attemptsMax,
        isBegun: intent.begunAt != 0, untilUnixNanoseconds: intent.untilUnixNanoseconds)
    }
    return IntentsReport(
      inspection: report, totals: log.deferral.totals, hasDeferralLog: log.deferral.isTold,
      pending: log.deferral.pendingTold,
      waiting: waiting.sorted { ($0.keptUnixNanoseconds, $0.ticket) < ($1.keptUnixNanoseconds, $1.ticket) },
      bytes: bytes,
      sessions: sessions.map { session, known in
        IntentsReport.Session(session: "\(session)", count: known.count, oldestUnixNanoseconds: known.oldest)
      }.sorted { ($1.count, $0.session) < ($0.count, $1.session) })
  }

  /// What the trace tells of one intent.
  public func intent(_ ticket: UInt64) throws(InspectFailure) -> IntentReport {
    let (report, sink) = try run(IntentsSink(ticket: ticket), salvages: true)
    return IntentReport(inspection: report, story: sink.stories?.found.first)
  }
}
