// SPDX-License-Identifier: Apache-2.0
// The order of things: the loads and the hiccup without LTP, then with it, and the capacity before and after each, because a
// machine that others use too is not always as fast.

import Foundation
import Stage

struct ScenarioSettings {
  var directory: String
  var loads: [Double] = [1, 2, 5, 10]
  var seconds = 3.0
  var hiccupLoad = 0.8
  var hiccupSeconds = 2.0
  var clients = 3000
  var workers = 4
  var queueMax = 4096
  var seed: UInt64 = 1
  var runsWithout = true
  var runsWith = true

  var database: String { directory + "/orders.db" }
  var trace: String { directory + "/trace" }
}

/// What one way of running the service came to.
struct ModeResult {
  var hasAdmission: Bool
  var phases: [PhaseResult] = []
  /// With admission: what every answer said.
  var tally: Tally?
}

struct ScenarioResult {
  var settings: ScenarioSettings
  /// Orders a second in the closed loop, each time that it was measured.
  var capacities: [Double] = []
  /// Processor time that an order took each time, in nanoseconds.
  var orderTimes: [Double] = []
  var costs = ServerStats()
  var without: ModeResult?
  var with: ModeResult?
  var proof: TraceProof?

  /// The median of the measurements.
  var capacity: Double { median(capacities) }
}

final class Scenario {
  private let settings: ScenarioSettings
  private var result: ScenarioResult
  private let began = Clock.monotonic()
  private var hasTemplate = false

  init(_ settings: ScenarioSettings) {
    self.settings = settings
    result = ScenarioResult(settings: settings)
  }

  func run() throws -> ScenarioResult {
    try Descriptors.raiseLimit(to: settings.clients + 200)
    try prepareDirectory()
    try measureCapacity(seconds: 3)
    if settings.runsWithout { result.without = try runWithout() }
    if settings.runsWith {
      result.with = try runWith()
      progress("the trace: ltp inspect verify, ltp inspect summary")
      result.proof = try TraceProof(directory: settings.trace, tally: result.with!.tally!)
    }
    return result
  }

  private func prepareDirectory() throws {
    let files = FileManager.default
    try? files.removeItem(atPath: settings.trace)
    do { try files.createDirectory(atPath: settings.trace, withIntermediateDirectories: true) } catch {
      throw ScenarioFailure("cannot write to \(settings.directory): \(error.localizedDescription)")
    }
  }

  private func progress(_ text: String) {
    let seconds = Double(Clock.monotonic() - began) / 1e9
    say("\(fixed(seconds, 0, width: 4)) s  \(text)")
  }

  // MARK: Servers

  /// Each server begins with the same database.
  private func freshDatabase(_ database: String) throws {
    let template = settings.database + ".template"
    if !hasTemplate { try OrderDatabase.create(path: template) }
    hasTemplate = true
    for suffix in ["", "-wal", "-shm"] { unlink(database + suffix) }
    try FileManager.default.copyItem(atPath: template, toPath: database)
  }

  private func startServer(hasAdmission: Bool, database: String) throws -> ChildProcess {
    try freshDatabase(database)
    var arguments = [
      "--database", database, "--workers", "\(settings.workers)", "--queue", "\(settings.queueMax)",
      "--clients", "\(settings.clients)",
    ]
    if hasAdmission { arguments += ["--trace", settings.trace] }
    return try ChildProcess("cascade", arguments: arguments)
  }

  private func connect(_ server: ChildProcess, clients: Int, hasAdmission: Bool) throws -> LoadGenerator {
    try LoadGenerator(
      port: server.port(), clients: clients, behaviour: ClientBehaviour(obeysDenials: hasAdmission),
      seed: settings.seed)
  }

  /// A few more clients than workers, each with one order at a time, and no LTP: what the service can do at most.
  private func measureCapacity(seconds: Double) throws {
    // Of its own: the one with LTP is there throughout.
    let server = try startServer(hasAdmission: false, database: settings.directory + "/capacity.db")
    let load = try connect(server, clients: settings.workers * 4, hasAdmission: false)
    let before = try server.stats()
    let capacity = try Machine.behindServer { [settings] in
      try load.closedLoop(clients: settings.workers * 4, warmSeconds: 0.5, seconds: seconds)
    }
    let used = try server.stats() - before
    result.capacities.append(capacity)
    result.orderTimes.append(Double(used.workerProcessorTime) / Double(max(used.done, 1)))
    result.costs = ServerStats(
      processorTime: result.costs.processorTime + used.processorTime,
      workerProcessorTime: result.costs.workerProcessorTime + used.workerProcessorTime,
      requests: result.costs.requests + used.requests, done: result.costs.done + used.done)
    try server.stop()
    progress(
      "capacity \(fixed(capacity, 0)) orders/s, \(fixed(Double(used.processorTime) / Double(used.done) / 1e6, 2)) ms of processor each"
    )
  }

  /// The mean of the last two measurements.
  private func noteCapacityAround(_ outcome: inout PhaseResult) {
    outcome.capacity = result.capacities.suffix(2).reduce(0, +) / 2
    outcome.capacityOrderTime = result.orderTimes.suffix(2).reduce(0, +) / 2
  }

  private func phases() -> [Phase] {
    // What was measured first sets the load for both.
    let capacity = result.capacities[0]
    var phases = settings.loads.map { load in
      Phase(
        name: "\(shortest(load))x", load: load, rate: load * capacity, seconds: settings.seconds,
        settleSeconds: min(1, settings.seconds / 4))
    }
    let seconds = settings.hiccupSeconds
    phases.append(
      Phase(
        name: "\(shortest(settings.hiccupLoad))x + hiccup", load: settings.hiccupLoad,
        rate: settings.hiccupLoad * capacity, seconds: 2 + seconds + 4, settleSeconds: 0.5,
        hiccup: (at: 2, seconds: seconds)))
    return phases
  }

  /// Each phase on a server of its own: what a collapse leaves in the queue ends with the process.
  private func runWithout() throws -> ModeResult {
    var mode = ModeResult(hasAdmission: false)
    for phase in phases() {
      let server = try startServer(hasAdmission: false, database: settings.database)
      let load = try connect(server, clients: settings.clients, hasAdmission: false)
      var outcome = try run(phase, server, load, "without LTP")
      try server.kill()
      try measureCapacity(seconds: 1)
      noteCapacityAround(&outcome)
      mode.phases.append(outcome)
    }
    return mode
  }

  /// All phases on one server, in one trace.
  private func runWith() throws -> ModeResult {
    var mode = ModeResult(hasAdmission: true)
    let server = try startServer(hasAdmission: true, database: settings.database)
    let load = try connect(server, clients: settings.clients, hasAdmission: true)
    let phases = phases()
    for phase in phases where !Promises.covers(phase) && phase.hiccup == nil {
      mode.phases.append(try runAndMeasure(phase, server, load))
    }
    mode.phases += try runRounds(phases.filter(Promises.covers), server, load)
    for phase in phases where phase.hiccup != nil {
      mode.phases.append(try runAndMeasure(phase, server, load))
    }
    try server.stop()
    mode.tally = load.tallied()
    return mode
  }

  private func runAndMeasure(
    _ phase: Phase, _ server: ChildProcess, _ load: LoadGenerator
  ) throws -> PhaseResult {
    var outcome = try run(phase, server, load, "with LTP")
    try load.drain(seconds: 10)
    // The state has time to become HEALTHY again meanwhile.
    try measureCapacity(seconds: 1.5)
    noteCapacityAround(&outcome)
    return outcome
  }

  /// The loads that something is promised for, in turn, a few times over, with the capacity in between: a shared machine's
  /// speed changes from second to second, for either.
  private func runRounds(
    _ phases: [Phase], _ server: ChildProcess, _ load: LoadGenerator
  ) throws -> [PhaseResult] {
    var runs: [[PhaseResult]] = phases.map { _ in [] }
    for _ in 0..<Self.rounds {
      for (index, phase) in phases.enumerated() {
        var phase = phase
        phase.seconds = max(2, phase.seconds * 0.8)
        phase.settleSeconds = 0.5
        runs[index].append(try runAndMeasure(phase, server, load))
      }
    }
    return runs.map { runs in
      var outcome = runs.last!
      outcome.earlier = runs.dropLast()
      return outcome
    }
  }

  private static let rounds = 3

  private func run(
    _ phase: Phase, _ server: ChildProcess, _ load: LoadGenerator, _ mode: String
  ) throws -> PhaseResult {
    let before = try server.stats()
    let hiccup = phase.hiccup.map { Hiccup(database: settings.database, seconds: $0.seconds) }
    var hasStarted = false
    let busyBefore = Machine.busySeconds()
    let ownBefore = Clock.process()
    let (bins, began, unix) = try Machine.behindServer {
      try load.run(phase) { seconds in
        try server.check()
        if let hiccup, !hasStarted, seconds >= phase.hiccup!.at {
          hasStarted = true
          hiccup.start()
        }
      }
    }
    let used = try server.stats() - before
    var outcome = PhaseResult(
      phase: phase, bins: bins, beganMonotonic: began, beganUnix: unix, locked: nil, server: used)
    let own = Double(Clock.process() - ownBefore + used.processorTime) / 1e9
    outcome.othersCores = max(0, Machine.busySeconds() - busyBefore - own) / phase.seconds
    if let hiccup {
      let locked = try hiccup.locked()
      outcome.locked = (Double(locked.from - began) / 1e9, Double(locked.to - began) / 1e9)
    }
    progress(
      "\(mode), \(phase.name): \(fixed(phase.rate, 0)) intents/s offered, \(fixed(outcome.goodput, 0)) done in time, "
        + "\(fixed(outcome.othersCores, 2)) processors busy with something else")
    return outcome
  }
}

/// 2, or 1.5.
func shortest(_ value: Double) -> String {
  value == value.rounded() ? String(Int(value)) : String(value)
}
