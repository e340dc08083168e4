// SPDX-License-Identifier: Apache-2.0
// Prints records, one line each, in log order: decisions, hellos, what a lane could not record, transitions with
// their evidence, policies, and where runs begin and end. Buffered; the caller gets whole lines.

import CLTP
import LTPRecords
import LTPRules

struct ShowSink: RecordSink {
  private static let flushBytes = 1 << 16

  private let filter: ShowFilter
  private let emit: (UnsafeRawBufferPointer) -> Void
  private var out = TextBuffer()
  private var names = ClassNames()
  private(set) var shown: UInt64 = 0

  init(_ filter: ShowFilter, emit: @escaping (UnsafeRawBufferPointer) -> Void) {
    self.filter = filter
    self.emit = emit
    if !filter.json { ShowLine.header(&out) }
  }

  var isDone: Bool { shown >= filter.limit }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    names.use(context.policy)
    var slot = from
    while slot < to {
      let record = RecordView(body, slot: slot)
      guard let word = DecisionWord(record) else { break }
      if wants(record.decision, context) {
        show(record.decision, slot, tenant: Self.tenant(of: word, body, after: slot, to), context)
      }
      slot += 1
      if word.hasFollowers { break }
    }
    return slot - from
  }

  private func wants(
    _ record: UnsafePointer<ltp_decision_record>, _ context: borrowing RecordContext
  ) -> Bool {
    if let verdict = filter.verdict, record.pointee.verdict != verdict { return false }
    if let session = filter.session, record.pointee.session_id != session { return false }
    return isInSpan(context.unixNanoseconds(record.pointee.time_us)) && !isDone
  }

  private func isInSpan(_ time: UInt64) -> Bool { time >= filter.from && time < filter.to }

  /// The tenant that a refused decision's record announces; nil: none.
  private static func tenant(
    of word: DecisionWord, _ body: UnsafeRawPointer, after slot: Int, _ end: Int
  ) -> UInt32? {
    guard word.inputs & LTP_INPUT_TENANT != 0 else { return nil }
    let place = slot + (word.inputs & LTP_INPUT_REPLAY != 0 ? 2 : 1)
    guard place < end, RecordView(body, slot: place).kind == .tenant else { return nil }
    return RecordView(body, slot: place).tenant.pointee.tenant_id
  }

  private mutating func show(
    _ record: UnsafePointer<ltp_decision_record>, _ slot: Int, tenant: UInt32?,
    _ context: borrowing RecordContext
  ) {
    let actionClass = names[record.pointee.action_class]
    if filter.json {
      ShowLine.decisionJSON(record, context, context.firstSequence &+ UInt64(slot), actionClass, tenant, &out)
    } else {
      ShowLine.decision(record, context, context.firstSequence &+ UInt64(slot), actionClass, tenant, &out)
    }
    shown += 1
    endLine()
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    guard let time = self.time(of: kind, record, context), isInSpan(time), !isDone else { return }
    switch kind {
    case .transition:
      guard !record.transition.isRepeated else { return }
      let view = TransitionView(record.transition, unixNanoseconds: time, texts: log.texts)
      if filter.json { ShowLine.transitionJSON(view, &out) } else { ShowLine.transition(view, &out) }
    case .hello:
      guard filter.verdict == nil,
        filter.session == nil || filter.session == record.hello.pointee.session_id
      else { return }
      shown += 1
      ShowLine.hello(record.hello, time, context, slot, json: filter.json, &out)
    case .voided:
      guard filter.verdict == nil,
        filter.session == nil || filter.session == record.voided.pointee.session_id
      else { return }
      ShowLine.event(
        "voided", time, [("lane", UInt64(context.lane)), ("session", record.voided.pointee.session_id)],
        filter.json, &out)
    case .unrecorded:
      ShowLine.event(
        "unrecorded", time,
        [("lane", UInt64(context.lane)), ("denied", record.unrecorded.pointee.denied_count)],
        reason: "\(reasonName(record.unrecorded.pointee.reason))", filter.json, &out)
    case .opened:
      let opened = record.opened.pointee
      ShowLine.event(
        "opened", time,
        [("run", UInt64(opened.run)), ("process", opened.process_id), ("bytes_cut", opened.cut_bytes)],
        filter.json, &out)
    case .closed:
      let closed = record.closed.pointee
      ShowLine.event(
        "closed", time, [("decisions", closed.decision_count), ("unrecorded", closed.unrecorded_count)],
        filter.json, &out)
    case .policy:
      guard log.totals.policies > policiesShown else { return }
      policiesShown = log.totals.policies
      ShowLine.event(
        "policy", time,
        [
          ("generation", UInt64(record.policy.pointee.policy_generation)),
          ("slot", UInt64(record.policy.pointee.policy_slot)),
        ], filter.json, &out)
    case .intent:
      let intent = record.intent.pointee
      guard filter.verdict == nil, filter.session == nil || filter.session == intent.session_id else {
        return
      }
      ShowLine.event(
        intent.moved == 1 ? "intent-moved" : "intent-kept", time,
        [
          ("ticket", intent.ticket), ("session", intent.session_id), ("frame", intent.frame_id),
          ("payload_bytes", UInt64(intent.payload_bytes)),
        ], filter.json, &out)
    case .step:
      let step = record.step.pointee
      guard filter.verdict == nil, filter.session == nil else { return }
      ShowLine.event(
        "intent-step", time, [("ticket", step.ticket), ("attempt", UInt64(step.attempt))],
        reason: "\(step.step == LTP_STEP_ENDED ? endName(step.end) : stepName(step.step))", filter.json,
        &out)
    case .deferral:
      let deferral = record.deferral.pointee
      guard deferral.what != LTP_DEFERRAL_GOES_ON else { return }
      ShowLine.event(
        deferral.what == LTP_DEFERRAL_OPENED_HERE ? "deferral-opened" : "deferral-closed", time,
        [("pending", deferral.pending_count), ("sequence", deferral.sequence)], filter.json, &out)
    // What the others say is in the lines of decisions, or about files.
    case .decision, .replay, .tenant, .kept, .observed, .time, .segment, .text, .sealed, .counts, .domains:
      return
    }
    endLine()
  }

  /// Nil for a record without a time.
  private func time(
    of kind: RecordKind, _ record: RecordView, _ context: borrowing RecordContext
  ) -> UInt64? {
    if kind == .transition { return context.transitionTime(record.transition) }
    guard let offset = record.timeMicroseconds(kind) else { return nil }
    return context.unixNanoseconds(offset)
  }

  private var policiesShown: UInt64 = 0

  private mutating func endLine() {
    out.append(byte: 10)
    if out.count >= Self.flushBytes { flush() }
  }

  mutating func flush() {
    out.bytes.withUnsafeBytes { emit($0) }
    out.removeAll()
  }
}

/// The names of one policy's classes, looked up once a policy.
private struct ClassNames {
  private var generation: UInt32?
  private var names: [String] = []

  mutating func use(_ policy: RecordedPolicy?) {
    if names.count > 0, generation == policy?.generation { return }
    generation = policy?.generation
    names = (0..<PolicyTable.classCount).map { policy?.name(UInt8($0)) ?? className(UInt8($0)) }
  }

  subscript(_ actionClass: UInt8) -> String {
    Int(actionClass) < names.count ? names[Int(actionClass)] : className(actionClass)
  }
}

extension Inspector {
  /// Prints what the filter lets through, as much of a damaged trace as can be made out. `emit` gets whole lines.
  public func show(
    _ filter: ShowFilter, emit: @escaping (UnsafeRawBufferPointer) -> Void
  ) throws(InspectFailure) -> InspectReport {
    var (report, sink) = try run(ShowSink(filter, emit: emit), salvages: true)
    sink.flush()
    return report
  }
}
