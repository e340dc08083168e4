// SPDX-License-Identifier: Apache-2.0
// The simulated device's queue: operations complete in the order of random times, and not always well.

import CLTP
import CLTPSystem
import LTPRecords
import LTPStorage

extension SimulatedDisk {
  func start(_ operation: Operation) -> Bool {
    meanwhile?(nil)
    guard queue.count < faults.queueDepth else { return false }
    var added = operation
    added.readyAt = now + UInt64(random.below(faults.delayNanosecondsMax + 1))
    if operation.write?.durable == true,
      planted(in: opened(operation.handle)) == .acknowledgesBeforeCompletion
    {
      added.readyAt = 0
    }
    queue.append(added)
    return true
  }

  /// Carries out the operation that is ready first.
  func completeNext() -> StorageCompletion? {
    guard !isDead, now >= faults.stalledUntil else { return nil }
    var chosen: Int?
    for index in queue.indices where queue[index].readyAt <= now {
      if chosen == nil || queue[index].readyAt < queue[chosen!].readyAt { chosen = index }
    }
    guard let chosen else { return nil }
    meanwhile?(nil)
    let operation = queue.remove(at: chosen)
    let file = opened(operation.handle)
    guard let write = operation.write else {
      return StorageCompletion(token: operation.token, result: completeSync(file))
    }
    return StorageCompletion(token: operation.token, result: complete(write, file))
  }

  private func completeSync(_ file: SimulatedFile) -> Int32 {
    if let code = plannedCode(.segmentSync) {
      file.loseUnsynced()
      return -code
    }
    file.sync()
    return 0
  }

  private func complete(_ write: StorageWrite, _ file: SimulatedFile) -> Int32 {
    if let code = plannedCode(write.durable ? .blockWrite : .zeroWrite) {
      // Some of it may have come through; nothing is known of it.
      file.write(write.memory, count: random.below(write.count + 1), offset: Int(write.offset))
      if planted(in: file) == .retriesFailedSync, write.durable {
        file.loseUnsynced()
        return Int32(write.count)
      }
      return -code
    }
    if faults.passingErrorOneIn > 0, random.oneIn(faults.passingErrorOneIn) {
      return [-LTP_SYSTEM_EINTR, -LTP_SYSTEM_EAGAIN, -LTP_SYSTEM_ECANCELED][random.below(3)]
    }
    var count = write.count
    if faults.shortWriteOneIn > 0, random.oneIn(faults.shortWriteOneIn) {
      let unit = faults.shortWritesAreOdd ? 1 : SimulatedFile.sectorBytes
      count = max(unit, random.below(count) / unit * unit)
    }
    land(write, count: count, file)
    return Int32(count)
  }

  private func land(_ write: StorageWrite, count: Int, _ file: SimulatedFile) {
    let offset = Int(write.offset)
    switch planted(in: file) {
    case .acknowledgesVolatileData: file.write(write.memory, count: count, offset: offset)
    case .forgesPreviousHash where write.durable && random.oneIn(4),
      .changesRecord where write.durable && random.oneIn(4):
      forge(write, count: count, file)
    case .acknowledgesBeforeCompletion where write.durable:
      // The data stays in the queue's memory: what a power loss finds there is not on the device.
      file.write(write.memory, count: count, offset: offset)
    default:
      if write.durable {
        file.writeDurably(write.memory, count: count, offset: offset)
      } else {
        file.write(write.memory, count: count, offset: offset)
      }
    }
  }

  /// Writes a block that differs from the one that was handed over, but agrees with itself.
  private func forge(_ write: StorageWrite, count: Int, _ file: SimulatedFile) {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
    defer { copy.deallocate() }
    copy.copyMemory(from: write.memory, byteCount: count)
    let header = copy.assumingMemoryBound(to: ltp_block_header.self)
    if count == write.count, header.pointee.magic == LTP_BLOCK_MAGIC {
      if planted(in: file) == .forgesPreviousHash {
        header.pointee.previous_hash.0 ^= 1
      } else {
        let last = 256 + Int(header.pointee.slot_count) * 32 - 1
        copy.storeBytes(
          of: ~copy.load(fromByteOffset: last, as: UInt8.self), toByteOffset: last, as: UInt8.self)
        Digest(of: copy + 256, count: Int(header.pointee.slot_count) * 32)!
          .store(to: copy + LTP_AT_block_header_body_hash)
      }
      Digest(of: copy, count: LTP_AT_block_header_block_hash)!
        .store(to: copy + LTP_AT_block_header_block_hash)
    }
    file.writeDurably(copy, count: count, offset: Int(write.offset))
  }
}
