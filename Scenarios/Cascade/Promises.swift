// SPDX-License-Identifier: Apache-2.0
// What must hold, each from what was measured.

import Stage

enum Promises {
  /// Whether goodput in this phase is promised.
  static func covers(_ phase: Phase) -> Bool { phase.hiccup == nil && phase.load >= 2 }

  /// Those that this run can tell.
  static func check(_ result: ScenarioResult) -> [Promise] {
    guard let with = result.with else { return [] }
    var promises: [Promise] = []
    for phase in with.phases where covers(phase.phase) {
      let share = phase.shareAtSpeed
      promises.append(
        Promise(
          text: "goodput with LTP at \(phase.phase.name) is at least 0.90 of capacity at the machine's speed",
          measured: "\(fixed(share, 2)), and \(fixed(phase.shareOfCapacity, 2)) as it was",
          isMet: share >= 0.9, isTimed: true))
    }
    for phase in with.phases where phase.locked != nil {
      promises += recovery(phase)
    }
    let failed = with.phases.reduce(0) { sum, phase in
      sum + (phase.earlier + [phase]).reduce(0) { $0 + $1.server.failed }
    }
    promises.append(
      Promise(
        text: "every order that was let in was placed", measured: "\(failed) failed", isMet: failed == 0))
    if let cost = Cost(result) {
      promises.append(
        Promise(
          text: "a denial costs the server at most 1/100 of a served request",
          measured:
            "1/\(fixed(cost.served / cost.denial, 0)): \(fixed(cost.denial / 1000, 1)) us to \(fixed(cost.served / 1000, 0)) us",
          isMet: cost.denial * 100 <= cost.served, isTimed: true))
    }
    if let proof = result.proof {
      promises.append(
        Promise(text: "ltp inspect verifies the trace", measured: proof.verdict, isMet: proof.isVerified))
      promises.append(
        Promise(
          text: "the trace shows the transitions with their evidence",
          measured: "\(proof.transitions.count) transitions, \(proof.withEvidence) with evidence",
          isMet: proof.withEvidence > 0))
      promises.append(
        Promise(
          text: "its counts by state, verdict and reason are what the clients saw",
          measured: proof.unanswered == 0
            ? "\(proof.rows.reduce(0) { $0 + $1.inTrace }) decisions in it, \(proof.rows.reduce(0) { $0 + $1.seen }) answers seen"
            : "\(proof.unanswered) requests got no answer",
          isMet: proof.countsAgree))
    }
    return promises
  }

  /// The end of the first half second with full goodput, counted from the hiccup's end; and that it stays.
  static func recoverySeconds(_ phase: PhaseResult) -> Double? {
    guard let locked = phase.locked else { return nil }
    let window = 0.5
    var from = locked.to
    while from + window <= phase.phase.seconds {
      if phase.goodput(from: from, to: from + window) >= phase.fullGoodput {
        return from + window - locked.to
      }
      from += 0.1
    }
    return nil
  }

  private static func recovery(_ phase: PhaseResult) -> [Promise] {
    let seconds = recoverySeconds(phase)
    let after = phase.goodput(from: phase.locked!.to + 1, to: phase.phase.seconds)
    return [
      Promise(
        text: "full goodput again within 1 s of the hiccup's end",
        measured: seconds.map { "\(fixed($0, 1)) s" } ?? "not within the run",
        isMet: seconds.map { $0 <= 1 } ?? false, isTimed: true),
      Promise(
        text: "and it stays: goodput from 1 s after the hiccup is at least 0.90 of it",
        measured: fixed(after / phase.fullGoodput * 0.9, 2), isMet: after >= phase.fullGoodput, isTimed: true),
    ]
  }
}

/// Processor time of the server in nanoseconds, from its own clocks.
struct Cost {
  /// Of a served request: all that the process used in the closed loops, by the orders that it did.
  let served: Double
  /// Of a denial: all that the process used outside its workers while it was overloaded (I/O, decisions, signals, the
  /// trace's threads), by all requests that it took. That counts a served request's I/O as well, which is more.
  let denial: Double

  init?(_ result: ScenarioResult) {
    guard let with = result.with, result.costs.done > 0 else { return nil }
    var (time, requests): (UInt64, UInt64) = (0, 0)
    for phase in with.phases where phase.phase.hiccup == nil && phase.phase.load >= 5 {
      for run in phase.earlier + [phase] {
        time += run.server.processorTime - run.server.workerProcessorTime
        requests += run.server.requests
      }
    }
    guard requests > 0 else { return nil }
    served = Double(result.costs.processorTime) / Double(result.costs.done)
    denial = Double(time) / Double(requests)
  }
}
