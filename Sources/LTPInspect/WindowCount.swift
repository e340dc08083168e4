// SPDX-License-Identifier: Apache-2.0
// Counts the decisions of a time window. The slots of a sealed segment that lies wholly inside the window, or wholly outside, are not
// looked at: its summary says what they come to. `summary` hashes the chain from the first block to the last, as ever; `count`, which is
// asked for a number, does not read such a segment's inner blocks at all.

import CLTP
import CLTPSystem
import LTPRecords

/// A span of time by the wall clock.
public struct SummaryWindow: Sendable, Equatable {
  /// Unix nanoseconds, inclusive.
  public var from: UInt64
  /// Unix nanoseconds, exclusive.
  public var to: UInt64

  public init(from: UInt64 = 0, to: UInt64 = .max) {
    self.from = from
    self.to = to
  }

  func contains(_ time: UInt64) -> Bool { time >= from && time < to }
}

/// How the segments of a trace were counted for a window.
public struct WindowSegments: Sendable, Equatable, Encodable {
  /// Wholly inside: by their summaries.
  public var bySummary: UInt64 = 0
  /// Partly inside, not sealed, or without a summary at the file's end: slot by slot.
  public var bySlots: UInt64 = 0
  /// Without a decision in the window.
  public var outside: UInt64 = 0
}

struct WindowVisitor: BlockVisitor {
  private enum Plan { case slots, summary, outside }

  private let window: SummaryWindow
  private let filter: CountFilter
  private let ends: SegmentEnds?
  private let log: LogState
  private var names: SummarySink
  private let counts: SegmentCounts
  private var plan = Plan.slots
  private var span: SegmentSpan?
  private(set) var segments = WindowSegments()
  private(set) var isSealed = false
  private(set) var transitionCount: UInt64 = 0
  let isDone = false

  /// `ends`: nil counts every segment by its slots. The counts are the caller's to give back.
  init(
    _ window: SummaryWindow, of filter: CountFilter = CountFilter(), log: LogState, ends: SegmentEnds?,
    transitionsMax: Int, counts: SegmentCounts
  ) {
    self.window = window
    self.filter = filter
    self.log = log
    self.ends = ends
    self.counts = counts
    names = SummarySink(transitionsMax: transitionsMax)
  }

  mutating func segmentBegins(_ segment: UInt64) {
    log.summary.beginSegment()
    isSealed = false
    span = ends?.span(segment: segment)
    plan = plan(for: span)
    switch plan {
    case .slots: segments.bySlots += 1
    case .summary: segments.bySummary += 1
    case .outside: segments.outside += 1
    }
  }

  private func plan(for span: SegmentSpan?) -> Plan {
    guard let span else { return .slots }
    if span.isEmpty { return .outside }
    // A clock past its end would go round; such times are looked at one by one.
    guard span.firstUnixNanoseconds <= span.lastUnixNanoseconds else { return .slots }
    if window.contains(span.firstUnixNanoseconds), window.contains(span.lastUnixNanoseconds) {
      return filter.session == nil ? .summary : .slots
    }
    let isOutside = span.lastUnixNanoseconds < window.from || span.firstUnixNanoseconds >= window.to
    return isOutside ? .outside : .slots
  }

  /// Sealed segments that are counted without a look at their slots. One in which the policy changed is walked, and so is the last one that
  /// holds anything: they name the classes that the others count.
  func countedByEnds(_ segments: [UInt64]) -> Set<UInt64> {
    guard let ends else { return [] }
    var byEnds: Set<UInt64> = []
    /// What the segment behind began under; nil: nothing is known of that, or there is none.
    var generationBehind: UInt32?
    for segment in segments.reversed() {
      let generation = ends.generation(segment: segment)
      defer { generationBehind = generation ?? generationBehind }
      guard let generation, generation == generationBehind, let span = ends.span(segment: segment),
        plan(for: span) != .slots, ends.withBlocks(of: segment, { _, _, _ in }) != nil
      else { continue }
      byEnds.insert(segment)
    }
    return byEnds
  }

  /// The segment that begins now is counted without its slots, as was planned.
  var isCountedByEnds: Bool { plan != .slots }

  mutating func chainResumes() {}

  mutating func block(_ header: BlockHeader, segment: UInt64, offset: UInt64) {
    var context = RecordContext(header, segment: segment, offset: offset)
    if header.laneID == LTP_CONTROL_LANE {
      walkControl(header, context)
    } else if plan == .slots {
      context.word = OrientationWord(rawValue: header.orientationWord)
      walkLane(header, &context)
    }
  }

  // MARK: Lanes

  private func walkLane(_ header: BlockHeader, _ context: inout RecordContext) {
    for slot in 0..<header.slotCount {
      let record = RecordView(header.body, slot: slot)
      switch record.kind {
      case .decision:
        guard window.contains(context.unixNanoseconds(record.decision.pointee.time_us)),
          filter.session == nil || filter.session == record.decision.pointee.session_id,
          let word = DecisionWord(record)
        else { continue }
        counts.add(1, of: SegmentCounts.Key(word, state: context.word.state))
      case .observed: context.word = OrientationWord(rawValue: record.observed.pointee.orientation_word)
      case .time: context.baseUnixNanoseconds = record.time.pointee.base_unix_ns
      case .replay, .tenant, .unrecorded, .hello, .voided, .kept: break
      // Not a lane's: `verify` says so.
      case nil, .opened, .segment, .transition, .policy, .text, .sealed, .closed, .counts, .domains, .intent,
        .step, .deferral:
        break
      }
    }
  }

  // MARK: The control lane

  private mutating func walkControl(_ header: BlockHeader, _ context: RecordContext) {
    let end = header.forEachControlRecord { kind, record, slot in apply(kind, record, slot, context) }
    guard end == header.slotCount else {
      log.findings.add(
        .record, at: context.place(slot: end), "the control record cannot be made out; run verify")
      return
    }
    log.summary.endCounts(context.place(slot: end - 1))
  }

  private mutating func apply(
    _ kind: RecordKind, _ record: RecordView, _ slot: Int, _ context: RecordContext
  ) {
    let place = context.place(slot: slot)
    switch kind {
    case .text: log.applyText(record.text, place)
    case .opened: log.totals.runs += 1
    case .policy:
      log.applyPolicy(record.policy, place)
      names.record(kind, record, slot: slot, context: context, log: log)
    case .transition:
      guard !record.transition.isRepeated, window.contains(context.transitionTime(record.transition)) else {
        break
      }
      transitionCount += 1
      names.record(kind, record, slot: slot, context: context, log: log)
    case .counts: log.summary.applyCounts(record.counts, place)
    case .sealed: applySealed(record.sealed, place)
    case .segment, .closed, .domains, .intent, .step, .deferral: break
    case .decision, .replay, .tenant, .observed, .unrecorded, .hello, .time, .voided, .kept: break
    }
  }

  private mutating func applySealed(_ sealed: UnsafePointer<ltp_sealed_record>, _ place: Place) {
    isSealed = true
    if plan == .summary {
      var sum: UInt64 = 0
      for index in 0..<log.summary.said.entryCount {
        let entry = log.summary.said.entry(index)
        counts.add(entry)
        sum &+= entry.count
      }
      if sum != sealed.pointee.decision_count {
        log.findings.add(
          .count, at: place,
          "the summary's entries come to \(sum) decisions, and it says \(sealed.pointee.decision_count)")
      }
    }
    if let span, span != SegmentSpan(sealed) {
      log.findings.add(
        .segment, at: place, "the file's last block tells other times than the segment's SEALED record")
    }
    log.summary.applySealed(sealed, place, isWhole: false)
  }

  // MARK: What it comes to

  var transitions: [TransitionView] { names.transitions }

  /// By state, class, verdict and reason; the limit's number decides between equals, and none comes last.
  var counters: [SummaryReport.Counter] {
    func order(_ entry: ltp_counts_entry) -> (UInt8, UInt8, UInt8, UInt8) {
      (entry.state, entry.action_class, entry.outcome, entry.gate &- 1)
    }
    let sorted = (0..<counts.entryCount).map { counts.entry($0) }
      .filter { filter.wants($0, names.classNames[CountTable.column($0.action_class)]) }
      .sorted { order($0) < order($1) }
    // Entries that differ in their domain only are one.
    var merged: [ltp_counts_entry] = []
    for entry in sorted {
      if let last = merged.last, order(last) == order(entry) {
        merged[merged.count - 1].count += entry.count
      } else {
        merged.append(entry)
      }
    }
    return merged.map { entry in
      let outcome = Outcome(rawValue: entry.outcome)
      return SummaryReport.Counter(
        state: "\(stateName(entry.state))",
        actionClass: names.classNames[CountTable.column(entry.action_class)],
        verdict: "\(verdictName(outcome.verdict))", reason: "\(reasonName(outcome.reason))",
        limit: entry.gate == LTP_GATE_NONE ? nil : "\(ShowLine.limitName(entry.gate))", count: entry.count)
    }
  }
}

public struct WindowReport: Sendable {
  public var window: SummaryWindow
  /// Of the chain. Its totals are zeros but for decisions and, where all was read, transitions: those of the window.
  public var inspection: InspectReport
  public var segments: WindowSegments
  /// The last ones in the window.
  public var transitions: [TransitionView]
  public var counters: [SummaryReport.Counter]
}

extension Inspector {
  /// What happened in the window. Checks the chain, and of the records only what it counts by.
  public func summary(
    in window: SummaryWindow, transitionsMax: Int = 50
  ) throws(InspectFailure) -> WindowReport {
    try summary(in: window, transitionsMax: transitionsMax, usesSummaries: true)
  }

  /// How many decisions of the window the filter wants: the report's totals and counters are of those alone. Segments that their
  /// summaries answer for are not read but for their first and last block.
  public func count(
    in window: SummaryWindow, of filter: CountFilter
  ) throws(InspectFailure) -> WindowReport {
    try summary(in: window, of: filter, transitionsMax: 0, usesSummaries: true, readsAll: false)
  }

  func summary(
    in window: SummaryWindow, of filter: CountFilter = CountFilter(), transitionsMax: Int,
    usesSummaries: Bool,
    readsAll: Bool = true
  ) throws(InspectFailure) -> WindowReport {
    let findings = Findings()
    let began = ltp_system_monotonic_ns()
    let directory = try TraceDirectory(path)
    directory.note(in: findings)
    guard let counts = SegmentCounts() else { throw InspectFailure("no memory for the counts") }
    defer { counts.releaseMemory() }
    var visitor = WindowVisitor(
      window, of: filter, log: LogState(findings: findings),
      ends: usesSummaries ? SegmentEnds(directory) : nil,
      transitionsMax: min(max(0, transitionsMax), Self.transitionsMax), counts: counts)
    let scanner = try TraceScanner(
      directory, findings: findings, salvages: true, direct: options.readsDirect,
      byEnds: readsAll ? [] : visitor.countedByEnds(directory.segments), progress: options.progress)
    let scan = try scanner.scan(&visitor)
    let counters = visitor.counters
    var totals = LogTotals()
    totals.decisions = counters.reduce(0) { $0 &+ $1.count }
    // What was not read may hold others.
    totals.transitions = readsAll ? visitor.transitionCount : 0
    return WindowReport(
      window: window,
      inspection: InspectReport(
        scan: scan, totals: totals, violations: findings.violations, violationCount: findings.violationCount,
        notes: findings.notes, nanoseconds: ltp_system_monotonic_ns() - began),
      segments: visitor.segments, transitions: visitor.transitions, counters: counters)
  }
}
