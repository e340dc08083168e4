// SPDX-License-Identifier: Apache-2.0
// The audit's checks, one by one, from what was found.

enum AuditChecks {
  private static let chain: [Violation.Kind] = [.chain, .segment, .tornTail, .lost, .watermark]
  private static let records: [Violation.Kind] = [.sequence, .record, .transition, .policy, .count]

  static func checks(_ report: AuditReport) -> [AuditReport.Check] {
    func check(_ name: String, _ kinds: [Violation.Kind], _ detail: String) -> AuditReport.Check {
      let count = kinds.reduce(UInt64(0)) { $0 + (report.inspection.violationCounts[$1] ?? 0) }
      guard count == 0 else {
        return AuditReport.Check(name: name, passed: false, detail: "\(count) failure(s); \(detail)")
      }
      let isWhole = report.inspection.scan.isWhole
      return AuditReport.Check(
        name: name, passed: isWhole ? true : nil,
        detail: isWhole ? detail : "\(detail), before the chain broke")
    }
    let safe = report.safeMode
    let deferral = report.deferral
    return [
      check(
        "the hash chain holds, nothing acknowledged is gone", chain,
        "\(report.inspection.scan.blockCount) blocks"),
      check(
        "every record, sequence, transition, policy and count is right", records,
        "\(report.inspection.totals.transitions) transitions"),
      check("the never list was kept", [.never], "\(report.executed) EXECUTEs"),
      check(
        "safe mode: nothing critical or mutating ran while UNSTABLE or FAILED against the policy", [.outage],
        "\(safe.executed) EXECUTEs in outages, \(safe.riskyByRule) of them critical or mutating, by the policy's own rule"
          + (safe.withoutPolicy > 0 ? "; \(safe.withoutPolicy) without a policy at hand" : "")),
      check(
        "deciding again gives the same answers", [.redecide],
        "\(report.redecided) decided again, \(report.redecidedDifferently) different"
          + (report.withoutPolicy > 0 ? "; \(report.withoutPolicy) without a policy at hand" : "")),
      check(
        "whoever had to show continuity had shaken hands", [.continuity],
        "\(report.executedWithContinuity) EXECUTEs with continuity"
          + (report.withoutHelloAtHand > 0 ? "; \(report.withoutHelloAtHand) without a hello at hand" : "")),
      check(
        "every DEFER has its end", [.deferral],
        report.hasDeferralLog
          ? "\(deferral.kept) intents kept, \(deferral.ended) ended, \(report.unended) without an end"
          : "\(report.deferred) DEFERs, and no run kept intents"),
    ]
  }
}
