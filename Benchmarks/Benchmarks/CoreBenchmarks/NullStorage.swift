// SPDX-License-Identifier: Apache-2.0
// A device that takes everything at once and keeps nothing: what is left is the writer's own work.

import CLTP
import LTPRecords
import LTPStorage

struct NullStorage: StorageDevice, ~Copyable {
  private var nextHandle: Int32 = 0
  private var done: [StorageCompletion] = []

  init() { done.reserveCapacity(64) }

  mutating func list(_ body: (FileName) -> Void) throws(StorageFault) {}
  mutating func open(_ name: FileName, _ mode: OpenMode) throws(StorageFault) -> Int32 {
    nextHandle += 1
    return nextHandle
  }
  mutating func close(_ handle: Int32, isIdle: Bool) {}
  mutating func lock(_ handle: Int32?) throws(StorageFault) -> Bool { true }
  mutating func size(_ handle: Int32) throws(StorageFault) -> UInt64 { 0 }
  mutating func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int { 0 }
  mutating func write(
    _ handle: Int32, from memory: UnsafeRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) {}
  mutating func truncate(_ handle: Int32, to bytes: UInt64) throws(StorageFault) {}
  mutating func sync(_ handle: Int32) throws(StorageFault) {}
  mutating func syncDirectory() throws(StorageFault) {}
  mutating func rename(_ from: FileName, to: FileName, replaces: Bool) throws(StorageFault) {}
  mutating func remove(_ name: FileName) throws(StorageFault) {}
  mutating func attach() throws(StorageFault) {}

  mutating func start(_ write: StorageWrite) -> Bool {
    done.append(StorageCompletion(token: write.token, result: Int32(write.count)))
    return true
  }
  mutating func startSync(_ handle: Int32, token: UInt64) -> Bool {
    done.append(StorageCompletion(token: token, result: 0))
    return true
  }
  mutating func complete(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int, waitNanoseconds: UInt64
  ) throws(StorageFault) -> Int {
    let count = min(capacity, done.count)
    for index in 0..<count { completions[index] = done[index] }
    done.removeFirst(count)
    return count
  }
  mutating func register(memory: UnsafeMutableRawPointer, bytes: Int, index: Int32) -> Bool { true }
  mutating func unregister(index: Int32) {}
  mutating func randomLogID() -> LogID? { LogID(low: 1, high: 2) }
  mutating func sleep(nanoseconds: UInt64) {}
}
