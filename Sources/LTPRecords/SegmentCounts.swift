// SPDX-License-Identifier: Apache-2.0
// What the decisions of one segment come to: how many there are of each kind (class, domain, state, outcome, limit), between which times,
// and how many transitions and unrecorded denials the segment holds. The writer counts each block that it appends and ends the
// segment with the result; recovery and `ltp inspect` count again.
//
// Invariants (`checkInvariants`)
//   - The entries are those of COUNTS records, in the order in which they first came; no two have one key.
//   - The index is a hash table with open addressing: a place holds 0 or the number of an entry, counted from 1. At most half
//     of the places are used, so a search ends soon.
//   - Memory is mapped once and touched only as far as it is used.

package import CLTP
import CLTPSystem

/// A handle: copies of it mean the same counts. Whoever made it ends it with `releaseMemory`.
package struct SegmentCounts {
  /// So many entries fit in one block of the greatest size, before its SEALED record.
  package static var entriesMax: Int { recordsMax * Int(LTP_COUNTS_ENTRIES) }
  private static var recordsMax: Int {
    (BlockHeader.slotCountMax(blockBytes: BlockHeader.bytesMax) - RecordKind.sealed.slotCount)
      / RecordKind.counts.slotCount
  }

  static var placeBits: Int { 17 }
  static var placeCount: Int { 1 << placeBits }

  struct Totals {
    var entryCount = 0
    var decisions: UInt64 = 0
    var transitions: UInt64 = 0
    var unrecorded: UInt64 = 0
    var firstUnixNanoseconds = UInt64.max
    var lastUnixNanoseconds: UInt64 = 0
    /// Keys came for which there was no entry left.
    var isOverfull = false
  }

  let memory: UnsafeMutableRawPointer
  let totals: UnsafeMutablePointer<Totals>
  let entries: UnsafeMutablePointer<ltp_counts_entry>
  let places: UnsafeMutablePointer<UInt16>
  let recent: UnsafeMutablePointer<Recent>

  // A page for the totals, what a block's walk counts, the index, the entries, then room for the block that they are written to.
  private static var recentOffset: Int { Int(LTP_TRACE_PAGE_BYTES) }
  private static var placesOffset: Int { recentOffset + Recent.placeCount * MemoryLayout<Recent>.stride }
  private static var entriesOffset: Int { placesOffset + placeCount * MemoryLayout<UInt16>.stride }
  private static var blockOffset: Int {
    let page = Int(LTP_TRACE_PAGE_BYTES)
    let end = entriesOffset + entriesMax * MemoryLayout<ltp_counts_entry>.stride
    return (end + page - 1) / page * page
  }
  package static var memoryBytes: Int { blockOffset + BlockHeader.bytesMax }

  /// Nothing counted yet. Nil: there is no memory.
  package init?() {
    assert(Self.entriesMax <= Int(UInt16.max) && 2 * Self.entriesMax <= Self.placeCount)
    guard let memory = ltp_system_map(Self.memoryBytes, LTP_SYSTEM_NOT_IN_CHILD) else { return nil }
    self.memory = memory
    totals = memory.bindMemory(to: Totals.self, capacity: 1)
    totals.initialize(to: Totals())
    places = (memory + Self.placesOffset).bindMemory(to: UInt16.self, capacity: Self.placeCount)
    recent = (memory + Self.recentOffset).bindMemory(to: Recent.self, capacity: Recent.placeCount)
    entries = (memory + Self.entriesOffset).bindMemory(to: ltp_counts_entry.self, capacity: Self.entriesMax)
  }

  package func releaseMemory() { ltp_system_unmap(memory, Self.memoryBytes) }

  package var entryCount: Int { totals.pointee.entryCount }
  package var decisionCount: UInt64 { totals.pointee.decisions }
  package var transitionCount: UInt64 { totals.pointee.transitions }
  package var unrecordedCount: UInt64 { totals.pointee.unrecorded }
  package var isOverfull: Bool { totals.pointee.isOverfull }
  /// Of the decisions; 0 when there are none.
  package var firstUnixNanoseconds: UInt64 { decisionCount == 0 ? 0 : totals.pointee.firstUnixNanoseconds }
  package var lastUnixNanoseconds: UInt64 { totals.pointee.lastUnixNanoseconds }

  /// `index` is below `entryCount`.
  package func entry(_ index: Int) -> ltp_counts_entry {
    precondition(index < entryCount)
    return entries[index]
  }

  /// How many decisions of this kind there are.
  package func count(of key: Key) -> UInt64 {
    let position = places[place(of: key)]
    return position == 0 ? 0 : entries[Int(position) - 1].count
  }

  /// Memory for the block that ends the segment, on a page.
  package var block: UnsafeMutableRawPointer { memory + Self.blockOffset }

  package func removeAll() {
    // Place by place, so that memory which was never touched stays so. The last one first: what a search for an entry passes on its way
    // came before it, and must still be there.
    for index in (0..<entryCount).reversed() {
      places[place(of: Key(entries[index]))] = 0
      entries[index] = ltp_counts_entry()
    }
    totals.pointee = Totals()
  }

  // MARK: Adding

  /// Counts the records of a block whose shape has been checked. (Lanes': SegmentCounts+Lane.swift.)
  package func add(_ header: BlockHeader) {
    if header.laneID == UInt32(LTP_CONTROL_LANE) { addControl(header) } else { addLane(header) }
  }

  private func addControl(_ header: BlockHeader) {
    // What cannot be made out is for `ltp inspect` to name.
    header.forEachControlRecord { kind, record, _ in
      if kind == .transition, !record.transition.isRepeated { totals.pointee.transitions += 1 }
    }
  }

  /// Counts an entry of a COUNTS record into the entries only.
  package func add(_ entry: ltp_counts_entry) { add(entry.count, of: Key(entry)) }

  /// Counts into the entries only.
  package func add(_ count: UInt64, of key: Key) {
    let place = place(of: key)
    let position = places[place]
    if position != 0 {
      entries[Int(position) - 1].count &+= count
    } else {
      enter(count, of: key, at: place)
    }
  }

  /// Where the key is, or where it belongs.
  @inline(__always)
  private func place(of key: Key) -> Int {
    var place = key.hash
    while true {
      let position = places[place]
      if position == 0 || Key(at: entries + (Int(position) - 1)) == key { return place }
      place = (place + 1) & (Self.placeCount - 1)
    }
  }

  @inline(never)
  private func enter(_ count: UInt64, of key: Key, at place: Int) {
    let index = totals.pointee.entryCount
    guard index < Self.entriesMax else {
      totals.pointee.isOverfull = true
      return
    }
    entries[index] = key.entry(count: count)
    totals.pointee.entryCount = index + 1
    places[place] = UInt16(index + 1)
  }

  // MARK: Invariants

  /// For assertions and tests. Costs a search for each entry.
  package func checkInvariants() -> Bool {
    guard entryCount <= Self.entriesMax, isOverfull || (decisionCount == 0) == (entryCount == 0) else {
      return false
    }
    var decisions: UInt64 = 0
    for index in 0..<entryCount {
      guard entries[index].count > 0, Int(places[place(of: Key(entries[index]))]) == index + 1 else {
        return false
      }
      decisions &+= entries[index].count
    }
    return isOverfull ? decisions <= decisionCount : decisions == decisionCount
  }
}

extension SegmentCounts {
  /// What decisions are counted by, as it stands in an entry: the 8 bytes after its count.
  package struct Key: Equatable {
    let word: UInt64

    package init(state: UInt8, actionClass: UInt8, domain: UInt8, outcome: UInt8, gate: UInt8) {
      word =
        UInt64(actionClass) &<< Self.shift(LTP_AT_counts_entry_action_class)
        | UInt64(domain) &<< Self.shift(LTP_AT_counts_entry_domain)
        | UInt64(state) &<< Self.shift(LTP_AT_counts_entry_state)
        | UInt64(outcome) &<< Self.shift(LTP_AT_counts_entry_outcome)
        | UInt64(gate) &<< Self.shift(LTP_AT_counts_entry_gate)
    }

    package init(_ decision: DecisionWord, state: UInt8) {
      self.init(
        state: state, actionClass: Self.counted(decision.actionClass), domain: decision.domain,
        outcome: decision.outcome.rawValue, gate: decision.gate)
    }

    /// Of an entry whose reserved bytes are zero.
    @inline(__always)
    init(at entry: UnsafePointer<ltp_counts_entry>) {
      word = UnsafeRawPointer(entry).load(
        fromByteOffset: LTP_AT_counts_entry_action_class, as: UInt64.self)
    }

    package init(_ entry: ltp_counts_entry) {
      self.init(
        state: entry.state, actionClass: entry.action_class, domain: entry.domain, outcome: entry.outcome,
        gate: entry.gate)
    }

    /// The class that decisions of this class are counted as.
    package static func counted(_ actionClass: UInt8) -> UInt8 {
      actionClass < UInt8(LTP_CLASS_COUNT) || actionClass == LTP_CLASS_NONE
        ? actionClass : LTP_COUNTS_CLASS_UNKNOWN
    }

    @inline(__always)
    private static func shift(_ offset: Int) -> UInt64 {
      UInt64(offset - LTP_AT_counts_entry_action_class) * 8
    }

    /// The upper bits of a product, which every bit of the key has a part in.
    @inline(__always)
    var hash: Int {
      Int(truncatingIfNeeded: (word &* 0x9E37_79B9_7F4A_7C15) &>> UInt64(64 - SegmentCounts.placeBits))
    }

    func entry(count: UInt64) -> ltp_counts_entry {
      var entry = ltp_counts_entry()
      entry.count = count
      entry.action_class = UInt8(truncatingIfNeeded: word &>> Self.shift(LTP_AT_counts_entry_action_class))
      entry.domain = UInt8(truncatingIfNeeded: word &>> Self.shift(LTP_AT_counts_entry_domain))
      entry.state = UInt8(truncatingIfNeeded: word &>> Self.shift(LTP_AT_counts_entry_state))
      entry.outcome = UInt8(truncatingIfNeeded: word &>> Self.shift(LTP_AT_counts_entry_outcome))
      entry.gate = UInt8(truncatingIfNeeded: word &>> Self.shift(LTP_AT_counts_entry_gate))
      return entry
    }
  }
}
