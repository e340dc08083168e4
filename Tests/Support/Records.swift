// SPDX-License-Identifier: Apache-2.0
// Records as bytes, through the C structures of the contract.

package import CLTP
package import LTPRecords
import LTPRules
import LTPStorage

package enum Records {
  package static func bytes<Record>(_ record: Record) -> [UInt8] {
    var record = record
    return withUnsafeBytes(of: &record) { Array($0) }
  }

  package static func header(_ kind: RecordKind) -> ltp_control_header {
    var header = ltp_control_header(kind)
    header.time_us = 3
    return header
  }

  // MARK: Policy

  package static func defaultPolicy(change: (UnsafeMutablePointer<ltp_policy>) -> Void = { _ in }) -> [UInt8]
  {
    let policy = UnsafeMutablePointer<ltp_policy>.allocate(capacity: 1)
    defer { policy.deallocate() }
    DefaultPolicy.write(to: policy)
    change(policy)
    return Array(UnsafeRawBufferPointer(start: policy, count: MemoryLayout<ltp_policy>.size))
  }

  /// Calls `body` with the policy that these bytes are.
  package static func with<R>(_ policy: [UInt8], _ body: (UnsafePointer<ltp_policy>) -> R) -> R {
    policy.withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: ltp_policy.self)) }
  }

  package static func threshold(_ policy: [UInt8], state: UInt8) -> UInt8 {
    policy[LTP_AT_policy_priority_threshold + Int(state)]
  }

  package static func policy(_ policy: [UInt8], generation: UInt32, slot: UInt32) -> [UInt8] {
    var record = ltp_policy_record()
    record.header = header(.policy)
    record.policy_generation = generation
    record.policy_slot = slot
    withUnsafeMutableBytes(of: &record.policy) { $0.copyBytes(from: policy) }
    withUnsafeMutableBytes(of: &record.digest) { raw in
      Digest(of: policy, count: policy.count)!.store(to: raw.baseAddress!)
    }
    return bytes(record)
  }

  // MARK: Control

  package static func opened(run: UInt32, nextLane: UInt32, cutBytes: UInt64 = 0) -> [UInt8] {
    var record = ltp_opened_record()
    record.header = header(.opened)
    record.run = run
    record.next_lane_id = nextLane
    record.process_id = 4711
    record.cut_bytes = cutBytes
    return bytes(record)
  }

  package static func segment(
    run: UInt32, nextLane: UInt32, bytes size: UInt64, word: OrientationWord, generation: UInt32,
    all: UInt64 = 0
  ) -> [UInt8] {
    var record = ltp_segment_record()
    record.header = header(.segment)
    record.run = run
    record.next_lane_id = nextLane
    record.segment_bytes = size
    record.orientation_word = word.rawValue
    record.policy_generation = generation
    record.block_bytes = 16 << 10
    record.epoch = UInt64(word.epoch)
    record.continuity_epoch = UInt64(word.continuityEpoch)
    record.continuity_all = all
    return bytes(record)
  }

  package static func transition(
    from: OrientationWord, to: OrientationWord, reason: UInt8, generation: UInt32,
    evidence: [ltp_evidence] = [], text: String = "", monotonic: UInt64 = TraceBuilder.startMonotonic,
    domain: UInt8 = 0, domainState: UInt8 = 0
  ) -> [UInt8] {
    var record = ltp_transition_record()
    record.domain = domain
    record.domain_state = domainState
    record.header = header(.transition)
    record.word_before = from.rawValue
    record.word_after = to.rawValue
    record.time_monotonic_ns = monotonic
    record.policy_generation = generation
    record.reason = reason
    record.evidence_count = UInt8(evidence.count)
    record.epoch = UInt64(to.epoch)
    record.continuity_epoch = UInt64(to.continuityEpoch)
    withUnsafeMutableBytes(of: &record.evidence) { raw in
      for (index, entry) in evidence.enumerated() {
        raw.storeBytes(
          of: entry, toByteOffset: index * MemoryLayout<ltp_evidence>.stride, as: ltp_evidence.self)
      }
    }
    withUnsafeMutableBytes(of: &record.text) { $0.copyBytes(from: text.utf8.prefix(119)) }
    return bytes(record)
  }

  package static func evidence(_ signal: UInt8, name: UInt32 = 0, _ value: Int64, _ threshold: Int64)
    -> ltp_evidence
  {
    var entry = ltp_evidence()
    entry.name_id = name
    entry.signal = signal
    entry.value = value
    entry.threshold = threshold
    return entry
  }

  package static func text(id: UInt32, _ text: String) -> [UInt8] {
    var record = ltp_text_record()
    record.header = header(.text)
    record.text_id = id
    withUnsafeMutableBytes(of: &record.text) { $0.copyBytes(from: text.utf8.prefix(115)) }
    return bytes(record)
  }

  /// One decision of class 8, admitted while HEALTHY.
  package static func counts() -> [UInt8] {
    var record = ltp_counts_record()
    record.header = header(.counts)
    record.entry_count = 1
    record.entries.0.count = 1
    record.entries.0.action_class = 8
    record.entries.0.state = LTP_STATE_HEALTHY
    record.entries.0.outcome = Outcome(verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED).rawValue
    return bytes(record)
  }

  package static func closed(decisions: UInt64, unrecorded: UInt64) -> [UInt8] {
    var record = ltp_closed_record()
    record.header = header(.closed)
    record.decision_count = decisions
    record.unrecorded_count = unrecorded
    return bytes(record)
  }

  package static func watermark(_ log: LogID, _ durable: UInt64) -> [UInt8] {
    bytes(Watermark.sealed(logID: log, durableBlocks: durable)!)
  }

  // MARK: Lanes

  package static func decision(
    _ verdict: UInt8, _ reason: UInt8, actionClass: UInt8, inputs: UInt16 = 0, domain: UInt8 = 0,
    priority: UInt8 = 128, cohort: UInt8 = 0, time: UInt32 = 5, retry: UInt32 = 0, frame: UInt64 = 1,
    session: UInt64 = 7,
    shadow: UInt8 = 0
  ) -> [UInt8] {
    bytes(
      ltp_decision_record(
        kind: LTP_RECORD_DECISION, outcome: verdict << UInt8(LTP_OUTCOME_VERDICT_SHIFT) | reason,
        inputs: inputs, action_class: actionClass, domain: domain, priority: priority, cohort: cohort,
        time_us: time,
        retry_and_shadow: retry | UInt32(shadow) << UInt32(LTP_DECISION_SHADOW_SHIFT), frame_id: frame,
        session_id: session))
  }

  package static func decide(
    _ policy: [UInt8], _ word: OrientationWord, actionClass: UInt8, priority: UInt8, session: UInt64,
    frame: UInt64, token: Bool, late: Bool, time: UInt32, replay: Bool = false
  ) -> [UInt8] {
    let rule =
      actionClass < LTP_CLASS_COUNT
      ? with(policy) { PolicyTable.compile($0, state: word.state, actionClass: Int(actionClass)) }
      : CompiledRule.unknownClass
    var inputs: UInt16 = late ? LTP_INPUT_DEADLINE_EXCEEDED : 0
    if rule.needsContinuity { inputs |= token ? LTP_CONTINUITY_VALID : LTP_CONTINUITY_NONE }
    if replay { inputs |= LTP_INPUT_REPLAY }
    let decision = rule.decide(
      threshold: word.threshold, priority: priority, inputs: inputs, sessionID: session)
    return self.decision(
      decision.outcome.verdict, decision.outcome.reason, actionClass: actionClass, inputs: inputs,
      priority: priority, time: time, retry: decision.retryAfterMilliseconds, frame: frame, session: session)
  }

  package static func malformed() -> [UInt8] {
    decision(
      LTP_VERDICT_DENY, LTP_REASON_MALFORMED_FRAME, actionClass: LTP_CLASS_NONE, inputs: LTP_INPUT_MALFORMED,
      priority: 0)
  }

  package static func replay(original: UInt64, frame: UInt64) -> [UInt8] {
    var record = ltp_replay_record()
    record.kind = LTP_RECORD_REPLAY
    record.original_frame_id = original
    record.frame_id = frame
    return bytes(record)
  }

  package static func tenant(_ id: UInt32, frame: UInt64) -> [UInt8] {
    var record = ltp_tenant_record()
    record.kind = LTP_RECORD_TENANT
    record.tenant_id = id
    record.cost = 1
    record.frame_id = frame
    return bytes(record)
  }

  package static func observed(_ word: OrientationWord, generation: UInt32, time: UInt32 = 6) -> [UInt8] {
    var record = ltp_observed_record()
    record.kind = LTP_RECORD_OBSERVED
    record.time_us = time
    record.policy_generation = generation
    record.orientation_word = word.rawValue
    return bytes(record)
  }

  package static func unrecorded(_ count: UInt64) -> [UInt8] {
    var record = ltp_unrecorded_record()
    record.kind = LTP_RECORD_UNRECORDED
    record.reason = LTP_REASON_TRACE_BACKPRESSURE
    record.time_us = 7
    record.denied_count = count
    return bytes(record)
  }

  /// `entries`: domain, its epoch, its state.
  package static func domains(_ entries: [(UInt8, UInt64, UInt8)]) -> [UInt8] {
    var record = ltp_domains_record()
    record.header = header(.domains)
    record.entry_count = UInt32(entries.count)
    withUnsafeMutableBytes(of: &record.entries) { raw in
      for (index, entry) in entries.enumerated() {
        raw.storeBytes(of: entry.1, toByteOffset: index * 16, as: UInt64.self)
        raw.storeBytes(of: entry.0, toByteOffset: index * 16 + 8, as: UInt8.self)
        raw.storeBytes(of: entry.2, toByteOffset: index * 16 + 9, as: UInt8.self)
      }
    }
    return bytes(record)
  }

  package static func hello(session: UInt64, epoch: UInt32, domain: UInt8 = 0) -> [UInt8] {
    var record = ltp_hello_record()
    record.kind = LTP_RECORD_HELLO
    record.continuity_epoch = epoch
    record.incarnation = 1
    record.domain = domain
    record.time_us = 8
    record.frame_id = 99
    record.session_id = session
    return bytes(record)
  }

  package static func time(monotonic: UInt64, unix: UInt64) -> [UInt8] {
    var record = ltp_time_record()
    record.kind = LTP_RECORD_TIME
    record.base_monotonic_ns = monotonic
    record.base_unix_ns = unix
    return bytes(record)
  }
}
