// SPDX-License-Identifier: Apache-2.0
//
// route_response: the verdict on a route_request, as it is told to the sender, with the branches considered.
//
// Invariants: ADMITTED exactly for EXECUTE, a commitment exactly for DEFER, no wait for EXECUTE. The second
// line is there exactly when branch_count is not zero.

public import CLTP

/// A verdict on its way to the sender.
public struct RouteResponseView: TypedFrameView {
  public typealias Fields = ltp_route_response
  @inlinable public static var type: UInt8 { LTP_FRAME_ROUTE_RESPONSE }
  public let bytes: UnsafeRawPointer

  @inlinable
  public init(checked bytes: UnsafeRawPointer) {
    self.bytes = bytes
  }

  @inlinable public var fields: ltp_route_response { bytes.loadUnaligned(as: ltp_route_response.self) }

  @inlinable public var hasBranches: Bool { flags & LTP_RESPONSE_HAS_BRANCHES != 0 }
  @inlinable public var frameID: UInt64 { fields.frame_id }
  @inlinable public var sessionID: UInt64 { fields.session_id }
  @inlinable public var requestFrameID: UInt64 { fields.request_frame_id }
  @inlinable public var epoch: UInt32 { fields.epoch }
  /// 0 for EXECUTE.
  @inlinable public var retryAfterMilliseconds: UInt32 { fields.retry_after_ms }
  @inlinable public var policyGeneration: UInt32 { fields.policy_generation }
  /// Text id, 0 for none.
  @inlinable public var selectedPeerID: UInt32 { fields.selected_peer_id }
  @inlinable public var continuityEpoch: UInt32 { fields.continuity_epoch }
  /// `LTP_VERDICT_*`
  @inlinable public var verdict: UInt8 { fields.verdict }
  /// `LTP_REASON_*`
  @inlinable public var reason: UInt8 { fields.reason }
  /// `LTP_STATE_*`
  @inlinable public var state: UInt8 { fields.state }
  /// `LTP_COMMITMENT_*`
  @inlinable public var commitment: UInt8 { fields.commitment }
  /// `LTP_NEXT_*`
  @inlinable public var nextStep: UInt8 { fields.next_step }
  /// Continuity domain that the continuity epoch is of.
  @inlinable public var domain: UInt8 { fields.domain }
  /// 0 without `LTP_RESPONSE_HAS_BRANCHES`, else 1 to `LTP_BRANCHES_MAX`.
  @inlinable public var branchCount: UInt8 { fields.branch_count }

  /// A copy of the branch at `index`, which must be below `LTP_BRANCHES_MAX`; zero from `branchCount` on.
  /// Traps when the frame has no branches.
  public func branch(_ index: Int) -> ltp_route_branch {
    precondition(hasBranches && index >= 0 && index < Int(LTP_BRANCHES_MAX), "no such branch")
    return bytes.loadUnaligned(fromByteOffset: Self.branchOffset(index), as: ltp_route_branch.self)
  }

  static func branchOffset(_ index: Int) -> Int {
    MemoryLayout<ltp_route_response>.size + index * MemoryLayout<ltp_route_branch>.stride
  }

  public func checkBody() throws(FrameError) {
    let check = FrameCheck(fields, base: 0)
    try checkVerdict(check)
    let response = check.part
    let count = Int(response.branch_count)
    let counts = response.header.flags & LTP_RESPONSE_HAS_BRANCHES != 0 ? 1...Int(LTP_BRANCHES_MAX) : 0...0
    try check.require(counts.contains(count), "route_response.branch_count") { address(&$0.branch_count) }
    try check.require(response.next_step < UInt8(LTP_NEXT_COUNT), "route_response.next_step") {
      address(&$0.next_step)
    }
    try check.requireZero(response.reserved, "route_response.reserved") { address(&$0.reserved) }
    if count == 0 { return }
    for index in count..<Int(LTP_BRANCHES_MAX) {
      let unused = FrameCheck(branch(index), base: Self.branchOffset(index))
      try unused.requireZero(unused.part, branchName(index)) { address(&$0) }
    }
  }

  private func checkVerdict(_ check: FrameCheck<ltp_route_response>) throws(FrameError) {
    let response = check.part
    let executes = response.verdict == LTP_VERDICT_EXECUTE
    let defers = response.verdict == LTP_VERDICT_DEFER
    try check.require(!executes || response.retry_after_ms == 0, "route_response.retry_after_ms") {
      address(&$0.retry_after_ms)
    }
    try check.require(response.verdict < UInt8(LTP_VERDICT_COUNT), "route_response.verdict") {
      address(&$0.verdict)
    }
    let reasonExists = response.reason != LTP_REASON_NONE && response.reason < UInt8(LTP_REASON_COUNT)
    let admits = response.reason == LTP_REASON_ADMITTED
    try check.require(reasonExists && executes == admits, "route_response.reason") { address(&$0.reason) }
    try check.requireState(response.state, "route_response.state") { address(&$0.state) }
    let commits = response.commitment != LTP_COMMITMENT_NONE
    let commitmentExists = response.commitment <= LTP_COMMITMENT_WHEN_STABLE
    try check.require(commitmentExists && defers == commits, "route_response.commitment") {
      address(&$0.commitment)
    }
  }

  public func copyFields(to writer: FrameWriter<Self>) {
    var copy = ltp_route_response()
    copy.frame_id = frameID
    copy.session_id = sessionID
    copy.request_frame_id = requestFrameID
    copy.epoch = epoch
    copy.retry_after_ms = retryAfterMilliseconds
    copy.policy_generation = policyGeneration
    copy.selected_peer_id = selectedPeerID
    copy.continuity_epoch = continuityEpoch
    copy.verdict = verdict
    copy.reason = reason
    copy.state = state
    copy.commitment = commitment
    copy.branch_count = branchCount
    copy.next_step = nextStep
    copy.domain = domain
    writer.set(copy)
    for index in 0..<Int(branchCount) {
      let branch = branch(index)
      let branchCopy = ltp_route_branch(
        peer_id: branch.peer_id, action_id: branch.action_id, reason_id: branch.reason_id)
      writer.setBranch(index, branchCopy)
    }
  }
}

extension FrameWriter where View == RouteResponseView {
  /// Sets the branch at `index`, which must be below `LTP_BRANCHES_MAX`. Traps without
  /// `LTP_RESPONSE_HAS_BRANCHES`.
  public func setBranch(_ index: Int, _ branch: ltp_route_branch) {
    precondition(index >= 0, "no such branch")
    set(branch, lastLineOffset: index * MemoryLayout<ltp_route_branch>.stride)
  }
}
