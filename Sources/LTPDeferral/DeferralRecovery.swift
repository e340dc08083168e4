// SPDX-License-Identifier: Apache-2.0
// What the blocks of a deferral log say, from the oldest segment on: the table as it was when the last block was written.

import CLTP
import LTPRecords
import LTPStorage

/// How many intents of each segment are not forgotten.
struct SegmentUse {
  private(set) var oldest: UInt64 = 0
  private var counts: [UInt32] = []

  mutating func begin(at segment: UInt64) {
    oldest = segment
    counts = []
  }

  mutating func add(_ segment: UInt64, _ change: Int32) {
    if counts.isEmpty { oldest = segment }
    guard segment >= oldest else { return }
    while UInt64(counts.count) <= segment - oldest { counts.append(0) }
    let place = Int(segment - oldest)
    counts[place] = UInt32(Int64(counts[place]) + Int64(change))
  }

  /// The oldest segment is not needed.
  func isUnused(before segment: UInt64) -> Bool { oldest < segment && counts.first ?? 0 == 0 }

  /// Nothing of what lies in front of this segment is needed.
  mutating func dropUnused(before segment: UInt64) -> UInt64 {
    while oldest < segment, counts.first ?? 0 == 0 {
      if !counts.isEmpty { counts.removeFirst() }
      oldest += 1
    }
    return oldest
  }
}

struct DeferralReader: BlockReader {
  var table: IntentTable
  var news: DeferralNews
  var use = SegmentUse()
  var starts = SegmentStarts()
  /// As the last mark says it.
  private(set) var handsOut = false
  private(set) var maybeBelow: UInt64 = 0
  /// Of the next intent.
  var nextNumber: UInt64 = 1
  /// Slots of the log's lane so far.
  var sequence: UInt64 = 0
  var markSequence: UInt64 = 0
  /// What the trace was told.
  private var toldSequence: UInt64
  /// Something that no version of this library writes; the hash says that it was written so.
  private var text: StaticString?
  private let trace: TraceStanding
  /// Of the trace, as this log has it: blocks that were durable, and whose they were.
  private var traceBlocks: UInt64 = 0
  private var traceID: LogID?
  private var hasBlocks = false
  private var offset: UInt64 = 0

  init(table: IntentTable, news: DeferralNews, trace: TraceStanding) {
    self.table = table
    self.news = news
    self.trace = trace
    toldSequence = trace.told?.sequence ?? 0
  }

  /// Of tickets, which have 40 bits for it.
  static var numberMax: UInt64 { 1 << 40 - 1 }

  func releaseMemory() {
    table.releaseMemory()
    news.releaseMemory()
  }

  /// Why the log cannot be gone on with. `logID`: its own.
  func fault(_ logID: LogID) -> OpenFault? {
    if let text { return OpenFault(LTP_ERROR_TRACE_CORRUPT, text) }
    if let told = trace.told {
      // The trace names the log when a run begins, which may be before the log's first block is on disk. Its name is on disk before that.
      if told.logID != logID || !hasBlocks && told.sequence > 0 {
        return OpenFault(
          LTP_ERROR_DEFERRAL_APART,
          hasBlocks
            ? "the deferral log is not the one that the trace tells of; restore both from one copy"
            : "the trace tells of a deferral log, and it is missing; restore its files (deferred-*) beside the trace"
        )
      }
      if told.sequence > sequence {
        return OpenFault(
          LTP_ERROR_DEFERRAL_APART, "the deferral log is older than its trace; restore both from one copy")
      }
    }
    // Openings leave numbers out.
    if nextNumber > Self.numberMax - 2 * UInt64(LTP_TICKET_RUN_STEP) {
      return OpenFault(
        LTP_ERROR_EXHAUSTED, "the deferral log has no number left for another intent; start a new trace")
    }
    if let traceID, traceID != trace.logID {
      return OpenFault(
        LTP_ERROR_DEFERRAL_APART, "the deferral log belongs to another trace; restore both from one copy")
    }
    if traceBlocks > trace.blocks {
      return OpenFault(
        LTP_ERROR_DEFERRAL_APART, "the trace is older than its deferral log; restore both from one copy")
    }
    return nil
  }

  mutating func beginSegment(isLast: Bool) { offset = 0 }

  mutating func read(_ header: BlockHeader) -> Bool {
    defer { offset += UInt64(header.sizeBytes) }
    hasBlocks = true
    traceBlocks = max(traceBlocks, header.orientationWord)
    let isOwn = header.laneID == LTP_DEFERRAL_LANE
    let end = header.firstSequence &+ UInt64(header.slotCount)
    if isOwn {
      sequence = end
      starts.see(header.segmentIndex, header.firstSequence)
    } else {
      markSequence = end
    }
    prefetchKeys(header)
    var slot = 0
    var isSealed = false
    while slot < header.slotCount, text == nil {
      guard let record = DeferralRecord.read(header.body, slot: slot, of: header.slotCount),
        record.isMark != isOwn
      else {
        text = "a record of the deferral log cannot be made out"
        break
      }
      slot += record.slotCount
      let at = header.firstSequence &+ UInt64(slot)
      let start = Int(LTP_BLOCK_HEADER_BYTES) + (slot - record.slotCount) * Int(LTP_SLOT_BYTES)
      switch record {
      case .intent(let intent, _):
        keep(intent, header.segmentIndex, at: offset + UInt64(start), sequence: at)
      case .step(let step): apply(step, sequence: at)
      case .ended(let ended):
        remember(ended, header.segmentIndex, at: offset + UInt64(start))
      case .mark(let mark):
        guard mark.pointee.next_number <= Self.numberMax else {
          text = "a mark of the deferral log with a number that no intent has"
          break
        }
        nextNumber = max(nextNumber, mark.pointee.next_number)
        handsOut = mark.pointee.hands_out != 0
        maybeBelow = max(maybeBelow, mark.pointee.maybe_below)
        traceID = LogID(from: UnsafeRawPointer(mark) + LTP_AT_deferral_mark_trace_log_id)
        // Of a log whose first segments have left.
        sequence = max(sequence, mark.pointee.sequence)
        if mark.pointee.kind == LTP_DEFERRAL_SEALED { isSealed = true }
      }
    }
    return isSealed
  }

  /// Each intent's place in the index is somewhere else in memory: with all of a block asked for at once, ten million intents are there in
  /// half the time.
  private func prefetchKeys(_ header: BlockHeader) {
    var slot = 0
    while slot < header.slotCount,
      let record = DeferralRecord.read(header.body, slot: slot, of: header.slotCount)
    {
      slot += record.slotCount
      if case .intent(let intent, _) = record { table.prefetch(IntentKey(intent)) }
    }
  }

  private mutating func keep(
    _ record: UnsafePointer<ltp_deferral_intent>, _ segment: UInt64, at offset: UInt64, sequence: UInt64
  ) {
    let ticket = Ticket(rawValue: record.pointee.ticket)
    nextNumber = max(nextNumber, ticket.number + 1)
    if sequence > toldSequence { note(ltp_intent_record(record, sequence: sequence)) }
    let isMoved = record.pointee.flags & LTP_INTENT_MOVED != 0
    let new = NewIntent(record)
    // A copy of one that is there.
    if isMoved, let slot = table.slot(of: ticket) {
      guard table[slot].state != .ended, table.matches(slot, new.key, contentWord: new.contentWord) else {
        text = "the copy of an intent that had ended, or of another one"
        return
      }
      relocate(slot, segment, at: offset)
      return
    }
    if let before = table.slot(of: new.key) {
      // Forgotten by the process that wrote this, and kept anew.
      guard forget(before) else {
        text = "an intent is kept twice"
        return
      }
    }
    // The process that wrote this had forgotten who was there before.
    if table.isTaken(ticket.slot) { _ = forget(ticket.slot) }
    guard table.keep(new, number: ticket.number, slot: ticket.slot) else {
      text = "two intents have one place, or there are more than the table is opened for"
      return
    }
    relocate(ticket.slot, segment, at: offset)
  }

  private mutating func relocate(_ slot: Int, _ segment: UInt64, at offset: UInt64) {
    if let before = table.move(slot, toSegment: segment, offset: offset) { use.add(before, -1) }
    use.add(segment, 1)
  }

  /// One that has ended and whose record was to leave with its segment.
  private mutating func remember(
    _ record: UnsafePointer<ltp_deferral_ended>, _ segment: UInt64, at offset: UInt64
  ) {
    let ticket = Ticket(rawValue: record.pointee.ticket)
    nextNumber = max(nextNumber, ticket.number + 1)
    if let slot = table.slot(of: ticket) {
      guard table[slot].state == .ended else {
        text = "an intent is remembered as ended that has not"
        return
      }
      return relocate(slot, segment, at: offset)
    }
    var new = NewIntent()
    new.key = IntentKey(record)
    new.session = record.pointee.session_id
    new.contentWord = record.pointee.content
    new.actionClass = record.pointee.action_class
    new.payloadBytes = record.pointee.payload_bytes
    new.attempts = record.pointee.attempts
    // It was forgotten, and its key or its place is another's by now.
    guard table.slot(of: new.key) == nil, !table.isTaken(ticket.slot) else { return }
    let isRemembered = table.remember(
      new, end: record.pointee.end, unixNanoseconds: record.pointee.ended_unix_ns, number: ticket.number,
      slot: ticket.slot)
    guard isRemembered else {
      text = "there are more intents than the table is opened for"
      return
    }
    relocate(ticket.slot, segment, at: offset)
  }

  /// False: it has not ended.
  private mutating func forget(_ slot: Int) -> Bool {
    guard table[slot].state == .ended else { return false }
    use.add(table.forget(slot), -1)
    return true
  }

  /// For the trace, which was not told.
  private mutating func note<Record>(_ record: Record) {
    if !news.append(record) { text = "out of memory" }
  }

  private mutating func apply(_ step: UnsafePointer<ltp_deferral_step>, sequence: UInt64) {
    if sequence > toldSequence { note(ltp_step_record(step.pointee, sequence: sequence)) }
    // Of one whose record has left with its segment.
    guard let slot = table.slot(of: Ticket(rawValue: step.pointee.ticket)), table[slot].state != .ended else {
      return
    }
    switch step.pointee.step {
    case LTP_STEP_BEGUN: table.begin(slot, until: step.pointee.until_unix_ns)
    case LTP_STEP_RELEASED:
      table.release(slot, notBefore: step.pointee.until_unix_ns, isKnown: step.pointee.known != 0)
    case LTP_STEP_COMMITTED: table.end(slot, as: LTP_END_NONE, unixNanoseconds: step.pointee.unix_ns)
    default: table.end(slot, as: step.pointee.end, unixNanoseconds: step.pointee.unix_ns)
    }
  }
}
