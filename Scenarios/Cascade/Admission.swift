// SPDX-License-Identifier: Apache-2.0
// LTP in the service: all of it. The rest of the server knows that a request is let in or not.
//
// - Each request goes through the core's lane; its verdict is in the trace before the server acts on it.
// - Real measured values are pushed as signals, and the core makes the orientation of them (policy.json).
// - What is in the server at once is limited by the core: an order that may run holds a permit until its work is done, and
//   the latency that it is released with moves the limit (policy.json).

import CLTP
import Foundation
import LTP
import LTPPolicy
import Stage

/// Belongs to the I/O thread.
final class Admission {
  /// To be closed once this is gone, and its lane with it: that makes the trace durable and seals it.
  let core: Core
  private let lane: Lane

  /// Opens the core. Returns once it is HEALTHY: from here on signals must be pushed.
  init(traceDirectory: String) throws {
    var options = Core.Options(traceDirectory: traceDirectory)
    options.policy = try PolicyFile.parse(Data(PackageResources.policy_json))
    // Nobody waits for the trace's disk, which the database shares: write seldom.
    options.fields.commit_interval_ns = 50_000_000
    // Fine enough for deadlines of a quarter of a second.
    options.fields.clock_interval_ns = 5_000_000
    options.fields.block_bytes = 64 << 10
    options.fields.segment_bytes = 8 << 20
    core = try Core(options)
    lane = try core.openLane()
    try becomeHealthy()
  }

  private func becomeHealthy() throws {
    let limit = Clock.monotonic() + 10_000_000_000
    while try core.orientation().to != LTP_STATE_HEALTHY {
      observe(oldestQueued: 0, oldestWrite: 0)
      guard Clock.monotonic() < limit else { throw ScenarioFailure("the core does not become HEALTHY") }
      Clock.sleep(nanoseconds: 5_000_000)
    }
  }

  /// Decides the request of 64 bytes at `frame`, before anything else is done for it.
  func decide(_ frame: UnsafeRawPointer) -> ltp_verdict {
    ltp_admit(lane.unsafeHandle, frame, MemoryLayout<ltp_route_request>.size)
  }

  /// A request that was let in has been worked on.
  func finished(_ completion: Completion) {
    guard let permit = Verdict(completion.job.verdict).permit else { return }
    let latency = Duration.nanoseconds(Int64(completion.doneAt - completion.job.queuedAt))
    // A permit that has been out for longer than its time has come back by itself.
    try? lane.permits.release(permit, completion.isDone ? .success : .dropped, latency: latency)
  }

  /// A session shakes hands; nil: the frame is malformed, or the trace cannot take it now.
  func answer(hello frame: UnsafeRawPointer) -> ltp_hello? {
    var answer = ltp_hello()
    let status = ltp_hello_answer(lane.unsafeHandle, frame, MemoryLayout<ltp_hello>.size, &answer)
    return status == LTP_OK ? answer : nil
  }

  /// What was measured just now, in nanoseconds: how long the oldest job has waited for a worker, how long the database
  /// has been busy with its oldest write.
  func observe(oldestQueued: UInt64, oldestWrite: UInt64) {
    try? core.push(.queueLatencySpike, Int64(oldestQueued / 1000))
    try? core.push(.dbWriteLatency, Int64(oldestWrite / 1000))
  }
}
