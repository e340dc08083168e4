// SPDX-License-Identifier: Apache-2.0
// Taking slots from lanes: a full ring block is sealed where it lies; what a lane has of a block when its time is
// up is copied out, because the lane goes on filling that block.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPRecords
import LTPStorage
import Synchronization

extension TraceWriter where Device: ~Copyable {
  /// How far each lane has come. Read before the transitions are drained: whatever these slots were decided
  /// under is then in the log before them.
  mutating func readHeads(isWaitedFor: Bool) {
    for index in 0..<LaneTable.lanesMax {
      guard let lane = lanes.lane(index), !lane.isDismissed else { continue }
      if !cursors[index].isKnown { beginCursor(lane, at: index) }
      let head = lane.state.pointee.published.load(ordering: .acquiring)
      cursors[index].head = head
      cursors[index].isClosing = lane.isClosing
      // Another cache miss of the lane's neighbours, so only when there is a reason.
      if isWaitedFor {
        cursors[index].wanted = min(head, lane.state.pointee.wanted.load(ordering: .acquiring))
      }
    }
  }

  private mutating func beginCursor(_ lane: Lane, at index: Int) {
    cursors[index] = LaneCursor()
    cursors[index].isKnown = true
    cursors[index].isRegistered = queue.device.register(
      memory: lane.state.pointee.ring,
      bytes: lane.state.pointee.blockBytes * lane.state.pointee.blockCount, index: Int32(index))
  }

  /// Seals what is due, a block of each lane by turns, so that a flooded lane holds nobody up. Lanes that somebody waits for come first,
  /// and have a turn more; if that left nothing for the others, these come first the next time. False: there was no room, or a block is
  /// left over.
  mutating func drainLanes() -> Bool {
    let allComeFirst = isTurnOfAll
    isTurnOfAll = false
    var first = Service()
    var second = Service()
    repeat {
      first = serve(onlyWaitedFor: !allComeFirst)
      second = first.hasRoom ? serve(onlyWaitedFor: allComeFirst) : Service()
      if !allComeFirst, !first.hasRoom || !second.hasRoom && !second.hasSealed { isTurnOfAll = true }
    } while first.hasRoom && second.hasRoom && (first.hasSealed || second.hasSealed)
    for index in 0..<LaneTable.lanesMax where cursors[index].isKnown && cursors[index].isClosing {
      if let lane = lanes.lane(index) { dismissIfClosed(lane, at: index) }
    }
    return first.hasRoom && second.hasRoom && !first.isLacking && !second.isLacking && !hasFailed
  }

  private struct Service {
    var hasSealed = false
    /// Of the chain; without it nobody can be served.
    var hasRoom = true
    /// Some lane found no staging buffer. Those with full blocks need none.
    var isLacking = false
  }

  private enum BlockService { case nothingDue, sealed, noStaging, noRoom }

  /// A block at most of each lane, beginning with the one that was left over.
  private mutating func serve(onlyWaitedFor: Bool) -> Service {
    var service = Service()
    let first = onlyWaitedFor ? turnOfWaitedFor : turn
    var leftOver: Int?
    for offset in 0..<LaneTable.lanesMax {
      let index = (first + offset) % LaneTable.lanesMax
      guard cursors[index].isKnown, !onlyWaitedFor || cursors[index].isWaitedFor, let lane = lanes.lane(index)
      else { continue }
      switch drainBlock(lane, at: index) {
      case .nothingDue: continue
      case .sealed:
        service.hasSealed = true
        continue
      case .noStaging:
        service.isLacking = true
        if leftOver == nil { leftOver = index }
        continue
      case .noRoom:
        service.hasRoom = false
        if leftOver == nil { leftOver = index }
      }
      break
    }
    if let leftOver {
      if onlyWaitedFor { turnOfWaitedFor = leftOver } else { turn = leftOver }
    }
    return service
  }

  /// Seals the lane's next block, if it is full or due.
  private mutating func drainBlock(_ lane: Lane, at index: Int) -> BlockService {
    let drained = cursors[index].drained
    guard drained < cursors[index].head else { return .nothingDue }
    let slotsPerBlock = lane.state.pointee.slotsPerBlock
    let blockStart = drained / slotsPerBlock * slotsPerBlock
    let isFull = cursors[index].head >= blockStart + slotsPerBlock
    let isDue =
      cursors[index].isWaitedFor
      || now &- cursors[index].drainedAt >= configuration.commitIntervalNanoseconds
      || cursors[index].isClosing
    guard isFull || isDue else { return .nothingDue }
    let end = isFull ? blockStart + slotsPerBlock : cursors[index].head
    let slotCount = Int(end - drained)
    // Another lane may have gone over to a new segment just now: its preamble comes first.
    guard control.preamble.isDone, hasRoom(slotCount: slotCount, isLanes: true) else { return .noRoom }
    if drained == blockStart && isFull {
      sealInPlace(lane, at: index, slotCount: slotCount)
    } else {
      guard sealCopy(lane, at: index, slotCount: slotCount) else { return .noStaging }
    }
    if hasFailed { return .noRoom }
    cursors[index].drained = end
    cursors[index].drainedAt = now
    return .sealed
  }

  private func ringBlock(_ lane: Lane, sequence: UInt64) -> UnsafeMutableRawPointer {
    let number = sequence / lane.state.pointee.slotsPerBlock
    let place = Int(number % UInt64(lane.state.pointee.blockCount))
    return lane.state.pointee.ring + place * lane.state.pointee.blockBytes
  }

  private mutating func sealInPlace(_ lane: Lane, at index: Int, slotCount: Int) {
    let block = ringBlock(lane, sequence: cursors[index].drained)
    let started = BlockHeader(block)
    var content = BlockContent(
      laneID: lane.state.pointee.id, firstSequence: cursors[index].drained, slotCount: slotCount,
      baseMonotonicNanoseconds: started.baseMonotonicNanoseconds,
      baseUnixNanoseconds: started.baseUnixNanoseconds)
    content.orientationWord = started.orientationWord
    content.limitsWord = started.limitsWord
    content.bufferIndex = cursors[index].isRegistered ? Int32(index) : -1
    content.reference = index
    appendBlock(block, content)
  }

  private mutating func sealCopy(_ lane: Lane, at index: Int, slotCount: Int) -> Bool {
    // One is left for what the deferral log has to tell: many lanes would take them all for ever, and it would take nothing more.
    guard chain.freeStagingCount > (isDeferring && control.stagingCount == 0 ? 1 : 0),
      let staging = chain.acquireStaging()
    else { return false }
    let block = ringBlock(lane, sequence: cursors[index].drained)
    let offset = Int(cursors[index].drained % lane.state.pointee.slotsPerBlock)
    if offset == 0 {
      let started = BlockHeader(block)
      cursors[index].word = started.orientationWord
      cursors[index].limitsWord = started.limitsWord
      cursors[index].baseMonotonic = started.baseMonotonicNanoseconds
      cursors[index].baseUnix = started.baseUnixNanoseconds
    }
    let before = cursors[index]
    let slots = block + Int(LTP_BLOCK_HEADER_BYTES) + offset * Int(LTP_SLOT_BYTES)
    let copy = chain.stagingMemory(staging)
    (copy + Int(LTP_BLOCK_HEADER_BYTES)).copyMemory(
      from: slots, byteCount: slotCount * Int(LTP_SLOT_BYTES))
    advanceCursor(over: slots, count: slotCount, at: index)
    var content = BlockContent(
      laneID: lane.state.pointee.id, firstSequence: before.drained, slotCount: slotCount,
      baseMonotonicNanoseconds: before.baseMonotonic, baseUnixNanoseconds: before.baseUnix)
    content.orientationWord = before.word
    content.limitsWord = before.limitsWord
    content.staging = staging
    content.reference = index
    appendBlock(copy, content)
    return true
  }

  /// Keeps the cursor's word and time base up with the slots that are passed over.
  private mutating func advanceCursor(over slots: UnsafeRawPointer, count: Int, at index: Int) {
    for slot in 0..<count {
      let record = RecordView(slots, slot: slot)
      switch record.kind {
      case .observed:
        cursors[index].word = record.observed.pointee.orientation_word
        cursors[index].limitsWord = record.observed.pointee.limits_word
      case .time:
        cursors[index].baseMonotonic = record.time.pointee.base_monotonic_ns
        cursors[index].baseUnix = record.time.pointee.base_unix_ns
      case .decision, .replay, .tenant, .unrecorded, .hello, .voided, .kept: break
      case nil, .opened, .segment, .transition, .policy, .text, .sealed, .closed, .counts, .domains, .intent,
        .step, .deferral:
        assertionFailure("a lane wrote what is not a lane's record")
      }
    }
  }

  /// Takes a closed lane out once everything it wrote is durable. Its memory is then the owner's to give back.
  private mutating func dismissIfClosed(_ lane: Lane, at index: Int) {
    guard lane.isClosing else { return }
    let head = lane.state.pointee.published.load(ordering: .acquiring)
    guard cursors[index].durable == head else { return }
    if cursors[index].isRegistered { queue.device.unregister(index: Int32(index)) }
    cursors[index].isKnown = false
    lane.dismiss()
    progressed = true
  }
}
