// SPDX-License-Identifier: Apache-2.0
// The deferral log: intents are kept, handed out and ended, each step a record in a chain of its own. Whoever waits for its
// record calls `flush` and `settle`, and what has come in meanwhile is one block, so that many wait for one sync; the writer of the
// trace calls `step`. It has no lock: one caller at a time.
//
// Invariants
//   - An intent is handed out only once its record is durable: else a crash would lose it, and its sender would send it again.
//   - An intent is handed out only once it is on disk that this run hands intents out: after a crash each that is pending may have happened
//     then, whether the record of its hand-out came to disk or not, so nobody waits for that one.
//   - A segment goes only when nothing in it is needed: each of its intents has ended and is not remembered any more, or has a durable copy.
//   - The trace is told what is durable here, in this order, and everything.
//   - After a failure of the chain nothing is kept, begun or ended.

import CLTP
import CLTPSystem
package import LTPRecords
package import LTPStorage

package struct DeferralLog: ~Copyable {
  package internal(set) var table: IntentTable
  package internal(set) var news: DeferralNews
  package internal(set) var counts = DeferralCounts()
  let configuration: DeferralConfiguration
  var chain: Chain
  var use: SegmentUse
  var nextNumber: UInt64
  /// What it was when the last block was sealed: tickets from there on may never come to disk.
  var sealedNumber: UInt64
  /// What it was when the log was opened: tickets from there on, of runs before, never were on disk.
  package let openedNumber: UInt64
  /// Slots of the log's lane, those being gathered among them; and those on disk.
  package internal(set) var sequence: UInt64
  package internal(set) var durableSequence: UInt64
  var markSequence: UInt64
  /// A mark of this run is on disk, and says from where on its tickets are numbered. Before that it gives none: a crash would take the
  /// mark, and the next run would give the same ones.
  var isNumbered = false
  var handing = Handing.no
  /// Pending intents with lower numbers may have happened: a run before this one handed intents out, and a crash may have taken the records
  /// that say which.
  let maybeBelow: UInt64
  /// LTP_DEFERRAL_*: the mark that goes before anything else; 0: none.
  var markDue: UInt8
  /// The block being gathered: its staging buffer and its slots so far.
  var gathered: (staging: Int, slots: Int)?
  /// Intents in it: their places in the table and in the block.
  var gatheredIntents: [(ticket: Ticket, at: Int)] = []
  /// Whose record is awaited: the one that keeps it, or the one that says how it ended. In the log's order.
  var awaited = AwaitedRecords()
  var walk = TableWalk()
  var compaction: Compaction
  var retelling = Retelling()
  var starts: SegmentStarts
  var unixNow: UInt64 = 0
  /// How far the trace has come, as its writer says before each step.
  package var trace: TraceStanding
  /// The log's sequence when the current segment began.
  var segmentStart: UInt64
  /// Segments in front may go once so many blocks of the trace are durable, which tell all that they hold; nil: it has not been told yet.
  var dropAt: UInt64?

  /// Recovers the log from `device`. Leases of the process before are over. `staging`: `configuration.chain.stagingBytes` of page-aligned
  /// memory, which outlives the log.
  package static func open<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, configuration: DeferralConfiguration, staging: UnsafeMutableRawPointer
  ) throws(OpenFault) -> DeferralLog {
    guard let table = IntentTable(capacity: configuration.capacity, secret: configuration.secret) else {
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory, or too many pending intents are asked for")
    }
    guard let window = FileWindow(capacity: Compaction.windowBytes) else {
      table.releaseMemory()
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    guard let news = DeferralNews() else {
      table.releaseMemory()
      window.releaseMemory()
      throw OpenFault(LTP_ERROR_NO_MEMORY, "out of memory")
    }
    var reader = DeferralReader(table: table, news: news, trace: configuration.trace)
    let recovered: RecoveredChain
    do throws(OpenFault) {
      recovered = try ChainRecovery.open(&device, configuration: configuration.chain, into: &reader)
    } catch {
      reader.releaseMemory()
      window.releaseMemory()
      throw error
    }
    if let fault = reader.fault(recovered.position.logID) {
      recovered.close(&device)
      reader.releaseMemory()
      window.releaseMemory()
      throw fault
    }
    return DeferralLog(recovered, reader, configuration, Compaction(window: window), staging: staging)
  }

  private init(
    _ recovered: RecoveredChain, _ reader: DeferralReader, _ configuration: DeferralConfiguration,
    _ compaction: Compaction, staging: UnsafeMutableRawPointer
  ) {
    self.compaction = compaction
    table = reader.table
    news = reader.news
    self.configuration = configuration
    chain = Chain(recovered, configuration: configuration.chain, staging: staging)
    use = reader.use
    starts = reader.starts
    if table.pendingCount + table.endedCount == 0 { use.begin(at: recovered.position.segmentIndex) }
    openedNumber = reader.nextNumber
    nextNumber = reader.nextNumber + UInt64(LTP_TICKET_RUN_STEP)
    sealedNumber = nextNumber
    sequence = reader.sequence
    durableSequence = reader.sequence
    markSequence = reader.markSequence
    // A segment that was begun may have lost its first block; one that is still to be begun gets its mark then.
    if recovered.handle == nil {
      markDue = 0
    } else {
      markDue = recovered.offset > 0 ? LTP_DEFERRAL_OPENED : LTP_DEFERRAL_SEGMENT
    }
    trace = configuration.trace
    segmentStart = reader.sequence
    let isClosed = configuration.trace.told?.isClosed ?? false
    maybeBelow = reader.handsOut && !isClosed ? nextNumber : reader.maybeBelow
    for slot in 0..<table.usedSlots where table.isTaken(slot) && table[slot].state != .ended {
      if table[slot].state == .begun { table.release(slot, notBefore: 0, isKnown: false) }
      if table[slot].number < maybeBelow { table.setMayHaveHappened(slot) }
    }
  }

  package mutating func releaseMemory() {
    table.releaseMemory()
    news.releaseMemory()
    compaction.window.releaseMemory()
  }

  package var failure: StorageFault? { chain.failure }
  package var hindrance: StorageFault? { chain.hindrance }
  package var logID: LogID { chain.position.logID }
  /// Bytes of its segments on disk, about.
  package var logBytes: UInt64 {
    (chain.position.segmentIndex - use.oldest) * configuration.chain.segmentBytes + chain.nextOffset
  }
  /// Everything that was handed over is durable, and nothing is under way.
  package var isSettled: Bool { (gathered?.slots ?? 0) == 0 && markDue == 0 && chain.isSettled }

  // MARK: Keeping

  /// What is known of an intent.
  package func look(_ draft: IntentDraft, hash: Digest) -> Keeping? {
    let key = IntentKey(draft.key, draft.request)
    guard let slot = table.slot(of: key) else { return nil }
    let (ticket, before) = (table.ticket(slot), table[slot])
    guard table.hasContent(slot, hash.firstWord),
      before.actionClass == draft.request.action_class,
      table.session(of: slot) == draft.request.session_id
    else { return .differs(ticket) }
    if before.state == .ended { return .ended(ticket, end: before.end) }
    return .pending(ticket, sequence: before.isAwaited ? sequence : durableSequence)
  }

  /// The session has an intent that has not ended.
  package func isPending(session: UInt64) -> Bool { table.pending(ofSession: session).count > 0 }

  package var payloadBytesMax: Int {
    min(
      configuration.payloadBytesMax,
      DeferralRecord.payloadBytesMax(blockBytes: configuration.chain.blockBytes))
  }

  /// Keeps an intent of which nothing is known; the answer may be given to its sender once the log is durable up to its sequence.
  package mutating func keep(
    _ draft: IntentDraft, payload: UnsafeRawBufferPointer, hash: Digest, unixNanoseconds now: UInt64
  ) -> Keeping {
    guard payload.count > 0, payload.count <= payloadBytesMax, draft.attemptsMax > 0,
      draft.expiresUnixNanoseconds > now
    else { return .refused }
    guard hasRoom(for: draft.request, UInt64(payload.count)), let slot = freeSlot() else {
      counts.refusedFull += 1
      return .full
    }
    let slotCount = DeferralRecord.slotCount(payloadBytes: payload.count)
    guard let place = space(slotCount) else { return .later }
    let ticket = Ticket(number: nextNumber, slot: slot)
    let record = Self.record(draft, ticket, hash, payloadBytes: payload.count, now)
    place.initializeMemory(as: UInt8.self, repeating: 0, count: slotCount * Int(LTP_SLOT_BYTES))
    storeRecord(record, at: place)
    (place + MemoryLayout<ltp_deferral_intent>.size).copyMemory(
      from: payload.baseAddress!, byteCount: payload.count)
    gatheredIntents.append((ticket, gathered!.slots))
    enter(slotCount)
    // Of the structure, not of its bytes in the block: those are memory of another type.
    var new = withUnsafePointer(to: record) { record in
      tell(ltp_intent_record(record, sequence: sequence))
      return NewIntent(record)
    }
    // Due at once.
    new.until = 0
    let isKept = table.keep(new, number: nextNumber, slot: slot)
    precondition(isKept, "the next slot is not free")
    awaitRecord(of: slot)
    nextNumber += 1
    counts.kept += 1
    return .kept(ticket, sequence: sequence)
  }

  /// Of the limits; a place in the table is the caller's to find.
  private func hasRoom(for request: ltp_route_request, _ bytes: UInt64) -> Bool {
    let session = table.pending(ofSession: request.session_id)
    guard table.pendingBytes + bytes <= configuration.bytesMax, session.count < configuration.perSessionMax,
      session.bytes + bytes <= configuration.sessionBytesMax, nextNumber < DeferralReader.numberMax,
      // Else the table could not say which segment a record lies in.
      chain.position.segmentIndex - use.oldest < RecordPlace.segmentsMax - 1
    else { return false }
    guard request.tenant_id != 0 else { return true }
    let tenant = table.pending(ofTenant: request.tenant_id)
    return table.hasRoom(forTenant: request.tenant_id) && tenant.count < configuration.perTenantMax
      && tenant.bytes + bytes <= configuration.tenantBytesMax
  }

  /// Its record has just been entered, and is on its way to disk.
  mutating func awaitRecord(of slot: Int) {
    table.setAwaited(slot, true)
    awaited.append(table.ticket(slot), isEnd: table[slot].state == .ended, sequence: sequence)
  }

  /// A place in the table; what ended longest ago is forgotten for it, once its end is on disk.
  private mutating func freeSlot() -> Int? {
    if let slot = table.nextSlot { return slot }
    guard let ended = table.firstEnded(), !table[ended].isAwaited else { return nil }
    use.add(table.forget(ended), -1)
    return table.nextSlot
  }

  private static func record(
    _ draft: IntentDraft, _ ticket: Ticket, _ hash: Digest, payloadBytes: Int, _ now: UInt64
  ) -> ltp_deferral_intent {
    var record = ltp_deferral_intent()
    record.kind = LTP_DEFERRAL_INTENT
    record.condition = draft.condition
    record.attempts_max = draft.attemptsMax
    record.payload_bytes = UInt32(payloadBytes)
    record.ticket = ticket.rawValue
    withUnsafeMutableBytes(of: &record.key) { KeyWords.store(draft.key, to: $0.baseAddress!) }
    record.kept_unix_ns = now
    // As the table has it.
    record.expires_unix_ns = Intent.wholeMilliseconds(draft.expiresUnixNanoseconds)
    record.not_before_unix_ns = now
    record.flags = draft.needsHello ? LTP_INTENT_NEEDS_HELLO : 0
    record.request = draft.request
    withUnsafeMutableBytes(of: &record.content_hash) { hash.store(to: $0.baseAddress!) }
    return record
  }

  /// The session has shaken hands in this continuity epoch of its domain.
  package mutating func confirm(session: UInt64, number: UInt64) {
    table.confirm(session: session, number: number)
  }

  /// It takes intents.
  package var isOpen: Bool { chain.isOpen && isNumbered }

  // MARK: Reading

  /// 0: it is not known.
  package func payloadBytes(of ticket: Ticket) -> Int {
    table.slot(of: ticket).map { Int(table[$0].payloadBytes) } ?? 0
  }

  /// `next` gave it, and it was not begun: it is its turn still.
  package mutating func turnBack(_ ticket: Ticket) {
    if let slot = table.slot(of: ticket) { table.turnBack(slot) }
  }

  /// Reads an intent back; nil: it is not there as it was kept. `payload`: at least as many bytes as it has.
  package func read<Device: StorageDevice & ~Copyable>(
    _ ticket: Ticket, payload: UnsafeMutableRawBufferPointer, _ files: inout IntentFiles<Device>
  ) -> KeptIntent? {
    guard let slot = table.slot(of: ticket), !table[slot].isAwaited, table[slot].state != .ended else {
      return nil
    }
    if let kept = readOnce(slot, ticket, payload, &files) { return kept }
    // What was read ahead may not have been on disk then.
    files.forget()
    return readOnce(slot, ticket, payload, &files)
  }

  private func readOnce<Device: StorageDevice & ~Copyable>(
    _ slot: Int, _ ticket: Ticket, _ payload: UnsafeMutableRawBufferPointer,
    _ files: inout IntentFiles<Device>
  ) -> KeptIntent? {
    let payloadBytes = Int(table[slot].payloadBytes)
    guard let record = record(slot, ticket, payloadBytes: payloadBytes, &files),
      Int(record.pointee.payload_bytes) == payloadBytes, payload.count >= payloadBytes
    else { return nil }
    let (bytes, stored) = (UnsafeRawPointer(record), UnsafeRawPointer(record + 1))
    guard
      Digest(of: stored, count: payloadBytes) == Digest(from: bytes + LTP_AT_deferral_intent_content_hash)
    else { return nil }
    payload.copyMemory(from: UnsafeRawBufferPointer(start: stored, count: payloadBytes))
    return KeptIntent(record)
  }

  /// The record of an intent, with so many bytes of its payload behind it, until the files are read again; nil: it is not there.
  private func record<Device: StorageDevice & ~Copyable>(
    _ slot: Int, _ ticket: Ticket, payloadBytes: Int, _ files: inout IntentFiles<Device>
  ) -> UnsafePointer<ltp_deferral_intent>? {
    guard let place = table.place(slot),
      let bytes = files.read(
        place.segment, configuration.chain.naming, offset: place.offset,
        count: MemoryLayout<ltp_deferral_intent>.size + payloadBytes)
    else { return nil }
    let record = bytes.assumingMemoryBound(to: ltp_deferral_intent.self)
    return record.pointee.kind == LTP_DEFERRAL_INTENT && record.pointee.ticket == ticket.rawValue
      ? record : nil
  }

  /// When an intent was kept, as its record says; nil: that is not on disk, or cannot be read.
  package func keptUnixNanoseconds<Device: StorageDevice & ~Copyable>(
    _ ticket: Ticket, _ files: inout IntentFiles<Device>
  ) -> UInt64? {
    guard let slot = table.slot(of: ticket), !table[slot].isAwaited else { return nil }
    return record(slot, ticket, payloadBytes: 0, &files)?.pointee.kept_unix_ns
  }

  // MARK: What the trace is told

  mutating func tell<Record>(_ record: Record) {
    // There is room: `space` has looked.
    let isTaken = news.append(record)
    precondition(isTaken, "no memory for what the trace is to be told")
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
