// SPDX-License-Identifier: Apache-2.0

public import CLTP

/// One thread's, or task's, way through a core. It cannot be copied, so nobody else can be in it; it may be handed on.
///
/// A decision through it costs what `ltp_admit` costs from C: nothing is retained, allocated, or looked up.
public struct Lane: ~Copyable, @unchecked Sendable {
  @usableFromInline let handle: OpaquePointer
  /// Keeps the lane open, for this and for marks.
  let owner: LaneOwner

  init(_ owner: LaneOwner) {
    handle = owner.handle
    self.owner = owner
  }

  /// Decides the request in `frame`, as it came from the wire. What cannot be decided is denied, and the reason says why.
  @inlinable
  public mutating func admit(_ frame: RawSpan) -> Verdict {
    Verdict(frame.withUnsafeBytes { ltp_admit(handle, $0.baseAddress, $0.count) })
  }

  @inlinable
  public mutating func admit(_ request: borrowing RouteRequest) -> Verdict {
    Verdict(withUnsafeBytes(of: request.fields) { ltp_admit(handle, $0.baseAddress, $0.count) })
  }

  /// Decides a request that is asked again.
  @inlinable
  public mutating func admit(_ request: borrowing ReplayRequest) -> Verdict {
    Verdict(withUnsafeBytes(of: request.fields) { ltp_admit(handle, $0.baseAddress, $0.count) })
  }

  /// Decides as many requests as both spans hold, each under the orientation current at its turn. Returns how many may
  /// run.
  @inlinable
  public mutating func admit(_ requests: Span<RouteRequest>, into verdicts: inout MutableSpan<Verdict>) -> Int
  {
    requests.withUnsafeBufferPointer { frames in
      verdicts.withUnsafeMutableBufferPointer { answers in
        answers.baseAddress?.withMemoryRebound(to: ltp_verdict.self, capacity: answers.count) {
          ltp_admit_batch(
            handle, frames.baseAddress, MemoryLayout<RouteRequest>.stride,
            min(frames.count, answers.count), $0)
        } ?? 0
      }
    }
  }

  /// For functions of the C contract that have no name here. The lane closes it.
  public var unsafeHandle: OpaquePointer { handle }

  /// The number that the lane's next record will get.
  public var sequence: UInt64 { ltp_lane_sequence(handle) }

  /// What has been decided so far, to wait for: `try await lane.mark.durable()`.
  public var mark: DurabilityMark { DurabilityMark(owner: owner, sequence: sequence) }

  /// Sleeps until everything decided so far is on disk. Blocks the thread; a task waits for `mark.durable()`.
  public func waitDurable(atMost limit: Duration = .seconds(10)) throws(LTPError) {
    try check(ltp_lane_wait_durable(handle, sequence, limit.nanoseconds))
  }
}

/// Closes the lane once neither the lane nor any mark refers to it.
final class LaneOwner: Sendable {
  nonisolated(unsafe) let handle: OpaquePointer
  let core: Core

  init(_ core: Core) throws(LTPError) {
    var opened: OpaquePointer?
    let handle = try core.live
    try checkDetails { ltp_lane_open(handle, &opened, $0) }
    self.handle = opened!
    self.core = core
  }

  deinit { _ = ltp_lane_close(handle) }
}
