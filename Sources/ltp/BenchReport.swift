// SPDX-License-Identifier: Apache-2.0
// Everything that `ltp bench` found out, as --json writes it. Times are nanoseconds.

import CLTP

struct BenchReport: Encodable {
  var seed: UInt64 = 0
  var lanes = 1
  var machine = BenchMachine()
  var decisionsPerSecond = 0.0
  var durableDecisionsPerSecond = 0.0
  var nsPerDecisionSingle = 0.0
  var nsPerDecisionBatch = 0.0
  var floorNs = 0.0
  var singleOverFloor = 0.0
  /// Of the 1x load.
  var p50: UInt64 = 0
  var p99: UInt64 = 0
  var p999: UInt64 = 0
  var max: UInt64 = 0
  var bytesPerDecision = 0.0
  var limitSha256BytesPerSecond = 0.0
  var limitWriteBytesPerSecond = 0.0
  var limitWriteMethod = ""
  var shareOfLimit = 0.0
  var single = BenchBursts([])
  var batch = BenchBursts([])
  var floor = BenchBursts([])
  var flatOut = BenchFlatOut()
  var cores = BenchCores()
  var limited = BenchLimited()
  var loads: [BenchLoad] = []
  var workload = BenchWorkloadReport()
  var decided: UInt64 = 0
  var recorded: UInt64 = 0
  var verified: UInt64 = 0
  var redecided: UInt64 = 0
  var redecidedMismatches: UInt64 = 0
  var backpressureDenied: UInt64 = 0
  /// Hellos that the trace could not take; the trace counts them with the denials.
  var hellosRefused: UInt64 = 0
  /// What the trace says was denied without a record of its own.
  var traceUnrecorded: UInt64 = 0
  var violations: UInt64 = 0
  var traceBytes: UInt64 = 0
  var verifyBytesPerSecond = 0.0
  var verifyShareOfSha256Limit = 0.0
  var redecidePerSecond = 0.0
  var notes: [String] = []

  /// Why the trace does not prove what was decided; empty when it does.
  var faults: [String] {
    var faults: [String] = []
    func expect(_ holds: Bool, _ text: String) { if !holds { faults.append(text) } }
    expect(violations == 0, "the trace has \(violations) violations")
    expect(decided == recorded, "decided \(decided) differs from recorded \(recorded)")
    expect(recorded == verified, "recorded \(recorded) differs from verified \(verified)")
    expect(redecided == verified, "decided again \(redecided) differs from verified \(verified)")
    expect(redecidedMismatches == 0, "\(redecidedMismatches) decisions come out differently")
    expect(
      backpressureDenied + hellosRefused == traceUnrecorded,
      "\(backpressureDenied) denials and \(hellosRefused) hellos refused for backpressure differ from the "
        + "trace's \(traceUnrecorded)")
    return faults
  }
}

/// The traffic that was decided.
struct BenchWorkloadReport: Encodable {
  var classes = 0
  var sessions = 0
  /// Of the requests: their class asks for a continuity token.
  var continuityShare = 0.0
  var transitionsPerSecond = 0.0
  var transitionsRefused: UInt64 = 0
  var hellos: UInt64 = 0
  var transitionsByState: [String: UInt64] = [:]
  var decisionsByState: [String: UInt64] = [:]
  var decisionsByVerdict: [String: UInt64] = [:]

  init() {}

  init(_ workload: BenchWorkload, lanes: Int, account: BenchAccount) {
    classes = workload.classes.count
    sessions = BenchWorkload.frameCount * lanes
    continuityShare = workload.continuityShare
    let seconds = Double(account.publishNanoseconds) / 1e9
    transitionsPerSecond = Double(account.published.reduce(0, +)) / Swift.max(seconds, 1e-9)
    transitionsRefused = account.publishRefused
    hellos = account.tally.hellos
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      let name = String(cString: ltp_state_name(state))
      transitionsByState[name] = account.published[Int(state)]
      decisionsByState[name] = account.decisions[Int(state)].reduce(0, +)
    }
    for verdict in 0..<UInt8(LTP_VERDICT_COUNT) {
      decisionsByVerdict[String(cString: ltp_verdict_name(verdict))] =
        account.decisions.reduce(0) { $0 + $1[Int(verdict)] }
    }
  }
}
