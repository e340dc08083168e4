// SPDX-License-Identifier: Apache-2.0
// The table that `ltp bench` ends with: figures with units, and the targets, met or missed.

import Foundation

struct BenchTable {
  private var lines: [String] = []

  init(_ report: BenchReport) {
    addMachine(report)
    addSpeed(report)
    addLimited(report.limited)
    addCores(report.cores)
    addLoads(report)
    addWorkload(report)
    addProof(report)
  }

  var text: String { lines.joined(separator: "\n") }

  private mutating func title(_ text: String) { lines += ["", text] }

  private mutating func row(_ name: String, _ value: String, _ unit: String, _ remark: String = "") {
    let cells = pad(name, 34) + padLeft(value, 16) + " " + pad(unit, 14)
    lines.append(remark.isEmpty ? "  " + cells.trimmedEnd : "  " + cells + remark)
  }

  private func target(_ isMet: Bool, _ text: String) -> String { "\(text): \(isMet ? "met" : "MISSED")" }

  private mutating func addMachine(_ report: BenchReport) {
    let machine = report.machine
    let writes =
      "\(machine.directIo ? "direct" : "cached"), \(machine.registeredBuffers ? "" : "no ")registered buffers"
    lines.append("\(machine.cpu), \(machine.cores) cores, \(machine.kernel)")
    lines.append("storage \(machine.storage) (\(writes)), \(report.lanes) lane(s), seed \(report.seed)")
    if !machine.storageReason.isEmpty { lines.append(machine.storageReason) }
  }

  private mutating func addSpeed(_ report: BenchReport) {
    title("The machine's own limits")
    row("SHA-256, 64 KiB, one core", rate(report.limitSha256BytesPerSecond), "GB/s")
    row("durable writes, 256 KiB", rate(report.limitWriteBytesPerSecond), "GB/s", report.limitWriteMethod)
    row("floor: bare loads and stores", two(report.floorNs), "ns", "least \(two(report.floor.least))")
    title("A decision in bursts that the ring absorbs (medians of \(report.single.bursts) bursts)")
    row(
      "single call", two(report.nsPerDecisionSingle), "ns",
      target(report.nsPerDecisionSingle <= 10, "at most 10") + ", least \(two(report.single.least))")
    row(
      "single call over floor", two(report.singleOverFloor), "x",
      target(report.singleOverFloor <= 2, "at most 2.0"))
    row(
      "batch of 64", two(report.nsPerDecisionBatch), "ns",
      target(report.nsPerDecisionBatch <= 7, "at most 7") + ", least \(two(report.batch.least))")
    title("Flat out, the lane waiting for the trace (\(tenths(report.flatOut.seconds)) s)")
    row("decisions", whole(report.decisionsPerSecond), "/s", "\(two(report.flatOut.nsPerDecision)) ns each")
    row("durable decisions", whole(report.durableDecisionsPerSecond), "/s")
    row(
      "bytes in the trace", two(report.bytesPerDecision), "/decision",
      target(report.bytesPerDecision <= 33, "at most 33"))
    row(
      "share of the machine's limit", two(report.shareOfLimit), "",
      target(report.shareOfLimit >= 0.6, "at least 0.60"))
    row("writer's share of a core", two(report.flatOut.writerProcessorShare), "")
  }

  private mutating func addLimited(_ limited: BenchLimited) {
    title("The same under limits (two cores by turns, medians of \(limited.plain.bursts) bursts)")
    row("without limits", two(limited.plain.median), "ns", "least \(two(limited.plain.least))")
    row(
      "rates, shedding, tenants on", two(limited.limited.median), "ns",
      "\(two(limited.growth)) more, \(target(limited.growth <= 3, "at most 3")), least \(two(limited.limited.least))"
    )
    row(
      "a permit taken and given back", two(limited.permits.median), "ns",
      "decision and release, least \(two(limited.permits.least))")
  }

  private mutating func addCores(_ cores: BenchCores) {
    title("Cores and lanes")
    row(
      "a core and its first lane, opened", two(cores.openMilliseconds), "ms",
      target(cores.openMilliseconds < 5, "under 5"))
    row(
      "memory of a core beside the rings", two(cores.memoryBytes / 1_048_576), "MiB",
      target(cores.memoryBytes < 4 * 1_048_576, "under 4"))
    row(
      "from a push with \"now\" to a decision", two(cores.orientedNowMicroseconds), "us",
      target(cores.orientedNowMicroseconds < 50, "under 50"))
    row(
      "from a push to a decision, by tick", two(cores.orientedByTickMicroseconds), "us",
      target(cores.orientedByTickMicroseconds < 2000, "under 2,000"))
    if cores.twoLanesOverOne > 0 {
      row(
        "two lanes at once over one", two(cores.twoLanesOverOne), "x",
        target(cores.twoLanesOverOne >= 1.9, "at least 1.9")
          + ", by least times \(two(cores.twoLanesOverOneByLeast))")
    }
  }

  private mutating func addLoads(_ report: BenchReport) {
    title("Open loop, denying at once when the trace is full; latency from the scheduled arrival, ns")
    let names = ["load", "offered/s", "answered/s", "p50", "p99", "p99.9", "max"]
    lines.append(
      loadLine(names) + padLeft("executed", 10) + padLeft("backpressure", 14) + padLeft("unanswered", 12))
    for load in report.loads {
      let cells = [
        "\(load.load)x", whole(load.offeredPerSecond), whole(load.answeredPerSecond), load.p50.grouped,
        load.p99.grouped, load.p999.grouped, load.max.grouped,
      ]
      lines.append(
        loadLine(cells) + padLeft(percent(load.executed, load.offered), 10)
          + padLeft(percent(load.backpressureDenied, load.offered), 14)
          + padLeft(percent(load.unanswered, load.offered), 12))
    }
    lines.append(
      "  Above 1x the schedule cannot be met: what the trace cannot take is denied (backpressure), and")
    lines.append("  what the lane does not get round to is unanswered and counts with its age at the end.")
  }

  private func loadLine(_ cells: [String]) -> String {
    let widths = [8, 14, 14, 12, 13, 13, 13]
    return zip(cells, widths).map { padLeft($0, $1) }.joined()
  }

  private mutating func addWorkload(_ report: BenchReport) {
    let workload = report.workload
    title("The traffic")
    row("action classes", "\(workload.classes)", "")
    row(
      "sessions", workload.sessions.grouped, "",
      "\(percent(workload.continuityShare)) of requests ask for a token")
    row("sessions shaken hands with again", workload.hellos.grouped, "")
    row("transitions", whole(workload.transitionsPerSecond), "/s", "\(workload.transitionsRefused) refused")
    for (name, count) in workload.transitionsByState.sorted(by: { $0.value > $1.value }) {
      let decisions = workload.decisionsByState[name] ?? 0
      row("  to \(name)", count.grouped, "", "\(decisions.grouped) decisions")
    }
    for (name, count) in workload.decisionsByVerdict.sorted(by: { $0.value > $1.value }) {
      row("decisions \(name)", count.grouped, "")
    }
  }

  private mutating func addProof(_ report: BenchReport) {
    title("The proof (\(gigabytes(report.traceBytes)) of trace)")
    row("decided", report.decided.grouped, "")
    row("recorded", report.recorded.grouped, "")
    row("verified", report.verified.grouped, "", "\(rate(report.verifyBytesPerSecond)) GB/s")
    row(
      "verify over the SHA-256 limit", two(report.verifyShareOfSha256Limit), "",
      target(report.verifyShareOfSha256Limit >= 0.8, "at least 0.80"))
    row("decided again", report.redecided.grouped, "", "\(report.redecidedMismatches) differ")
    row(
      "denied for backpressure", report.backpressureDenied.grouped, "",
      "\(report.hellosRefused) hellos refused; the trace says \(report.traceUnrecorded.grouped)")
    for fault in report.faults { lines.append("  FAULT: \(fault)") }
    lines.append(
      report.faults.isEmpty ? "  The trace proves every decision." : "  The trace does NOT prove the run.")
    if !report.notes.isEmpty { lines.append("") }
    lines += report.notes.map { "note: \($0)" }
  }

  // MARK: Cells

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(width - text.count, 0))
  }

  private func padLeft(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(width - text.count, 0)) + text
  }

  private func two(_ value: Double) -> String { String(format: "%.2f", value) }
  private func whole(_ value: Double) -> String { UInt64(max(value, 0)).grouped }
  private func rate(_ bytesPerSecond: Double) -> String { two(bytesPerSecond / 1e9) }
  private func percent(_ share: Double) -> String { String(format: "%.1f%%", share * 100) }
  private func percent(_ part: UInt64, _ whole: UInt64) -> String {
    percent(Double(part) / Double(max(whole, 1)))
  }
}

extension String {
  fileprivate var trimmedEnd: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
