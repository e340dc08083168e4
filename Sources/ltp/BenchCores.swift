// SPDX-License-Identifier: Apache-2.0
// Opening cores, what one takes, and whether lanes get in each other's way. In traces of their own beside the
// bench's, which go again at once.

import CLTP
import CLTPSystem
import Foundation
import Synchronization

struct BenchCores: Encodable {
  /// A core on an empty directory, and its first lane: milliseconds, median.
  var openMilliseconds = 0.0
  private static let opensWanted = 15

  /// Resident memory of an open core less its lane's ring, bytes, median.
  var memoryBytes = 0.0
  /// Decisions a second of two lanes on two cores over those of one; 0: there is one core.
  var twoLanesOverOne = 0.0
  /// The same of the least times, which other guests of the host disturb least.
  var twoLanesOverOneByLeast = 0.0

  /// From a push that crosses its threshold to the first decision under the new state: microseconds, medians.
  var orientedNowMicroseconds = 0.0
  var orientedByTickMicroseconds = 0.0

  static func measure(beside path: String, storage: UInt32, workload: BenchWorkload, seconds: Double) throws
    -> BenchCores
  {
    var result = BenchCores()
    var opens: [Double] = []
    var memory: [Double] = []
    for number in 0..<opensWanted {
      try inScratch("\(path)-core-\(number)") { scratch in
        let before = residentBytes()
        let began = ltp_system_monotonic_ns()
        let core = try open(scratch, storage: storage)
        var lane: OpaquePointer?
        guard ltp_lane_open(core, &lane, nil) == LTP_OK else { throw BenchFailure("cannot open a lane") }
        opens.append(Double(ltp_system_monotonic_ns() - began) / 1e6)
        memory.append(max(0, Double(residentBytes()) - Double(before) - Double(BenchCore.ringBytes)))
        _ = ltp_lane_close(lane)
        try BenchCore.close(core)
      }
    }
    result.openMilliseconds = opens.sorted()[opens.count / 2]
    result.memoryBytes = memory.sorted()[memory.count / 2]
    try inScratch("\(path)-signals") { scratch in
      (result.orientedNowMicroseconds, result.orientedByTickMicroseconds) = try orienting(
        scratch, storage: storage)
    }
    guard ProcessInfo.processInfo.activeProcessorCount > 1 else { return result }
    try inScratch("\(path)-lanes") { scratch in
      let bursts = try twoLanes(scratch, storage: storage, workload: workload, seconds: seconds)
      let ratios = bursts.map { 2 * $0.alone / $0.both }.sorted()
      result.twoLanesOverOne = ratios[ratios.count / 2]
      result.twoLanesOverOneByLeast = 2 * bursts.map(\.alone).min()! / bursts.map(\.both).min()!
    }
    return result
  }

  /// Bursts that the rings absorb, while the writer sleeps: one lane, then both at once, each in a thread of its own.
  private static func twoLanes(
    _ scratch: String, storage: UInt32, workload: BenchWorkload, seconds: Double
  ) throws -> [(alone: Double, both: Double)] {
    let core = try open(scratch, storage: storage)
    let signals = BenchSignals()
    let lanes = try (0..<2).map {
      try BenchLane(core: core, number: $0, workload: workload, signals: signals)
    }
    for lane in lanes { lane.greetSessions(atMost: BenchWorkload.frameCount) }
    var bursts: [(alone: Double, both: Double)] = []
    let end = ltp_system_monotonic_ns() + UInt64(seconds * 1e9)
    repeat {
      for lane in lanes { try lane.waitDurable() }
      bursts.append((alone: try burst([lanes[bursts.count % 2]]), both: try burst(lanes)))
    } while ltp_system_monotonic_ns() < end && bursts.count < 400
    for lane in lanes { try lane.close() }
    try BenchCore.close(core)
    return bursts
  }

  /// The nanoseconds of the slowest lane, all of them starting together.
  private static func burst(_ lanes: [BenchLane]) throws -> Double {
    let ready = BenchBarrier(lanes.count)
    let took = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: lanes.count)
    defer { took.deallocate() }
    let threads = try lanes.enumerated().map { number, lane in
      try BenchThread("bench-lane-\(number)") {
        ready.wait()
        took[number] = lane.admitSingly(BenchBurst.decisions)
      }
    }
    for thread in threads { thread.join() }
    return Double(took.max()!)
  }

  /// A failure pushed, and decisions until one knows of it; with "now", and with the next tick.
  private static func orienting(_ scratch: String, storage: UInt32) throws -> (now: Double, tick: Double) {
    var rules = ltp_signal_rules()
    _ = ltp_signal_rules_default(&rules, MemoryLayout<ltp_signal_rules>.size)
    (rules.state_dwell_ns, rules.recovering_ns) = (0, 0)
    rules.rules.11.exit_dwell_ns = 0  // QUORUM_LOST
    let core = try withUnsafePointer(to: rules) { try open(scratch, storage: storage, rules: $0) }
    var lane: OpaquePointer?
    guard ltp_lane_open(core, &lane, nil) == LTP_OK else { throw BenchFailure("cannot open a lane") }
    var ping = ltp_route_request()
    _ = ltp_frame_init(&ping, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0)
    ping.session_id = 1
    func waitFor(_ isReached: (UInt8) -> Bool) {
      while !isReached(ltp_admit(lane, &ping, MemoryLayout<ltp_route_request>.size).state) {
        ltp_system_pause()
      }
    }
    func measure(_ flags: UInt32) -> Double {
      let samples = (0..<101).map { _ in
        _ = ltp_signal_push(core, LTP_SIGNAL_QUORUM_LOST, 0, LTP_PUSH_NOW)
        waitFor { $0 == LTP_STATE_HEALTHY }
        let began = ltp_system_monotonic_ns()
        _ = ltp_signal_push(core, LTP_SIGNAL_QUORUM_LOST, 1, flags)
        waitFor { $0 == LTP_STATE_FAILED }
        return Double(ltp_system_monotonic_ns() - began) / 1000
      }
      return samples.sorted()[samples.count / 2]
    }
    let medians = (measure(LTP_PUSH_NOW), measure(0))
    _ = ltp_lane_close(lane)
    try BenchCore.close(core)
    return medians
  }

  static func open(
    _ path: String, storage: UInt32, rules: UnsafePointer<ltp_signal_rules>? = nil
  ) throws -> OpaquePointer {
    let opened = try BenchCore.open(path) { options in
      options.storage = storage
      options.signal_rules = rules
      // The writer stays out of the way until it is waited for.
      options.commit_interval_ns = 1_000_000_000
    }
    guard rules == nil else { return opened }
    var healthy = ltp_transition()
    healthy.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    healthy.to = LTP_STATE_HEALTHY
    healthy.reason = LTP_SIGNAL_METRICS_STABILIZED
    _ = ltp_orientation_publish(opened, &healthy, nil)
    return opened
  }

  static func inScratch(_ path: String, _ body: (String) throws -> Void) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  private static func residentBytes() -> Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")
    return (fields.flatMap { $0.count > 1 ? Int($0[1]) : nil } ?? 0) * 4096
  }
}

/// Threads that start together. They spin: a sleeper would start late.
final class BenchBarrier: Sendable {
  private let missing: Atomic<Int>

  init(_ count: Int) { missing = Atomic(count) }

  func wait() {
    missing.subtract(1, ordering: .acquiringAndReleasing)
    while missing.load(ordering: .acquiring) > 0 { ltp_system_pause() }
  }
}
