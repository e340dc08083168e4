// SPDX-License-Identifier: Apache-2.0
// Builds traces byte by byte, right by default and wrong where a test wants it: bodies go in as bytes, so any
// record can be put there and still be hashed. Independent of the writer, so that the two check each other.

package import CLTP
import Foundation
package import LTPRecords
import LTPRules
import LTPStorage

package final class TraceBuilder {
  package static let firstTime: UInt64 = 1_772_355_907_000_000_000
  package static let startMonotonic: UInt64 = 5_000_000_000

  package var logID = LogID(low: 0x1122_3344_5566_7788, high: 0x99AA_BBCC_DDEE_FF00)
  package var segmentBytes = 256 << 10
  /// What SEALED and CLOSED say is this much too high.
  package var countError: UInt64 = 0
  package var policy = Records.defaultPolicy()
  package private(set) var segments: [(index: UInt64, bytes: [UInt8])] = []
  package private(set) var blockIndex: UInt64 = 0
  package private(set) var word = OrientationWord(rawValue: 0)
  package private(set) var generation: UInt32 = 0
  package private(set) var run: UInt32 = 0
  private var previousHash = Digest()
  private var sequences: [UInt32: UInt64] = [:]
  private var nextLane: UInt32 = 1
  private var lastTransition: [UInt8] = []
  private var segmentBlocks: UInt64 = 0
  private var summary = TraceSummary()
  package private(set) var domains = Domains()
  private var runDecisions: UInt64 = 0
  private var runUnrecorded: UInt64 = 0
  private var texts: [[UInt8]] = []
  private var clock: UInt64 = 0
  /// Where each block begins: segment index and offset.
  package private(set) var blockPlaces: [(segment: UInt64, offset: Int, size: Int, lane: UInt32)] = []

  package init() {}

  // MARK: Blocks

  /// Appends a block. `word` and `firstSequence` as given, for tests that want them wrong.
  package func block(lane: UInt32, _ slots: [UInt8], word: UInt64, firstSequence: UInt64? = nil) {
    precondition(slots.count % 32 == 0 && !slots.isEmpty)
    let count = slots.count / 32
    let size = BlockHeader.sizeBytes(slotCount: count)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
    defer { memory.deallocate() }
    slots.withUnsafeBytes { (memory + 256).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    let first = firstSequence ?? sequences[lane] ?? 0
    clock += 1_000_000
    let seal = BlockSeal(
      logID: logID, laneID: lane, blockIndex: blockIndex, segmentIndex: segments.last!.index,
      firstSequence: first, slotCount: count, baseMonotonicNanoseconds: Self.startMonotonic + clock,
      baseUnixNanoseconds: Self.firstTime + clock, orientationWord: word,
      durableBlocks: blockIndex > 2 ? blockIndex - 2 : 0, previousHash: previousHash)
    previousHash = seal.seal(memory)!
    blockPlaces.append((segments.last!.index, segments.last!.bytes.count, size, lane))
    segments[segments.count - 1].bytes += UnsafeRawBufferPointer(start: memory, count: size)
    sequences[lane] = first + UInt64(count)
    blockIndex += 1
    segmentBlocks += 1
    nextLane = max(nextLane, lane + 1)
    countRecords(slots, lane: lane)
    if lane == 0 {
      summary.addControl(slots)
    } else {
      summary.addLane(slots, word: word, baseUnix: Self.firstTime + clock)
    }
  }

  private func countRecords(_ slots: [UInt8], lane: UInt32) {
    guard lane != 0 else { return }
    for slot in stride(from: 0, to: slots.count, by: 32) {
      if slots[slot] == LTP_RECORD_DECISION {
        runDecisions += 1
      } else if slots[slot] == LTP_RECORD_UNRECORDED {
        runUnrecorded &+= slots.withUnsafeBytes {
          $0.loadUnaligned(fromByteOffset: slot, as: ltp_unrecorded_record.self).denied_count
        }
      }
    }
  }

  package func control(_ records: [UInt8]...) { block(lane: 0, Array(records.joined()), word: 0) }

  /// A lane's block, decided under the current word.
  package func lane(_ id: UInt32 = 1, _ records: [UInt8]...) {
    block(lane: id, Array(records.joined()), word: word.rawValue)
  }

  // MARK: What a writer says

  /// A log under HEALTHY. Each segment has so many blocks of two decisions each, and the last one is in use.
  package static func healthy(segments: Int, blocks: Int) -> TraceBuilder {
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY)
    for segment in 1...segments {
      for _ in 0..<blocks { trace.lane(1, trace.decide(8), trace.decide(9)) }
      if segment < segments { trace.rotate() }
    }
    return trace
  }

  /// Begins a log, or another run of it. `lostRuns`: so many began before, and crashed before they said so.
  package func open(cutBytes: UInt64 = 0, lostRuns: UInt32 = 0) {
    run += 1 + lostRuns
    runDecisions = 0
    runUnrecorded = 0
    if segments.isEmpty { beginSegment() }
    generation += 1
    let before = word
    word = OrientationWord(
      state: LTP_STATE_UNKNOWN, policySlot: 0, threshold: 0,
      continuityEpoch: before.continuityEpoch + UInt32(LTP_CONTINUITY_RUN_STEP),
      epoch: before.epoch + 1, scope: LTP_SCOPE_ALL)
    domains = Domains(all: UInt64(word.continuityEpoch))
    lastTransition = Records.transition(
      from: before, to: word, reason: LTP_SIGNAL_CORE_STARTED, generation: generation)
    control(
      Records.opened(run: run, nextLane: nextLane, cutBytes: cutBytes),
      Records.policy(policy, generation: generation, slot: UInt32(word.policySlot)), lastTransition)
  }

  package func beginSegment(domains given: [UInt8]? = nil) {
    segments.append((segments.last.map { $0.index + 1 } ?? 0, []))
    segmentBlocks = 0
    summary = TraceSummary()
    var records = Records.segment(
      run: max(run, 1), nextLane: nextLane, bytes: UInt64(segmentBytes), word: word, generation: generation,
      all: domains.all)
    if generation > 0 {
      var repeated = lastTransition
      repeated[LTP_AT_transition_record_flags] = LTP_TRANSITION_REPEATED
      records += repeated
      if let given {
        records += given
      } else if !domains.own.isEmpty {
        records += Records.domains(
          domains.own.sorted { $0.key < $1.key }.map { ($0.key, $0.value.0, $0.value.1) })
      }
      records += Records.policy(policy, generation: generation, slot: UInt32(word.policySlot))
      for text in texts { records += text }
    }
    control(records)
  }

  /// A segment as a wrong writer begins it.
  package func beginSegmentWithoutPreamble() {
    segments.append((segments.last!.index + 1, []))
    segmentBlocks = 0
    summary = TraceSummary()
  }

  /// A transition, recorded; the word is in force from here on.
  package func publish(
    _ state: UInt8, reason: UInt8 = LTP_SIGNAL_OPERATOR, evidence: [ltp_evidence] = [], text: String = "",
    record: Bool = true
  ) {
    let before = word
    let outage = (state == LTP_STATE_UNSTABLE || state == LTP_STATE_FAILED) && state != before.state
    word = OrientationWord(
      state: state, policySlot: before.policySlot, threshold: Records.threshold(policy, state: state),
      continuityEpoch: before.continuityEpoch + (outage ? 1 : 0), epoch: before.epoch + 1,
      scope: outage ? LTP_SCOPE_ALL : LTP_SCOPE_NONE)
    if outage { domains.moveAll(to: UInt64(word.continuityEpoch)) }
    lastTransition = Records.transition(
      from: before, to: word, reason: reason, generation: generation, evidence: evidence, text: text,
      monotonic: Self.startMonotonic + clock)
    if record { control(lastTransition) }
  }

  /// Where domains stand, as the builder counts for itself.
  package struct Domains {
    package var all: UInt64 = 0
    /// Those that are not like all: epoch and state.
    package var own: [UInt8: (UInt64, UInt8)] = [:]

    package init(all: UInt64 = 0) { self.all = all }

    mutating func moveAll(to number: UInt64) {
      all = number
      own = own.filter { $0.value.1 != 0 }.mapValues { (number, $0.1) }
    }

    package func number(of domain: UInt8) -> UInt64 { own[domain]?.0 ?? all }
  }

  /// A transition of one domain, recorded: it moves, unless told otherwise.
  package func publish(domain: UInt8, state: UInt8, moves: Bool = true) {
    let before = word
    word = OrientationWord(
      state: before.state, policySlot: before.policySlot, threshold: before.threshold,
      continuityEpoch: before.continuityEpoch + (moves ? 1 : 0), epoch: before.epoch + 1,
      scope: LTP_SCOPE_DOMAIN)
    let number = moves ? UInt64(word.continuityEpoch) : domains.number(of: domain)
    domains.own[domain] = number == domains.all && state == 0 ? nil : (number, state)
    lastTransition = Records.transition(
      from: before, to: word, reason: LTP_SIGNAL_TRANSPORT_DISCONNECTED, generation: generation,
      monotonic: Self.startMonotonic + clock, domain: domain, domainState: state)
    control(lastTransition)
  }

  /// Another policy, in the next slot.
  package func load(_ newPolicy: [UInt8]) {
    policy = newPolicy
    generation += 1
    let before = word
    word = OrientationWord(
      state: before.state, policySlot: (before.policySlot + 1) & 3,
      threshold: Records.threshold(policy, state: before.state), continuityEpoch: before.continuityEpoch,
      epoch: before.epoch + 1)
    lastTransition = Records.transition(
      from: before, to: word, reason: LTP_SIGNAL_POLICY_CHANGED, generation: generation)
    control(
      Records.policy(policy, generation: generation, slot: UInt32(word.policySlot)), lastTransition)
  }

  package func intern(_ text: String) -> UInt32 {
    let id = UInt32(texts.count + 1)
    texts.append(Records.text(id: id, text))
    control(texts.last!)
    return id
  }

  /// Ends the segment with its summary, as `change` leaves it.
  package func seal(
    _ change: (inout [ltp_counts_record], inout ltp_sealed_record) -> Void = { _, _ in }
  ) {
    var (counts, sealed) = summary.records(blocks: segmentBlocks + 1)
    sealed.block_count += countError
    sealed.decision_count += countError
    change(&counts, &sealed)
    control(counts.flatMap { Records.bytes($0) }, Records.bytes(sealed))
  }

  /// `domains`: DOMAINS records that the next segment says instead of the right ones.
  package func rotate(domains: [UInt8]? = nil) {
    seal()
    beginSegment(domains: domains)
  }

  package func close() {
    control(Records.closed(decisions: runDecisions + countError, unrecorded: runUnrecorded))
  }

  /// A request decided as the core does.
  package func decide(
    _ actionClass: UInt8, priority: UInt8 = 128, session: UInt64 = 7, frame: UInt64 = 1, token: Bool = true,
    late: Bool = false, time: UInt32 = 5
  ) -> [UInt8] {
    Records.decide(
      policy, word, actionClass: actionClass, priority: priority, session: session, frame: frame,
      token: token,
      late: late, time: time)
  }

  // MARK: Files

  /// Writes the segments, filled up with zeros, and the watermark.
  package func write(to directory: TemporaryDirectory, durable: UInt64? = nil, fill: Bool = true) {
    for segment in segments {
      var bytes = segment.bytes
      if fill, bytes.count < segmentBytes {
        bytes += [UInt8](repeating: 0, count: segmentBytes - bytes.count)
      }
      directory.write(bytes, to: Self.name(segment.index))
    }
    directory.write(Records.watermark(logID, durable ?? blockIndex), to: LTP_WATERMARK_NAME)
  }

  package static func name(_ index: UInt64) -> String {
    let digits = String(index, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits + ".ltp"
  }
}
