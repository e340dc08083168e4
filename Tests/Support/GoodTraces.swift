// SPDX-License-Identifier: Apache-2.0
// Traces that are right, for tests to read and to spoil.

import CLTP
import LTPRules

package enum GoodTraces {
  package static let queueDepth = "queue_depth"

  /// Every kind of record, three segments, two runs, two policies, a lane that lags behind a transition.
  package static func rich() -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    trace.lane(
      1, trace.decide(0), trace.decide(56), Records.hello(session: 7, epoch: trace.word.continuityEpoch))
    trace.publish(LTP_STATE_HEALTHY, reason: LTP_SIGNAL_METRICS_STABILIZED, text: "warm")
    let healthy = trace.word
    trace.lane(1, trace.decide(8), trace.decide(40, token: false), trace.decide(24, late: true))
    let name = trace.intern(queueDepth)
    trace.publish(
      LTP_STATE_SATURATED, reason: LTP_SIGNAL_QUEUE_LATENCY_SPIKE,
      evidence: [
        Records.evidence(LTP_SIGNAL_QUEUE_LATENCY_SPIKE, name: name, 5000, 1000),
        Records.evidence(LTP_SIGNAL_CPU_PRESSURE, 95, 80),
      ], text: "the queue is long")
    // Lane 2 began before the last transition, and sees it inside its block.
    trace.block(
      lane: 2,
      Records.decide(
        trace.policy, healthy, actionClass: 9, priority: 1, session: 3, frame: 2, token: true, late: false,
        time: 1)
        + Records.observed(trace.word, generation: trace.generation) + trace.decide(24, priority: 3)
        + Records.unrecorded(5) + trace.decide(200),
      word: healthy.rawValue)
    trace.rotate()
    trace.lane(1, Records.malformed(), trace.decide(8, priority: 200), trace.decide(8, priority: 2))
    trace.load(
      Records.defaultPolicy { policy in
        policy.pointee.priority_threshold.3 = 10
      })
    trace.lane(
      3,
      Records.decide(
        trace.policy, trace.word, actionClass: 8, priority: 11, session: 9, frame: 77, token: true,
        late: false,
        time: 2, replay: true), Records.replay(original: 70, frame: 77),
      Records.time(monotonic: 9_000_000_000, unix: TraceBuilder.firstTime + 4_000_000_000), trace.decide(8))
    trace.close()
    trace.open(cutBytes: 4096)
    trace.publish(LTP_STATE_FAILED, reason: LTP_SIGNAL_DB_WRITE_LATENCY)
    trace.lane(4, trace.decide(0), trace.decide(56), trace.decide(8))
    trace.rotate()
    trace.publish(LTP_STATE_RECOVERING, reason: LTP_SIGNAL_RECOVERY_COMPLETE)
    trace.lane(4, trace.decide(8, token: false), trace.decide(8), trace.decide(8, priority: 5))
    trace.close()
    return trace
  }

  /// Two small segments: one sealed, one in use.
  package static func small() -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    trace.lane(1, trace.decide(8), trace.decide(40))
    trace.rotate()
    trace.lane(1, trace.decide(9))
    trace.lane(1, trace.decide(10))
    return trace
  }
}
