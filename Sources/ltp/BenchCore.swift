// SPDX-License-Identifier: Apache-2.0
// One run of the core in the bench: opened on the bench's trace, with its lanes and its publisher. The
// bench has two: one whose lanes wait for the trace, one whose lanes deny at once.

import CLTP
import CLTPSystem
import Synchronization

/// Sums over the runs, for the proof at the end.
struct BenchAccount {
  var tally = BenchTally()
  /// Decision records that the core says it put into sealed blocks.
  var recorded: UInt64 = 0
  /// Denials for backpressure (and hellos refused for it) that the core counted.
  var unrecorded: UInt64 = 0
  var published = [UInt64](repeating: 0, count: Int(LTP_STATE_COUNT))
  var publishRefused: UInt64 = 0
  var publishNanoseconds: UInt64 = 0
  /// Decisions by state, then by verdict.
  var decisions = [[UInt64]](
    repeating: [UInt64](repeating: 0, count: Int(LTP_VERDICT_COUNT)), count: Int(LTP_STATE_COUNT))
}

final class BenchCore {
  static let ringBytes = 4 << 20

  let signals = BenchSignals()
  private(set) var lanes: [BenchLane] = []
  private var core: OpaquePointer
  private let publisher: BenchPublisher

  init(
    directory: String, storage: UInt32, waitsForTrace: Bool, laneCount: Int, workload: BenchWorkload
  ) throws {
    let opened = try Self.open(directory) { options in
      options.storage = storage
      options.flags = LTP_OPEN_VERIFY_TAIL
      options.lanes_max = UInt32(laneCount)
      options.backpressure_wait_ns = waitsForTrace ? 10_000_000_000 : 0
    }
    core = opened
    publisher = BenchPublisher(core: opened, seed: workload.seed, signals: signals)
    for number in 0..<laneCount {
      lanes.append(
        try BenchLane(core: opened, number: number, workload: workload, signals: signals))
    }
    try publisher.start()
    for lane in lanes { lane.greetSessions(atMost: BenchWorkload.frameCount) }
  }

  /// A core on this directory, with the default options but for what `change` says.
  static func open(_ directory: String, _ change: (inout ltp_core_options) -> Void) throws -> OpaquePointer {
    var options = ltp_core_options()
    guard ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size) == LTP_OK else {
      throw BenchFailure("ltp.h and the library differ; build both from the same source")
    }
    change(&options)
    var opened: OpaquePointer?
    var error = ltp_error()
    let status = directory.withCString { path in
      options.trace_directory = path
      return ltp_core_open(&options, &opened, &error)
    }
    guard status == LTP_OK, let opened else { throw BenchFailure("cannot open the core: \(error.text)") }
    return opened
  }

  static func close(_ core: OpaquePointer) throws {
    var error = ltp_error()
    guard ltp_core_close(core, 30_000_000_000, &error) == LTP_OK else {
      throw BenchFailure("cannot close the core: \(error.text)")
    }
  }

  func status() throws -> ltp_status {
    var status = ltp_status()
    let result = ltp_core_status(core, &status, MemoryLayout<ltp_status>.size)
    guard result == LTP_OK else { throw BenchFailure("no status: \(statusText(result))") }
    guard status.trace_status == LTP_OK else {
      throw BenchFailure("the trace takes no more records: \(statusText(status.trace_status))")
    }
    return status
  }

  var tally: BenchTally { lanes.reduce(BenchTally()) { $0 + $1.tally } }

  /// Runs `body` once for each lane, in a thread of its own, and waits for all of them.
  func onLanes(_ body: @escaping (BenchLane, Int) -> Void) throws {
    let threads = try lanes.enumerated().map { number, lane in
      try BenchThread("bench-lane-\(number)") { body(lane, number) }
    }
    for thread in threads { thread.join() }
  }

  func waitDurable() throws {
    for lane in lanes { try lane.waitDurable() }
  }

  /// Ends the run in order and adds what it did to `account`.
  func close(adding account: inout BenchAccount) throws {
    publisher.stop()
    try waitDurable()
    try countDecisions(into: &account)
    account.tally = account.tally + tally
    for state in account.published.indices { account.published[state] += publisher.published[state] }
    account.publishRefused += publisher.refused
    account.publishNanoseconds += publisher.nanoseconds
    for lane in lanes { try lane.close() }
    // Closing may still write what the lane denied; after that the counts are final.
    let last = try status()
    account.recorded += last.records_written
    account.unrecorded += last.backpressure_denied
    lanes = []
    try Self.close(core)
  }

  private func countDecisions(into account: inout BenchAccount) throws {
    var counters = [ltp_counter](repeating: ltp_counter(), count: 8192)
    var count = 0
    let status = ltp_counters_read(core, &counters, counters.count, &count)
    guard status == LTP_OK else { throw BenchFailure("no counters: \(statusText(status))") }
    for counter in counters[..<count] {
      account.decisions[Int(counter.state)][Int(counter.verdict)] += counter.count
    }
  }
}
