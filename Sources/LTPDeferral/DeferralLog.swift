// SPDX-License-Identifier: Apache-2.0
// The deferral log: intents are kept, handed out and ended, each step a record in a chain of its own. One thread drives it
// by calling `step`; what has come in meanwhile is one block, so that many wait for one sync.
//
// Invariants
//   - An intent is handed out only once its record is durable: else a crash would lose it, and its sender would send it again.
//   - A segment goes only when nothing in it is needed: each of its intents has ended, and is not remembered any more.
//   - After a failure of the chain nothing is kept, begun or ended.

import CLTP
import CLTPSystem
import LTPRecords
package import LTPStorage

package struct DeferralLog: ~Copyable {
  package private(set) var table: IntentTable
  private let configuration: DeferralConfiguration
  private var chain: Chain
  private var use: SegmentUse
  private var nextNumber: UInt64
  /// Slots of the log's lane, those being gathered among them; and those on disk.
  package private(set) var sequence: UInt64
  package private(set) var durableSequence: UInt64
  private var markSequence: UInt64 = 0
  private var needsMark = false
  /// The block being gathered: its staging buffer and its slots so far.
  private var gathered: (staging: Int, slots: Int)?
  /// Intents in it: their places in the table and in the block.
  private var gatheredIntents: [(slot: Int, at: Int)] = []
  /// Where the walk for what has run out goes on.
  private var walk = 0
  private var unixNow: UInt64 = 0

  /// Recovers the log from `device`. Leases of the process before are over. `staging`: `configuration.chain.stagingBytes` of page-aligned
  /// memory, which outlives the log.
  package static func open<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, configuration: DeferralConfiguration, staging: UnsafeMutableRawPointer
  ) throws(OpenFault) -> DeferralLog {
    guard let table = IntentTable(capacity: configuration.capacity) else {
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory, or too many pending intents are asked for")
    }
    var reader = DeferralReader(table: table)
    let recovered: RecoveredChain
    do throws(OpenFault) {
      recovered = try ChainRecovery.open(&device, configuration: configuration.chain, into: &reader)
    } catch {
      table.releaseMemory()
      throw error
    }
    if let fault = reader.fault {
      recovered.close(&device)
      table.releaseMemory()
      throw OpenFault(LTP_ERROR_TRACE_CORRUPT, fault)
    }
    return DeferralLog(recovered, reader, configuration, staging: staging)
  }

  private init(
    _ recovered: RecoveredChain, _ reader: DeferralReader, _ configuration: DeferralConfiguration,
    staging: UnsafeMutableRawPointer
  ) {
    table = reader.table
    self.configuration = configuration
    chain = Chain(recovered, configuration: configuration.chain, staging: staging)
    use = reader.use
    if table.pendingCount + table.endedCount == 0 { use.begin(at: recovered.position.segmentIndex) }
    nextNumber = reader.nextNumber
    sequence = reader.sequence
    durableSequence = reader.sequence
    var begun: [Int] = []
    table.forEachIntent { slot, intent in if intent.state == .begun { begun.append(slot) } }
    for slot in begun { table.release(slot, notBefore: 0, isKnown: false) }
  }

  package mutating func releaseMemory() { table.releaseMemory() }

  package var failure: StorageFault? { chain.failure }
  /// Everything that was handed over is durable, and nothing is under way.
  package var isSettled: Bool { (gathered?.slots ?? 0) == 0 && !needsMark && chain.isSettled }

  // MARK: Keeping

  /// Keeps an intent; the answer may be given to its sender once the log is durable up to its sequence.
  package mutating func keep(
    _ draft: IntentDraft, payload: UnsafeRawBufferPointer, unixNanoseconds now: UInt64
  ) -> Keeping {
    let bytesMax = min(
      configuration.payloadBytesMax,
      DeferralRecord.payloadBytesMax(blockBytes: configuration.chain.blockBytes))
    guard payload.count > 0, payload.count <= bytesMax, draft.attemptsMax > 0,
      draft.expiresUnixNanoseconds > now,
      let hash = Digest(of: payload.baseAddress!, count: payload.count)
    else { return .refused }
    let key = IntentKey(draft.key, draft.request)
    if let slot = table.slot(of: key) {
      let ticket = table.ticket(slot)
      let before = table[slot]
      guard before.contentHash == hash.firstWord, before.actionClass == draft.request.action_class,
        before.session == draft.request.session_id
      else { return .differs(ticket) }
      if table[slot].state == .ended { return .ended(ticket, end: table[slot].end) }
      return .pending(ticket, sequence: table[slot].sequence)
    }
    guard table.pendingBytes + UInt64(payload.count) <= configuration.bytesMax,
      table.pendingCount(ofSession: draft.request.session_id) < configuration.perSessionMax,
      let slot = table.nextSlot
    else { return .full }
    let slotCount = DeferralRecord.slotCount(payloadBytes: payload.count)
    guard let place = space(slotCount) else { return .later }
    let ticket = Ticket(number: nextNumber, slot: slot)
    write(draft, ticket, hash, payload, slotCount, now, to: place)
    gatheredIntents.append((slot, gathered!.slots))
    enter(slotCount)
    var intent = Intent()
    intent.key = key
    intent.session = draft.request.session_id
    intent.contentHash = hash.firstWord
    intent.actionClass = draft.request.action_class
    intent.sequence = sequence
    intent.payloadBytes = UInt32(payload.count)
    intent.attemptsMax = draft.attemptsMax
    intent.expiresUnixNanoseconds = draft.expiresUnixNanoseconds
    intent.until = now
    let isKept = table.keep(intent, number: nextNumber, slot: slot)
    precondition(isKept, "the next slot is not free")
    nextNumber += 1
    return .kept(ticket, sequence: sequence)
  }

  private func write(
    _ draft: IntentDraft, _ ticket: Ticket, _ hash: Digest, _ payload: UnsafeRawBufferPointer,
    _ slotCount: Int,
    _ now: UInt64, to place: UnsafeMutableRawPointer
  ) {
    place.initializeMemory(as: UInt8.self, repeating: 0, count: slotCount * Int(LTP_SLOT_BYTES))
    let record = place.assumingMemoryBound(to: ltp_deferral_intent.self)
    record.pointee.kind = LTP_DEFERRAL_INTENT
    record.pointee.condition = draft.condition
    record.pointee.attempts_max = draft.attemptsMax
    record.pointee.payload_bytes = UInt32(payload.count)
    record.pointee.ticket = ticket.rawValue
    withUnsafeMutableBytes(of: &record.pointee.key) {
      $0.storeBytes(of: draft.key, as: (UInt64, UInt64).self)
    }
    record.pointee.kept_unix_ns = now
    record.pointee.expires_unix_ns = draft.expiresUnixNanoseconds
    record.pointee.request = draft.request
    hash.store(to: place + LTP_AT_deferral_intent_content_hash)
    (place + MemoryLayout<ltp_deferral_intent>.size).copyMemory(
      from: payload.baseAddress!, byteCount: payload.count)
  }

  // MARK: Handing out, and what becomes of it

  /// The next intent that may be carried out, for a worker that has it until `leaseUntil`; nil: there is none, or no place for its record.
  package mutating func begin(unixNanoseconds now: UInt64, leaseUntil: UInt64) -> Handout? {
    guard space(1) != nil, let slot = table.next(unixNanoseconds: now, durable: durableSequence) else {
      return nil
    }
    let mayHaveHappened = table[slot].mayHaveHappened
    table.begin(slot, until: leaseUntil)
    note(LTP_STEP_BEGUN, slot, until: leaseUntil, at: now)
    return Handout(
      ticket: table.ticket(slot), attempt: table[slot].attempts, payloadBytes: Int(table[slot].payloadBytes),
      mayHaveHappened: mayHaveHappened)
  }

  /// It was carried out.
  package mutating func commit(_ ticket: Ticket, attempt: UInt16, unixNanoseconds now: UInt64) -> StepAnswer {
    switch held(ticket, attempt) {
    case .failure(let answer): return answer
    case .success(let slot):
      table.end(slot, as: LTP_END_NONE, unixNanoseconds: now)
      note(LTP_STEP_COMMITTED, slot, at: now)
      return .done
    }
  }

  /// It was not carried out, and is to be tried again, unless its attempts are used up.
  package mutating func release(
    _ ticket: Ticket, attempt: UInt16, notBefore: UInt64, unixNanoseconds now: UInt64
  ) -> StepAnswer {
    switch held(ticket, attempt) {
    case .failure(let answer): return answer
    case .success(let slot):
      giveBack(slot, notBefore: notBefore, isKnown: true, at: now)
      return .done
    }
  }

  /// Whoever has it gives it up for good.
  package mutating func abandon(_ ticket: Ticket, attempt: UInt16, unixNanoseconds now: UInt64) -> StepAnswer
  {
    switch held(ticket, attempt) {
    case .failure(let answer): return answer
    case .success(let slot):
      end(slot, as: LTP_END_ABANDONED, at: now)
      return .done
    }
  }

  /// An operator ends it, whoever has it.
  package mutating func cancel(_ ticket: Ticket, unixNanoseconds now: UInt64) -> StepAnswer {
    guard let slot = table.slot(of: ticket) else { return .unknown }
    guard table[slot].state != .ended else { return .ended }
    guard space(1) != nil else { return .later }
    end(slot, as: LTP_END_CANCELLED, at: now)
    return .done
  }

  private enum Held {
    case success(Int)
    case failure(StepAnswer)
  }

  /// The slot of an intent that this attempt has, and a place for what becomes of it.
  private mutating func held(_ ticket: Ticket, _ attempt: UInt16) -> Held {
    guard let slot = table.slot(of: ticket) else { return .failure(.unknown) }
    guard table[slot].state != .ended else { return .failure(.ended) }
    guard table[slot].state == .begun, table[slot].attempts == attempt else { return .failure(.notYours) }
    return space(1) == nil ? .failure(.later) : .success(slot)
  }

  private mutating func giveBack(_ slot: Int, notBefore: UInt64, isKnown: Bool, at now: UInt64) {
    guard table[slot].attempts < table[slot].attemptsMax else {
      return end(slot, as: LTP_END_ATTEMPTS, at: now)
    }
    table.release(slot, notBefore: notBefore, isKnown: isKnown)
    note(LTP_STEP_RELEASED, slot, until: notBefore, isKnown: isKnown, at: now)
  }

  private mutating func end(_ slot: Int, as end: UInt8, at now: UInt64) {
    table.end(slot, as: end, unixNanoseconds: now)
    note(LTP_STEP_ENDED, slot, end: end, at: now)
  }

  private mutating func note(
    _ step: UInt8, _ slot: Int, end: UInt8 = LTP_END_NONE, until: UInt64 = 0, isKnown: Bool = false,
    at now: UInt64
  ) {
    let record = space(1)!.assumingMemoryBound(to: ltp_deferral_step.self)
    record.pointee = ltp_deferral_step()
    record.pointee.kind = LTP_DEFERRAL_STEP
    record.pointee.step = step
    record.pointee.end = end
    record.pointee.known = isKnown ? 1 : 0
    record.pointee.attempt = table[slot].attempts
    record.pointee.ticket = table.ticket(slot).rawValue
    record.pointee.unix_ns = now
    record.pointee.until_unix_ns = until
    enter(1)
    if table[slot].state == .ended { table.enterEnd(slot, sequence: sequence) }
  }

  /// Ends what has expired and gives back what is held for longer than its lease, a thousand places a call at most.
  private mutating func endWhatRanOut(unixNanoseconds now: UInt64) {
    for _ in 0..<min(1000, table.usedSlots) {
      guard space(1) != nil else { return }
      walk = walk + 1 < table.usedSlots ? walk + 1 : 0
      guard table.isTaken(walk), table[walk].state != .ended else { continue }
      if table[walk].expiresUnixNanoseconds <= now, table[walk].state == .waiting {
        end(walk, as: LTP_END_EXPIRED, at: now)
      } else if table[walk].state == .begun, table[walk].until <= now {
        giveBack(walk, notBefore: now, isKnown: false, at: now)
      }
    }
  }

  // MARK: Reading

  /// Reads an intent's payload back; false: it is not there as it was kept. `memory`: `payloadBytes` of it.
  package func read<Device: StorageDevice & ~Copyable>(
    _ ticket: Ticket, into memory: UnsafeMutableRawPointer, _ device: inout Device
  ) -> Bool {
    guard let slot = table.slot(of: ticket), table[slot].sequence <= durableSequence else { return false }
    let intent = table[slot]
    let count = Int(intent.payloadBytes)
    do throws(StorageFault) {
      let name = configuration.chain.naming.name(of: .segment(intent.segment))
      let handle = try device.open(name, OpenMode())
      defer { device.close(handle) }
      let offset = intent.offset + UInt64(MemoryLayout<ltp_deferral_intent>.size)
      guard try device.read(handle, into: memory, count: count, offset: offset) == count else { return false }
    } catch { return false }
    guard let hash = Digest(of: memory, count: count) else { return false }
    return hash.firstWord == intent.contentHash
  }

  // MARK: The block being gathered

  /// Memory for so many slots; nil: not before something has completed.
  private mutating func space(_ slotCount: Int) -> UnsafeMutableRawPointer? {
    guard chain.failure == nil else { return nil }
    if gathered == nil {
      guard chain.isOpen, let staging = chain.acquireStaging() else { return nil }
      gathered = (staging, 0)
    }
    let slotsMax = BlockHeader.slotCountMax(blockBytes: configuration.chain.blockBytes)
    guard let block = gathered, block.slots + slotCount <= slotsMax else { return nil }
    return chain.stagingMemory(block.staging) + Int(LTP_BLOCK_HEADER_BYTES) + block.slots
      * Int(LTP_SLOT_BYTES)
  }

  private mutating func enter(_ slotCount: Int) {
    gathered!.slots += slotCount
    sequence += UInt64(slotCount)
  }

  // MARK: The writer's turn

  /// Writes what was gathered, takes what is durable, and ends what has run out.
  package mutating func step<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64, unixNanoseconds: UInt64
  ) {
    unixNow = unixNanoseconds
    settle(&queue, now: now)
    if chain.failure == nil {
      if chain.beginSegment(&queue) { needsMark = true }
      if needsMark { needsMark = !append(mark: LTP_DEFERRAL_SEGMENT, now, &queue) }
      endWhatRanOut(unixNanoseconds: unixNanoseconds)
      forgetAndDrop(&queue)
      seal(now, &queue)
    }
    chain.pump(&queue)
    settle(&queue, now: now)
  }

  private mutating func settle<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>, now: UInt64
  ) {
    queue.reap(waitNanoseconds: 0)
    chain.settle(now: now, &queue)
    while let block = chain.nextDurable() {
      if block.reference == 0 { durableSequence = block.endSequence }
    }
  }

  private mutating func seal<Device: StorageDevice & ~Copyable>(
    _ now: UInt64, _ queue: inout StorageQueue<Device>
  ) {
    guard let block = gathered, block.slots > 0, !needsMark else { return }
    let bytes = BlockHeader.sizeBytes(slotCount: block.slots)
    switch chain.room(for: bytes, before: Int(LTP_TRACE_PAGE_BYTES)) {
    case .later: return
    case .segmentIsFull: _ = append(mark: LTP_DEFERRAL_SEALED, now, &queue)
    case .fits:
      let segment = chain.position.segmentIndex
      let offset = chain.nextOffset + UInt64(LTP_BLOCK_HEADER_BYTES)
      for intent in gatheredIntents {
        table.place(
          intent.slot, segment: segment, offset: offset + UInt64(intent.at) * UInt64(LTP_SLOT_BYTES))
        use.add(segment, 1)
      }
      var content = BlockContent(
        laneID: LTP_DEFERRAL_LANE, firstSequence: sequence - UInt64(block.slots), slotCount: block.slots,
        baseMonotonicNanoseconds: now, baseUnixNanoseconds: unixNow)
      content.staging = block.staging
      content.reference = 0
      gathered = nil
      gatheredIntents.removeAll(keepingCapacity: true)
      chain.append(chain.stagingMemory(block.staging), content, &queue)
    }
  }

  /// A block of one slot that begins or ends a segment. False: there is no place for it now.
  private mutating func append<Device: StorageDevice & ~Copyable>(
    mark kind: UInt8, _ now: UInt64, _ queue: inout StorageQueue<Device>
  ) -> Bool {
    let isLast = kind == LTP_DEFERRAL_SEALED
    guard
      isLast
        ? chain.canEndSegment
        : chain.room(for: Int(LTP_TRACE_PAGE_BYTES), before: Int(LTP_TRACE_PAGE_BYTES)) == .fits,
      let staging = chain.acquireStaging()
    else { return false }
    let memory = chain.stagingMemory(staging)
    var mark = ltp_deferral_mark()
    mark.kind = kind
    mark.version = UInt8(LTP_DEFERRAL_VERSION)
    mark.next_number = nextNumber
    mark.unix_ns = unixNow
    (memory + Int(LTP_BLOCK_HEADER_BYTES)).storeBytes(of: mark, as: ltp_deferral_mark.self)
    var content = BlockContent(
      laneID: LTP_CONTROL_LANE, firstSequence: markSequence, slotCount: 1, baseMonotonicNanoseconds: now,
      baseUnixNanoseconds: unixNow)
    content.staging = staging
    markSequence += 1
    if isLast { chain.appendLast(memory, content, &queue) } else { chain.append(memory, content, &queue) }
    return true
  }

  /// Forgets what ended long enough ago, and gives back the segments in front that nothing needs.
  private mutating func forgetAndDrop<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>)
  {
    let before = unixNow - min(unixNow, configuration.rememberNanoseconds)
    // Its end must be on disk: else it would come back after a crash.
    while let slot = table.firstEnded(before: before), table[slot].sequence <= durableSequence {
      use.add(table.forget(slot), -1)
    }
    chain.dropSegments(below: use.dropUnused(before: chain.position.segmentIndex), &queue)
  }

  // MARK: The end

  /// Everything is durable.
  package mutating func finish<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    chain.finish(&queue)
    chain.closeFiles(&queue)
  }

  /// After a failure, or without an end in order.
  package mutating func close<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    chain.waitUntilIdle(&queue)
    chain.closeFiles(&queue)
  }

  // MARK: Invariants

  /// nil: all is as the file's head says; else what is not. Between any two calls.
  package func checkInvariants() -> StaticString? {
    guard chain.failure == nil else { return nil }
    if durableSequence > sequence { return "deferral: more is durable than was written" }
    return chain.checkInvariants(stagedOutside: gathered == nil ? 0 : 1) ?? table.checkInvariants()
  }
}
