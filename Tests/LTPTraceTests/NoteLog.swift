// SPDX-License-Identifier: Apache-2.0
// A second log beside the trace, with a chain of its own on the same disk and the same queue: numbered notes. It knows
// nothing of lanes, policies or the orientation, which shows that the chain does not either.

import CLTP
import CLTPSystem
import LTPRecords
import LTPTestSupport

@testable import LTPStorage

/// What the host remembers of its notes, beside the log. Outlives every crash.
final class NoteBook {
  /// Notes that were handed over: 0 ..< issued.
  var issued: UInt64 = 0
  /// Notes below this were acknowledged as durable.
  var acknowledged: UInt64 = 0
  var rotations = 0
  var recoveries = 0
}

/// A note as it lies on disk: a slot whose words all follow from its number.
private func noteWords(_ number: UInt64) -> (UInt64, UInt64, UInt64, UInt64) {
  (0x4E4F_5445, number, number &* 0x9E37_79B9_7F4A_7C15, ~number)
}

/// Reads notes at recovery: each must be the next one.
private struct NoteReader: BlockReader {
  /// Nil: no note has been read; the first ones may have left with their segments.
  var next: UInt64?
  var sequence: UInt64 = 0
  var broken: String?

  mutating func beginSegment(isLast: Bool) {}

  mutating func read(_ header: BlockHeader) -> Bool {
    guard header.laneID == 1 else { return true }
    for slot in 0..<header.slotCount {
      let words = SlotBytes(header.body + slot * Int(LTP_SLOT_BYTES)).words
      let number = next ?? words.1
      if words != noteWords(number) { broken = broken ?? "note \(number) is not what was written" }
      next = number + 1
    }
    if header.firstSequence + UInt64(header.slotCount) != next { broken = broken ?? "a note's sequence" }
    return false
  }
}

final class NoteLog {
  static let prefix: StaticString = "notes-"
  static let naming = ChainNaming(prefix: prefix)
  private static let notesPerBlockMax = 200

  let book: NoteBook
  let recovered: RecoveredChain
  private let configuration: ChainConfiguration
  private let staging: UnsafeMutableRawPointer
  private var chain: Chain
  private var sealed: UInt64
  private var segment: UInt64

  /// Recovers the notes from `device`. What is left of them must be all that was acknowledged, and in order.
  init<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, beside trace: ChainConfiguration, book: NoteBook
  ) throws(OpenFault) {
    var configuration = trace
    configuration.naming = Self.naming
    configuration.owner = 1
    configuration.stagingCount = 3
    configuration.stagingBufferIndex = 65
    var reader = NoteReader()
    recovered = try ChainRecovery.open(&device, configuration: configuration, into: &reader)
    self.configuration = configuration
    self.book = book
    let next = reader.next ?? 0
    if reader.broken != nil || next < book.acknowledged || next > book.issued {
      recovered.close(&device)
      throw OpenFault(Self.brokenStatus, "the notes are not what was written, or acknowledged ones are gone")
    }
    book.issued = next
    book.recoveries += 1
    sealed = next
    segment = recovered.position.segmentIndex
    staging = ltp_system_map(configuration.stagingBytes, 0)!
    chain = Chain(recovered, configuration: configuration, staging: staging)
  }

  /// Of a log that opened, and should not have.
  static let brokenStatus: Int32 = -1

  deinit { ltp_system_unmap(staging, configuration.stagingBytes) }

  /// Hands over so many notes more.
  func write(_ count: Int) { book.issued += UInt64(count) }

  var hasFailed: Bool { chain.failure != nil }
  var isDrained: Bool { sealed == book.issued && chain.isSettled }

  /// One turn. Whichever log reaps takes the other's completions too.
  func step<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64
  ) throws(Violation) {
    queue.reap(waitNanoseconds: 0)
    chain.settle(now: now, &queue)
    try takeDurable()
    if chain.failure == nil { advance(&queue, now: now) }
    chain.pump(&queue)
    queue.reap(waitNanoseconds: 0)
    chain.settle(now: now, &queue)
    try takeDurable()
    if let broken = chain.checkInvariants(stagedOutside: 0) { throw Violation("notes: \(broken)") }
  }

  private func advance<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64
  ) {
    if chain.beginSegment(&queue) {
      if chain.position.segmentIndex > segment { book.rotations += 1 }
      segment = chain.position.segmentIndex
    }
    while chain.isOpen, sealed < book.issued {
      let count = Int(min(book.issued - sealed, UInt64(Self.notesPerBlockMax)))
      switch chain.room(for: BlockHeader.sizeBytes(slotCount: count), before: Int(LTP_TRACE_PAGE_BYTES)) {
      case .later: return
      case .segmentIsFull:
        _ = append(lane: 0, slotCount: 1, at: now, &queue, isLast: true)
        return
      case .fits:
        guard append(lane: 1, slotCount: count, at: now, &queue, isLast: false) else { return }
      }
    }
  }

  /// False: every staging buffer is in use.
  private func append<Device: StorageDevice & ~Copyable>(
    lane: UInt32, slotCount: Int, at now: UInt64, _ queue: inout StorageQueue<Device>, isLast: Bool
  ) -> Bool {
    guard let buffer = chain.acquireStaging() else { return false }
    let memory = chain.stagingMemory(buffer)
    for slot in 0..<slotCount {
      let words = noteWords(isLast ? 0 : sealed + UInt64(slot))
      let place = memory + Int(LTP_BLOCK_HEADER_BYTES) + slot * Int(LTP_SLOT_BYTES)
      place.storeBytes(of: words, as: (UInt64, UInt64, UInt64, UInt64).self)
    }
    var content = BlockContent(
      laneID: lane, firstSequence: sealed, slotCount: slotCount, baseMonotonicNanoseconds: now,
      baseUnixNanoseconds: now)
    content.staging = buffer
    content.reference = isLast ? -1 : 0
    if isLast {
      chain.appendLast(memory, content, &queue)
    } else {
      sealed += UInt64(slotCount)
      chain.append(memory, content, &queue)
    }
    return true
  }

  private func takeDurable() throws(Violation) {
    while let block = chain.nextDurable() {
      guard block.reference == 0 else { continue }
      guard block.endSequence > book.acknowledged, block.endSequence <= sealed else {
        throw Violation("notes: acknowledged up to \(block.endSequence) after \(book.acknowledged)")
      }
      book.acknowledged = block.endSequence
    }
  }

  /// Ends the log in order. Everything is durable.
  func finish<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    chain.finish(&queue)
    chain.closeFiles(&queue)
  }
}
