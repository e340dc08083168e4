// SPDX-License-Identifier: Apache-2.0
//
// Sizes and offsets as other implementations have them: numbers, so that a change of ltp.h shows here.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPFrames

@Suite("Layout", .guarded)
struct LayoutTests {
  @Test("sizes are multiples of a line")
  func sizes() {
    #expect(MemoryLayout<ltp_frame_header>.size == 8)
    #expect(MemoryLayout<ltp_hello>.size == 64)
    #expect(MemoryLayout<ltp_heartbeat>.size == 64)
    #expect(MemoryLayout<ltp_evidence>.stride == 24)
    #expect(MemoryLayout<ltp_orientation>.size == 128)
    #expect(MemoryLayout<ltp_route_request>.size == 64)
    #expect(MemoryLayout<ltp_route_goal>.size == 64)
    #expect(MemoryLayout<ltp_route_response>.size == 64)
    #expect(MemoryLayout<ltp_route_branch>.stride * Int(LTP_BRANCHES_MAX) == Int(LTP_FRAME_LINE_BYTES))
    #expect(MemoryLayout<ltp_peer>.stride == 8)
    #expect(MemoryLayout<ltp_focus_snapshot>.size == Int(LTP_FRAME_BYTES_MAX))
  }

  @Test("header, hello, heartbeat")
  func smallFrames() {
    typealias Header = MemoryLayout<ltp_frame_header>
    #expect(Header.offset(of: \.magic) == 0)
    #expect(Header.offset(of: \.version) == 2)
    #expect(Header.offset(of: \.type) == 3)
    #expect(Header.offset(of: \.size_bytes) == 4)
    #expect(Header.offset(of: \.flags) == 6)
    typealias Hello = MemoryLayout<ltp_hello>
    #expect(Hello.offset(of: \.frame_id) == 8)
    #expect(Hello.offset(of: \.session_id) == 16)
    #expect(Hello.offset(of: \.continuity_token) == 24)
    #expect(Hello.offset(of: \.client_nonce) == 32)
    #expect(Hello.offset(of: \.continuity_epoch) == 40)
    #expect(Hello.offset(of: \.incarnation) == 44)
    #expect(Hello.offset(of: \.node_id) == 48)
    #expect(Hello.offset(of: \.heartbeat_interval_ms) == 52)
    #expect(Hello.offset(of: \.domain) == 56)
    #expect(Hello.offset(of: \.version_min) == 57)
    #expect(Hello.offset(of: \.version_max) == 58)
    #expect(Hello.offset(of: \.reserved) == 59)
    typealias Heartbeat = MemoryLayout<ltp_heartbeat>
    #expect(Heartbeat.offset(of: \.frame_id) == 8)
    #expect(Heartbeat.offset(of: \.session_id) == 16)
    #expect(Heartbeat.offset(of: \.time_unix_ns) == 24)
    #expect(Heartbeat.offset(of: \.sequence) == 32)
    #expect(Heartbeat.offset(of: \.orientation_epoch) == 40)
    #expect(Heartbeat.offset(of: \.interval_ms) == 44)
    #expect(Heartbeat.offset(of: \.incarnation) == 48)
    #expect(Heartbeat.offset(of: \.state) == 52)
    #expect(Heartbeat.offset(of: \.domain) == 53)
    #expect(Heartbeat.offset(of: \.reserved) == 54)
  }

  @Test("orientation and its evidence")
  func orientation() {
    typealias Orientation = MemoryLayout<ltp_orientation>
    #expect(Orientation.offset(of: \.frame_id) == 8)
    #expect(Orientation.offset(of: \.time_unix_ns) == 16)
    #expect(Orientation.offset(of: \.node_id) == 24)
    #expect(Orientation.offset(of: \.hint_id) == 28)
    #expect(Orientation.offset(of: \.epoch) == 32)
    #expect(Orientation.offset(of: \.continuity_epoch) == 36)
    #expect(Orientation.offset(of: \.policy_generation) == 40)
    #expect(Orientation.offset(of: \.from) == 44)
    #expect(Orientation.offset(of: \.to) == 45)
    #expect(Orientation.offset(of: \.reason) == 46)
    #expect(Orientation.offset(of: \.priority_threshold) == 47)
    #expect(Orientation.offset(of: \.evidence_count) == 48)
    #expect(Orientation.offset(of: \.reserved) == 49)
    #expect(Orientation.offset(of: \.evidence) == 56)
    typealias Evidence = MemoryLayout<ltp_evidence>
    #expect(Evidence.offset(of: \.name_id) == 0)
    #expect(Evidence.offset(of: \.signal) == 4)
    #expect(Evidence.offset(of: \.reserved) == 5)
    #expect(Evidence.offset(of: \.value) == 8)
    #expect(Evidence.offset(of: \.threshold) == 16)
    typealias Peer = MemoryLayout<ltp_orientation_peer>
    #expect(Peer.size == Int(LTP_FRAME_LINE_BYTES))
    #expect(Peer.offset(of: \.incarnation) == 0)
    #expect(Peer.offset(of: \.lease_ms) == 8)
    #expect(Peer.offset(of: \.tells) == 12)
    #expect(Peer.offset(of: \.latency_us) == 16)
    #expect(Peer.offset(of: \.loss_ppm) == 20)
    #expect(Peer.offset(of: \.load_permille) == 24)
    #expect(Peer.offset(of: \.cache_age_s) == 28)
    #expect(Peer.offset(of: \.reserved) == 32)
  }

  @Test("route_request and its goal")
  func routeRequest() {
    typealias Request = MemoryLayout<ltp_route_request>
    #expect(Request.offset(of: \.frame_id) == 8)
    #expect(Request.offset(of: \.session_id) == 16)
    #expect(Request.offset(of: \.continuity_token) == 24)
    #expect(Request.offset(of: \.deadline_ns) == 32)
    #expect(Request.offset(of: \.intent_epoch) == 40)
    #expect(Request.offset(of: \.incarnation) == 44)
    #expect(Request.offset(of: \.action_class) == 48)
    #expect(Request.offset(of: \.domain) == 49)
    #expect(Request.offset(of: \.priority) == 50)
    #expect(Request.offset(of: \.cohort) == 51)
    #expect(Request.offset(of: \.tenant_id) == 52)
    #expect(Request.offset(of: \.cost) == 56)
    #expect(Request.offset(of: \.reserved) == 60)
    typealias Goal = MemoryLayout<ltp_route_goal>
    #expect(Goal.offset(of: \.latency_us_max) == 0)
    #expect(Goal.offset(of: \.loss_ppm_max) == 4)
    #expect(Goal.offset(of: \.preferences) == 8)
    #expect(Goal.offset(of: \.option_count) == 12)
    #expect(Goal.offset(of: \.option_peer_id) == 16)
    #expect(Goal.offset(of: \.original_frame_id) == 48)
    #expect(Goal.offset(of: \.reserved) == 56)
    #expect(MemoryLayout<ltp_long_request>.offset(of: \.goal) == 64)
  }

  @Test("route_response and its branches")
  func routeResponse() {
    typealias Response = MemoryLayout<ltp_route_response>
    #expect(Response.offset(of: \.frame_id) == 8)
    #expect(Response.offset(of: \.session_id) == 16)
    #expect(Response.offset(of: \.request_frame_id) == 24)
    #expect(Response.offset(of: \.epoch) == 32)
    #expect(Response.offset(of: \.retry_after_ms) == 36)
    #expect(Response.offset(of: \.policy_generation) == 40)
    #expect(Response.offset(of: \.selected_peer_id) == 44)
    #expect(Response.offset(of: \.continuity_epoch) == 48)
    #expect(Response.offset(of: \.verdict) == 52)
    #expect(Response.offset(of: \.reason) == 53)
    #expect(Response.offset(of: \.state) == 54)
    #expect(Response.offset(of: \.commitment) == 55)
    #expect(Response.offset(of: \.branch_count) == 56)
    #expect(Response.offset(of: \.next_step) == 57)
    #expect(Response.offset(of: \.domain) == 58)
    #expect(Response.offset(of: \.reserved) == 59)
    typealias Branch = MemoryLayout<ltp_route_branch>
    #expect(Branch.offset(of: \.peer_id) == 0)
    #expect(Branch.offset(of: \.action_id) == 4)
    #expect(Branch.offset(of: \.reason_id) == 6)
  }

  @Test("focus_snapshot and its peers")
  func focusSnapshot() {
    typealias Snapshot = MemoryLayout<ltp_focus_snapshot>
    #expect(Snapshot.offset(of: \.frame_id) == 8)
    #expect(Snapshot.offset(of: \.time_unix_ns) == 16)
    #expect(Snapshot.offset(of: \.node_id) == 24)
    #expect(Snapshot.offset(of: \.note_id) == 28)
    #expect(Snapshot.offset(of: \.topology_id) == 32)
    #expect(Snapshot.offset(of: \.epoch) == 36)
    #expect(Snapshot.offset(of: \.continuity_epoch) == 40)
    #expect(Snapshot.offset(of: \.interval_ms) == 44)
    #expect(Snapshot.offset(of: \.state) == 48)
    #expect(Snapshot.offset(of: \.priority_threshold) == 49)
    #expect(Snapshot.offset(of: \.peer_count) == 50)
    #expect(Snapshot.offset(of: \.reserved) == 51)
    #expect(Snapshot.offset(of: \.executed_count) == 64)
    #expect(Snapshot.offset(of: \.denied_count) == 72)
    #expect(Snapshot.offset(of: \.deferred_count) == 80)
    #expect(Snapshot.offset(of: \.reserved_2) == 88)
    #expect(Snapshot.offset(of: \.peers) == 96)
    typealias Peer = MemoryLayout<ltp_peer>
    #expect(Peer.offset(of: \.peer_id) == 0)
    #expect(Peer.offset(of: \.state) == 4)
    #expect(Peer.offset(of: \.reserved) == 5)
  }
}
