// SPDX-License-Identifier: Apache-2.0
//
// The second line of a route_request: what the answer should keep to, the peers it may choose from, and which request this
// one replays.
//
// Invariants: offsets in errors count from the frame's first byte, so they are ltp_route_goal's plus one line. What no flag
// of the request announces is zero.

public import CLTP

/// The second line of a route_request.
public struct RouteGoalView {
  /// The frame's second line.
  public let line: UnsafeRawPointer

  /// `line` must be the second line of a request that was checked, or is being checked.
  @inlinable
  init(line: UnsafeRawPointer) {
    self.line = line
  }

  /// All fields, copied.
  @inlinable public var fields: ltp_route_goal { line.loadUnaligned(as: ltp_route_goal.self) }
  /// 0 for no bound.
  @inlinable public var latencyMicrosecondsMax: UInt32 { fields.latency_us_max }
  /// 0 for no bound; at most 1,000,000.
  @inlinable public var lossPartsPerMillionMax: UInt32 { fields.loss_ppm_max }
  /// `LTP_GOAL_PREFER_*`
  @inlinable public var preferences: UInt32 { fields.preferences }
  @inlinable public var optionCount: UInt32 { fields.option_count }

  /// The text id of the option at `index`, which must be below `LTP_GOAL_OPTIONS_MAX`; 0 from `optionCount`
  /// on.
  public func optionPeerID(_ index: Int) -> UInt32 {
    entry(index, of: fields.option_peer_id, as: UInt32.self)
  }

  /// Of the request that this one replays; 0 for none.
  @inlinable public var originalFrameID: UInt64 { fields.original_frame_id }

  /// `flags`: the request's.
  func check(flags: UInt16) throws(FrameError) {
    let check = FrameCheck(fields, base: MemoryLayout<ltp_route_request>.size)
    let goal = check.part
    let hasGoal = flags & LTP_REQUEST_HAS_GOAL != 0
    let isReplay = flags & LTP_REQUEST_REPLAY != 0
    try check.require(hasGoal || goal.latency_us_max == 0, "route_goal.latency_us_max") {
      address(&$0.latency_us_max)
    }
    try check.require(goal.loss_ppm_max <= (hasGoal ? partsMax : 0), "route_goal.loss_ppm_max") {
      address(&$0.loss_ppm_max)
    }
    let preferences = hasGoal ? LTP_GOAL_PREFERENCES_ALL : 0
    try check.require(goal.preferences & ~preferences == 0, "route_goal.preferences") {
      address(&$0.preferences)
    }
    let optionsMax = hasGoal ? UInt32(LTP_GOAL_OPTIONS_MAX) : 0
    try check.require(goal.option_count <= optionsMax, "route_goal.option_count") {
      address(&$0.option_count)
    }
    for index in Int(goal.option_count)..<Int(LTP_GOAL_OPTIONS_MAX) {
      let option = entry(index, of: goal.option_peer_id, as: UInt32.self)
      try check.requireZero(option, goalOptionName(index)) {
        address(&$0.option_peer_id) + index * MemoryLayout<UInt32>.stride
      }
    }
    try check.require(isReplay == (goal.original_frame_id != 0), "route_goal.original_frame_id") {
      address(&$0.original_frame_id)
    }
    try check.requireZero(goal.reserved, "route_goal.reserved") { address(&$0.reserved) }
  }

  /// The goal again, from its fields.
  var copied: ltp_route_goal {
    var copy = ltp_route_goal()
    copy.latency_us_max = latencyMicrosecondsMax
    copy.loss_ppm_max = lossPartsPerMillionMax
    copy.preferences = preferences
    copy.option_count = optionCount
    for index in 0..<Int(optionCount) {
      setEntry(index, of: &copy.option_peer_id, to: optionPeerID(index))
    }
    copy.original_frame_id = originalFrameID
    return copy
  }
}

extension FrameWriter where View == RouteRequestView {
  /// Sets the second line. Traps without `LTP_REQUEST_HAS_GOAL` and `LTP_REQUEST_REPLAY`.
  public func setGoal(_ goal: ltp_route_goal) {
    set(goal, lastLineOffset: 0)
  }
}
