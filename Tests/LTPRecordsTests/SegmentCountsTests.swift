// SPDX-License-Identifier: Apache-2.0
// What a segment's decisions come to, against a dictionary; and the summary that is written of it.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPRecords

/// A block in memory of its own. Only what is counted is filled in: nothing is hashed.
private final class Block {
  private let memory: UnsafeMutableRawPointer

  init(lane: UInt32, _ slots: [UInt8], word: UInt64 = 0, baseUnix: UInt64 = 0) {
    memory = .allocate(byteCount: 256 + slots.count, alignment: 4096)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: 256)
    let header = memory.assumingMemoryBound(to: ltp_block_header.self)
    header.pointee.lane_id = lane
    header.pointee.slot_count = UInt32(slots.count / 32)
    header.pointee.orientation_word = word
    header.pointee.base_unix_ns = baseUnix
    slots.withUnsafeBytes { (memory + 256).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }

  deinit { memory.deallocate() }

  func count(in counts: SegmentCounts) { withExtendedLifetime(self) { counts.add(BlockHeader(memory)) } }
}

/// Counts in the plainest way.
private struct Ledger {
  struct Kind: Hashable {
    var state: UInt8
    var actionClass: UInt8
    var domain: UInt8
    var outcome: UInt8
    var gate: UInt8
  }

  var counts: [Kind: UInt64] = [:]
  var times: [UInt64] = []
  var transitions: UInt64 = 0
  var unrecorded: UInt64 = 0

  func expect(_ counted: SegmentCounts, _ place: String) {
    #expect(counted.checkInvariants(), "\(place)")
    #expect(counted.entryCount == counts.count, "\(place)")
    var seen: [Kind: UInt64] = [:]
    for index in 0..<counted.entryCount {
      let entry = counted.entry(index)
      let kind = Kind(
        state: entry.state, actionClass: entry.action_class, domain: entry.domain, outcome: entry.outcome,
        gate: entry.gate)
      #expect(seen.updateValue(entry.count, forKey: kind) == nil, "\(place)")
      #expect(counted.count(of: SegmentCounts.Key(entry)) == entry.count, "\(place)")
    }
    let isSame = seen == counts
    #expect(isSame, "\(place)")
    #expect(counted.decisionCount == UInt64(times.count), "\(place)")
    #expect(counted.firstUnixNanoseconds == times.min() ?? 0, "\(place)")
    #expect(counted.lastUnixNanoseconds == times.max() ?? 0, "\(place)")
    #expect(counted.transitionCount == transitions && counted.unrecordedCount == unrecorded, "\(place)")
  }
}

@Suite("Counts of a segment", .guarded)
struct SegmentCountsTests {
  private func word(_ state: UInt8, epoch: UInt32) -> OrientationWord {
    OrientationWord(state: state, policySlot: 1, threshold: 9, continuityEpoch: 3, epoch: epoch)
  }

  /// A lane's block of random records, entered into the ledger.
  private func lane(_ random: inout SplitMix64, _ ledger: inout Ledger, variety: Int) -> Block {
    var state = UInt8(random.below(7))
    let first = word(state, epoch: 1)
    let firstBase = UInt64(1 + random.below(1 << 40))
    var base = firstBase
    var slots: [UInt8] = []
    for _ in 0..<(1 + random.below(300)) {
      switch random.below(20) {
      case 0:
        state = UInt8(random.below(7))
        slots += Records.observed(word(state, epoch: 2), generation: 1)
      case 1:
        base = UInt64(1 + random.below(1 << 40))
        slots += Records.time(monotonic: 7, unix: base)
      case 2:
        let denied = UInt64(random.below(9))
        ledger.unrecorded += denied
        slots += Records.unrecorded(denied)
      case 3: slots += Records.hello(session: 1, epoch: 2)
      case 4: slots += Records.replay(original: 1, frame: 2)
      case 5: slots += Records.tenant(4, frame: 2)
      default:
        let verdict = UInt8(random.below(3))
        let reason = UInt8(1 + random.below(min(variety, 19)))
        let gate = UInt8(random.below(min(variety, 7)))
        let given = UInt8(random.oneIn(10) ? random.below(256) : random.below(min(variety, 128)))
        let domain = UInt8(random.oneIn(10) ? random.below(min(variety, 256)) : 0)
        let time = UInt32(random.below(1 << 30))
        slots += Records.decision(
          verdict, reason, actionClass: given, inputs: UInt16(gate) << 12 | UInt16(random.below(64)),
          domain: domain, time: time)
        let counted: UInt8 = given < 128 || given == 0xFF ? given : 0xFE
        let kind = Ledger.Kind(
          state: state, actionClass: counted, domain: domain, outcome: verdict << 6 | reason, gate: gate)
        ledger.counts[kind, default: 0] += 1
        ledger.times.append(base + UInt64(time) * 1000)
      }
    }
    return Block(lane: 1 + UInt32(random.below(5)), slots, word: first.rawValue, baseUnix: firstBase)
  }

  private func control(_ random: inout SplitMix64, _ ledger: inout Ledger) -> Block {
    var slots: [UInt8] = []
    for _ in 0..<(1 + random.below(4)) {
      var record = Records.transition(
        from: word(1, epoch: 1), to: word(2, epoch: 2), reason: LTP_SIGNAL_OPERATOR, generation: 1)
      if random.oneIn(3) {
        record[LTP_AT_transition_record_flags] = LTP_TRANSITION_REPEATED
      } else {
        ledger.transitions += 1
      }
      slots += record
      if random.oneIn(3) { slots += Records.text(id: 1, "a") }
    }
    return Block(lane: 0, slots)
  }

  @Test("random blocks come to what a dictionary says", arguments: TestSeed.each(1...20))
  func random(_ seed: UInt64) throws {
    var random = SplitMix64(seed: TestSeed.value(seed))
    let counts = try #require(SegmentCounts())
    defer { counts.releaseMemory() }
    for segment in 0..<3 {
      var ledger = Ledger()
      let variety = [2, 4, 128][random.below(3)]
      for _ in 0..<(1 + random.below(20)) {
        let block =
          random.oneIn(4) ? control(&random, &ledger) : lane(&random, &ledger, variety: variety)
        block.count(in: counts)
      }
      ledger.expect(counts, "segment \(segment)")
      expectSummary(counts, blocks: UInt64(random.below(1000)))
      counts.removeAll()
      Ledger().expect(counts, "after segment \(segment)")
      expectNoPlaces(counts)
    }
  }

  /// The index is empty, and so is what a block's walk counts.
  private func expectNoPlaces(_ counts: SegmentCounts) {
    #expect((0..<SegmentCounts.placeCount).allSatisfy { counts.places[$0] == 0 })
    #expect((0..<SegmentCounts.Recent.placeCount).allSatisfy { counts.recent[$0].bits == 0 })
  }

  /// The summary's bytes, read as the C structures, say what was counted.
  private func expectSummary(_ counts: SegmentCounts, blocks: UInt64) {
    let slots = counts.writeSummary(blockCount: blocks)
    #expect(slots == SegmentCounts.summarySlots(entries: counts.entryCount))
    let bytes = SegmentCounts.summaryBytes(entries: counts.entryCount)
    #expect(bytes >= 256 + slots * 32 && bytes % 4096 == 0 && bytes < 256 + slots * 32 + 4096)
    let body = UnsafeRawPointer(counts.block) + 256
    var slot = 0
    var entries = 0
    while RecordView(body, slot: slot).kind == .counts {
      let record = RecordView(body, slot: slot).counts
      #expect(record.pointee.header.slot_count == 8)
      #expect(RecordKind.counts.reservedFault(RecordView(body, slot: slot)) == nil)
      let used = Int(record.pointee.entry_count)
      #expect(used == min(15, counts.entryCount - entries))
      for index in 0..<15 {
        let entry = record.entry(index).pointee
        let expected = index < used ? counts.entry(entries + index) : ltp_counts_entry()
        #expect(Records.bytes(entry) == Records.bytes(expected))
      }
      entries += used
      slot += 8
    }
    #expect(entries == counts.entryCount && slot + 2 == slots)
    let view = RecordView(body, slot: slot)
    #expect(view.kind == .sealed && RecordKind.sealed.reservedFault(view) == nil)
    let sealed = view.sealed.pointee
    #expect(sealed.header.slot_count == 2 && sealed.block_count == blocks)
    #expect(sealed.decision_count == counts.decisionCount)
    #expect(sealed.first_unix_ns == counts.firstUnixNanoseconds)
    #expect(sealed.last_unix_ns == counts.lastUnixNanoseconds)
    #expect(sealed.transition_count == counts.transitionCount)
    #expect(sealed.unrecorded_count == counts.unrecordedCount)
    #expect(sealed.counts_entries == UInt32(entries))
  }

  @Test("a client that sends every class there is makes 130 entries of them")
  func classes() throws {
    let counts = try #require(SegmentCounts())
    defer { counts.releaseMemory() }
    for _ in 0..<8 {
      var slots: [UInt8] = []
      for actionClass in UInt8.min...UInt8.max { slots += Records.decision(0, 18, actionClass: actionClass) }
      Block(lane: 1, slots, word: word(1, epoch: 1).rawValue).count(in: counts)
    }
    #expect(counts.entryCount == 130 && counts.decisionCount == 2048)
    let unknown = SegmentCounts.Key(
      state: 1, actionClass: LTP_COUNTS_CLASS_UNKNOWN, domain: 0, outcome: 18, gate: LTP_GATE_NONE)
    #expect(counts.count(of: unknown) == 8 * (256 - 129))
  }

  @Test("more kinds than entries are refused, and nothing is written past the entries")
  func overfull() throws {
    let counts = try #require(SegmentCounts())
    defer { counts.releaseMemory() }
    var added = 0
    for state in UInt8(0)..<16 {
      for gate in UInt8(0)..<16 {
        for outcome in UInt8.min...UInt8.max {
          var entry = ltp_counts_entry()
          entry.count = UInt64(added + 1)
          (entry.state, entry.gate, entry.outcome) = (state, gate, outcome)
          counts.add(entry)
          added += 1
          #expect(counts.isOverfull == (added > SegmentCounts.entriesMax))
        }
      }
    }
    #expect(counts.entryCount == SegmentCounts.entriesMax)
    for index in 0..<counts.entryCount {
      let entry = counts.entry(index)
      guard entry.count == UInt64(index + 1), counts.count(of: SegmentCounts.Key(entry)) == entry.count else {
        Issue.record("entry \(index)")
        return
      }
    }
    let missing = SegmentCounts.Key(state: 15, actionClass: 0, domain: 0, outcome: 255, gate: 15)
    #expect(counts.count(of: missing) == 0)
    #expect(SegmentCounts.summaryBytes(entries: SegmentCounts.entriesMax) <= BlockHeader.bytesMax)
    counts.removeAll()
    #expect(counts.entryCount == 0 && !counts.isOverfull && counts.count(of: missing) == 0)
    expectNoPlaces(counts)
  }

  @Test("a control record that runs past its block, or is none, ends the count of its block")
  func malformed() throws {
    let counts = try #require(SegmentCounts())
    defer { counts.releaseMemory() }
    let whole = Records.transition(
      from: word(1, epoch: 1), to: word(2, epoch: 2), reason: LTP_SIGNAL_OPERATOR, generation: 1)
    Block(lane: 0, Array(whole[..<128])).count(in: counts)
    Block(lane: 0, Records.decision(0, 1, actionClass: 1) + whole).count(in: counts)
    #expect(counts.transitionCount == 0)
    Block(lane: 0, whole + whole[..<32]).count(in: counts)
    #expect(counts.transitionCount == 1)
    // A lane's slots are one by one, whatever they say.
    let closed = Records.closed(decisions: 0, unrecorded: 0)
    Block(lane: 1, closed + Records.decision(0, 1, actionClass: 1)).count(in: counts)
    #expect(counts.transitionCount == 1 && counts.decisionCount == 1)
  }
}
