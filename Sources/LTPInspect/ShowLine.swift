// SPDX-License-Identifier: Apache-2.0
// The lines of `show`: aligned columns for people, one JSON object a line for programs. Identifiers of 64 bits
// are strings in JSON, because many readers keep only 53 bits of a number.

import CLTP
import LTPRecords

enum ShowLine {
  // Columns of the text form.
  private static let lane = 29
  private static let sequence = 35
  private static let state = 48
  private static let epoch = 60
  private static let verdict = 69
  private static let reason = 78
  private static let actionClass = 103
  private static let priority = 120
  private static let session = 125
  private static let frame = 146
  private static let retry = 167
  private static let facts = 177

  static func header(_ out: inout TextBuffer) {
    let start = out.count
    let columns: [(String, Int)] = [
      ("TIME (UTC)", lane), ("LANE", sequence), ("SEQUENCE", state), ("STATE", epoch), ("EPOCH", verdict),
      ("VERDICT", reason), ("REASON", actionClass), ("CLASS", priority), ("PRIO", session),
      ("SESSION", frame),
      ("FRAME", retry), ("RETRY_MS", facts),
    ]
    for (title, next) in columns {
      out.append(title)
      out.pad(to: next, since: start)
    }
    out.append("FACTS\n")
  }

  static func decision(
    _ record: UnsafePointer<ltp_decision_record>, _ context: borrowing RecordContext, _ number: UInt64,
    _ className: String, _ tenant: UInt32?, _ out: inout TextBuffer
  ) {
    let start = out.count
    Timestamp.append(context.unixNanoseconds(record.pointee.time_us), to: &out)
    out.pad(to: lane, since: start)
    out.append(UInt64(context.lane))
    out.pad(to: sequence, since: start)
    out.append(number)
    out.pad(to: state, since: start)
    out.append(stateName(context.word.state))
    out.pad(to: epoch, since: start)
    out.append(UInt64(context.word.epoch))
    out.pad(to: verdict, since: start)
    out.append(verdictName(record.pointee.verdict))
    out.pad(to: reason, since: start)
    out.append(reasonName(record.pointee.reason))
    out.pad(to: actionClass, since: start)
    out.append(className)
    out.pad(to: priority, since: start)
    out.append(UInt64(record.pointee.priority))
    out.pad(to: session, since: start)
    out.append(record.pointee.session_id)
    out.pad(to: frame, since: start)
    out.append(record.pointee.frame_id)
    out.pad(to: retry, since: start)
    out.append(UInt64(record.pointee.retryAfterMilliseconds))
    let inputs = record.pointee.inputs
    let shadow = record.pointee.shadow
    let domain = record.pointee.domain
    let isOut = context.isInOutage(domain)
    guard inputs != 0 || shadow.rawValue != 0 || domain != 0 || isOut else { return }
    out.pad(to: facts, since: start)
    let begin = out.count
    func append(_ fact: String, _ out: inout TextBuffer) {
      if out.count > begin { out.append(" ") }
      out.append(fact)
    }
    appendFacts(inputs, separator: " ", &out)
    if let tenant { append("tenant:\(tenant)", &out) }
    if domain != 0 { append("domain:\(domain)", &out) }
    if isOut { append("domain-out", &out) }
    if shadow.rawValue != 0 { append("shadow:\(describe(shadow))", &out) }
  }

  static func describe(_ outcome: Outcome) -> String {
    "\(verdictName(outcome.verdict)) \(reasonName(outcome.reason))"
  }

  /// "token" is a valid continuity token, "no-token" one that was asked for and not there, or of an epoch before.
  private static func appendFacts(_ inputs: UInt16, separator: StaticString, _ out: inout TextBuffer) {
    var isFirst = true
    func append(_ word: StaticString, _ out: inout TextBuffer) {
      if !isFirst { out.append(separator) }
      isFirst = false
      out.append(word)
    }
    switch continuityOf(inputs: inputs) {
    case LTP_CONTINUITY_VALID: append("token", &out)
    case LTP_CONTINUITY_STALE: append("stale-intent", &out)
    case LTP_CONTINUITY_NONE: append("no-token", &out)
    case LTP_CONTINUITY_FORGED: append("forged-token", &out)
    default: break
    }
    if inputs & LTP_INPUT_DEADLINE_EXCEEDED != 0 { append("late", &out) }
    if inputs & LTP_INPUT_MALFORMED != 0 { append("malformed", &out) }
    if inputs & LTP_INPUT_OTHER_INCARNATION != 0 { append("other-incarnation", &out) }
    if inputs & LTP_INPUT_REPLAY != 0 { append("replay", &out) }
    let gate = gateOf(inputs: inputs)
    if gate != LTP_GATE_NONE { append(limitName(gate), &out) }
  }

  /// What a limit is called in reports.
  static func limitName(_ gate: UInt8) -> StaticString {
    switch gate {
    case LTP_GATE_SHED: "by-shedding"
    case LTP_GATE_CLASS_RATE: "by-class-rate"
    case LTP_GATE_TENANT_RATE: "by-tenant-rate"
    case LTP_GATE_TOTAL_RATE: "by-total-rate"
    case LTP_GATE_RECOVERING_RATE: "by-ramp"
    case LTP_GATE_CONCURRENCY: "by-concurrency"
    default: "by-unknown-limit"
    }
  }

  static func decisionJSON(
    _ record: UnsafePointer<ltp_decision_record>, _ context: borrowing RecordContext, _ number: UInt64,
    _ className: String, _ tenant: UInt32?, _ out: inout TextBuffer
  ) {
    out.append("{\"kind\":\"decision\",\"time\":\"")
    Timestamp.append(context.unixNanoseconds(record.pointee.time_us), to: &out)
    out.append("\",\"lane\":")
    out.append(UInt64(context.lane))
    out.append(",\"sequence\":")
    out.append(number)
    out.append(",\"state\":\"")
    out.append(stateName(context.word.state))
    out.append("\",\"epoch\":")
    out.append(UInt64(context.word.epoch))
    out.append(",\"policy_generation\":")
    out.append(UInt64(context.policy?.generation ?? 0))
    out.append(",\"verdict\":\"")
    out.append(verdictName(record.pointee.verdict))
    out.append("\",\"reason\":\"")
    out.append(reasonName(record.pointee.reason))
    out.append("\",\"class\":")
    out.append(json: className)
    out.append(",\"domain\":")
    out.append(UInt64(record.pointee.domain))
    if context.isInOutage(record.pointee.domain) { out.append(",\"domain_in_outage\":true") }
    out.append(",\"priority\":")
    out.append(UInt64(record.pointee.priority))
    out.append(",\"session\":\"")
    out.append(record.pointee.session_id)
    out.append("\",\"frame\":\"")
    out.append(record.pointee.frame_id)
    out.append("\",\"retry_after_ms\":")
    out.append(UInt64(record.pointee.retryAfterMilliseconds))
    out.append(",\"facts\":[")
    let inputs = record.pointee.inputs
    if inputs != 0 {
      out.append(byte: 34)
      appendFacts(inputs, separator: "\",\"", &out)
      out.append(byte: 34)
    }
    out.append("]")
    if let tenant { out.append(",\"tenant\":\(tenant)") }
    let shadow = record.pointee.shadow
    if shadow.rawValue != 0 {
      out.append(
        ",\"shadow\":{\"verdict\":\"\(verdictName(shadow.verdict))\",\"reason\":\"\(reasonName(shadow.reason))\"}"
      )
    }
    out.append("}")
  }

  static func transition(_ view: TransitionView, _ out: inout TextBuffer) {
    let start = out.count
    Timestamp.append(view.unixNanoseconds, to: &out)
    out.pad(to: lane, since: start)
    out.append("== epoch ")
    out.append(UInt64(view.epoch))
    out.append("  ")
    out.append(view.line)
  }

  static func transitionJSON(_ view: TransitionView, _ out: inout TextBuffer) {
    out.append("{\"kind\":\"transition\",\"time\":\"")
    Timestamp.append(view.unixNanoseconds, to: &out)
    out.append("\",\"epoch\":\(view.epoch),\"from\":\"\(view.from)\",\"to\":\"\(view.to)\"")
    out.append(",\"reason\":\"\(view.reason)\",\"continuity_epoch\":\(view.continuityEpoch)")
    if let domain = view.domain {
      out.append(",\"domain\":\(domain),\"domain_in_outage\":\(view.isDomainInOutage)")
    }
    out.append(",\"priority_threshold\":\(view.priorityThreshold)")
    out.append(",\"policy_generation\":\(view.policyGeneration),\"evidence\":[")
    for (index, fact) in view.evidence.enumerated() {
      if index > 0 { out.append(byte: 44) }
      out.append("{\"name\":")
      out.append(json: fact.name)
      out.append(",\"signal\":\"\(fact.signal)\",\"value\":\(fact.value),\"threshold\":\(fact.threshold)}")
    }
    out.append("],\"text\":")
    out.append(json: view.text)
    out.append("}")
  }

  static func hello(
    _ record: UnsafePointer<ltp_hello_record>, _ time: UInt64, _ context: borrowing RecordContext,
    _ slot: Int, json: Bool, _ out: inout TextBuffer
  ) {
    let number = context.firstSequence &+ UInt64(slot)
    if json {
      out.append("{\"kind\":\"hello\",\"time\":\"")
      Timestamp.append(time, to: &out)
      out.append("\",\"lane\":\(context.lane),\"sequence\":\(number)")
      out.append(",\"session\":\"\(record.pointee.session_id)\",\"frame\":\"\(record.pointee.frame_id)\"")
      out.append(
        ",\"domain\":\(record.pointee.domain),\"continuity_epoch\":\(record.pointee.continuity_epoch)")
      out.append(",\"incarnation\":\(record.pointee.incarnation)}")
      return
    }
    let start = out.count
    Timestamp.append(time, to: &out)
    out.pad(to: lane, since: start)
    out.append(UInt64(context.lane))
    out.pad(to: sequence, since: start)
    out.append(number)
    out.pad(to: state, since: start)
    out.append("HELLO, continuity epoch ")
    out.append(UInt64(record.pointee.continuity_epoch))
    out.pad(to: session, since: start)
    out.append(record.pointee.session_id)
    out.pad(to: frame, since: start)
    out.append(record.pointee.frame_id)
  }

  static func event(
    _ name: String, _ time: UInt64, _ fields: [(name: String, value: UInt64)], reason: String? = nil,
    _ json: Bool, _ out: inout TextBuffer
  ) {
    if json {
      out.append("{\"kind\":\"\(name)\",\"time\":\"")
      Timestamp.append(time, to: &out)
      out.append(byte: 34)
      for field in fields { out.append(",\"\(field.name)\":\(field.value)") }
      if let reason { out.append(",\"reason\":\"\(reason)\"") }
      out.append("}")
      return
    }
    let start = out.count
    Timestamp.append(time, to: &out)
    out.pad(to: lane, since: start)
    out.append("-- \(name)")
    for field in fields { out.append("  \(field.name) \(field.value)") }
    if let reason { out.append("  \(reason)") }
  }
}
