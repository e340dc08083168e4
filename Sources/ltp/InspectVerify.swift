// SPDX-License-Identifier: Apache-2.0
// `ltp inspect verify` and `ltp inspect redecide`: is the trace what a correct core wrote, and would the core
// decide the same again?

import ArgumentParser
import LTPInspect

/// The part of a report that both print as JSON.
struct InspectionJSON: Encodable {
  var good: Bool
  var logId: String
  var segments: UInt64
  var firstSegment: UInt64
  var lastSegment: UInt64
  /// Of which only the first and the last block were read.
  var segmentsByEnds: UInt64
  var blocks: UInt64
  var blockBytes: UInt64
  var bytesRead: UInt64
  var bytesPerSecond: Double
  var acknowledgedBlocks: UInt64?
  var live: Bool
  var tornTail: Bool
  var totals: LogTotals
  var violationCount: UInt64
  var violations: [Violation]
  var notes: [String]

  init(_ report: InspectReport) {
    good = report.isGood
    logId = report.scan.logID
    segments = report.scan.segmentCount
    firstSegment = report.scan.firstSegment
    lastSegment = report.scan.lastSegment
    segmentsByEnds = report.scan.segmentsByEnds
    blocks = report.scan.blockCount
    blockBytes = report.scan.blockBytes
    bytesRead = report.scan.bytesRead
    bytesPerSecond = report.bytesPerSecond.rounded()
    acknowledgedBlocks = report.scan.acknowledgedBlocks
    live = report.scan.isLive
    tornTail = report.scan.hasTornTail
    totals = report.totals
    violationCount = report.violationCount
    violations = report.violations
    notes = report.notes
  }
}

private func describe(_ report: InspectReport) -> String {
  """
  log       \(report.scan.logID)
  segments  \(report.scan.segmentCount.grouped)
  blocks    \(report.scan.blockCount.grouped)
  decisions \(report.totals.decisions.grouped)
  read      \(report.scan.bytesRead.grouped) bytes at \(String(fixed: report.bytesPerSecond / 1e9)) GB/s
  """
}

extension String {
  /// Two digits after the point.
  fileprivate init(fixed value: Double) {
    let hundredths = Int64((value * 100).rounded())
    self = "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
  }
}

struct InspectVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check the hash chain, sequences, transitions, policies, counts and the never list.")

  @OptionGroup var arguments: InspectArguments

  private func verdict(_ report: InspectReport) -> String {
    if report.isGood {
      return "good: the chain holds, every sequence is whole, no transition or decision breaks a rule"
    }
    let count = "NOT good: \(report.violationCount.grouped) violation(s)"
    return report.scan.isWhole ? count : "\(count); the figures above are of what came before the chain broke"
  }

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.verify() }
    if arguments.json {
      try printJSON(InspectionJSON(report))
    } else {
      print(describe(report))
      printFindings(report)
      print(verdict(report))
    }
    if !report.isGood { throw ExitCode(1) }
  }
}

struct InspectRedecide: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "redecide",
    abstract: "Decide every recorded request again, and compare verdict, reason and retry_after.")

  @OptionGroup var arguments: InspectArguments

  private struct Output: Encodable {
    var redecided: UInt64
    var redecidedMismatches: UInt64
    var withoutPolicy: UInt64
    var decisionsPerSecond: Double
    var inspection: InspectionJSON
  }

  func run() throws {
    let report = try arguments.run { inspector throws(InspectFailure) in try inspector.redecide() }
    let inspection = report.inspection
    let rate = Double(report.redecided) * 1e9 / Double(max(1, inspection.nanoseconds))
    if arguments.json {
      try printJSON(
        Output(
          redecided: report.redecided, redecidedMismatches: report.mismatches,
          withoutPolicy: report.withoutPolicy, decisionsPerSecond: rate.rounded(),
          inspection: InspectionJSON(inspection)))
    } else {
      print(describe(inspection))
      print("redecided \(report.redecided.grouped), \(Int64(rate).grouped) a second")
      print("different \(report.mismatches.grouped)")
      if report.withoutPolicy > 0 {
        print(
          "skipped   \(report.withoutPolicy.grouped): their policy has left the trace with older segments")
      }
      printFindings(inspection)
      print(inspection.isGood ? "good: every decision comes out the same" : "NOT good")
    }
    if !inspection.isGood { throw ExitCode(1) }
  }
}
