// SPDX-License-Identifier: Apache-2.0
// A lane over a ring, without a writer: whoever uses it gives the blocks back by hand.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
import Synchronization

final class LaneFixture: @unchecked Sendable {
  static let blockBytes = 256 << 10
  static let blockCount = 16
  static let frameCount = 1024

  let orientation: Orientation
  let lane: Lane
  let frames: UnsafeMutableRawPointer
  let verdicts: UnsafeMutablePointer<ltp_verdict>

  init() {
    orientation = Orientation(
      memory: ltp_system_map(Orientation.memoryBytes, 0), resuming: OrientationWord(rawValue: 0))
    let policy = UnsafeMutablePointer<ltp_policy>.allocate(capacity: 1)
    DefaultPolicy.write(to: policy)
    orientation.line.pointee.tick(monotonic: 1, unix: 1)
    try! orientation.load(policy, generation: 1, starting: true, now: 1)
    _ = try! orientation.publish(
      TransitionChange(to: LTP_STATE_HEALTHY, reason: LTP_SIGNAL_METRICS_STABILIZED), now: 1)
    policy.deallocate()
    let configuration = LaneConfiguration(
      id: 1, blockBytes: Self.blockBytes, blockCount: Self.blockCount, backpressureWaitNanoseconds: 0,
      runKey: SipKey(low: 1, high: 2),
      voided: VoidedSessions(memory: ltp_system_map(VoidedSessions.memoryBytes, 0)!))
    let memory = ltp_system_map(Lane.memoryBytes, 0)!
    lane = Lane(
      memory: memory, ring: ltp_system_map(configuration.ringBytes, 0), orientation: orientation,
      limits: SharedLimits(memory: ltp_system_map(SharedLimits.memoryBytes, 0), tick: 1_000_000),
      configuration: configuration, owner: memory)
    verdicts = .allocate(capacity: 64)
    frames = .allocate(byteCount: Self.frameCount * Int(LTP_FRAME_LINE_BYTES), alignment: 4096)
    let classes: [UInt8] = [8, 8, 9, 10, 11, 14, 24, 40]
    for index in 0..<Self.frameCount {
      let bytes = frames + index * Int(LTP_FRAME_LINE_BYTES)
      precondition(ltp_frame_init(bytes, Int(LTP_FRAME_LINE_BYTES), LTP_FRAME_ROUTE_REQUEST, 0) == LTP_OK)
      var request = bytes.load(as: ltp_route_request.self)
      request.frame_id = UInt64(index + 1)
      request.session_id = UInt64(index + 1)
      var hello = ltp_hello()
      (hello.session_id, hello.client_nonce) = (request.session_id, 1)
      var answer = ltp_hello()
      precondition(lane.answer(hello: hello, into: &answer) == LTP_OK)
      request.continuity_token = answer.continuity_token
      (request.incarnation, request.intent_epoch) = (answer.incarnation, answer.continuity_epoch)
      request.action_class = classes[index * 5 % classes.count]
      request.priority = 128
      bytes.storeBytes(of: request, as: ltp_route_request.self)
    }
  }

  /// What a writer says once the lane's records are durable.
  func giveBlocksBack() {
    let published = lane.state.pointee.published.load(ordering: .relaxed)
    lane.state.pointee.releasedBlocks.store(
      published / lane.state.pointee.slotsPerBlock, ordering: .releasing)
  }
}
