// SPDX-License-Identifier: Apache-2.0
// What a record's own bytes do not say: its place, the time it counts from, and the orientation it was decided
// under.

import CLTP
import LTPRecords
import LTPRules

struct RecordContext {
  let segment: UInt64
  /// Where in the segment the block's first slot lies.
  let bodyOffset: UInt64
  let block: UInt64
  let lane: UInt32
  /// The lane's number of the block's first slot.
  let firstSequence: UInt64
  var baseUnixNanoseconds: UInt64
  var baseMonotonicNanoseconds: UInt64
  /// Of lanes: in force for the records to come. Its state is always one of the protocol.
  var word = OrientationWord(rawValue: 0)
  /// What the limits added to it.
  var limitsWord = LimitsWord(rawValue: 0)
  /// By domain, who is in an outage of its own that changes what is decided under `word`; nil: nobody.
  var outages: [Bool]?
  /// The word is from before what is retained, so that any domain may have been in an outage.
  var mayHaveOutages = false
  /// In force under `word`; nil when the trace does not hold it any more.
  var policy: RecordedPolicy?

  init(_ header: BlockHeader, segment: UInt64, offset: UInt64) {
    self.segment = segment
    bodyOffset = offset + UInt64(LTP_BLOCK_HEADER_BYTES)
    block = header.blockIndex
    lane = header.laneID
    firstSequence = header.firstSequence
    baseUnixNanoseconds = header.baseUnixNanoseconds
    baseMonotonicNanoseconds = header.baseMonotonicNanoseconds
  }

  func place(slot: Int) -> Place {
    Place(
      segment: segment, offset: bodyOffset + UInt64(slot) * UInt64(LTP_SLOT_BYTES), block: block, lane: lane,
      sequence: firstSequence &+ UInt64(slot))
  }

  func unixNanoseconds(_ timeMicroseconds: UInt32) -> UInt64 {
    baseUnixNanoseconds &+ UInt64(timeMicroseconds) &* 1000
  }
}

extension RecordContext {
  /// Under which another policy would have decided: its own, unless the host had set one.
  func threshold(of other: RecordedPolicy) -> UInt8 {
    let own = policy.map { $0.threshold(state: word.state) }
    return own == nil || own == word.threshold ? other.threshold(state: word.state) : word.threshold
  }

  /// The request's domain is in an outage of its own.
  @inline(__always)
  func isInOutage(_ decision: DecisionWord) -> Bool { isInOutage(decision.domain) }

  @inline(__always)
  func isInOutage(_ domain: UInt8) -> Bool { outages?[Int(domain)] ?? false }

  /// What decided this request under `policy`: its own, or a candidate. `isOut`, here and below: whether its domain is in an outage, if that
  /// is not for the context to say.
  @inline(__always)
  func rule(of decision: DecisionWord, in policy: RecordedPolicy, isOut: Bool? = nil) -> CompiledRule {
    isOut ?? isInOutage(decision)
      ? policy.outageRule(state: word.state, column: decision.column)
      : policy.rule(state: word.state, column: decision.column)
  }

  /// The threshold for this request, where `threshold` is the word's, or a candidate's for it.
  @inline(__always)
  func threshold(
    of decision: DecisionWord, in policy: RecordedPolicy, _ threshold: UInt8, isOut: Bool? = nil
  ) -> UInt8 {
    isOut ?? isInOutage(decision) ? max(threshold, policy.threshold(state: LTP_STATE_UNSTABLE)) : threshold
  }

  /// When a transition was published. Its record's own time is that of the block, and it lies before it.
  func transitionTime(_ record: UnsafePointer<ltp_transition_record>) -> UInt64 {
    let dayNanoseconds: UInt64 = 86_400_000_000_000
    let earlier = baseMonotonicNanoseconds &- record.pointee.time_monotonic_ns
    let later = 0 &- earlier
    if earlier < dayNanoseconds { return baseUnixNanoseconds &- earlier }
    if later < dayNanoseconds { return baseUnixNanoseconds &+ later }
    // Clocks of different boots: only the block's time means something here.
    return unixNanoseconds(record.pointee.header.time_us)
  }
}

/// Takes the records of a log, in log order, after the audit has looked at them.
protocol RecordSink {
  /// Nothing more is wanted.
  var isDone: Bool { get }

  /// Takes decision records from slot `from` on, at most up to `to`, as long as they follow one another; stops
  /// after one whose inputs say that a REPLAY record follows. Slot `from` holds a decision. Returns how many.
  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int

  /// Takes a record of any other kind, whose shape has been checked.
  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState)
}

extension RecordSink {
  var isDone: Bool { false }
}
