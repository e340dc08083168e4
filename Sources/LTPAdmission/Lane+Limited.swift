// SPDX-License-Identifier: Apache-2.0
// A decision that asks for more than the rule and what the lane has leased: a token, a limit that has run dry, a permit, a
// second policy beside. The table decides as always; then the gates may refuse what it would EXECUTE, and which one did
// goes into the record's inputs.

import CLTP
public import LTPFrames
import LTPLimits
import LTPRecords
import LTPRules

extension Lane {
  /// Decides a common request of a class that limits concern, and publishes its record.
  @inline(never)
  @usableFromInline
  func admitLimited(_ request: RouteRequestView, column: Int) -> Verdict {
    let rule = CompiledRule(rawValue: state.pointee.rules[column])
    // One call more where it makes little difference: registers saved for it would cost the others.
    guard !rule.needsContinuity, !isInOutage(request) else { return admitGuarded(request, column: column) }
    let inputs = request.lateness(state.pointee.clock)
    let outcome = rule.outcome(priority: request.priority, inputs: inputs)
    guard passesLightly(request, column: column, outcome) else {
      return admitGuarded(request, column: column)
    }
    let view = LaneView(state, LaneStanding(state))
    let cursor = state.pointee.cursor
    let verdict = view.record(
      rule.decide(outcome, sessionID: request.sessionID), of: request, inputs: inputs, column: column,
      at: cursor)
    publish(to: cursor + Int(LTP_SLOT_BYTES), slots: 1)
    return verdict
  }

  /// The request's domain is in an outage of its own, which the service's state does not hide.
  @inline(__always)
  func isInOutage(_ request: RouteRequestView) -> Bool {
    state.pointee.hasOutages && state.pointee.outages[Int(request.domain)] != 0
  }

  /// The same in full.
  @inline(never)
  private func admitGuarded(_ request: RouteRequestView, column: Int) -> Verdict {
    let view = LaneView(state, LaneStanding(state))
    let cursor = state.pointee.cursor
    guard state.pointee.end - cursor >= Self.guardedBytesMax else {
      return admitUncommon(request.bytes, available: MemoryLayout<ltp_route_request>.size)
    }
    let verdict = decideGuarded(
      request, view, column: column, inputs: request.lateness(view.clock), at: cursor)
    publishDecision(at: cursor)
    return verdict
  }

  /// Decides a well-formed request by a rule that is not plain, and writes its record at `cursor`. Does not publish the
  /// record.
  @inline(never)
  @usableFromInline
  func decideGuarded(
    _ request: RouteRequestView, _ view: LaneView, column: Int, inputs: UInt64,
    at cursor: UnsafeMutableRawPointer
  ) -> Verdict {
    guard isInOutage(request) else {
      return decide(
        request, view, by: CompiledRule(rawValue: view.rules[column]), column: column, inputs: inputs,
        at: cursor)
    }
    let rule = CompiledRule(rawValue: state.pointee.outageRules[column])
    return decide(request, view, by: rule, column: column, inputs: inputs, at: cursor)
      .inState(LTP_STATE_UNSTABLE)
  }

  @inline(__always)
  private func decide(
    _ request: RouteRequestView, _ view: LaneView, by rule: CompiledRule, column: Int, inputs: UInt64,
    at cursor: UnsafeMutableRawPointer
  ) -> Verdict {
    let inputs = rule.needsContinuity ? inputs | continuityInputs(of: request) : inputs
    let outcome = rule.guardedOutcome(priority: request.priority, inputs: inputs)
    guard !rule.isLimited || passesLightly(request, column: column, outcome) else {
      return decideByGates(request, view, by: rule, column: column, inputs: inputs, at: cursor)
    }
    return view.record(
      rule.decide(outcome, sessionID: request.sessionID), of: request, inputs: inputs, column: column,
      at: cursor)
  }

  @inline(__always)
  private func passesLightly(_ request: RouteRequestView, column: Int, _ outcome: Outcome) -> Bool {
    state.pointee.limits.passesLightly(
      column: column, execute: outcome.executeCount, priority: request.priority, level: request.level,
      cost: request.cost)
  }

  /// Decides a well-formed request by every gate, permits and the shadow, and writes its record at `cursor`. Does not
  /// publish the record. `inputs`: what is known of it, continuity included.
  @inline(never)
  private func decideByGates(
    _ request: RouteRequestView, _ view: LaneView, by rule: CompiledRule, column: Int, inputs: UInt64,
    at cursor: UnsafeMutableRawPointer
  ) -> Verdict {
    let limits = state.pointee.limits
    var decision = rule.decideGuarded(
      priority: request.priority, inputs: inputs, sessionID: request.sessionID)
    var answer = GateAnswer.passed
    let isLetInByTable = decision.outcome.isExecute
    // Once: the caller's memory may change, and the record of the tenant shall be that of the decision.
    let tenantID = request.tenantID
    if isLetInByTable {
      answer = limits.passGates(
        column: column, level: request.level, tenantID: tenantID, cost: request.cost, now: view.clock)
      if answer.gate != LTP_GATE_NONE {
        decision = rule.refused(byGate: answer.gate, sessionID: request.sessionID)
        decision.waitAtLeast(until: answer.askAgain, now: view.clock)
      }
    }
    limits.count(
      column: column, priority: request.priority, gate: answer.gate, isLetInByTable: isLetInByTable)
    let shadow = state.pointee.hasShadow ? shadowOutcome(of: request, column: column, inputs: inputs) : 0
    let tellsTenant = answer.gate != LTP_GATE_NONE && tenantID != 0
    let verdict = view.record(
      decision,
      inputs: inputs | UInt64(answer.gate) &<< UInt64(LTP_INPUT_GATE_SHIFT)
        | (tellsTenant ? UInt64(LTP_INPUT_TENANT) : 0),
      attributes: request.attributes, frameID: request.frameID,
      sessionID: request.sessionID, column: column, shadow: shadow, at: cursor)
    if tellsTenant { writeTenant(tenantID, cost: request.cost, after: cursor) }
    // Zero unless it was taken, and then retry_after is.
    return Verdict(low: verdict.low | UInt64(answer.permit) &<< Verdict.retryAfterShift, high: verdict.high)
  }

  /// Writes whose request a limit refused, into the last of the decision's slots. There is room.
  private func writeTenant(_ tenantID: UInt32, cost: UInt32, after cursor: UnsafeMutableRawPointer) {
    var record = ltp_tenant_record()
    record.kind = LTP_RECORD_TENANT
    record.tenant_id = tenantID
    record.cost = cost
    record.frame_id = cursor.load(fromByteOffset: LTP_AT_decision_record_frame_id, as: UInt64.self)
    let place = cursor + (Self.slotCount(at: cursor) - 1) * Int(LTP_SLOT_BYTES)
    place.storeBytes(of: record, as: ltp_tenant_record.self)
  }

  /// What the shadow policy says, as an `Outcome`. Its limits are not run.
  @inline(never)
  private func shadowOutcome(of request: RouteRequestView, column: Int, inputs: UInt64) -> UInt64 {
    let rule = CompiledRule(rawValue: state.pointee.shadowRules[column])
    let isChecked = inputs & UInt64(LTP_INPUT_CONTINUITY_MASK) != 0
    // Only for this verdict: the record says what the policy in force asked for.
    let inputs = rule.needsContinuity && !isChecked ? inputs | continuityInputs(of: request) : inputs
    let decision = rule.decideGuarded(
      priority: request.priority, inputs: inputs, sessionID: request.sessionID)
    return UInt64(decision.outcome.rawValue)
  }
}

extension Decision {
  /// A caller that a rate refused is not told to come before there is room.
  fileprivate mutating func waitAtLeast(until time: UInt64, now: UInt64) {
    guard time > now else { return }
    let milliseconds = min((time - now + 999_999) / 1_000_000, UInt64(LTP_RETRY_AFTER_MS_MAX))
    retryAfterMilliseconds = max(retryAfterMilliseconds, UInt32(milliseconds))
  }
}
