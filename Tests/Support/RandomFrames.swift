// SPDX-License-Identifier: Apache-2.0
//
// Valid frames of every type and set of flags, with random fields. The fuzzer's first inputs come from here.
//
// Invariant: every frame passes the check, since the writers refuse to finish others.

import CLTP
import LTPFrames

/// A type with one set of its flags.
package struct FrameKind: CustomStringConvertible, Sendable {
  package let name: String
  package let type: UInt8
  package let flags: UInt16

  package var description: String { "\(name), flags \(flags)" }

  package static let all: [FrameKind] =
    [0, LTP_HELLO_ANSWER, LTP_HELLO_ANSWER | LTP_HELLO_LATER].map {
      FrameKind(name: "hello", type: LTP_FRAME_HELLO, flags: $0)
    }
    + [
      FrameKind(name: "heartbeat", type: LTP_FRAME_HEARTBEAT, flags: 0),
      FrameKind(name: "orientation", type: LTP_FRAME_ORIENTATION, flags: 0),
      FrameKind(name: "orientation", type: LTP_FRAME_ORIENTATION, flags: LTP_ORIENTATION_HAS_PEER),
    ]
    + (0...7).map { FrameKind(name: "route_request", type: LTP_FRAME_ROUTE_REQUEST, flags: $0) }
    + (0...1).map { FrameKind(name: "route_response", type: LTP_FRAME_ROUTE_RESPONSE, flags: $0) }
    + [FrameKind(name: "focus_snapshot", type: LTP_FRAME_FOCUS_SNAPSHOT, flags: 0)]

  /// A frame of this kind.
  package func randomFrame(_ random: inout SplitMix64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: Int(LTP_FRAME_BYTES_MAX))
    do throws(FrameError) {
      let sizeBytes = try write(into: &bytes, capacity: bytes.count, &random)
      return Array(bytes[..<sizeBytes])
    } catch {
      fatalError("\(self): \(error.field) has status \(error.status)")
    }
  }

  private func write(
    into target: UnsafeMutableRawPointer?, capacity: Int, _ random: inout SplitMix64
  ) throws(FrameError) -> Int {
    switch type {
    case LTP_FRAME_HELLO:
      try HelloView.write(hello(&random), flags: flags, into: target, capacity: capacity)
      return MemoryLayout<ltp_hello>.size
    case LTP_FRAME_HEARTBEAT:
      try HeartbeatView.write(heartbeat(&random), into: target, capacity: capacity)
      return MemoryLayout<ltp_heartbeat>.size
    case LTP_FRAME_ORIENTATION:
      let writer = try FrameWriter<OrientationView>(into: target, capacity: capacity, flags: flags)
      writer.set(orientation(&random))
      if flags & LTP_ORIENTATION_HAS_PEER != 0 { writer.setPeer(peer(&random)) }
      try writer.finish()
      return writer.sizeBytes
    case LTP_FRAME_ROUTE_REQUEST:
      let writer = try FrameWriter<RouteRequestView>(into: target, capacity: capacity, flags: flags)
      writer.set(routeRequest(&random))
      if flags & (LTP_REQUEST_HAS_GOAL | LTP_REQUEST_REPLAY) != 0 { writer.setGoal(routeGoal(&random)) }
      try writer.finish()
      return writer.sizeBytes
    case LTP_FRAME_ROUTE_RESPONSE:
      let writer = try FrameWriter<RouteResponseView>(into: target, capacity: capacity, flags: flags)
      setRouteResponse(writer, &random)
      try writer.finish()
      return writer.sizeBytes
    default:
      try FocusSnapshotView.write(focusSnapshot(&random), into: target, capacity: capacity)
      return MemoryLayout<ltp_focus_snapshot>.size
    }
  }

  private func hello(_ random: inout SplitMix64) -> ltp_hello {
    var hello = ltp_hello()
    hello.frame_id = random.any()
    hello.session_id = random.nonZero()
    if flags & LTP_HELLO_LATER != 0 {
      hello.retry_after_ms = random.any()
    } else if flags & LTP_HELLO_ANSWER != 0 {
      hello.continuity_token = random.any()
      hello.continuity_epoch = random.any()
      hello.incarnation = random.any() | 1
    }
    hello.client_nonce = random.nonZero()
    hello.node_id = random.any()
    hello.domain = random.any()
    hello.heartbeat_interval_ms = random.any()
    hello.version_max = random.any()
    hello.version_min = UInt8(random.below(Int(hello.version_max) + 1))
    return hello
  }

  private func heartbeat(_ random: inout SplitMix64) -> ltp_heartbeat {
    var heartbeat = ltp_heartbeat()
    heartbeat.frame_id = random.any()
    heartbeat.session_id = random.any()
    heartbeat.time_unix_ns = random.any()
    heartbeat.sequence = random.any()
    heartbeat.orientation_epoch = random.any()
    heartbeat.interval_ms = random.any()
    heartbeat.incarnation = random.any()
    heartbeat.state = state(&random)
    heartbeat.domain = random.any()
    return heartbeat
  }

  private func orientation(_ random: inout SplitMix64) -> ltp_orientation {
    var orientation = ltp_orientation()
    orientation.frame_id = random.any()
    orientation.time_unix_ns = random.any()
    orientation.node_id = random.any()
    orientation.hint_id = random.any()
    orientation.epoch = random.any()
    orientation.continuity_epoch = random.any()
    orientation.policy_generation = random.any()
    orientation.from = state(&random)
    orientation.to = state(&random)
    orientation.reason = signal(&random)
    orientation.priority_threshold = random.any()
    orientation.evidence_count = UInt8(random.below(Int(LTP_EVIDENCE_MAX) + 1))
    let facts = (0..<Int(LTP_EVIDENCE_MAX)).map { index in
      guard index < Int(orientation.evidence_count) else { return ltp_evidence() }
      return ltp_evidence(
        name_id: random.any(), signal: signal(&random), reserved: (0, 0, 0), value: random.any(),
        threshold: random.any())
    }
    orientation.evidence = (facts[0], facts[1], facts[2])
    return orientation
  }

  private func peer(_ random: inout SplitMix64) -> ltp_orientation_peer {
    var peer = ltp_orientation_peer()
    peer.incarnation = random.nonZero()
    peer.lease_ms = random.nonZero()
    peer.tells = random.any() & LTP_PEER_TELLS_ALL
    if peer.tells & LTP_PEER_TELLS_LATENCY != 0 { peer.latency_us = random.any() }
    if peer.tells & LTP_PEER_TELLS_LOSS != 0 { peer.loss_ppm = UInt32(random.below(1_000_001)) }
    if peer.tells & LTP_PEER_TELLS_LOAD != 0 { peer.load_permille = random.any() }
    if peer.tells & LTP_PEER_TELLS_CACHE_AGE != 0 { peer.cache_age_s = random.any() }
    return peer
  }

  private func routeRequest(_ random: inout SplitMix64) -> ltp_route_request {
    var request = ltp_route_request()
    request.frame_id = random.any()
    request.session_id = random.any()
    request.continuity_token = random.any()
    if flags & LTP_REQUEST_HAS_DEADLINE != 0 { request.deadline_ns = random.any() }
    request.intent_epoch = random.any()
    request.incarnation = random.any()
    request.domain = random.any()
    request.action_class = random.any()
    request.priority = random.any()
    request.cohort = random.any()
    request.tenant_id = random.any()
    request.cost = random.any()
    return request
  }

  private func routeGoal(_ random: inout SplitMix64) -> ltp_route_goal {
    var goal = ltp_route_goal()
    if flags & LTP_REQUEST_REPLAY != 0 { goal.original_frame_id = random.nonZero() }
    guard flags & LTP_REQUEST_HAS_GOAL != 0 else { return goal }
    goal.latency_us_max = random.any()
    goal.loss_ppm_max = UInt32(random.below(1_000_001))
    goal.preferences = random.any() & LTP_GOAL_PREFERENCES_ALL
    goal.option_count = UInt32(random.below(Int(LTP_GOAL_OPTIONS_MAX) + 1))
    withUnsafeMutableBytes(of: &goal.option_peer_id) { options in
      for index in 0..<Int(goal.option_count) {
        options.storeBytes(of: random.any(), toByteOffset: index * 4, as: UInt32.self)
      }
    }
    return goal
  }

  private func setRouteResponse(
    _ writer: FrameWriter<RouteResponseView>, _ random: inout SplitMix64
  ) {
    var response = ltp_route_response()
    response.frame_id = random.any()
    response.session_id = random.any()
    response.request_frame_id = random.any()
    response.epoch = random.any()
    response.policy_generation = random.any()
    response.selected_peer_id = random.any()
    response.continuity_epoch = random.any()
    response.next_step = UInt8(random.below(Int(LTP_NEXT_COUNT)))
    response.domain = random.any()
    response.state = state(&random)
    response.verdict = UInt8(random.below(Int(LTP_VERDICT_COUNT)))
    if response.verdict == LTP_VERDICT_EXECUTE {
      response.reason = LTP_REASON_ADMITTED
    } else {
      response.reason = UInt8(2 + random.below(Int(LTP_REASON_COUNT) - 2))
      response.retry_after_ms = random.any()
    }
    if response.verdict == LTP_VERDICT_DEFER { response.commitment = LTP_COMMITMENT_WHEN_STABLE }
    if flags & LTP_RESPONSE_HAS_BRANCHES != 0 {
      response.branch_count = UInt8(1 + random.below(Int(LTP_BRANCHES_MAX)))
    }
    writer.set(response)
    for index in 0..<Int(response.branch_count) {
      let branch = ltp_route_branch(
        peer_id: random.any(), action_id: random.any(), reason_id: random.any())
      writer.setBranch(index, branch)
    }
  }

  private func focusSnapshot(_ random: inout SplitMix64) -> ltp_focus_snapshot {
    var snapshot = ltp_focus_snapshot()
    snapshot.frame_id = random.any()
    snapshot.time_unix_ns = random.any()
    snapshot.node_id = random.any()
    snapshot.note_id = random.any()
    snapshot.topology_id = random.any()
    snapshot.epoch = random.any()
    snapshot.continuity_epoch = random.any()
    snapshot.interval_ms = random.any()
    snapshot.state = state(&random)
    snapshot.priority_threshold = random.any()
    snapshot.executed_count = random.any()
    snapshot.denied_count = random.any()
    snapshot.deferred_count = random.any()
    snapshot.peer_count = UInt8(random.below(Int(LTP_PEERS_MAX) + 1))
    withUnsafeMutableBytes(of: &snapshot.peers) { peers in
      for index in 0..<Int(snapshot.peer_count) {
        let peer = ltp_peer(
          peer_id: random.nonZero(), state: state(&random), reserved: (0, 0, 0))
        peers.storeBytes(of: peer, toByteOffset: index * MemoryLayout<ltp_peer>.stride, as: ltp_peer.self)
      }
    }
    return snapshot
  }

  private func state(_ random: inout SplitMix64) -> UInt8 { UInt8(random.below(Int(LTP_STATE_COUNT))) }

  private func signal(_ random: inout SplitMix64) -> UInt8 {
    let number = random.below(Int(LTP_OBSERVATION_COUNT + LTP_SIGNAL_OWN_COUNT))
    return UInt8(
      number < Int(LTP_OBSERVATION_COUNT)
        ? 1 + number : Int(LTP_SIGNAL_OWN_FIRST) + number - Int(LTP_OBSERVATION_COUNT))
  }
}
