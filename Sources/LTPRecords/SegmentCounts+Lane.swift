// SPDX-License-Identifier: Apache-2.0
// Counting a lane's block. The writer does this for every slot that it appends, so a decision like one that the block has had costs two
// loads, a search that ends at its first place, and an increment.

import CLTP

extension SegmentCounts {
  /// One kind of decision in the block that is being walked. The place of a kind follows from its bits alone; a kind that finds
  /// another one there sends it to the entries and takes the place.
  struct Recent {
    static var placeBits: Int { 9 }
    static var placeCount: Int { 1 << placeBits }

    /// What of a record's first 8 bytes tells its kind, and that it is a decision; above it the state. 0: nothing.
    var bits: UInt64
    // Slots take turns, because an increment that waits for the one before it costs more than all the rest.
    var even: UInt32
    var odd: UInt32
  }

  /// What a walk has come to: the state and the time that the records to come are under, and the decisions since the base changed.
  private struct Walk {
    var state: UInt8
    var stateBits: UInt64
    var baseUnixNanoseconds: UInt64
    var first = UInt32.max
    var last: UInt32 = 0

    init(_ header: BlockHeader) {
      state = OrientationWord(rawValue: header.orientationWord).state
      stateBits = Self.bits(of: state)
      baseUnixNanoseconds = header.baseUnixNanoseconds
    }

    /// Never zero. The upper two bytes of the record's first 8 are priority and cohort, which are not counted by.
    static func bits(of state: UInt8) -> UInt64 {
      UInt64(state) << UInt64(LTP_AT_decision_record_priority * 8) | 1 << 63
    }
  }

  private static var kindMask: UInt64 {
    0xFF << UInt64(LTP_AT_decision_record_kind * 8) | 0xFF << UInt64(LTP_AT_decision_record_outcome * 8)
      | (UInt64(0xFFFF) << UInt64(LTP_INPUT_GATE_SHIFT) & 0xFFFF) << UInt64(LTP_AT_decision_record_inputs * 8)
      | 0xFF << UInt64(LTP_AT_decision_record_action_class * 8)
      | 0xFF << UInt64(LTP_AT_decision_record_domain * 8)
  }

  func addLane(_ header: BlockHeader) {
    var walk = Walk(header)
    var next = header.body
    let end = next + header.bodyBytes
    while next + 2 * Int(LTP_SLOT_BYTES) <= end {
      step(next, &walk, isOdd: false)
      step(next + Int(LTP_SLOT_BYTES), &walk, isOdd: true)
      next += 2 * Int(LTP_SLOT_BYTES)
    }
    if next < end { step(next, &walk, isOdd: false) }
    leave(&walk)
    flush()
  }

  @inline(__always)
  private func step(_ slot: UnsafeRawPointer, _ walk: inout Walk, isOdd: Bool) {
    let bits = slot.load(as: UInt64.self) & Self.kindMask | walk.stateBits
    let place = recent + place(of: bits)
    if place.pointee.bits != bits { guard beginKind(slot, bits, &walk) else { return } }
    let time = slot.load(fromByteOffset: LTP_AT_decision_record_time_us, as: UInt32.self)
    walk.first = min(walk.first, time)
    walk.last = max(walk.last, time)
    if isOdd { place.pointee.odd &+= 1 } else { place.pointee.even &+= 1 }
  }

  @inline(__always)
  private func place(of bits: UInt64) -> Int {
    Int(truncatingIfNeeded: (bits &* 0x9E37_79B9_7F4A_7C15) &>> UInt64(64 - Recent.placeBits))
  }

  /// A slot that is not like what its place holds. True: it is a decision, and the place is its kind's now.
  @inline(never)
  private func beginKind(_ slot: UnsafeRawPointer, _ bits: UInt64, _ walk: inout Walk) -> Bool {
    let record = RecordView(slot)
    switch record.kind {
    case .decision:
      let place = recent + place(of: bits)
      flush(place)
      place.pointee.bits = bits
      return true
    case .observed:
      walk.state = OrientationWord(rawValue: record.observed.pointee.orientation_word).state
      walk.stateBits = Walk.bits(of: walk.state)
    case .time:
      leave(&walk)
      walk.baseUnixNanoseconds = record.time.pointee.base_unix_ns
    case .unrecorded: totals.pointee.unrecorded &+= record.unrecorded.pointee.denied_count
    case .replay, .tenant, .hello, .voided, .kept: break
    // Not a lane's; `ltp inspect` says so.
    case nil, .opened, .segment, .transition, .policy, .text, .sealed, .closed, .counts, .domains, .intent,
      .step, .deferral:
      break
    }
    return false
  }

  /// The times so far count from a base that ends here.
  private func leave(_ walk: inout Walk) {
    guard walk.first <= walk.last else { return }
    totals.pointee.firstUnixNanoseconds = min(
      totals.pointee.firstUnixNanoseconds, walk.baseUnixNanoseconds &+ UInt64(walk.first) &* 1000)
    totals.pointee.lastUnixNanoseconds = max(
      totals.pointee.lastUnixNanoseconds, walk.baseUnixNanoseconds &+ UInt64(walk.last) &* 1000)
    walk.first = .max
    walk.last = 0
  }

  private func flush() {
    for index in 0..<Recent.placeCount where recent[index].bits != 0 { flush(recent + index) }
  }

  private func flush(_ place: UnsafeMutablePointer<Recent>) {
    let kind = place.pointee
    guard kind.bits != 0 else { return }
    let count = UInt64(kind.even) + UInt64(kind.odd)
    totals.pointee.decisions += count
    add(count, of: Key(bits: kind.bits))
    place.pointee = Recent(bits: 0, even: 0, odd: 0)
  }
}

extension SegmentCounts.Key {
  /// Of `Recent.bits`.
  fileprivate init(bits: UInt64) {
    let inputs = UInt16(truncatingIfNeeded: bits >> UInt64(LTP_AT_decision_record_inputs * 8))
    self.init(
      state: UInt8(truncatingIfNeeded: bits >> UInt64(LTP_AT_decision_record_priority * 8)),
      actionClass: Self.counted(
        UInt8(truncatingIfNeeded: bits >> UInt64(LTP_AT_decision_record_action_class * 8))),
      domain: UInt8(truncatingIfNeeded: bits >> UInt64(LTP_AT_decision_record_domain * 8)),
      outcome: UInt8(truncatingIfNeeded: bits >> UInt64(LTP_AT_decision_record_outcome * 8)),
      gate: gateOf(inputs: inputs))
  }
}
