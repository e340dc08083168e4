// SPDX-License-Identifier: Apache-2.0
// Prints records, one line each, in log order: decisions, hellos, what a lane could not record, transitions with
// their evidence, policies, and where runs begin and end. Buffered; the caller gets whole lines.

import CLTP
import LTPAdmission

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
      let record = body + slot * RecordLayout.slotBytes
      guard record.u8(0) == LTP_RECORD_DECISION else { break }
      if wants(record, context) { show(record, slot, context) }
      slot += 1
      if record.u8(3) & LTP_INPUT_REPLAY != 0 { break }
    }
    return slot - from
  }

  private func wants(_ record: UnsafeRawPointer, _ context: borrowing RecordContext) -> Bool {
    if let verdict = filter.verdict, record.u8(1) != verdict { return false }
    if let session = filter.session, record.u64(24) != session { return false }
    return isInSpan(context.unixNanoseconds(record.u32(8))) && !isDone
  }

  private func isInSpan(_ time: UInt64) -> Bool { time >= filter.from && time < filter.to }

  private mutating func show(_ record: UnsafeRawPointer, _ slot: Int, _ context: borrowing RecordContext) {
    let actionClass = names[record.u16(4)]
    if filter.json {
      ShowLine.decisionJSON(record, context, context.firstSequence &+ UInt64(slot), actionClass, &out)
    } else {
      ShowLine.decision(record, context, context.firstSequence &+ UInt64(slot), actionClass, &out)
    }
    shown += 1
    endLine()
  }

  mutating func record(
    _ kind: UInt8, _ record: UnsafeRawPointer, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    let isLane = context.lane != LTP_CONTROL_LANE
    let time =
      kind == LTP_RECORD_TRANSITION
      ? context.transitionTime(record) : context.unixNanoseconds(record.u32(isLane ? 8 : 4))
    guard isInSpan(time), !isDone else { return }
    switch kind {
    case LTP_RECORD_TRANSITION:
      guard record.u8(TransitionLayout.flags) & LTP_TRANSITION_REPEATED == 0 else { return }
      let view = TransitionView(record, unixNanoseconds: time, texts: log.texts)
      if filter.json { ShowLine.transitionJSON(view, &out) } else { ShowLine.transition(view, &out) }
    case LTP_RECORD_HELLO:
      guard filter.verdict == nil, filter.session == nil || filter.session == record.u64(24) else { return }
      shown += 1
      ShowLine.hello(record, time, context, slot, json: filter.json, &out)
    case LTP_RECORD_UNRECORDED:
      ShowLine.event(
        "unrecorded", time, [("lane", UInt64(context.lane)), ("denied", record.u64(16))], filter.json, &out)
    case LTP_RECORD_OPENED:
      ShowLine.event(
        "opened", time,
        [("run", UInt64(record.u32(8))), ("process", record.u64(16)), ("bytes_cut", record.u64(40))],
        filter.json, &out)
    case LTP_RECORD_CLOSED:
      ShowLine.event(
        "closed", time, [("decisions", record.u64(8)), ("unrecorded", record.u64(16))], filter.json, &out)
    case LTP_RECORD_POLICY:
      guard log.totals.policies > policiesShown else { return }
      policiesShown = log.totals.policies
      ShowLine.event(
        "policy", time, [("generation", UInt64(record.u32(8))), ("slot", UInt64(record.u32(12)))],
        filter.json,
        &out)
    default: return
    }
    endLine()
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
    names = (0..<PolicyTable.classCount).map { policy?.name(UInt16($0)) ?? className(UInt16($0)) }
  }

  subscript(_ actionClass: UInt16) -> String {
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
