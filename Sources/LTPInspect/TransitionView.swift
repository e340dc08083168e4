// SPDX-License-Identifier: Apache-2.0
// A transition as people read it: from, to, why, with which evidence.

import CLTP
import LTPAdmission

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
  public var epoch: UInt32
  public var continuityEpoch: UInt32
  public var priorityThreshold: UInt8
  public var policyGeneration: UInt32
  public var evidence: [Evidence]
  public var text: String

  /// `record` is that of a transition.
  init(_ record: UnsafeRawPointer, unixNanoseconds: UInt64, texts: [UInt32: String]) {
    let before = OrientationWord(rawValue: record.u64(TransitionLayout.wordBefore))
    let after = OrientationWord(rawValue: record.u64(TransitionLayout.wordAfter))
    self.unixNanoseconds = unixNanoseconds
    from = "\(stateName(before.state))"
    to = "\(stateName(after.state))"
    reason = "\(signalName(record.u8(TransitionLayout.reason)))"
    epoch = after.epoch
    continuityEpoch = after.continuityEpoch
    priorityThreshold = after.threshold
    policyGeneration = record.u32(TransitionLayout.generation)
    let count = min(Int(record.u8(TransitionLayout.evidenceCount)), Int(LTP_EVIDENCE_MAX))
    evidence = (0..<count).map { index in
      let entry = record + TransitionLayout.evidence + index * MemoryLayout<ltp_evidence>.size
      let signal = "\(signalName(entry.u8(4)))"
      let nameID = entry.u32(0)
      let name = nameID == 0 ? signal : texts[nameID] ?? "text-\(nameID)"
      return Evidence(
        name: name, signal: signal, value: Int64(bitPattern: entry.u64(8)),
        threshold: Int64(bitPattern: entry.u64(16)))
    }
    let field = UnsafeRawBufferPointer(
      start: record + TransitionLayout.text, count: Int(LTP_TRANSITION_TEXT_BYTES))
    let end = field.firstIndex(of: 0) ?? field.count
    text = printable(String(decoding: field[..<end], as: UTF8.self))
  }

  /// "HEALTHY -> SATURATED  QUEUE_LATENCY_SPIKE  queue_depth 5000 (threshold 1000)  \"text\""
  public var line: String {
    var line = "\(from) -> \(to)  \(reason)"
    for fact in evidence { line += "  \(fact.name) \(fact.value) (threshold \(fact.threshold))" }
    if !text.isEmpty { line += "  \"\(text)\"" }
    return line
  }
}
