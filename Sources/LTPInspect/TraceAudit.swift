// SPDX-License-Identifier: Apache-2.0
// Walks the records of each checked block: what every record must be by itself and after what came before. Then
// hands it to a sink, which counts, decides again, or prints. One pass, no allocation for decisions.

import CLTP
import LTPRecords

struct TraceAudit<Sink: RecordSink>: BlockVisitor {
  let log: LogState
  var sink: Sink

  init(log: LogState, sink: Sink) {
    self.log = log
    self.sink = sink
  }

  var isSealed: Bool { log.segment.isSealed }

  var isDone: Bool { sink.isDone }

  mutating func segmentBegins(_ segment: UInt64) { log.beginSegment() }

  mutating func chainResumes() { log.chainResumes() }

  mutating func block(_ header: BlockHeader, segment: UInt64, offset: UInt64) {
    var context = RecordContext(header, segment: segment, offset: offset)
    log.begin(header, context)
    if header.laneID == LTP_CONTROL_LANE {
      if header.orientationWord != 0 || header.limitsWord != 0 {
        log.findings.add(
          .record, at: context.place(slot: 0), "a control block with an orientation word, or a limits word")
      }
      walkControl(header, context)
    } else {
      log.enter(OrientationWord(rawValue: header.orientationWord), generation: nil, slot: 0, &context)
      log.enter(LimitsWord(rawValue: header.limitsWord), slot: 0, &context)
      walkLane(header.body, header.slotCount, &context)
    }
  }

  // MARK: Lanes

  private mutating func walkLane(_ body: UnsafeRawPointer, _ count: Int, _ context: inout RecordContext) {
    var slot = 0
    var decisions: UInt64 = 0
    while slot < count {
      let record = RecordView(body, slot: slot)
      if record.isDecision {
        let taken = sink.decisions(body, from: slot, to: count, context: context, log: log)
        let last = RecordView(body, slot: slot + taken - 1).decision
        noteTimes(record.decision.pointee.time_us, last.pointee.time_us, context)
        decisions += UInt64(taken)
        slot += taken
        readFollowers(of: last, body, &slot, count, context)
        continue
      }
      guard applyLaneRecord(record, slot, &context) else { break }
      slot += 1
    }
    log.totals.decisions += decisions
    log.segment.decisions += decisions
    log.run.decisions += decisions
  }

  private func noteTimes(_ first: UInt32, _ last: UInt32, _ context: borrowing RecordContext) {
    log.noteTime(context.unixNanoseconds(first))
    log.noteTime(context.unixNanoseconds(last))
  }

  /// The records that a decision's inputs announce, in the same block and in this order.
  private mutating func readFollowers(
    of decision: UnsafePointer<ltp_decision_record>, _ body: UnsafeRawPointer, _ slot: inout Int,
    _ count: Int, _ context: borrowing RecordContext
  ) {
    let inputs = decision.pointee.inputs
    if inputs & LTP_INPUT_REPLAY != 0 {
      guard let record = follower(.replay, of: decision, body, slot, count, context) else { return }
      if record.replay.pointee.original_frame_id == 0 {
        log.findings.add(.record, at: context.place(slot: slot), "a REPLAY record of frame 0")
      }
      log.totals.replays += 1
      slot += 1
    }
    if inputs & LTP_INPUT_TENANT != 0 {
      guard let record = follower(.tenant, of: decision, body, slot, count, context) else { return }
      if record.tenant.pointee.tenant_id == 0 {
        log.findings.add(.record, at: context.place(slot: slot), "a TENANT record of tenant 0")
      }
      slot += 1
    }
    if inputs & LTP_INPUT_KEPT != 0 {
      guard let record = follower(.kept, of: decision, body, slot, count, context) else { return }
      log.deferral.applyKept(record.kept, decision, context.place(slot: slot), log.findings)
      slot += 1
    }
  }

  /// The record in `slot`, which is of the kind that the decision announces and names the decision's frame; nil: it is not.
  private mutating func follower(
    _ kind: RecordKind, of decision: UnsafePointer<ltp_decision_record>, _ body: UnsafeRawPointer,
    _ slot: Int, _ count: Int, _ context: borrowing RecordContext
  ) -> RecordView? {
    let name = kind == .replay ? "REPLAY" : kind == .tenant ? "TENANT" : "KEPT"
    guard slot < count, RecordView(body, slot: slot).kind == kind else {
      log.findings.add(
        .record, at: context.place(slot: slot - 1), "no \(name) record follows the decision that announces it"
      )
      return nil
    }
    let record = RecordView(body, slot: slot)
    checkReserved(kind, record, slot, context)
    let frame =
      switch kind {
      case .replay: record.replay.pointee.frame_id
      case .tenant: record.tenant.pointee.frame_id
      default: record.kept.pointee.frame_id
      }
    if frame != decision.pointee.frame_id {
      log.findings.add(
        .record, at: context.place(slot: slot), "the \(name) record names another frame than its decision")
    }
    sink.record(kind, record, slot: slot, context: context, log: log)
    return record
  }

  /// False when what follows cannot be made out.
  private mutating func applyLaneRecord(
    _ record: RecordView, _ slot: Int, _ context: inout RecordContext
  ) -> Bool {
    guard let kind = record.kind else {
      log.findings.add(
        .record, at: context.place(slot: slot), "record kind \(record.kindByte) is not known")
      return false
    }
    checkReserved(kind, record, slot, context)
    switch kind {
    case .observed:
      let observed = record.observed.pointee
      let word = OrientationWord(rawValue: observed.orientation_word)
      log.enter(word, generation: observed.policy_generation, slot: slot, &context)
      log.enter(LimitsWord(rawValue: observed.limits_word), slot: slot, &context)
    case .time:
      context.baseMonotonicNanoseconds = record.time.pointee.base_monotonic_ns
      context.baseUnixNanoseconds = record.time.pointee.base_unix_ns
    case .unrecorded:
      let denied = record.unrecorded.pointee.denied_count
      let reason = record.unrecorded.pointee.reason
      // No core leaves out other denials yet.
      if denied == 0 || reason != LTP_REASON_TRACE_BACKPRESSURE {
        log.findings.add(
          .record, at: context.place(slot: slot),
          "an UNRECORDED record of no denials, or of a reason that is always recorded")
      }
      log.totals.unrecorded &+= denied
      log.run.unrecorded &+= denied
      log.noteTime(context.unixNanoseconds(record.unrecorded.pointee.time_us))
    case .hello:
      let hello = record.hello.pointee
      let number = log.domainNumber(hello.domain, under: context.word)
      let isOfEpoch = number.map { UInt32(truncatingIfNeeded: $0) == hello.continuity_epoch } ?? true
      if hello.session_id == 0 || hello.incarnation == 0 || !isOfEpoch {
        log.findings.add(
          .record, at: context.place(slot: slot),
          "a HELLO record without a session or incarnation, or of another continuity epoch than its domain's")
      }
      log.totals.hellos += 1
      log.noteTime(context.unixNanoseconds(hello.time_us))
    case .voided:
      if record.voided.pointee.session_id == 0 {
        log.findings.add(.record, at: context.place(slot: slot), "a VOIDED record without a session")
      }
      log.noteTime(context.unixNanoseconds(record.voided.pointee.time_us))
    case .replay:
      log.findings.add(.record, at: context.place(slot: slot), "a REPLAY record without a replayed decision")
    case .tenant:
      log.findings.add(.record, at: context.place(slot: slot), "a TENANT record that no decision announces")
    case .kept:
      log.findings.add(.record, at: context.place(slot: slot), "a KEPT record that no decision announces")
    case .decision: return false  // `walkLane` hands those to the sink
    case .opened, .segment, .transition, .policy, .text, .sealed, .closed, .counts, .domains, .intent, .step,
      .deferral:
      log.findings.add(
        .record, at: context.place(slot: slot),
        "a record of kind \(kind.rawValue) belongs to the control lane")
      return false
    }
    sink.record(kind, record, slot: slot, context: context, log: log)
    return true
  }

  private func checkReserved(
    _ kind: RecordKind, _ record: RecordView, _ slot: Int, _ context: borrowing RecordContext
  ) {
    guard let offset = kind.reservedFault(record) else { return }
    log.findings.add(
      .record, at: context.place(slot: slot), "reserved byte \(offset) of the record is not zero")
  }

  // MARK: The control lane

  /// Texts first: a transition's evidence may name one that its block says later.
  private func applyTexts(_ header: BlockHeader, _ context: RecordContext) {
    header.forEachControlRecord { kind, record, slot in
      if kind == .text { log.applyText(record.text, context.place(slot: slot)) }
    }
  }

  private mutating func walkControl(_ header: BlockHeader, _ context: RecordContext) {
    applyTexts(header, context)
    let (body, count) = (header.body, header.slotCount)
    var slot = 0
    while slot < count {
      let record = RecordView(body, slot: slot)
      let place = context.place(slot: slot)
      guard let kind = record.kind, kind.isControl else {
        log.findings.add(
          .record, at: place, "a record of kind \(record.kindByte) does not belong to the control lane")
        return
      }
      let slots = kind.slotCount
      let said = record.control.pointee.slot_count
      guard Int(said) == slots, slot + slots <= count else {
        log.findings.add(
          .record, at: place,
          "a record of kind \(kind.rawValue) has \(slots) slots; it says \(said), and \(count - slot) are left"
        )
        return
      }
      checkReserved(kind, record, slot, context)
      log.noteTime(context.unixNanoseconds(record.control.pointee.time_us))
      if kind != .counts, kind != .sealed { log.summary.endCounts(place) }
      switch kind {
      case .segment, .domains: break
      case .transition where record.transition.isRepeated: break
      default: log.endDomains(place)
      }
      applyControlRecord(kind, record, place, isLastOfBlock: slot + slots == count)
      sink.record(kind, record, slot: slot, context: context, log: log)
      slot += slots
    }
    log.summary.endCounts(context.place(slot: slot - 1))
  }

  private func applyControlRecord(
    _ kind: RecordKind, _ record: RecordView, _ place: Place, isLastOfBlock: Bool
  ) {
    switch kind {
    case .opened: log.applyOpened(record.opened, place)
    case .segment: log.applySegment(record.segment, place)
    case .transition: log.applyTransition(record.transition, place)
    case .policy: log.applyPolicy(record.policy, place)
    case .text: break  // `applyTexts` has
    case .sealed: log.applySealed(record.sealed, place, isLastOfBlock: isLastOfBlock)
    case .counts: log.summary.applyCounts(record.counts, place)
    case .domains: log.applyDomains(record.domains, place)
    case .intent: log.deferral.applyIntent(record.intent, place, log.findings)
    case .step: log.deferral.applyStep(record.step, place, log.findings)
    case .deferral: log.deferral.applyDeferral(record.deferral, place, log.findings)
    case .closed: log.applyClosed(record.closed, place)
    // `walkControl` has refused them.
    case .decision, .replay, .observed, .unrecorded, .hello, .time, .tenant, .voided, .kept: break
    }
  }
}
