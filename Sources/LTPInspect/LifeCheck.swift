// SPDX-License-Identifier: Apache-2.0
// Whether each EXECUTE that says "valid continuity" has a hello of its session, in its domain and epoch, in the trace: the record's own
// word would not do, because whoever changes a verdict can change it as well.
//
// Lanes' blocks come in the order in which they were sealed, so a hello may come after the decision that it explains.

import CLTP
import LTPRecords

struct LifeCheck {
  /// So many lives are followed; more are counted as unknown.
  static let livesMax = 1 << 22

  private struct Life: Hashable {
    var session: UInt64
    var domain: UInt8
    /// The domain's continuity epoch, in full.
    var number: UInt64
  }

  private struct Act {
    var place: Place
    var frame: UInt64
    var unixNanoseconds: UInt64
  }

  private var begun: Set<Life> = []
  /// The first act of each life whose hello has not come by.
  private var open: [Life: Act] = [:]
  /// EXECUTEs of sessions that had to show their continuity.
  private(set) var acts: UInt64 = 0
  /// Those of which nobody can say more: their hello may have left the trace with older segments.
  private(set) var unknown: UInt64 = 0

  mutating func hello(
    _ record: UnsafePointer<ltp_hello_record>, _ context: borrowing RecordContext, _ log: LogState
  ) {
    guard let number = log.domainNumber(record.pointee.domain, under: context.word) else { return }
    let life = Life(session: record.pointee.session_id, domain: record.pointee.domain, number: number)
    open[life] = nil
    if begun.count < Self.livesMax { begun.insert(life) }
  }

  mutating func decision(
    _ decision: DecisionWord, _ record: UnsafePointer<ltp_decision_record>, slot: Int,
    _ context: borrowing RecordContext, _ log: LogState
  ) {
    guard decision.outcome.isExecute, continuityOf(inputs: decision.inputs) == LTP_CONTINUITY_VALID else {
      return
    }
    acts += 1
    guard let number = log.domainNumber(decision.domain, under: context.word),
      !log.domains.isFromBefore(number, of: decision.domain)
    else {
      unknown += 1
      return
    }
    let life = Life(session: record.pointee.session_id, domain: decision.domain, number: number)
    guard !begun.contains(life), open[life] == nil else { return }
    guard begun.count < Self.livesMax, open.count < Self.livesMax else {
      unknown += 1
      return
    }
    open[life] = Act(
      place: context.place(slot: slot), frame: record.pointee.frame_id,
      unixNanoseconds: context.unixNanoseconds(record.pointee.time_us))
  }

  /// A run has ended, or the trace: where it was not closed, a hello may have been in the memory of a lane whose block was not written
  /// yet. No lane's record waits for longer than `LifeCheck.unwrittenNanoseconds`.
  mutating func runEnds(isClosed: Bool, at time: UInt64?) {
    guard !isClosed, let time else { return }
    for (life, act) in open where act.unixNanoseconds &+ Self.unwrittenNanoseconds >= time {
      open[life] = nil
      unknown += 1
    }
  }

  /// Twice the longest commit interval.
  private static let unwrittenNanoseconds: UInt64 = 2_000_000_000

  /// At the end: who acted without a hello, in the trace's order.
  var violations: [Violation] {
    open.sorted {
      ($0.value.place.block ?? 0, $0.value.place.offset) < ($1.value.place.block ?? 0, $1.value.place.offset)
    }
    .map { life, act in
      Violation(
        .continuity, at: act.place,
        "frame \(act.frame) is EXECUTEd for session \(life.session), and no hello of it in domain \(life.domain), continuity epoch "
          + "\(life.number), is in the trace")
    }
  }
}

/// Everything that an EXECUTE can have wrong: the never list, another decision than the recorded one, a life that never began.
struct ViolationsSink: RecordSink {
  private var counting = CountSink()
  private(set) var redeciding = RedecideSink()
  private(set) var lives = LifeCheck()
  /// The last record that was no decision closed its run, and until when the trace went.
  private var wasClosed = false
  private var lastTime: UInt64?

  private mutating func noteTime(_ time: UInt64) { lastTime = max(lastTime ?? 0, time) }

  mutating func traceEnds(isClosed: Bool) { lives.runEnds(isClosed: isClosed, at: lastTime) }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    let count = redeciding.decisions(body, from: from, to: to, context: context, log: log)
    _ = counting.decisions(body, from: from, to: from + count, context: context, log: log)
    for slot in from..<from + count {
      let record = RecordView(body, slot: slot)
      guard let decision = DecisionWord(record) else { continue }
      lives.decision(decision, record.decision, slot: slot, context, log)
      if slot == from + count - 1 { noteTime(context.unixNanoseconds(record.decision.pointee.time_us)) }
    }
    return count
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    switch kind {
    case .hello: lives.hello(record.hello, context, log)
    // The audit has taken it in: the run before is over.
    case .opened: lives.runEnds(isClosed: wasClosed, at: lastTime)
    default: break
    }
    wasClosed = kind == .closed
    if let time = record.timeMicroseconds(kind) { noteTime(context.unixNanoseconds(time)) }
    counting.record(kind, record, slot: slot, context: context, log: log)
  }
}
