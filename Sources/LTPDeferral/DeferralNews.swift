// SPDX-License-Identifier: Apache-2.0
// What the trace is to be told of the deferral log, record by record and in its order, each only once it is durable there. So the
// trace tells nothing that a crash takes back; and what a crash kept from it is told when the log is opened again.

import CLTP
import CLTPSystem
import LTPRecords
import Synchronization

/// A queue of records as the trace has them: whoever holds the log's lock appends, and one thread, the trace's writer, takes, without it. A handle:
/// copies refer to the same queue. Memory that is the owner's to give back (`releaseMemory`).
package struct DeferralNews {
  private static let entryBytes = MemoryLayout<ltp_intent_record>.size
  /// Beyond it nothing is taken, so that a trace that takes nothing holds the log up, and not memory.
  static let countMax = 1 << 14

  private var memory: UnsafeMutableRawPointer
  private var capacity: UInt64
  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  // Entries appended and taken so far.
  private var appended: UnsafeMutablePointer<Atomic<UInt64>> { words }
  private var taken: UnsafeMutablePointer<Atomic<UInt64>> { words + 8 }

  /// nil: no memory. It is taken as it is used.
  init?() {
    capacity = UInt64(2 * Self.countMax)
    guard let memory = ltp_system_map(Int(capacity) * Self.entryBytes, 0),
      let words = ltp_system_map(4096, 0)
    else { return nil }
    self.memory = memory
    self.words = words.bindMemory(to: Atomic<UInt64>.self, capacity: 16)
  }

  func releaseMemory() {
    ltp_system_unmap(memory, Int(capacity) * Self.entryBytes)
    ltp_system_unmap(words, 4096)
  }

  package var count: Int {
    let taken = self.taken.pointee.load(ordering: .acquiring)
    return Int(appended.pointee.load(ordering: .acquiring) - taken)
  }

  var hasRoom: Bool { count < Self.countMax }

  /// Where the last record ends that the trace was or is to be told since the log was opened; 0: there is none.
  var lastSequence: UInt64 {
    let number = appended.pointee.load(ordering: .relaxed)
    // An entry stays as it is until later ones come round to its place.
    return number == 0 ? 0 : Self.sequence(UnsafeRawPointer(entry(number - 1)))
  }

  private func entry(_ number: UInt64) -> UnsafeMutableRawPointer {
    memory + Int(number % capacity) * Self.entryBytes
  }

  /// The next one, an ltp_intent_record or an ltp_step_record, if the log is durable up to its end; nil: there is none.
  package func next(durable: UInt64) -> UnsafeRawPointer? {
    let number = taken.pointee.load(ordering: .relaxed)
    guard number < appended.pointee.load(ordering: .acquiring) else { return nil }
    let record = UnsafeRawPointer(entry(number))
    return Self.sequence(record) <= durable ? record : nil
  }

  /// The trace has it.
  package func isTold() {
    taken.pointee.store(taken.pointee.load(ordering: .relaxed) + 1, ordering: .releasing)
  }

  /// The same place in both records.
  private static func sequence(_ record: UnsafeRawPointer) -> UInt64 {
    record.load(fromByteOffset: MemoryLayout<ltp_control_header>.size, as: UInt64.self)
  }

  /// False: no memory.
  mutating func append<Record>(_ record: Record) -> Bool {
    if count == Int(capacity) { guard grow() else { return false } }
    let number = appended.pointee.load(ordering: .relaxed)
    storeRecord(record, at: entry(number))
    appended.pointee.store(number + 1, ordering: .releasing)
    return true
  }

  /// Recovery may find more that is to be told than is ever let in. Nobody takes yet.
  private mutating func grow() -> Bool {
    let bytes = Int(capacity) * Self.entryBytes
    guard let larger = ltp_system_map(2 * bytes, 0) else { return false }
    // Nothing was taken: the queue begins where its memory does.
    larger.copyMemory(from: memory, byteCount: bytes)
    ltp_system_unmap(memory, bytes)
    (memory, capacity) = (larger, 2 * capacity)
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
    attempts = intent.pointee.attempts
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
