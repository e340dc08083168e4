// SPDX-License-Identifier: Apache-2.0
// The storage seam over a simulated disk: one process's view of it.

import CLTP
import CLTPSystem
package import LTPRecords
package import LTPStorage

package struct SimulatedStorage: StorageDevice, ~Copyable {
  package let disk: SimulatedDisk
  private let owner: Int

  package init(_ disk: SimulatedDisk) {
    self.disk = disk
    owner = disk.newOwner()
  }

  deinit { disk.leave(owner) }

  package mutating func list(_ body: (FileName) -> Void) throws(StorageFault) {
    try disk.enter(.list, .list)
    for entry in disk.entries { body(entry.name) }
  }

  package mutating func open(_ name: FileName, _ mode: OpenMode) throws(StorageFault) -> Int32 {
    try disk.enter(mode.creates ? .create : .open, mode.creates ? .create : .open)
    let found = disk.file(name)
    if mode.creates {
      guard found == nil else { throw StorageFault(.create, code: LTP_SYSTEM_EEXIST) }
      return disk.open(disk.create(name))
    }
    guard let found else { throw StorageFault(.open, code: LTP_SYSTEM_ENOENT) }
    return disk.open(found)
  }

  package mutating func close(_ handle: Int32, isIdle: Bool) { disk.close(handle) }

  package mutating func lock(_ handle: Int32?) throws(StorageFault) -> Bool {
    try disk.enter(.lock, .lock)
    if disk.faults.lockTriesRefused > 0 {
      disk.faults.lockTriesRefused -= 1
      return false
    }
    return handle.map { disk.lock(disk.opened($0), owner) } ?? disk.lockDirectory(owner)
  }

  package mutating func size(_ handle: Int32) throws(StorageFault) -> UInt64 {
    try disk.enter(.size, .size)
    return UInt64(disk.opened(handle).size)
  }

  package mutating func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int {
    try disk.enter(.read, .read)
    return disk.opened(handle).read(into: memory, count: count, offset: Int(offset))
  }

  package mutating func write(
    _ handle: Int32, from memory: UnsafeRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) {
    try disk.enter(.write, .write)
    let file = disk.opened(handle)
    file.write(memory, count: count, offset: Int(offset))
    if disk.planted(in: file) == .watermarkAhead, count == Watermark.bytes {
      var ahead = memory.loadUnaligned(as: ltp_watermark.self)
      ahead.durable_blocks += 1
      withUnsafeMutableBytes(of: &ahead) { bytes in
        let hashed = count - Int(LTP_HASH_BYTES)
        Digest(of: bytes.baseAddress!, count: hashed)!.store(to: bytes.baseAddress! + hashed)
        file.write(bytes.baseAddress!, count: count, offset: Int(offset))
      }
    }
  }

  package mutating func truncate(_ handle: Int32, to bytes: UInt64) throws(StorageFault) {
    try disk.enter(.truncate, .truncate)
    disk.opened(handle).truncate(to: Int(bytes))
  }

  package mutating func sync(_ handle: Int32) throws(StorageFault) {
    let file = disk.opened(handle)
    do throws(StorageFault) { try disk.enter(.sync, .sync) } catch {
      if !disk.isDead { file.loseUnsynced() }
      throw error
    }
    if disk.planted(in: file) == .skipsSync { return }
    file.sync()
  }

  package mutating func syncDirectory() throws(StorageFault) {
    try disk.enter(.syncDirectory, .sync)
    disk.syncDirectory()
  }

  package mutating func rename(_ from: FileName, to: FileName, replaces: Bool) throws(StorageFault) {
    try disk.enter(.rename, .rename)
    guard replaces || disk.file(to) == nil else { throw StorageFault(.rename, code: LTP_SYSTEM_EEXIST) }
    guard disk.rename(from, to: to) else { throw StorageFault(.rename, code: LTP_SYSTEM_ENOENT) }
  }

  package mutating func remove(_ name: FileName) throws(StorageFault) {
    try disk.enter(.remove, .remove)
    guard disk.remove(name) else { throw StorageFault(.remove, code: LTP_SYSTEM_ENOENT) }
  }

  // MARK: Blocks

  package mutating func attach() throws(StorageFault) {}

  package mutating func start(_ write: StorageWrite) -> Bool {
    disk.start(.init(token: write.token, handle: write.file, write: write, readyAt: 0))
  }

  package mutating func startSync(_ handle: Int32, token: UInt64) -> Bool {
    disk.start(.init(token: token, handle: handle, write: nil, readyAt: 0))
  }

  package mutating func complete(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int, waitNanoseconds: UInt64
  ) throws(StorageFault) -> Int {
    var count = 0
    while count < capacity, let completion = disk.completeNext() {
      completions[count] = completion
      count += 1
    }
    return count
  }

  package mutating func register(memory: UnsafeMutableRawPointer, bytes: Int, index: Int32) -> Bool {
    disk.faults.registersMemory
  }

  package mutating func unregister(index: Int32) {}

  package mutating func randomLogID() -> LogID? {
    disk.logIDs += 1
    return LogID(low: 0x1234_5678 + disk.logIDs, high: disk.logIDs << 32 | 7)
  }

  package mutating func sleep(nanoseconds: UInt64) { disk.now += nanoseconds }
}
