// SPDX-License-Identifier: Apache-2.0
// One run of the bench from the machine's limits to the proof, phase by phase.

import CLTP
import CLTPSystem
import Foundation
import LTPInspect

struct BenchSettings {
  var seconds: Double
  var lanes: Int
  var seed: UInt64
  var storage: UInt32
  var traceBytesMax: UInt64
}

/// How the measured time and the trace's bytes are shared out.
struct BenchPlan {
  static let loads = [0.5, 1, 2, 5, 10]
  /// Kept free on the disk, beside a segment that is being prepared.
  private static let spareBytes: UInt64 = 1 << 30

  let shaSeconds: Double
  let writeSeconds: Double
  let coresSeconds: Double
  let limitedSeconds: Double
  let burstSeconds: Double
  let flatOutSeconds: Double
  let loadSeconds: Double
  let traceBytes: UInt64

  var burstsMax: Int { max(Int(traceBytes / 10) / BenchBurst.bytes, 20) }
  var flatOutDecisionsMax: UInt64 { traceBytes * 4 / 10 / 33 }

  init(_ settings: BenchSettings, freeBytes: UInt64) throws {
    let usable = freeBytes > Self.spareBytes ? freeBytes - Self.spareBytes : 0
    guard usable >= 256 << 20 else {
      throw BenchFailure(
        "only \(freeBytes >> 20) MiB are free on the trace's disk; the bench needs 1.3 GB. "
          + "Name another with --trace"
      )
    }
    shaSeconds = settings.seconds * 0.04
    writeSeconds = settings.seconds * 0.06
    coresSeconds = settings.seconds * 0.03
    limitedSeconds = settings.seconds * 0.06
    burstSeconds = settings.seconds * 0.16
    flatOutSeconds = settings.seconds * 0.25
    loadSeconds = settings.seconds * 0.4 / Double(Self.loads.count)
    traceBytes = min(settings.traceBytesMax, usable)
  }

  /// Seconds of each load, so that all of them together keep to half of the trace's bytes.
  func loadSeconds(sustainedPerSecond: Double) -> Double {
    let bytesPerSecond = sustainedPerSecond * 33 * Self.loads.reduce(0) { $0 + min($1, 1) }
    return min(loadSeconds, Double(traceBytes) / 2 / max(bytesPerSecond, 1))
  }
}

struct BenchRun {
  let settings: BenchSettings
  let directory: BenchDirectory
  private let workload: BenchWorkload
  private let plan: BenchPlan
  private var account = BenchAccount()
  private(set) var report = BenchReport()

  init(_ settings: BenchSettings, in directory: BenchDirectory) throws {
    self.settings = settings
    self.directory = directory
    workload = BenchWorkload(seed: settings.seed)
    plan = try BenchPlan(settings, freeBytes: directory.freeBytes)
    report.seed = settings.seed
    report.lanes = settings.lanes
    if plan.traceBytes < settings.traceBytesMax {
      note("shorter because the disk has little room: the trace may grow to \(gigabytes(plan.traceBytes))")
    }
    if BenchDirectory.isInMemory(directory.path) {
      note("the trace is on tmpfs: nothing is durable there, so the durable figures mean little")
    }
  }

  mutating func run() throws {
    try measureLimits()
    try measureCores()
    try measureWaiting()
    try measureLoads()
    try prove()
  }

  private mutating func note(_ text: String) {
    report.notes.append(text)
    say("note: " + text)
  }

  // MARK: Phases

  private mutating func measureLimits() throws {
    say("limits: SHA-256 over 64 KiB on one core, \(tenths(plan.shaSeconds)) s")
    var limits = BenchLimits()
    limits.sha256BytesPerSecond = try BenchLimits.measureSHA256(seconds: plan.shaSeconds)
    say("limits: durable direct writes, \(tenths(plan.writeSeconds)) s")
    try limits.measureWrites(
      in: directory.path, usesRing: settings.storage != LTP_STORAGE_PWRITEV, seconds: plan.writeSeconds)
    report.limitSha256BytesPerSecond = limits.sha256BytesPerSecond.rounded()
    report.limitWriteBytesPerSecond = limits.writeBytesPerSecond.rounded()
    report.limitWriteMethod = limits.writeMethod
    say(
      "limits: SHA-256 \(gigabytes(UInt64(limits.sha256BytesPerSecond)))/s, writes "
        + "\(gigabytes(UInt64(limits.writeBytesPerSecond)))/s")
  }

  private mutating func measureCores() throws {
    say("cores: opening them, and two lanes at once, \(tenths(plan.coresSeconds)) s")
    report.cores = try BenchCores.measure(
      beside: directory.path, storage: settings.storage, workload: workload, seconds: plan.coresSeconds)
    say("limits on a decision: two cores by turns, \(tenths(plan.limitedSeconds)) s")
    report.limited = try BenchLimited.measure(
      beside: directory.path, storage: settings.storage, workload: workload, seconds: plan.limitedSeconds)
  }

  private func open(waitsForTrace: Bool) throws -> BenchCore {
    try BenchCore(
      directory: directory.path, storage: settings.storage, waitsForTrace: waitsForTrace,
      laneCount: settings.lanes, workload: workload)
  }

  /// Bursts and flat out: lanes that wait for the trace.
  private mutating func measureWaiting() throws {
    let core = try open(waitsForTrace: true)
    report.machine.note(try core.status())
    say("bursts: single calls, batches of 64 and the floor by turns, up to \(tenths(plan.burstSeconds)) s")
    let bursts = try BenchBurst.measure(
      core, seed: settings.seed, seconds: plan.burstSeconds, burstsMax: plan.burstsMax)
    report.single = bursts.single
    report.batch = bursts.batch
    report.floor = bursts.floor
    report.nsPerDecisionSingle = bursts.single.median
    report.nsPerDecisionBatch = bursts.batch.median
    report.floorNs = bursts.floor.median
    report.singleOverFloor = bursts.single.median / max(bursts.floor.median, 1e-9)
    say("flat out: \(settings.lanes) lane(s), up to \(tenths(plan.flatOutSeconds)) s")
    let flatOut = try BenchFlatOut.measure(
      core, seconds: plan.flatOutSeconds, decisionsMax: plan.flatOutDecisionsMax)
    report.flatOut = flatOut
    report.decisionsPerSecond = flatOut.decisionsPerSecond.rounded()
    report.durableDecisionsPerSecond = flatOut.durableDecisionsPerSecond.rounded()
    report.bytesPerDecision = flatOut.bytesPerDecision
    let limit = min(report.limitSha256BytesPerSecond, report.limitWriteBytesPerSecond)
    report.shareOfLimit = flatOut.durableDecisionsPerSecond * flatOut.bytesPerDecision / max(limit, 1)
    if flatOut.seconds < plan.flatOutSeconds * 0.95 {
      note(
        "flat out ended after \(tenths(flatOut.seconds)) s of \(tenths(plan.flatOutSeconds)): its part of "
          + "the trace's \(gigabytes(plan.traceBytes)) was full (--trace-gigabytes)")
    }
    try core.close(adding: &account)
  }

  /// Open loop: lanes that deny at once when the trace cannot take more.
  private mutating func measureLoads() throws {
    let core = try open(waitsForTrace: false)
    let sustained = report.durableDecisionsPerSecond
    let seconds = plan.loadSeconds(sustainedPerSecond: sustained)
    for load in BenchPlan.loads {
      say("open loop: \(load)x of \(UInt64(sustained).grouped) decisions/s, \(tenths(seconds)) s")
      report.loads.append(
        try BenchLoad.measure(core, load: load, sustainedPerSecond: sustained, seconds: seconds))
    }
    if let nominal = report.loads.first(where: { $0.load == 1 }) {
      report.p50 = nominal.p50
      report.p99 = nominal.p99
      report.p999 = nominal.p999
      report.max = nominal.max
    }
    try core.close(adding: &account)
    report.workload = BenchWorkloadReport(workload, lanes: settings.lanes, account: account)
    report.decided = account.tally.decided
    report.recorded = account.recorded
    report.backpressureDenied = account.tally.unrecorded
    report.hellosRefused = account.tally.hellosRefused
    if account.unrecorded != report.backpressureDenied + report.hellosRefused {
      note("the core counted \(account.unrecorded) refusals for backpressure, the bench another number")
    }
  }

  /// Reads the trace again: the chain, and every decision once more.
  private mutating func prove() throws {
    let inspector = Inspector(directory.path)
    do throws(InspectFailure) {
      say("proof: verifying the trace")
      let verified = try inspector.verify()
      report.verified = verified.totals.decisions
      report.traceUnrecorded = verified.totals.unrecorded
      report.traceBytes = verified.scan.blockBytes
      report.verifyBytesPerSecond = verified.bytesPerSecond.rounded()
      report.verifyShareOfSha256Limit = verified.bytesPerSecond / max(report.limitSha256BytesPerSecond, 1)
      say("proof: deciding \(verified.totals.decisions.grouped) records again")
      let again = try inspector.redecide()
      report.redecided = again.redecided
      report.redecidedMismatches = again.mismatches
      report.violations = verified.violationCount + again.inspection.violationCount
      report.redecidePerSecond =
        (Double(again.redecided) * 1e9 / Double(max(again.inspection.nanoseconds, 1))).rounded()
      for violation in (verified.violations + again.inspection.violations).prefix(5) { note(violation.text) }
    } catch {
      throw BenchFailure("the trace cannot be read: \(error.message)")
    }
  }
}

// MARK: Words

/// Progress goes to standard error, with the time since the start.
func say(_ text: String) {
  // Read first: it is set when it is first read.
  let began = benchBegan
  let seconds = Double(ltp_system_monotonic_ns() - began) / 1e9
  FileHandle.standardError.write(Data(String(format: "[%6.1f s] %@\n", seconds, text).utf8))
}

private let benchBegan = ltp_system_monotonic_ns()

func tenths(_ value: Double) -> String { String(format: "%.1f", value) }

func gigabytes(_ bytes: UInt64) -> String { String(format: "%.2f GB", Double(bytes) / 1e9) }
