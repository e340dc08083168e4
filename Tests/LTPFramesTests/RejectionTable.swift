// SPDX-License-Identifier: Apache-2.0
//
// The rows of the rejection tests: for each type the values that spoil a valid frame, and the fields that
// take any value. Offsets are numbers on purpose: they are what other implementations have.

import CLTP
import LTPFrames

/// A valid frame to spoil.
enum BaseFrame: CaseIterable, Sendable {
  case helloAsking, helloAnswering, heartbeat, orientation, orientationWithPeer
  case request, requestWithDeadline, requestReplay, requestWithGoal
  case responseExecute, responseDefer, responseDeny, responseWithBranches
  case focusSnapshot

  var type: UInt8 { bytes[3] }

  var bytes: [UInt8] {
    switch self {
    case .helloAsking: hello(answer: false)
    case .helloAnswering: hello(answer: true)
    case .heartbeat: frame(LTP_FRAME_HEARTBEAT)
    case .orientation: orientation(0)
    case .orientationWithPeer:
      orientation(LTP_ORIENTATION_HAS_PEER).setting(UInt64(3), at: 128).setting(UInt32(500), at: 136)
        .setting(LTP_PEER_TELLS_LATENCY | LTP_PEER_TELLS_LOAD, at: 140)
    case .request: frame(LTP_FRAME_ROUTE_REQUEST)
    case .requestWithDeadline:
      frame(LTP_FRAME_ROUTE_REQUEST, LTP_REQUEST_HAS_DEADLINE).setting(UInt64(5), at: 32)
    case .requestReplay: frame(LTP_FRAME_ROUTE_REQUEST, LTP_REQUEST_REPLAY).setting(UInt64(5), at: 112)
    case .requestWithGoal:
      frame(LTP_FRAME_ROUTE_REQUEST, LTP_REQUEST_HAS_GOAL).setting(UInt32(2), at: 76)
    case .responseExecute: response(LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, LTP_COMMITMENT_NONE)
    case .responseDefer:
      response(LTP_VERDICT_DEFER, LTP_REASON_SYSTEM_UNSTABLE, LTP_COMMITMENT_WHEN_STABLE)
    case .responseDeny: response(LTP_VERDICT_DENY, LTP_REASON_SYSTEM_FAILED, LTP_COMMITMENT_NONE)
    case .responseWithBranches:
      response(
        LTP_VERDICT_DENY, LTP_REASON_SYSTEM_FAILED, LTP_COMMITMENT_NONE, LTP_RESPONSE_HAS_BRANCHES
      ).setting(UInt8(2), at: 56)
    case .focusSnapshot: focusSnapshot
    }
  }

  private func frame(_ type: UInt8, _ flags: UInt16 = 0) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 192)
    let status = frameInit(&bytes, capacity: 192, type: type, flags: flags)
    precondition(status == LTP_OK, "a base frame's type or flags do not exist")
    return Array(bytes[..<(Int(bytes[4]) + 256 * Int(bytes[5]))])
  }

  private func hello(answer: Bool) -> [UInt8] {
    frame(LTP_FRAME_HELLO, answer ? LTP_HELLO_ANSWER : 0)
      .setting(UInt64(7), at: 16).setting(UInt64(answer ? 9 : 0), at: 24)
      .setting(UInt64(1), at: 32).setting(UInt32(answer ? 3 : 0), at: 40).setting(
        UInt32(answer ? 4 : 0), at: 44
      )
      .setting(UInt8(1), at: 57).setting(UInt8(2), at: 58)
  }

  /// With one piece of evidence.
  private func orientation(_ flags: UInt16) -> [UInt8] {
    frame(LTP_FRAME_ORIENTATION, flags).setting(LTP_SIGNAL_OPERATOR, at: 46).setting(UInt8(1), at: 48)
      .setting(LTP_SIGNAL_CPU_PRESSURE, at: 60)
  }

  private func response(
    _ verdict: UInt8, _ reason: UInt8, _ commitment: UInt8, _ flags: UInt16 = 0
  ) -> [UInt8] {
    frame(LTP_FRAME_ROUTE_RESPONSE, flags).setting(verdict, at: 52).setting(reason, at: 53)
      .setting(commitment, at: 55)
  }

  /// With two peers.
  private var focusSnapshot: [UInt8] {
    frame(LTP_FRAME_FOCUS_SNAPSHOT).setting(UInt8(2), at: 50).setting(UInt32(1), at: 96)
      .setting(UInt32(2), at: 104)
  }
}

/// A field that takes every value.
struct FreeField: CustomStringConvertible, Sendable {
  let base: BaseFrame
  let name: String
  let range: Range<Int>

  init(_ base: BaseFrame, _ name: String, _ range: Range<Int>) {
    self.base = base
    self.name = name
    self.range = range
  }

  var description: String { "\(base): \(name)" }
}

enum RejectionTable {
  static let all: [Spoiler] =
    header + hello + heartbeat + orientation + evidence + peer + request + goal + response + branches
    + focusSnapshot + peers

  private static let range = LTP_ERROR_FRAME_RANGE
  private static let reserved = LTP_ERROR_FRAME_RESERVED

  /// The header of every base frame, so that each type's own size and flags are tried.
  private static let header: [Spoiler] = BaseFrame.allCases.flatMap { base in
    [
      Spoiler(base, 0, 1, 0x4D, LTP_ERROR_FRAME_MAGIC, "header.magic"),
      Spoiler(base, 1, 1, 0x4C, LTP_ERROR_FRAME_MAGIC, "header.magic", refused: 0),
      Spoiler(base, 2, 1, 0, LTP_ERROR_FRAME_VERSION, "header.version"),
      Spoiler(base, 2, 1, 1, LTP_ERROR_FRAME_VERSION, "header.version"),
      Spoiler(base, 2, 1, 3, LTP_ERROR_FRAME_VERSION, "header.version"),
      Spoiler(base, 3, 1, 0, LTP_ERROR_FRAME_TYPE, "header.type"),
      Spoiler(base, 3, 1, 7, LTP_ERROR_FRAME_TYPE, "header.type"),
      Spoiler(base, 4, 2, 0, LTP_ERROR_FRAME_SIZE, "header.size_bytes"),
      Spoiler(base, 4, 2, UInt64(base.bytes.count + 64), LTP_ERROR_FRAME_SIZE, "header.size_bytes"),
      Spoiler(base, 4, 2, UInt64(base.bytes.count - 1), LTP_ERROR_FRAME_SIZE, "header.size_bytes"),
      Spoiler(base, 6, 2, 0x0008, LTP_ERROR_FRAME_FLAGS, "header.flags"),
      Spoiler(base, 6, 2, 0x8000, LTP_ERROR_FRAME_FLAGS, "header.flags"),
    ]
  }

  private static let hello: [Spoiler] =
    [
      .init(.helloAsking, 16, 8, 0, range, "hello.session_id"),
      .init(.helloAsking, 24, 8, 1 << 63, range, "hello.continuity_token"),
      .init(.helloAsking, 40, 4, 1, range, "hello.continuity_epoch"),
      .init(.helloAsking, 44, 4, 1, range, "hello.incarnation"),
      .init(.helloAsking, 32, 8, 0, range, "hello.client_nonce"),
      .init(.helloAnswering, 16, 8, 0, range, "hello.session_id"),
      .init(.helloAnswering, 44, 4, 0, range, "hello.incarnation"),
      .init(.helloAnswering, 32, 8, 0, range, "hello.client_nonce"),
      .init(.helloAsking, 57, 1, 3, range, "hello.version_min"),
      .init(.helloAsking, 58, 1, 0, range, "hello.version_min", refused: 57),
      .init(.helloAsking, 60, 4, 1, range, "hello.retry_after_ms"),
      .init(.helloAnswering, 60, 4, 1 << 31, range, "hello.retry_after_ms"),
      .init(.helloAsking, 6, 2, 2, range, "header.flags"),
      .init(.helloAnswering, 6, 2, 3, range, "hello.continuity_token", refused: 24),
    ] + Spoiler.reserved(.helloAsking, 59..<60, "hello.reserved")

  private static let heartbeat: [Spoiler] =
    [
      .init(.heartbeat, 52, 1, 7, range, "heartbeat.state"),
      .init(.heartbeat, 52, 1, 255, range, "heartbeat.state"),
    ] + Spoiler.reserved(.heartbeat, 54..<64, "heartbeat.reserved")

  private static let orientation: [Spoiler] =
    [
      .init(.orientation, 6, 2, 1, LTP_ERROR_FRAME_SIZE, "header.size_bytes", refused: 4),
      .init(.orientationWithPeer, 6, 2, 0, LTP_ERROR_FRAME_SIZE, "header.size_bytes", refused: 4),
      .init(.orientation, 44, 1, 7, range, "orientation.from"),
      .init(.orientation, 45, 1, 7, range, "orientation.to"),
      .init(.orientation, 46, 1, 0, range, "orientation.reason"),
      .init(.orientation, 46, 1, 17, range, "orientation.reason"),
      .init(.orientation, 46, 1, 63, range, "orientation.reason"),
      .init(.orientation, 46, 1, 69, range, "orientation.reason"),
      .init(.orientation, 48, 1, 4, range, "orientation.evidence_count"),
      .init(.orientation, 48, 1, 0, reserved, "orientation.evidence[0]", refused: 56),
      .init(.orientation, 48, 1, 2, range, "orientation.evidence[1].signal", refused: 84),
    ] + Spoiler.reserved(.orientation, 49..<56, "orientation.reserved")

  private static let evidence: [Spoiler] =
    [
      .init(.orientation, 60, 1, 0, range, "orientation.evidence[0].signal"),
      .init(.orientation, 60, 1, 17, range, "orientation.evidence[0].signal"),
      .init(.orientation, 60, 1, 69, range, "orientation.evidence[0].signal"),
    ] + Spoiler.reserved(.orientation, 61..<64, "orientation.evidence[0].reserved")
    + Spoiler.reserved(.orientation, 80..<104, "orientation.evidence[1]")
    + Spoiler.reserved(.orientation, 104..<128, "orientation.evidence[2]")

  private static let peer: [Spoiler] =
    [
      .init(.orientationWithPeer, 128, 8, 0, range, "orientation_peer.incarnation"),
      .init(.orientationWithPeer, 136, 4, 0, range, "orientation_peer.lease_ms"),
      .init(.orientationWithPeer, 140, 4, 16, range, "orientation_peer.tells"),
      .init(.orientationWithPeer, 140, 4, 1 << 31, range, "orientation_peer.tells"),
      .init(.orientationWithPeer, 148, 4, 1, range, "orientation_peer.loss_ppm"),
      .init(.orientationWithPeer, 156, 4, 1 << 31, range, "orientation_peer.cache_age_s"),
    ] + Spoiler.reserved(.orientationWithPeer, 160..<192, "orientation_peer.reserved")

  private static let request: [Spoiler] =
    [
      .init(.request, 32, 8, 1 << 63, range, "route_request.deadline_ns"),
      .init(.request, 32, 8, 1, range, "route_request.deadline_ns"),
      .init(.requestReplay, 112, 8, 0, range, "route_goal.original_frame_id"),
      .init(.requestWithGoal, 112, 8, 1 << 63, range, "route_goal.original_frame_id"),
      .init(.requestReplay, 32, 8, 1, range, "route_request.deadline_ns"),
      .init(.request, 6, 2, 4, LTP_ERROR_FRAME_SIZE, "header.size_bytes", refused: 4),
      .init(.requestWithDeadline, 6, 2, 0, range, "route_request.deadline_ns", refused: 32),
      .init(.request, 6, 2, 1, LTP_ERROR_FRAME_SIZE, "header.size_bytes", refused: 4),
      .init(.requestWithGoal, 6, 2, 0, LTP_ERROR_FRAME_SIZE, "header.size_bytes", refused: 4),
    ] + Spoiler.reserved(.request, 60..<64, "route_request.reserved")
    + Spoiler.reserved(.requestWithGoal, 60..<64, "route_request.reserved")

  private static let goal: [Spoiler] =
    [
      .init(.requestWithGoal, 68, 4, 1_000_001, range, "route_goal.loss_ppm_max"),
      .init(.requestReplay, 64, 4, 1, range, "route_goal.latency_us_max"),
      .init(.requestReplay, 68, 4, 1, range, "route_goal.loss_ppm_max"),
      .init(.requestReplay, 72, 4, 1, range, "route_goal.preferences"),
      .init(.requestReplay, 76, 4, 1, range, "route_goal.option_count"),
      .init(.requestWithGoal, 72, 4, 4, range, "route_goal.preferences"),
      .init(.requestWithGoal, 72, 4, 1 << 31, range, "route_goal.preferences"),
      .init(.requestWithGoal, 76, 4, 9, range, "route_goal.option_count"),
      .init(.requestWithGoal, 76, 4, 1 << 31, range, "route_goal.option_count"),
    ]
    + (2..<8).flatMap { index in
      let offset = 80 + 4 * index
      return Spoiler.reserved(
        .requestWithGoal, offset..<offset + 4, "route_goal.option_peer_id[\(index)]")
    } + Spoiler.reserved(.requestWithGoal, 120..<128, "route_goal.reserved")
    + Spoiler.reserved(.requestReplay, 120..<128, "route_goal.reserved")

  private static let response: [Spoiler] =
    [
      .init(.responseExecute, 36, 4, 1, range, "route_response.retry_after_ms"),
      .init(.responseExecute, 52, 1, 3, range, "route_response.verdict"),
      .init(.responseExecute, 52, 1, 0, range, "route_response.reason", refused: 53),
      .init(.responseExecute, 53, 1, 2, range, "route_response.reason"),
      .init(.responseDeny, 52, 1, 2, range, "route_response.reason", refused: 53),
      .init(.responseDeny, 53, 1, 0, range, "route_response.reason"),
      .init(.responseDeny, 53, 1, 1, range, "route_response.reason"),
      .init(.responseDeny, 53, 1, UInt64(LTP_REASON_COUNT), range, "route_response.reason"),
      .init(.responseDefer, 53, 1, 1, range, "route_response.reason"),
      .init(.responseDeny, 54, 1, 7, range, "route_response.state"),
      .init(.responseDeny, 55, 1, 1, range, "route_response.commitment"),
      .init(.responseExecute, 55, 1, 1, range, "route_response.commitment"),
      .init(.responseDefer, 55, 1, 0, range, "route_response.commitment"),
      .init(.responseDefer, 55, 1, 2, range, "route_response.commitment"),
      .init(.responseDeny, 56, 1, 1, range, "route_response.branch_count"),
      .init(.responseDeny, 57, 1, 5, range, "route_response.next_step"),
    ] + Spoiler.reserved(.responseDeny, 59..<64, "route_response.reserved")

  private static let branches: [Spoiler] =
    [
      .init(.responseWithBranches, 56, 1, 0, range, "route_response.branch_count"),
      .init(.responseWithBranches, 56, 1, 9, range, "route_response.branch_count"),
      .init(.responseWithBranches, 59, 1, 1, reserved, "route_response.reserved"),
    ]
    + (2..<8).flatMap { index in
      let offset = 64 + 8 * index
      return Spoiler.reserved(.responseWithBranches, offset..<offset + 8, "route_branch[\(index)]")
    }

  private static let focusSnapshot: [Spoiler] =
    [
      .init(.focusSnapshot, 48, 1, 7, range, "focus_snapshot.state"),
      .init(.focusSnapshot, 50, 1, 13, range, "focus_snapshot.peer_count"),
      .init(.focusSnapshot, 50, 1, 1, reserved, "focus_snapshot.peers[1]", refused: 104),
      .init(.focusSnapshot, 50, 1, 3, range, "focus_snapshot.peers[2].peer_id", refused: 112),
    ] + Spoiler.reserved(.focusSnapshot, 51..<64, "focus_snapshot.reserved")
    + Spoiler.reserved(.focusSnapshot, 88..<96, "focus_snapshot.reserved_2")

  private static let peers: [Spoiler] =
    (0..<2).flatMap { index in
      let offset = 96 + 8 * index
      let name = "focus_snapshot.peers[\(index)]"
      return [
        Spoiler(.focusSnapshot, offset, 4, 0, range, name + ".peer_id"),
        Spoiler(.focusSnapshot, offset + 4, 1, 7, range, name + ".state"),
      ] + Spoiler.reserved(.focusSnapshot, offset + 5..<offset + 8, name + ".reserved")
    }
    + (2..<12).flatMap { index in
      let offset = 96 + 8 * index
      return Spoiler.reserved(.focusSnapshot, offset..<offset + 8, "focus_snapshot.peers[\(index)]")
    }

  static let free: [FreeField] = [
    .init(.helloAsking, "frame_id", 8..<16),
    .init(.helloAnswering, "continuity_token", 24..<32),
    .init(.helloAnswering, "incarnation's upper bytes", 45..<48),
    .init(.helloAsking, "client_nonce's upper bytes", 33..<40),
    .init(.helloAnswering, "continuity_epoch", 40..<44),
    .init(.helloAsking, "node_id, heartbeat_interval_ms, domain", 48..<57),
    .init(.heartbeat, "frame_id to incarnation", 8..<52),
    .init(.heartbeat, "domain", 53..<54),
    .init(.orientation, "frame_id to policy_generation", 8..<44),
    .init(.orientationWithPeer, "latency_us", 144..<148),
    .init(.orientationWithPeer, "load_permille", 152..<156),
    .init(.orientation, "priority_threshold", 47..<48),
    .init(.orientation, "evidence[0].name_id", 56..<60),
    .init(.orientation, "evidence[0].value, threshold", 64..<80),
    .init(.request, "frame_id, session_id, continuity_token", 8..<32),
    .init(.requestWithDeadline, "deadline_ns", 32..<40),
    .init(.request, "intent_epoch to cost", 40..<60),
    .init(.requestWithGoal, "latency_us_max", 64..<68),
    .init(.requestWithGoal, "option_peer_id[0], [1]", 80..<88),
    .init(.responseDeny, "frame_id to continuity_epoch", 8..<52),
    .init(.responseDeny, "domain", 58..<59),
    .init(.responseWithBranches, "branches 0 and 1", 64..<80),
    .init(.focusSnapshot, "frame_id to interval_ms", 8..<48),
    .init(.focusSnapshot, "priority_threshold", 49..<50),
    .init(.focusSnapshot, "the three counts", 64..<88),
  ]
}
