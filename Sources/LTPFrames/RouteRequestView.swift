// SPDX-License-Identifier: Apache-2.0
//
// route_request: one intent, about which the core decides.
//
// Invariants: deadline_ns agrees with its flag. Whether an action class exists is for the policy to say, so any
// class passes here. The second line is in RouteGoalView.swift.

public import CLTP

/// A route_request, of one line or two.
public struct RouteRequestView: TypedFrameView {
  public typealias Fields = ltp_route_request
  @inlinable public static var type: UInt8 { LTP_FRAME_ROUTE_REQUEST }
  public let bytes: UnsafeRawPointer

  @inlinable
  public init(checked bytes: UnsafeRawPointer) {
    self.bytes = bytes
  }

  @inlinable public var fields: ltp_route_request { bytes.loadUnaligned(as: ltp_route_request.self) }

  @inlinable public var hasGoal: Bool { flags & LTP_REQUEST_HAS_GOAL != 0 }
  @inlinable var hasSecondLine: Bool { flags & (LTP_REQUEST_HAS_GOAL | LTP_REQUEST_REPLAY) != 0 }
  @inlinable public var hasDeadline: Bool { flags & LTP_REQUEST_HAS_DEADLINE != 0 }
  @inlinable public var isReplay: Bool { flags & LTP_REQUEST_REPLAY != 0 }
  @inlinable public var frameID: UInt64 { fields.frame_id }
  @inlinable public var sessionID: UInt64 { fields.session_id }
  @inlinable public var continuityToken: UInt64 { fields.continuity_token }
  /// Monotonic; counts only with `LTP_REQUEST_HAS_DEADLINE`.
  @inlinable public var deadlineNanoseconds: UInt64 { fields.deadline_ns }
  /// The first frame of a replay; 0 without `LTP_REQUEST_REPLAY`.
  @inlinable public var originalFrameID: UInt64 { goal?.originalFrameID ?? 0 }
  /// The continuity epoch in which the intent was made.
  @inlinable public var intentEpoch: UInt32 { fields.intent_epoch }
  /// Of the session.
  @inlinable public var incarnation: UInt32 { fields.incarnation }
  /// Continuity domain.
  @inlinable public var domain: UInt8 { fields.domain }
  @inlinable public var actionClass: UInt8 { fields.action_class }
  /// 0 is shed first, 255 last.
  @inlinable public var priority: UInt8 { fields.priority }
  /// Of the user, for fair shedding inside one priority.
  @inlinable public var cohort: UInt8 { fields.cohort }
  @inlinable public var tenantID: UInt32 { fields.tenant_id }
  /// In the host's unit; 0 counts as 1.
  @inlinable public var cost: UInt32 { fields.cost }

  /// The second line, if the frame has one.
  @inlinable public var goal: RouteGoalView? {
    hasSecondLine ? RouteGoalView(line: bytes + MemoryLayout<ltp_route_request>.size) : nil
  }

  public func checkBody() throws(FrameError) {
    let check = FrameCheck(fields, base: 0)
    let request = check.part
    let flags = request.header.flags
    let hasDeadline = flags & LTP_REQUEST_HAS_DEADLINE != 0
    try check.require(hasDeadline || request.deadline_ns == 0, "route_request.deadline_ns") {
      address(&$0.deadline_ns)
    }
    try check.requireZero(request.reserved, "route_request.reserved") { address(&$0.reserved) }
    try goal?.check(flags: flags)
  }

  public func copyFields(to writer: FrameWriter<Self>) {
    var copy = ltp_route_request()
    copy.frame_id = frameID
    copy.session_id = sessionID
    copy.continuity_token = continuityToken
    copy.deadline_ns = deadlineNanoseconds
    copy.intent_epoch = intentEpoch
    copy.incarnation = incarnation
    copy.action_class = actionClass
    copy.domain = domain
    copy.priority = priority
    copy.cohort = cohort
    copy.tenant_id = tenantID
    copy.cost = cost
    writer.set(copy)
    if let goal { writer.setGoal(goal.copied) }
  }
}
