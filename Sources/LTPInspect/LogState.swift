// SPDX-License-Identifier: Apache-2.0
// What a log has said so far, as far as later records depend on it: runs, lanes, orientations, policies, texts.
// Every control record is checked against it and then taken in. Its size does not depend on the trace's.

import CLTP
import LTPRecords

/// What was seen, counted.
public struct LogTotals: Sendable, Encodable {
  public var decisions: UInt64 = 0
  public var transitions: UInt64 = 0
  public var hellos: UInt64 = 0
  public var replays: UInt64 = 0
  /// Decisions denied with TRACE_BACKPRESSURE, which the trace holds by number only.
  public var unrecorded: UInt64 = 0
  /// OPENED records: how often the log was opened for writing.
  public var runs: UInt64 = 0
  public var policies: UInt64 = 0
  public var tornTailsCut: UInt64 = 0
  public var bytesCut: UInt64 = 0
  public var firstUnixNanoseconds: UInt64?
  public var lastUnixNanoseconds: UInt64?
  /// The last run was closed in order.
  public var isClosed = false
  /// Blocks whose monotonic time is before that of their lane's block before.
  public var clockStepsBack: UInt64 = 0
  /// Decisions whose policy has left the trace with older segments.
  public var withoutPolicy: UInt64 = 0
}

/// The part of a segment that has come by.
struct SegmentTotals {
  var blocks: UInt64 = 0
  var decisions: UInt64 = 0
  var isSealed = false
  var bytesMax = UInt64.max
}

/// The run of the core that the records belong to.
struct RunTotals {
  var number: UInt64?
  /// Taken from a SEGMENT record: its OPENED record may still come.
  var isFromSegment = false
  /// Its OPENED record is at hand, so that counts over the run can be compared.
  var isWhole = false
  var isClosed = false
  var firstLane: UInt32 = 1
  var decisions: UInt64 = 0
  var unrecorded: UInt64 = 0
}

final class LogState {
  let findings: Findings
  let summary: SummaryCheck
  var history: OrientationHistory
  var domains = DomainHistory()
  var deferral = DeferralHistory()
  var shelf = PolicyShelf()
  var lanes = LaneSequences()
  var totals = LogTotals()
  var segment = SegmentTotals()
  var run = RunTotals()
  /// What the last SEGMENT record calls its run, whose OPENED record may still come, or have been lost in a crash.
  private var namedRun: UInt64 = 0
  /// Interned texts by id.
  private(set) var texts: [UInt32: String] = [:]
  /// A record has been taken in.
  private var hasBegun = false
  private var isResuming = false
  /// The segment's DOMAINS records may still come ...
  private var isSayingDomains = false
  /// ... and are believed, because nothing before them is at hand; else they must say what transitions did.
  private var isTakingDomains = false
  private var domainsSaid = DomainTable()
  private var lastDomainSaid = -1
  private var segmentContinuityEpoch: UInt64 = 0

  /// `epochsMax`: how many transitions back a lane may lag.
  init(findings: Findings, epochsMax: Int = OrientationHistory.entriesMax) {
    self.findings = findings
    summary = SummaryCheck(findings: findings)
    history = OrientationHistory(capacity: epochsMax)
  }

  // MARK: Blocks

  func beginSegment() {
    segment = SegmentTotals()
    summary.beginSegment()
  }

  /// Blocks are missing before what comes next.
  func chainResumes() {
    isResuming = true
    history.forget()
    deferral.forget()
    lanes.forget()
    run.isWhole = false
    segment.blocks = UInt64.max / 2  // its count cannot be compared any more
  }

  /// Takes in a block's header: order of segments, lanes and sequences.
  func begin(_ header: BlockHeader, _ context: borrowing RecordContext) {
    segment.blocks += 1
    summary.add(header)
    let lane = header.laneID
    let end = context.bodyOffset - UInt64(LTP_BLOCK_HEADER_BYTES) + UInt64(header.sizeBytes)
    if segment.isSealed {
      findings.add(.segment, at: context.place(slot: 0), "a block follows the segment's SEALED record")
    }
    if end > segment.bytesMax {
      findings.add(
        .segment, at: context.place(slot: 0),
        "the block ends at \(end), past the segment's limit of \(segment.bytesMax) bytes")
    }
    if segment.blocks == 1, lane != LTP_CONTROL_LANE || RecordView(header.body).kind != .segment {
      findings.add(.record, at: context.place(slot: 0), "the segment does not begin with a SEGMENT record")
    }
    checkSequence(header, context)
    if lane != LTP_CONTROL_LANE { endDomains(context.place(slot: 0)) }
    if lane != LTP_CONTROL_LANE { checkLane(lane, context) }
  }

  private func checkSequence(_ header: BlockHeader, _ context: borrowing RecordContext) {
    let lane = header.laneID
    let first = header.firstSequence
    let monotonic = header.baseMonotonicNanoseconds
    if let known = lanes[lane] {
      if first != known.nextSequence {
        findings.add(
          .sequence, at: context.place(slot: 0),
          "the lane's sequence is \(first), and after the lane's block before it is \(known.nextSequence)")
      }
      // The control lane's blocks are sealed in another order than they were begun.
      if lane != LTP_CONTROL_LANE, monotonic < known.monotonicNanoseconds { totals.clockStepsBack += 1 }
    } else if first != 0, lanes.mustStartHere(lane), !isLateControl(lane, header) {
      findings.add(
        .sequence, at: context.place(slot: 0), "the lane's first block starts at sequence \(first), not 0")
    }
    let word = lanes[lane]?.word ?? 0
    lanes.set(
      lane,
      LaneSequences.Lane(
        nextSequence: first &+ UInt64(header.slotCount), word: word, monotonicNanoseconds: monotonic,
        lastBlock: header.blockIndex))
  }

  /// The first block at hand is not the log's: the control lane began before it.
  private func isLateControl(_ lane: UInt32, _ header: BlockHeader) -> Bool {
    lane == LTP_CONTROL_LANE && header.blockIndex != 0
  }

  private func checkLane(_ lane: UInt32, _ context: borrowing RecordContext) {
    if run.isClosed {
      findings.add(.record, at: context.place(slot: 0), "a lane's block after the run's CLOSED record")
    } else if run.number == nil, !isResuming {
      findings.add(.record, at: context.place(slot: 0), "a lane's block before any OPENED record")
    }
    if run.isWhole, lane < run.firstLane {
      findings.add(
        .record, at: context.place(slot: 0),
        "the lane is of an earlier run: this one's lanes are numbered from \(run.firstLane)")
    }
  }

  func noteTime(_ unixNanoseconds: UInt64) {
    if totals.firstUnixNanoseconds == nil { totals.firstUnixNanoseconds = unixNanoseconds }
    totals.lastUnixNanoseconds = unixNanoseconds
  }

  // MARK: Segment, run and text records

  func applySegment(_ record: UnsafePointer<ltp_segment_record>, _ place: Place) {
    let word = OrientationWord(rawValue: record.pointee.orientation_word)
    let generation = record.pointee.policy_generation
    let number = UInt64(record.pointee.run)
    let numbers = EpochNumbers(
      epoch: record.pointee.epoch, continuityEpoch: record.pointee.continuity_epoch)
    if !numbers.fit(word) {
      findings.add(.transition, at: place, "the segment's epochs are not those of its orientation")
    }
    if segment.blocks != 1 || place.offset != UInt64(LTP_BLOCK_HEADER_BYTES) {
      findings.add(.record, at: place, "a SEGMENT record that is not the first of its segment")
    }
    segment.bytesMax = record.pointee.segment_bytes
    defer { hasBegun = true }
    isSayingDomains = true
    lastDomainSaid = -1
    segmentContinuityEpoch = numbers.continuityEpoch
    domainsSaid = DomainTable(all: record.pointee.continuity_all)
    if record.pointee.continuity_all > numbers.continuityEpoch {
      findings.add(
        .transition, at: place, "the segment says a continuity epoch of all domains that has not come")
    }
    if !hasBegun, place.block == 0 {
      history.beginLog()
    } else if !hasBegun || isResuming {
      resume(
        at: PublishedOrientation(word: word, numbers: numbers, policyGeneration: generation), run: number)
      return
    }
    if let before = run.number.map({ max($0, namedRun) }), number != before, number != before + 1 {
      findings.add(.record, at: place, "the segment says run \(number), and the run before it is \(before)")
    } else {
      namedRun = number
    }
    guard let current = history.current else { return }
    let sameGeneration = word.epoch == 0 || generation == current.policyGeneration
    if current.word != word || current.numbers != numbers || !sameGeneration {
      findings.add(
        .transition, at: place,
        "the segment says orientation \(describe(word)) and policy \(generation), and the transition before it "
          + "brought \(describe(current.word)) and policy \(current.policyGeneration)")
    }
  }

  private func resume(at orientation: PublishedOrientation, run number: UInt64) {
    isResuming = false
    history.beginAt(orientation)
    domains.begin(at: orientation.numbers.epoch, all: domainsSaid.all)
    isTakingDomains = true
    lanes.beginLate()
    run = RunTotals(number: number, isFromSegment: true)
  }

  // MARK: Domains

  func applyDomains(_ record: UnsafePointer<ltp_domains_record>, _ place: Place) {
    let used = record.pointee.entry_count
    guard isSayingDomains, used >= 1, used <= UInt32(LTP_DOMAINS_ENTRIES) else {
      findings.add(
        .record, at: place, "a DOMAINS record that does not follow SEGMENT, or has \(used) entries")
      return
    }
    for index in 0..<Int(LTP_DOMAINS_ENTRIES) {
      let entry = record.entry(index)
      let isZero = firstNonZero(entry, from: 0, to: MemoryLayout<ltp_domains_entry>.size) == nil
      let isFit =
        index < Int(used)
        ? entry.pointee.continuity_epoch > 0 && Self.isDomainState(entry.pointee.state)
          && firstNonZero(entry, from: LTP_AT_domains_entry_reserved, to: LTP_END_domains_entry_reserved)
            == nil
        : isZero
      if !isFit {
        findings.add(.record, at: place, "entry \(index + 1) of the DOMAINS record is malformed")
        return
      }
    }
    for index in 0..<Int(used) {
      let entry = record.entry(index).pointee
      if Int(entry.domain) <= lastDomainSaid || entry.continuity_epoch > segmentContinuityEpoch {
        findings.add(
          .record, at: place,
          "entry \(index + 1) of the DOMAINS record is out of order, or of an epoch that has not come")
        return
      }
      lastDomainSaid = Int(entry.domain)
    }
    domainsSaid.apply(record)
    if isTakingDomains { domains.apply(record) }
  }

  static func isDomainState(_ state: UInt8) -> Bool { state == 0 || state == LTP_STATE_UNSTABLE }

  /// Whatever else comes in a segment's first block comes after what it says of domains.
  func endDomains(_ place: Place) {
    guard isSayingDomains else { return }
    isSayingDomains = false
    defer { isTakingDomains = false }
    guard !isTakingDomains, history.current != nil else { return }
    for domain in UInt8.min...UInt8.max
    where domainsSaid.number(of: domain) != domains.current.number(of: domain)
      || domainsSaid.state(of: domain) != domains.current.state(of: domain)
    {
      findings.add(
        .transition, at: place,
        "the segment says that domain \(domain) is in continuity epoch \(domainsSaid.number(of: domain)) and state "
          + "\(domainsSaid.state(of: domain)), and by the transitions before it is in \(domains.current.number(of: domain)) and "
          + "\(domains.current.state(of: domain))")
      return
    }
  }

  func applyOpened(_ record: UnsafePointer<ltp_opened_record>, _ place: Place) {
    deferral.beginRun()
    let number = UInt64(record.pointee.run)
    let firstLane = record.pointee.next_lane_id
    let cutBytes = record.pointee.cut_bytes
    let follows = number == namedRun || number == namedRun + 1
    if namedRun > run.number ?? 0, follows {
      // A crash came after the segment's first block, and before the opening of the run that began it.
    } else if let before = run.number, number != before + 1, !(run.isFromSegment && number == before) {
      findings.add(.record, at: place, "run \(number) is opened, and the run before it is \(before)")
    } else if run.number == nil, number != 1, !isResuming {
      findings.add(.record, at: place, "the log's first run is \(number), not 1")
    }
    if firstLane <= lanes.highest {
      findings.add(
        .record, at: place,
        "the run's lanes are numbered from \(firstLane), and lane \(lanes.highest) has been used")
    }
    if cutBytes == 0, record.pointee.cut_segment != 0 || record.pointee.cut_offset != 0 {
      findings.add(.record, at: place, "a place of a cut without bytes that were cut")
    }
    if cutBytes > 0 {
      totals.tornTailsCut += 1
      totals.bytesCut &+= cutBytes
    }
    totals.runs += 1
    totals.isClosed = false
    run = RunTotals(number: number, isWhole: true, firstLane: firstLane)
    lanes.beginRun()
  }

  func applySealed(_ record: UnsafePointer<ltp_sealed_record>, _ place: Place, isLastOfBlock: Bool) {
    segment.isSealed = true
    if !isLastOfBlock {
      findings.add(.record, at: place, "records follow the SEALED record in its block")
    }
    let isWhole = segment.blocks < UInt64.max / 2
    summary.applySealed(record, place, isWhole: isWhole)
    guard isWhole else { return }
    compare(record.pointee.block_count, segment.blocks, "blocks in this segment", place)
    compare(record.pointee.decision_count, segment.decisions, "decisions in this segment", place)
  }

  func applyClosed(_ record: UnsafePointer<ltp_closed_record>, _ place: Place) {
    if run.isClosed { findings.add(.record, at: place, "the run is closed a second time") }
    run.isClosed = true
    totals.isClosed = true
    guard run.isWhole else { return }
    compare(record.pointee.decision_count, run.decisions, "decisions in this run", place)
    // What a lane denied after its last record, or while the core was closing, is in this number only.
    let unrecorded = record.pointee.unrecorded_count
    if unrecorded < run.unrecorded {
      compare(unrecorded, run.unrecorded, "unrecorded denials in this run", place)
    }
    totals.unrecorded &+= unrecorded &- min(unrecorded, run.unrecorded)
  }

  private func compare(_ said: UInt64, _ seen: UInt64, _ what: String, _ place: Place) {
    guard said != seen else { return }
    findings.add(.count, at: place, "the record says \(said) \(what), and there are \(seen)")
  }

  func applyText(_ record: UnsafePointer<ltp_text_record>, _ place: Place) {
    let id = record.pointee.text_id
    guard let text = text(inField: record.text) else {
      findings.add(.record, at: place, "the text is not ended by zeros")
      return
    }
    if id == 0 || id > UInt32(LTP_TEXT_COUNT_MAX) {
      findings.add(.record, at: place, "text id \(id) is not 1 to \(LTP_TEXT_COUNT_MAX)")
      return
    }
    texts[id] = printable(text)
  }
}

/// "DEGRADED at epoch 7 (continuity 2, threshold 0, policy slot 1)"
func describe(_ word: OrientationWord) -> String {
  "\(stateName(word.state)) at epoch \(word.epoch) (continuity \(word.continuityEpoch), threshold "
    + "\(word.threshold), policy slot \(word.policySlot))"
}
