// SPDX-License-Identifier: Apache-2.0
// The states of the service over time, one interval a change, with the transition that brought it. An interval ends with the next one, or with the
// run of the core.

import CLTP
import LTPRecords

/// One state, from when it was entered until it was left.
struct StateInterval {
  /// In full; decisions of it and of those up to the next interval's were made in this one.
  var firstEpoch: UInt64
  var state: UInt8
  var fromUnixNanoseconds: UInt64
  /// nil: it lasts.
  var toUnixNanoseconds: UInt64?
  /// nil: what brought it left the trace with older segments.
  var entered: TransitionView?
  /// The first of those that left the state as it is: another policy, a domain.
  var others: [TransitionView] = []
  var otherCount: UInt64 = 0

  var isOutage: Bool { state == LTP_STATE_UNSTABLE || state == LTP_STATE_FAILED }
}

struct StateHistory {
  static let intervalsMax = 4096
  private static let othersMax = 8

  private(set) var intervals: [StateInterval] = []
  /// Changes of state that are not kept: the last interval goes on over them.
  private(set) var unlisted: UInt64 = 0
  /// Until when the records went.
  private(set) var lastUnixNanoseconds: UInt64 = 0

  mutating func noteTime(_ unixNanoseconds: UInt64) {
    lastUnixNanoseconds = max(lastUnixNanoseconds, unixNanoseconds)
  }

  mutating func apply(
    _ kind: RecordKind, _ record: RecordView, _ context: borrowing RecordContext, _ log: LogState
  ) {
    switch kind {
    case .opened: end(at: lastUnixNanoseconds)
    case .transition: apply(record.transition, context, log)
    case .closed: end(at: context.unixNanoseconds(record.control.pointee.time_us))
    default: break
    }
    if let time = record.timeMicroseconds(kind) { noteTime(context.unixNanoseconds(time)) }
  }

  private mutating func end(at time: UInt64) {
    guard let last = intervals.indices.last, intervals[last].toUnixNanoseconds == nil else { return }
    intervals[last].toUnixNanoseconds = max(time, intervals[last].fromUnixNanoseconds)
  }

  private mutating func apply(
    _ record: UnsafePointer<ltp_transition_record>, _ context: borrowing RecordContext, _ log: LogState
  ) {
    let state = OrientationWord(rawValue: record.pointee.word_after).state
    let time = context.transitionTime(record)
    if record.isRepeated {
      // What holds where the part at hand begins.
      guard intervals.isEmpty else { return }
      intervals.append(
        StateInterval(
          firstEpoch: record.pointee.epoch, state: state, fromUnixNanoseconds: context.baseUnixNanoseconds))
      return
    }
    let view = TransitionView(record, unixNanoseconds: time, texts: log.texts)
    if let last = intervals.indices.last, intervals[last].toUnixNanoseconds == nil,
      intervals[last].state == state
    {
      intervals[last].otherCount += 1
      if intervals[last].others.count < Self.othersMax { intervals[last].others.append(view) }
      return
    }
    guard intervals.count < Self.intervalsMax else {
      unlisted += 1
      return
    }
    end(at: time)
    intervals.append(
      StateInterval(
        firstEpoch: record.pointee.epoch, state: state, fromUnixNanoseconds: time, entered: view))
  }

  /// In which interval a decision under this epoch, in full, was made.
  func index(ofEpoch epoch: UInt64) -> Int? {
    var (low, high) = (0, intervals.count)
    while low < high {
      let middle = (low + high) / 2
      if intervals[middle].firstEpoch <= epoch { low = middle + 1 } else { high = middle }
    }
    return low > 0 ? low - 1 : nil
  }
}
