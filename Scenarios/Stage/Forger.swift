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
      if name.hasSuffix(".ltp") {
        bytes.withUnsafeMutableBytes { changed += sealAgain($0, &previous, change) }
      }
      try Data(bytes).write(to: URL(fileURLWithPath: "\(to)/\(name)"))
    }
    return changed
  }

  private static func sealAgain(
    _ segment: UnsafeMutableRawBufferPointer, _ previous: inout [UInt8]?,
    _ change: (inout ltp_decision_record) -> Void
  ) -> Int {
    var changed = 0
    var offset = 0
    while offset + Int(LTP_BLOCK_HEADER_BYTES) <= segment.count {
      let block = segment.baseAddress! + offset
      let header = block.load(as: ltp_block_header.self)
      guard header.magic == LTP_BLOCK_MAGIC, offset + Int(header.size_bytes) <= segment.count else { break }
      if header.lane_id != LTP_CONTROL_LANE {
        changed += changeDecisions(block, Int(header.slot_count), change)
      }
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

  private static func sha256(_ bytes: UnsafeRawPointer, _ count: Int) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    precondition(ltp_system_sha256(bytes, count, &digest) == 0, "no memory to hash")
    return digest
  }

  private static func store(_ digest: [UInt8], to place: UnsafeMutableRawPointer) {
    digest.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }
}
