// SPDX-License-Identifier: Apache-2.0
// The policies of a trace, as they were loaded.

public import CLTP
import LTPRecords

/// A policy as the trace has it.
public struct PolicyEntry: Sendable, Hashable, Encodable {
  public var generation: UInt32
  /// It decided beside the policy of this generation, and enforced nothing.
  public var isShadow: Bool
  /// When the trace says it first.
  public var unixNanoseconds: UInt64
  /// SHA-256 of the `ltp_policy`, hexadecimal.
  public var digest: String
}

public struct PolicyReport: Sendable {
  public var inspection: InspectReport
  /// In the order in which they came.
  public var policies: [PolicyEntry]
  /// The one that was asked for, whole; nil: it is not there.
  public var chosen: ltp_policy?
}

struct PolicySink: RecordSink {
  private var counting = CountSink()
  private let chosenGeneration: UInt32?
  private let choosesShadow: Bool
  private(set) var policies: [PolicyEntry] = []
  private(set) var chosen: ltp_policy?
  /// Without their times.
  private var known: Set<PolicyEntry> = []

  init(generation: UInt32?, isShadow: Bool) {
    chosenGeneration = generation
    choosesShadow = isShadow
  }

  mutating func decisions(
    _ body: UnsafeRawPointer, from: Int, to: Int, context: borrowing RecordContext, log: LogState
  ) -> Int {
    counting.decisions(body, from: from, to: to, context: context, log: log)
  }

  mutating func record(
    _ kind: RecordKind, _ record: RecordView, slot: Int, context: borrowing RecordContext, log: LogState
  ) {
    guard kind == .policy else { return }
    let policy = record.policy
    let entry = PolicyEntry(
      generation: policy.pointee.policy_generation, isShadow: policy.isShadow,
      unixNanoseconds: context.unixNanoseconds(policy.pointee.header.time_us),
      digest: hexadecimal(policy.digest))
    // Each segment says the current ones again.
    var key = entry
    key.unixNanoseconds = 0
    if known.insert(key).inserted { policies.append(entry) }
    guard entry.generation == chosenGeneration, entry.isShadow == choosesShadow else { return }
    chosen = policy.policy.pointee
  }
}

extension Inspector {
  /// The policies that the trace holds, and, whole, the one of a generation, or the one that decided beside it.
  public func policies(generation: UInt32? = nil, isShadow: Bool = false) throws(InspectFailure)
    -> PolicyReport
  {
    let (report, sink) = try run(PolicySink(generation: generation, isShadow: isShadow), salvages: true)
    return PolicyReport(inspection: report, policies: sink.policies, chosen: sink.chosen)
  }
}
