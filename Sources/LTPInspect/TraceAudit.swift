// SPDX-License-Identifier: Apache-2.0
// Walks the records of each checked block: what every record must be by itself and after what came before. Then
// hands it to a sink, which counts, decides again, or prints. One pass, no allocation for decisions.

import CLTP
import LTPAdmission
import LTPLimits
import LTPTrace

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
      walkControl(header.body, header.slotCount, context)
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
      let record = body + slot * RecordLayout.slotBytes
      let kind = record.u8(0)
      if kind == LTP_RECORD_DECISION {
        let taken = sink.decisions(body, from: slot, to: count, context: context, log: log)
        noteTimes(record.u32(8), (record + (taken - 1) * RecordLayout.slotBytes).u32(8), context)
        decisions += UInt64(taken)
        slot += taken
        if (body + (slot - 1) * RecordLayout.slotBytes).u8(3) & LTP_INPUT_REPLAY != 0 {
          takeReplay(body, &slot, count, context)
        }
        continue
      }
      guard takeLaneRecord(kind, record, slot, &context) else { break }
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

  /// The record that a replayed decision's inputs announce, in the same block.
  private mutating func takeReplay(
    _ body: UnsafeRawPointer, _ slot: inout Int, _ count: Int, _ context: borrowing RecordContext
  ) {
    let record = body + slot * RecordLayout.slotBytes
    guard slot < count, record.u8(0) == LTP_RECORD_REPLAY else {
      log.findings.add(
        .record, at: context.place(slot: slot - 1), "no REPLAY record follows a replayed decision")
      return
    }
    checkReserved(LTP_RECORD_REPLAY, record, slot, context)
    if record.u64(16) != (record - RecordLayout.slotBytes).u64(16) {
      log.findings.add(
        .record, at: context.place(slot: slot), "the REPLAY record names another frame than its decision")
    }
    log.totals.replays += 1
    sink.record(LTP_RECORD_REPLAY, record, slot: slot, context: context, log: log)
    slot += 1
  }

  /// False when what follows cannot be made out.
  private mutating func takeLaneRecord(
    _ kind: UInt8, _ record: UnsafeRawPointer, _ slot: Int, _ context: inout RecordContext
  ) -> Bool {
    checkReserved(kind, record, slot, context)
    switch kind {
    case LTP_RECORD_OBSERVED:
      let word = OrientationWord(rawValue: record.u64(16))
      log.enter(word, generation: record.u32(12), slot: slot, &context)
      log.enter(LimitsWord(rawValue: record.u64(24)), slot: slot, &context)
    case LTP_RECORD_TIME:
      context.baseMonotonicNanoseconds = record.u64(8)
      context.baseUnixNanoseconds = record.u64(16)
    case LTP_RECORD_UNRECORDED:
      let denied = record.u64(16)
      if denied == 0 {
        log.findings.add(.record, at: context.place(slot: slot), "an UNRECORDED record of no denials")
      }
      log.totals.unrecorded &+= denied
      log.run.unrecorded &+= denied
      log.noteTime(context.unixNanoseconds(record.u32(8)))
    case LTP_RECORD_HELLO:
      if record.u32(4) > UInt32(LTP_CONTINUITY_EPOCH_MAX) || record.u64(24) == 0 {
        log.findings.add(.record, at: context.place(slot: slot), "a HELLO record's fields are out of range")
      }
      log.totals.hellos += 1
      log.noteTime(context.unixNanoseconds(record.u32(8)))
    case LTP_RECORD_REPLAY:
      log.findings.add(.record, at: context.place(slot: slot), "a REPLAY record without a replayed decision")
    default:
      let isControl = RecordLayout.controlSlotCount(kind) > 0
      log.findings.add(
        .record, at: context.place(slot: slot),
        isControl
          ? "a record of kind \(kind) belongs to the control lane" : "record kind \(kind) is not known")
      return false
    }
    sink.record(kind, record, slot: slot, context: context, log: log)
    return true
  }

  private func checkReserved(
    _ kind: UInt8, _ record: UnsafeRawPointer, _ slot: Int, _ context: borrowing RecordContext
  ) {
    guard let offset = RecordLayout.reservedFault(kind, record) else { return }
    log.findings.add(
      .record, at: context.place(slot: slot), "reserved byte \(offset) of the record is not zero")
  }

  // MARK: The control lane

  /// Texts first: a transition's evidence may name one that its block says later.
  private func takeTexts(_ body: UnsafeRawPointer, _ count: Int, _ context: borrowing RecordContext) {
    var slot = 0
    while slot < count {
      let record = body + slot * RecordLayout.slotBytes
      let slots = RecordLayout.controlSlotCount(record.u8(0))
      guard slots > 0, slot + slots <= count else { return }
      if record.u8(0) == LTP_RECORD_TEXT { log.takeText(record, context.place(slot: slot)) }
      slot += slots
    }
  }

  private mutating func walkControl(
    _ body: UnsafeRawPointer, _ count: Int, _ context: borrowing RecordContext
  ) {
    takeTexts(body, count, context)
    var slot = 0
    while slot < count {
      let record = body + slot * RecordLayout.slotBytes
      let kind = record.u8(0)
      let slots = RecordLayout.controlSlotCount(kind)
      let place = context.place(slot: slot)
      guard slots > 0 else {
        log.findings.add(.record, at: place, "a record of kind \(kind) does not belong to the control lane")
        return
      }
      guard Int(record.u16(2)) == slots, slot + slots <= count else {
        log.findings.add(
          .record, at: place,
          "a record of kind \(kind) has \(slots) slots; it says \(record.u16(2)), and \(count - slot) are left"
        )
        return
      }
      checkReserved(kind, record, slot, context)
      log.noteTime(context.unixNanoseconds(record.u32(4)))
      switch kind {
      case LTP_RECORD_OPENED: log.takeOpened(record, place)
      case LTP_RECORD_SEGMENT: log.takeSegment(record, place)
      case LTP_RECORD_TRANSITION: log.takeTransition(record, place)
      case LTP_RECORD_POLICY: log.takePolicy(record, place)
      case LTP_RECORD_TEXT: break
      case LTP_RECORD_SEALED: log.takeSealed(record, place, isLastOfBlock: slot + slots == count)
      default: log.takeClosed(record, place)
      }
      sink.record(kind, record, slot: slot, context: context, log: log)
      slot += slots
    }
  }
}
