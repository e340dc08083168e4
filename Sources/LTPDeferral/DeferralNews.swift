// SPDX-License-Identifier: Apache-2.0
// What the trace is to be told of the deferral log, record by record and in its order, each only once it is durable there. So the
// trace tells nothing that a crash takes back; and what a crash kept from it is told when the log is opened again.

import CLTP
import CLTPSystem
import LTPRecords

/// A queue of records as the trace has them. Memory that is the owner's to give back (`releaseMemory`).
package struct DeferralNews {
  private static let entryBytes = MemoryLayout<ltp_intent_record>.size
  /// Beyond it nothing is taken, so that a trace that takes nothing holds the log up, and not memory.
  static let countMax = 1 << 14

  private var memory: UnsafeMutableRawPointer
  private var capacity: Int
  private var first = 0
  package private(set) var count = 0

  /// nil: no memory. It is taken as it is used.
  init?() {
    capacity = 2 * Self.countMax
    guard let memory = ltp_system_map(capacity * Self.entryBytes, 0) else { return nil }
    self.memory = memory
  }

  func releaseMemory() { ltp_system_unmap(memory, capacity * Self.entryBytes) }

  var hasRoom: Bool { count < Self.countMax }

  private func entry(_ place: Int) -> UnsafeMutableRawPointer {
    memory + (first + place) % capacity * Self.entryBytes
  }

  /// The next one, an ltp_intent_record or an ltp_step_record; nil: there is none.
  package var next: UnsafeRawPointer? { count > 0 ? UnsafeRawPointer(entry(0)) : nil }

  mutating func removeFirst() {
    first = (first + 1) % capacity
    count -= 1
  }

  /// False: no memory.
  mutating func append<Record>(_ record: Record) -> Bool {
    if count == capacity { guard grow() else { return false } }
    storeRecord(record, at: entry(count))
    count += 1
    return true
  }

  /// Recovery may find more that is to be told than is ever let in.
  private mutating func grow() -> Bool {
    let bytes = capacity * Self.entryBytes
    guard let larger = ltp_system_map(2 * bytes, 0) else { return false }
    let behind = (capacity - first) * Self.entryBytes
    larger.copyMemory(from: memory + first * Self.entryBytes, byteCount: behind)
    (larger + behind).copyMemory(from: memory, byteCount: bytes - behind)
    ltp_system_unmap(memory, bytes)
    (memory, capacity, first) = (larger, 2 * capacity, 0)
    return true
  }
}

extension ltp_intent_record {
  /// Of an intent whose record in the deferral log ends at `sequence`.
  init(_ intent: UnsafePointer<ltp_deferral_intent>, sequence: UInt64) {
    self.init()
    header = ltp_control_header(.intent)
    self.sequence = sequence
    ticket = intent.pointee.ticket
    frame_id = intent.pointee.request.frame_id
    session_id = intent.pointee.request.session_id
    kept_unix_ns = intent.pointee.kept_unix_ns
    expires_unix_ns = intent.pointee.expires_unix_ns
    key = intent.pointee.key
    payload_bytes = intent.pointee.payload_bytes
    attempts_max = intent.pointee.attempts_max
    action_class = intent.pointee.request.action_class
    condition = intent.pointee.condition
    moved = intent.pointee.flags & LTP_INTENT_MOVED != 0 ? 1 : 0
    content_hash = intent.pointee.content_hash
  }
}

extension ltp_step_record {
  init(_ step: ltp_deferral_step, sequence: UInt64) {
    self.init()
    header = ltp_control_header(.step)
    self.sequence = sequence
    ticket = step.ticket
    unix_ns = step.unix_ns
    until_unix_ns = step.until_unix_ns
    self.step = step.step
    end = step.end
    known = step.known
    attempt = step.attempt
  }
}
