// SPDX-License-Identifier: Apache-2.0
// The audit for people.

import LTPInspect

struct AuditText {
  private static let policiesMax = 20
  private static let outagesMax = 100
  private static let violationsMax = 20

  private let report: AuditReport
  private let facts: AuditJSON

  init(_ report: AuditReport) {
    self.report = report
    facts = AuditJSON(report)
  }

  var text: String {
    let lines = [head, checks, first, outages, trace, policies, others]
    return lines.flatMap { $0 }.joined(separator: "\n")
  }

  private var head: [String] {
    let tool = facts.tool
    return [
      facts.result, "",
      "tool        \(tool.name) \(tool.version), library \(tool.library), ABI \(tool.abiVersion), trace format \(tool.traceVersion)",
    ]
  }

  private var checks: [String] {
    [""]
      + report.checks.map {
        "\($0.passed.map { $0 ? "PASS" : "FAIL" } ?? "----")  \($0.name)\n      \($0.detail)"
      }
  }

  private var first: [String] {
    guard let first = report.first else { return [] }
    var lines = ["", "first failing record"]
    if let frame = first.frame { lines.append("  frame     \(frame)") }
    if let session = first.session { lines.append("  session   \(session)") }
    lines += ["  segment   \(first.segment)", "  offset    \(first.offset)"]
    if let block = first.block { lines.append("  block     \(block)") }
    return lines + ["  wrong     [\(first.kind.rawValue)] \(first.message)"]
  }

  private var outages: [String] {
    guard !report.outages.isEmpty else { return ["", "instability none: never UNSTABLE or FAILED"] }
    var lines = ["", "instability"]
    for outage in report.outages.prefix(Self.outagesMax) {
      lines.append(
        "  \(outage.began) to \(outage.ended ?? "the trace's end") (\(secondsText(outage.seconds))): "
          + outage.states.joined(separator: ", "))
      if let cause = outage.cause { lines.append("    began  \(cause.line)") }
      if let end = outage.end { lines.append("    ended  \(end.line)") }
    }
    let more = report.outages.count - min(report.outages.count, Self.outagesMax)
    if more > 0 { lines.append("  ... and \(more.grouped) more (--json has all)") }
    let safe = report.safeMode
    return lines + [
      "  decided in it: \(safe.executed.grouped) EXECUTE, \(safe.deferred.grouped) DEFER, \(safe.denied.grouped) DENY; critical or "
        + "mutating EXECUTEs: \(safe.riskyByRule.grouped) by the policy's rule, \(safe.riskyAgainstRule.grouped) against it"
    ]
  }

  private var trace: [String] {
    let (gaps, counts, deferral) = (facts.gaps, facts.counts, report.deferral)
    return [
      "", "log         \(facts.logId)",
      "hash root   \(facts.hashRoot) (\(facts.algorithm), the last block's)",
      "span        \(spanText(report.inspection.totals))",
      "segments    \(facts.segments.grouped), blocks \(facts.blocks.grouped), runs \(counts.runs.grouped)"
        + (facts.live
          ? ", open in another process"
          : facts.closedInOrder ? ", closed in order" : ", not closed in order"),
      "decisions   \(counts.decisions.grouped): \(counts.executed.grouped) EXECUTE, \(counts.denied.grouped) DENY, "
        + "\(counts.deferred.grouped) DEFER; \(counts.replays.grouped) of them replays",
      "transitions \(counts.transitions.grouped), hellos \(counts.hellos.grouped)",
      "intents     \(deferral.kept.grouped) kept, \(deferral.committed.grouped) carried out, \(deferral.expired.grouped) expired, "
        + "\(deferral.attemptsUsedUp.grouped) attempts used up, \(deferral.abandoned.grouped) abandoned, "
        + "\(deferral.cancelled.grouped) cancelled, \(report.unended.grouped) without an end",
      "gaps        \(gaps.segmentsBefore.grouped) segments have left the trace (retention), \(gaps.tornTailsCut.grouped) torn tails cut "
        + "(\(gaps.bytesCut.grouped) bytes), \(gaps.unrecordedDenials.grouped) denials without a record",
    ]
  }

  private var policies: [String] {
    var lines = ["policies    \(report.policies.count.grouped)"]
    for policy in report.policies.prefix(Self.policiesMax) {
      lines.append(
        "  \(policy.generation)\(policy.isShadow ? " shadow" : "")  \(Timestamp.text(policy.unixNanoseconds))  SHA-256 \(policy.digest)"
      )
    }
    let more = report.policies.count - min(report.policies.count, Self.policiesMax)
    return more > 0 ? lines + ["  ... and \(more.grouped) more (--json has all)"] : lines
  }

  private var others: [String] { findingLines(report.inspection, atMost: Self.violationsMax) }
}
