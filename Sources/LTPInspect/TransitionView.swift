// SPDX-License-Identifier: Apache-2.0
// A transition as people read it: from, to, why, with which evidence.

import CLTP
import LTPRecords

public struct TransitionView: Sendable, Equatable, Encodable {
  public struct Evidence: Sendable, Equatable, Encodable {
    /// The text that was given with it, or the signal's own name.
    public var name: String
    public var signal: String
    public var value: Int64
    public var threshold: Int64
  }

  public var unixNanoseconds: UInt64
  public var from: String
  public var to: String
  public var reason: String
  public var epoch: UInt64
  public var continuityEpoch: UInt64
  public var priorityThreshold: UInt8
  public var policyGeneration: UInt32
  public var evidence: [Evidence]
  public var text: String
  /// The one continuity domain that it concerned: then the state stays. nil: all.
  public var domain: UInt8?
  /// With a domain: it is in an outage of its own from here on.
  public var isDomainInOutage = false

  init(_ record: UnsafePointer<ltp_transition_record>, unixNanoseconds: UInt64, texts: [UInt32: String]) {
    let before = OrientationWord(rawValue: record.pointee.word_before)
    let after = OrientationWord(rawValue: record.pointee.word_after)
    self.unixNanoseconds = unixNanoseconds
    from = "\(stateName(before.state))"
    to = "\(stateName(after.state))"
    reason = "\(signalName(record.pointee.reason))"
    epoch = record.pointee.epoch
    continuityEpoch = record.pointee.continuity_epoch
    priorityThreshold = after.threshold
    policyGeneration = record.pointee.policy_generation
    let count = min(Int(record.pointee.evidence_count), Int(LTP_EVIDENCE_MAX))
    evidence = (0..<count).map { index in
      let entry = record.evidence(index).pointee
      let signal = "\(signalName(entry.signal))"
      let nameID = entry.name_id
      let name = nameID == 0 ? signal : texts[nameID] ?? "text-\(nameID)"
      return Evidence(
        name: name, signal: signal, value: entry.value, threshold: entry.threshold)
    }
    let field = record.text
    let end = field.firstIndex(of: 0) ?? field.count
    text = printable(String(decoding: field[..<end], as: UTF8.self))
    if after.scope == LTP_SCOPE_DOMAIN {
      domain = record.pointee.domain
      isDomainInOutage = record.pointee.domain_state != 0
    }
  }

  /// "HEALTHY -> SATURATED  QUEUE_LATENCY_SPIKE  queue_depth 5000 (threshold 1000)  \"text\""
  public var line: String {
    var line = "\(from) -> \(to)  \(reason)"
    if let domain {
      // Lost without an outage of its own: that is the service's.
      let isLost = reason != "\(signalName(LTP_SIGNAL_RECOVERY_COMPLETE))"
      line = "domain \(domain) \(isDomainInOutage ? "UNSTABLE" : isLost ? "lost" : "well")  \(reason)"
    }
    for fact in evidence { line += "  \(fact.name) \(fact.value) (threshold \(fact.threshold))" }
    if !text.isEmpty { line += "  \"\(text)\"" }
    return line
  }
}
