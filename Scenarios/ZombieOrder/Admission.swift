// SPDX-License-Identifier: Apache-2.0
// LTP in the service: all of it. The rest of the server knows that a request is let in or not.
//
// - The link to the venue is the one signal: while it is gone the service is UNSTABLE (policy.json).
// - Each connection is bound to the life of a session that its hello began; a request is of that life, or it is refused.
// - With what is let in goes the fencing number, which the database compares with its own.
// - What is let in is on disk in the trace before the database hears of it, so that the trace holds all that the database does.

import CLTP
import LTP
import Stage

/// Belongs to the event loop.
final class Admission {
  /// To be closed once this is gone, and its lane with it: that makes the trace durable and seals it.
  let core: Core
  private var lane: Lane
  private var epochTold: UInt32?

  /// - Parameter key: 16 secret bytes. The same in every run, as a service would keep it: a run's tokens die with it nevertheless.
  init(traceDirectory: String, key: [UInt8]) throws {
    var options = Core.Options(traceDirectory: traceDirectory)
    options.policy = try Policy.load()
    options.continuityKey = key
    options.fields.block_bytes = 64 << 10
    options.fields.segment_bytes = 8 << 20
    core = try Core(options)
    lane = try core.openLane()
  }

  /// The link to the venue is there, or it is gone.
  func linkChanged(isUp: Bool) { try? core.push(.transportDisconnected, isUp ? 0 : 1, now: true) }

  /// A session shakes hands over a connection. nil: the frame is malformed, or the trace cannot take it now.
  func answer(hello: ltp_hello, over connection: inout Connection) -> ltp_hello? {
    let answer = withUnsafeBytes(of: hello) { try? lane.answer(hello: RawSpan(_unsafeBytes: $0)) }
    guard let answer else { return nil }
    if !answer.isPutOff { try? connection.bind(answer) }
    return answer
  }

  /// Decides a request that came over this connection.
  func decide(_ request: RouteRequest, over connection: Connection) -> Verdict {
    lane.admit(request, from: connection)
  }

  /// The fencing number that goes with an EXECUTE just given.
  func fence(of verdict: Verdict) -> UInt64 { lane.fence(of: verdict) ?? 0 }

  /// What has been decided so far, to wait for.
  var mark: DurabilityMark { lane.mark }

  /// The orientation, when it is another than was told last, and the fencing number since when it holds.
  func news() -> (orientation: ltp_orientation, fence: UInt64)? {
    guard let orientation = try? core.orientation(), orientation.epoch != epochTold,
      let fence = try? core.status().continuity_epoch
    else { return nil }
    epochTold = orientation.epoch
    return (orientation, fence)
  }
}
