// SPDX-License-Identifier: Apache-2.0
// The figures for programs, and the files that the scenario leaves.

import Foundation
import Stage

struct Report: Encodable {
  struct PhaseFigures: Encodable {
    var name: String
    var load: Double
    var seconds: Double
    var settleSeconds: Double
    var offeredPerSecond: Double
    var requestsPerSecond: Double
    var goodputPerSecond: Double
    /// Measured before and after.
    var capacity: Double
    var shareOfCapacity: Double
    var shareAtSpeed: Double
    var latencyP50Milliseconds: Double?
    var latencyP99Milliseconds: Double?
    var latePerSecond: Double
    var deniedPerSecond: Double
    var timeoutsPerSecond: Double
    var retriesPerSecond: Double
    var rehandshakesPerSecond: Double
    var gaveUpPerSecond: Double
    var processorsBusyWithSomethingElse: Double
    var lockedFromSeconds: Double?
    var lockedToSeconds: Double?
    var fullAgainAfterSeconds: Double?
    var server: ServerStats
    /// Tenths of a second.
    var goodputSeries: [Int]
    var requestSeries: [Int]
  }

  struct CostFigures: Encodable {
    var servedNanoseconds: Double
    var deniedNanoseconds: Double
  }

  var capacity: Double
  var capacities: [Double]
  var clients: Int
  var without: [PhaseFigures]?
  var with: [PhaseFigures]?
  var cost: CostFigures?
  var traceCounts: [TraceProof.Row]?
  var traceVerdict: String?
  var transitions: [TracedTransition]?
  var promises: [Promise]

  init(_ result: ScenarioResult) {
    capacity = result.capacity
    capacities = result.capacities
    clients = result.settings.clients
    without = result.without?.phases.map { Self.figures($0) }
    with = result.with?.phases.map { Self.figures($0) }
    cost = Cost(result).map { CostFigures(servedNanoseconds: $0.served, deniedNanoseconds: $0.denial) }
    traceCounts = result.proof?.rows
    traceVerdict = result.proof?.verdict
    transitions = result.proof?.transitions
    promises = Promises.check(result)
  }

  private static func figures(_ phase: PhaseResult) -> PhaseFigures {
    let sum = phase.measured
    func rate(_ count: Int) -> Double { Double(count) / phase.measuredSeconds }
    return PhaseFigures(
      name: phase.phase.name, load: phase.phase.load, seconds: phase.phase.seconds,
      settleSeconds: phase.phase.settleSeconds, offeredPerSecond: rate(sum.offered),
      requestsPerSecond: rate(sum.requests), goodputPerSecond: phase.goodput,
      capacity: phase.meanCapacity, shareOfCapacity: phase.shareOfCapacity,
      shareAtSpeed: phase.shareAtSpeed,
      latencyP50Milliseconds: sum.latency(percentile: 50),
      latencyP99Milliseconds: sum.latency(percentile: 99), latePerSecond: rate(sum.late),
      deniedPerSecond: rate(sum.denied), timeoutsPerSecond: rate(sum.timeouts),
      retriesPerSecond: rate(sum.retries),
      rehandshakesPerSecond: rate(sum.rehandshakes), gaveUpPerSecond: rate(sum.gaveUp),
      processorsBusyWithSomethingElse: phase.othersCores, lockedFromSeconds: phase.locked?.from,
      lockedToSeconds: phase.locked?.to,
      fullAgainAfterSeconds: Promises.recoverySeconds(phase),
      server: phase.server, goodputSeries: phase.bins.map(\.good), requestSeries: phase.bins.map(\.requests))
  }

  var data: Data { get throws { try ReportFiles.json(self) } }

  /// Leaves report.json, table.txt and cascade.svg; returns their paths.
  static func write(_ result: ScenarioResult, table: String) throws -> [String] {
    try ReportFiles.write(
      [
        ("table.txt", Data((table + "\n").utf8)), ("report.json", try Report(result).data),
        ("cascade.svg", Data(Plot.svg(result).utf8)),
      ], to: result.settings.directory)
  }
}
