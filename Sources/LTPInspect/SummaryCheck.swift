// SPDX-License-Identifier: Apache-2.0
// Whether the summary that ends a segment is what the segment's records come to. Both are counted in tables of a fixed size: what the
// records come to, block by block, and what the COUNTS records before SEALED say.

import CLTP
import LTPRecords

final class SummaryCheck {
  private let counted: SegmentCounts
  /// The entries that came since the segment's last other record.
  let said: SegmentCounts
  private let findings: Findings
  /// COUNTS records came, and not yet the SEALED record that must follow them.
  private var isPending = false
  /// The COUNTS record before had entries to spare.
  private var isOver = false

  init(findings: Findings) {
    guard let counted = SegmentCounts(), let said = SegmentCounts() else {
      fatalError("no memory for the counts of a segment")
    }
    self.counted = counted
    self.said = said
    self.findings = findings
  }

  deinit {
    counted.releaseMemory()
    said.releaseMemory()
  }

  func beginSegment() {
    counted.removeAll()
    forget()
  }

  func add(_ header: BlockHeader) { counted.add(header) }

  private func forget() {
    said.removeAll()
    isPending = false
    isOver = false
  }

  // MARK: COUNTS

  func applyCounts(_ record: UnsafePointer<ltp_counts_record>, _ place: Place) {
    let used = Int(record.pointee.entry_count)
    guard used >= 1, used <= Int(LTP_COUNTS_ENTRIES) else {
      findings.add(
        .record, at: place,
        "a COUNTS record of \(used) entries, and there is room for 1 to \(LTP_COUNTS_ENTRIES)"
      )
      isPending = true
      return
    }
    if isOver {
      findings.add(.record, at: place, "a COUNTS record follows one that had room for more entries")
    }
    isPending = true
    isOver = used < Int(LTP_COUNTS_ENTRIES)
    for index in 0..<Int(LTP_COUNTS_ENTRIES) {
      apply(record.entry(index), number: index + 1, isUsed: index < used, place)
    }
  }

  private func apply(
    _ entry: UnsafePointer<ltp_counts_entry>, number: Int, isUsed: Bool, _ place: Place
  ) {
    let value = entry.pointee
    guard isUsed else {
      if firstNonZero(entry, from: 0, to: MemoryLayout<ltp_counts_entry>.size) != nil {
        findings.add(.record, at: place, "entry \(number) of the COUNTS record is not used, and is not zero")
      }
      return
    }
    if let fault = Self.fault(value) {
      findings.add(.record, at: place, "entry \(number) of the COUNTS record has \(fault)")
    }
    // An entry of no decisions has no place among those that are used.
    guard value.count > 0 else { return }
    let key = SegmentCounts.Key(value)
    if said.count(of: key) > 0 {
      findings.add(
        .record, at: place, "entry \(number) of the COUNTS record repeats one: \(describe(value))")
      return
    }
    said.add(value)
  }

  /// What no writer puts into an entry; nil when there is nothing of it.
  private static func fault(_ entry: ltp_counts_entry) -> String? {
    if entry.count == 0 { return "a count of 0" }
    if entry.reserved != (0, 0, 0) { return "a reserved byte that is not zero" }
    if entry.state >= LTP_STATE_COUNT { return "state \(entry.state), which the protocol does not have" }
    let outcome = Outcome(rawValue: entry.outcome)
    if !DecisionShape.isOutcome(outcome) {
      return "verdict \(outcome.verdict) with reason \(outcome.reason), which is no outcome"
    }
    if entry.gate >= LTP_GATE_COUNT { return "limit \(entry.gate), which there is not" }
    if entry.gate != LTP_GATE_NONE, outcome.isExecute { return "an EXECUTE that a limit refused" }
    let isCounted = SegmentCounts.Key.counted(entry.action_class) == entry.action_class
    return isCounted ? nil : "class \(entry.action_class), which counts as an unknown one"
  }

  /// Another record than COUNTS or SEALED comes, or the block ends.
  func endCounts(_ place: Place) {
    guard isPending else { return }
    findings.add(.record, at: place, "no SEALED record follows the COUNTS records")
    forget()
  }

  // MARK: SEALED

  /// Compares the summary with the records. `isWhole`: all of the segment's blocks came by.
  func applySealed(_ record: UnsafePointer<ltp_sealed_record>, _ place: Place, isWhole: Bool) {
    defer { forget() }
    let sealed = record.pointee
    if sealed.counts_entries != UInt32(said.entryCount) {
      findings.add(
        .count, at: place,
        "the SEALED record says \(sealed.counts_entries) entries, and \(said.entryCount) are before it")
    }
    guard isWhole else { return }
    compare(sealed.first_unix_ns, counted.firstUnixNanoseconds, "as the time of the first decision", place)
    compare(sealed.last_unix_ns, counted.lastUnixNanoseconds, "as the time of the last decision", place)
    compare(sealed.transition_count, counted.transitionCount, "transitions in this segment", place)
    compare(sealed.unrecorded_count, counted.unrecordedCount, "unrecorded denials in this segment", place)
    if counted.isOverfull {
      findings.add(.count, at: place, "the segment holds more kinds of decisions than a summary has room for")
      return
    }
    if said.entryCount == 0, counted.entryCount > 0 {
      findings.add(
        .count, at: place,
        "the SEALED record comes without COUNTS records, and there are \(counted.entryCount) kinds of decisions"
      )
      return
    }
    for index in 0..<counted.entryCount { compareKind(counted.entry(index), place) }
    for index in 0..<said.entryCount where counted.count(of: SegmentCounts.Key(said.entry(index))) == 0 {
      compareKind(said.entry(index), place)
    }
  }

  private func compareKind(_ entry: ltp_counts_entry, _ place: Place) {
    let key = SegmentCounts.Key(entry)
    let (says, seen) = (said.count(of: key), counted.count(of: key))
    guard says != seen else { return }
    findings.add(
      .count, at: place, "the summary says \(says) decisions of \(describe(entry)), and there are \(seen)")
  }

  private func compare(_ says: UInt64, _ seen: UInt64, _ what: String, _ place: Place) {
    guard says != seen else { return }
    findings.add(.count, at: place, "the summary says \(says) \(what), and it is \(seen)")
  }
}

/// "HEALTHY, class 8, DENY, RATE_LIMITED, limit class-rate"
private func describe(_ entry: ltp_counts_entry) -> String {
  let outcome = Outcome(rawValue: entry.outcome)
  let named =
    switch entry.action_class {
    case LTP_COUNTS_CLASS_UNKNOWN: "(unknown)"
    case LTP_CLASS_NONE: "(malformed)"
    default: "\(entry.action_class)"
    }
  let limit = entry.gate == LTP_GATE_NONE ? "no limit" : "limit \(ShowLine.limitName(entry.gate))"
  let domain = entry.domain == 0 ? "" : "domain \(entry.domain), "
  return "state \(stateName(entry.state)), class \(named), \(domain)\(verdictName(outcome.verdict)), "
    + "\(reasonName(outcome.reason)), \(limit)"
}
