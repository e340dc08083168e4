// SPDX-License-Identifier: Apache-2.0
// The result as people read it.

import Stage

struct Table {
  let result: ScenarioResult

  init(_ result: ScenarioResult) { self.result = result }

  var text: String {
    var lines: [String] = []
    let measured = result.capacities.map { fixed($0, 0) }.joined(separator: ", ")
    lines.append("capacity  \(fixed(result.capacity, 0)) orders/s, the median of \(measured)")
    for mode in [result.without, result.with].compactMap({ $0 }) {
      lines.append("")
      lines.append(mode.hasAdmission ? "with LTP" : "without LTP")
      lines.append(
        "  load           offered/s  goodput/s  capacity/s  share  at speed   p50 ms    p99 ms  denied/s  timeouts/s  retries/s"
      )
      for phase in mode.phases { lines.append(row(phase)) }
    }
    for phase in (result.without?.phases ?? []) + (result.with?.phases ?? []) where phase.locked != nil {
      if lines.last?.hasPrefix("hiccup") != true { lines.append("") }
      lines.append(
        hiccup(phase, hasAdmission: result.with?.phases.contains { $0.beganUnix == phase.beganUnix } ?? false)
      )
    }
    if let proof = result.proof { lines += trace(proof) }
    let promises = Promises.check(result)
    if !promises.isEmpty {
      lines.append("")
      lines += promises.map(\.line)
    }
    return lines.joined(separator: "\n")
  }

  private func row(_ phase: PhaseResult) -> String {
    let sum = phase.measured
    let seconds = phase.measuredSeconds
    func rate(_ count: Int, _ width: Int) -> String { fixed(Double(count) / seconds, 0, width: width) }
    func milliseconds(_ value: Double?, _ width: Int) -> String {
      value.map { fixed($0, $0 < 100 ? 1 : 0, width: width) } ?? String(repeating: " ", count: width - 1)
        + "-"
    }
    let name = phase.phase.name + String(repeating: " ", count: max(0, 13 - phase.phase.name.count))
    return
      "  \(name)  \(rate(sum.offered, 9))  \(rate(sum.good, 9))  \(fixed(phase.meanCapacity, 0, width: 10))  \(fixed(phase.shareOfCapacity, 2, width: 5))  \(fixed(phase.shareAtSpeed, 2, width: 8))"
      + "  \(milliseconds(sum.latency(percentile: 50), 7))  \(milliseconds(sum.latency(percentile: 99), 8))"
      + "  \(rate(sum.denied, 8))  \(rate(sum.timeouts, 10))  \(rate(sum.retries, 9))"
  }

  private func hiccup(_ phase: PhaseResult, hasAdmission: Bool) -> String {
    let locked = phase.locked!
    let back =
      Promises.recoverySeconds(phase).map { "full again after \(fixed($0, 1)) s" }
      ?? "not full again"
    return "hiccup \(hasAdmission ? "with LTP   " : "without LTP")  "
      + "\(fixed(phase.goodput(from: 0.5, to: locked.from), 0))/s before, "
      + "\(fixed(phase.goodput(from: locked.from, to: locked.to), 0))/s in \(fixed(locked.to - locked.from, 1)) s of it, "
      + "\(fixed(phase.goodput(from: locked.to, to: phase.phase.seconds), 0))/s in the \(fixed(phase.phase.seconds - locked.to, 1)) s after: \(back)"
  }

  private func trace(_ proof: TraceProof) -> [String] {
    var lines = [
      "", "the trace        state       verdict  reason                        in it      clients saw",
    ]
    func pad(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    func count(_ value: UInt64, _ width: Int) -> String { fixed(Double(value), 0, width: width) }
    for row in proof.rows {
      lines.append(
        "                 \(pad(row.state, 10))  \(pad(row.verdict, 7))  \(pad(row.reason, 24))"
          + "\(count(row.inTrace, 11))\(count(row.seen, 17))\(row.inTrace == row.seen ? "" : "  DIFFERENT")")
    }
    lines.append("                 hellos" + count(proof.hellosInTrace, 50) + count(proof.hellosSeen, 17))
    return lines
  }
}
