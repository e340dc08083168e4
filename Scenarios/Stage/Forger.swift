// SPDX-License-Identifier: Apache-2.0
// Somebody with write access to a trace, who has read docs/FORMAT.md: changes records and seals every block again from there on. The chain
// holds then, so whoever finds it has decided again, and has looked what had to come before.

import CLTP
import CLTPSystem
import Foundation

package enum Forger {
  /// Copies the trace in `from` to `to`, made anew, with each decision as `change` leaves it; how many it changed.
  package static func forge(
    from: String, to: String, change: (inout ltp_decision_record) -> Void
  ) throws -> Int {
    try forge(from: from, to: to) { block, header in
      header.lane_id == LTP_CONTROL_LANE ? 0 : changeDecisions(block, Int(header.slot_count), change)
    }
  }

  /// Copies the trace in `from` to `to`, made anew, without the first step of an intent for which it holds; whether there was one. Its
  /// block holds something else, too.
  package static func forge(from: String, to: String, without isIt: (ltp_step_record) -> Bool) throws -> Bool
  {
    var goneSlots: UInt64 = 0
    return try forge(from: from, to: to) { block, header in
      guard header.lane_id == LTP_CONTROL_LANE else { return 0 }
      // What comes after it is said to come earlier.
      header.first_sequence -= goneSlots
      guard goneSlots == 0 else { return 0 }
      goneSlots = takeOut(block, &header, isIt)
      return goneSlots > 0 ? 1 : 0
    } == 1
  }

  private static func forge(
    from: String, to: String, block change: (UnsafeMutableRawPointer, inout ltp_block_header) -> Int
  ) throws -> Int {
    let files = FileManager.default
    try? files.removeItem(atPath: to)
    try files.createDirectory(atPath: to, withIntermediateDirectories: true)
    var previous: [UInt8]?
    var changed = 0
    for name in try files.contentsOfDirectory(atPath: from).sorted() {
      guard let whole = files.contents(atPath: "\(from)/\(name)") else {
        throw ScenarioFailure("cannot read \(from)/\(name)")
      }
      var bytes = [UInt8](whole)
      // A deferral log beside the trace is a chain of its own.
      if name.hasSuffix(".ltp"), !name.hasPrefix("deferred-") {
        bytes.withUnsafeMutableBytes { changed += sealAgain($0, &previous, change) }
      }
      try Data(bytes).write(to: URL(fileURLWithPath: "\(to)/\(name)"))
    }
    return changed
  }

  private static func sealAgain(
    _ segment: UnsafeMutableRawBufferPointer, _ previous: inout [UInt8]?,
    _ change: (UnsafeMutableRawPointer, inout ltp_block_header) -> Int
  ) -> Int {
    var changed = 0
    var offset = 0
    while offset + Int(LTP_BLOCK_HEADER_BYTES) <= segment.count {
      let block = segment.baseAddress! + offset
      var header = block.load(as: ltp_block_header.self)
      guard header.magic == LTP_BLOCK_MAGIC, offset + Int(header.size_bytes) <= segment.count else { break }
      changed += change(block, &header)
      block.storeBytes(of: header, as: ltp_block_header.self)
      if let previous { store(previous, to: block + LTP_AT_block_header_previous_hash) }
      let body = block + Int(LTP_BLOCK_HEADER_BYTES)
      store(
        sha256(body, Int(header.slot_count) * Int(LTP_SLOT_BYTES)), to: block + LTP_AT_block_header_body_hash)
      let hash = sha256(block, LTP_AT_block_header_block_hash)
      store(hash, to: block + LTP_AT_block_header_block_hash)
      previous = hash
      offset += Int(header.size_bytes)
    }
    return changed
  }

  private static func changeDecisions(
    _ block: UnsafeMutableRawPointer, _ slotCount: Int, _ change: (inout ltp_decision_record) -> Void
  ) -> Int {
    var changed = 0
    for slot in 0..<slotCount {
      let place = block + Int(LTP_BLOCK_HEADER_BYTES) + slot * Int(LTP_SLOT_BYTES)
      guard place.load(as: UInt8.self) == LTP_RECORD_DECISION else { continue }
      let record = place.bindMemory(to: ltp_decision_record.self, capacity: 1)
      let before = record.pointee
      change(&record.pointee)
      if withUnsafeBytes(of: before, { old in memcmp(old.baseAddress!, place, old.count) != 0 }) {
        changed += 1
      }
    }
    return changed
  }

  /// How many slots are gone.
  private static func takeOut(
    _ block: UnsafeMutableRawPointer, _ header: inout ltp_block_header, _ isIt: (ltp_step_record) -> Bool
  ) -> UInt64 {
    let slotBytes = Int(LTP_SLOT_BYTES)
    let body = block + Int(LTP_BLOCK_HEADER_BYTES)
    var slot = 0
    while slot < Int(header.slot_count) {
      let place = body + slot * slotBytes
      let count = Int(place.load(as: ltp_control_header.self).slot_count)
      let left = Int(header.slot_count) - slot - count
      guard count > 0, left >= 0 else { return 0 }
      // Blocks are whole pages: one that would lose a page would move all that follow.
      let bytes = Int(LTP_BLOCK_HEADER_BYTES) + (Int(header.slot_count) - count) * slotBytes
      if place.load(as: UInt8.self) == LTP_RECORD_STEP, isIt(place.load(as: ltp_step_record.self)),
        slot > 0 || left > 0, Int(header.size_bytes) - bytes < Int(LTP_TRACE_PAGE_BYTES)
      {
        memmove(place, place + count * slotBytes, left * slotBytes)
        memset(place + left * slotBytes, 0, count * slotBytes)
        header.slot_count -= UInt32(count)
        return UInt64(count)
      }
      slot += count
    }
    return 0
  }

  private static func sha256(_ bytes: UnsafeRawPointer, _ count: Int) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    precondition(ltp_system_sha256(bytes, count, &digest) == 0, "no memory to hash")
    return digest
  }

  private static func store(_ digest: [UInt8], to place: UnsafeMutableRawPointer) {
    digest.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }
}
