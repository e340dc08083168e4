// SPDX-License-Identifier: Apache-2.0
// What a plot of a trace needs: the states as bands, and counts by verdict over time.

import CLTP
import LTPRecords

public struct TracePicture: Sendable {
  public struct Band: Sendable {
    public var state: String
    public var fromUnixNanoseconds: UInt64
    public var toUnixNanoseconds: UInt64
  }

  public var bands: [Band]
  public var buckets: TimeBuckets
  /// Changes of state that are not among the bands.
  public var unlistedStates: UInt64

  init(_ history: StateHistory, _ buckets: TimeBuckets) {
    bands = history.intervals.map {
      Band(
        state: "\(stateName($0.state))", fromUnixNanoseconds: $0.fromUnixNanoseconds,
        toUnixNanoseconds: $0.toUnixNanoseconds ?? max(history.lastUnixNanoseconds, $0.fromUnixNanoseconds))
    }
    self.buckets = buckets
    unlistedStates = history.unlisted
  }
}

/// Collects it while a trace goes by.
struct PictureSink {
  private(set) var states = StateHistory()
  private(set) var buckets = TimeBuckets()

  var picture: TracePicture { TracePicture(states, buckets) }

  mutating func decision(_ record: UnsafePointer<ltp_decision_record>, at time: UInt64) {
    let outcome = Outcome(rawValue: record.pointee.outcome)
    let isReplay = record.pointee.isCoreReplay
    states.noteTime(time)
    buckets.add(time) { bucket in
      switch outcome.verdict {
      case LTP_VERDICT_EXECUTE where isReplay: bucket.replayed += 1
      case LTP_VERDICT_EXECUTE: bucket.executed += 1
      case LTP_VERDICT_DEFER: bucket.deferred += 1
      default: bucket.denied += 1
      }
    }
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, context: borrowing RecordContext, log: LogState
  ) {
    states.apply(kind, record, context, log)
    guard kind == .unrecorded else { return }
    let denied = record.unrecorded.pointee.denied_count
    // What a damaged record says must not overflow the sum.
    guard denied < 1 << 48 else { return }
    buckets.add(context.unixNanoseconds(record.unrecorded.pointee.time_us)) { $0.denied &+= denied }
  }
}
