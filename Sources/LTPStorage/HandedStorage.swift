// SPDX-License-Identifier: Apache-2.0
// A storage whose writes are done by whoever needs them: what a chain starts is kept until a thread takes it, does it without holding any
// lock, and hands the result back. So a thread that waits for its own record writes it, and is woken by nobody.
//
// One caller at a time, but for `perform`.

import CLTP
import CLTPSystem
public import LTPRecords

/// A write or a sync that somebody is to do.
public struct HandedOperation {
  fileprivate var write: StorageWrite
  fileprivate var isSync: Bool

  fileprivate init(_ write: StorageWrite, isSync: Bool) {
    self.write = write
    self.isSync = isSync
  }

  /// Somebody waits for it; else it is space for later.
  public var isBlock: Bool { write.durable }

  /// Does it, and says how it ended. Any thread; nothing of the storage is touched.
  public func perform() -> Int32 {
    guard !isSync else { return ltp_system_sync(write.file) }
    let put = ltp_system_write_at(
      write.file, write.memory, write.count, write.offset, write.durable ? 1 : 0)
    return Int32(truncatingIfNeeded: put)
  }
}

public struct HandedStorage: StorageDevice, ~Copyable {
  private var files: SystemStorage
  private var asked = InlineArray<16, HandedOperation?>(repeating: nil)
  private var finished = InlineArray<16, StorageCompletion>(repeating: StorageCompletion(token: 0, result: 0))
  private var finishedCount = 0
  /// Asked, taken or finished.
  private var underWay = 0

  public init(path: UnsafePointer<CChar>) throws(StorageFault) {
    files = try SystemStorage(path: path, storage: LTP_STORAGE_PWRITEV, queueDepth: 1, bufferCount: 0)
  }

  // MARK: Whoever does it

  /// The next operation to be done. `blocksOnly`: of those that somebody waits for.
  public mutating func take(blocksOnly: Bool) -> HandedOperation? {
    for place in asked.indices {
      guard let operation = asked[place], operation.isBlock || !blocksOnly else { continue }
      asked[place] = nil
      return operation
    }
    return nil
  }

  /// It was done.
  public mutating func finish(_ operation: HandedOperation, result: Int32) {
    finished[finishedCount] = StorageCompletion(token: operation.write.token, result: result)
    finishedCount += 1
  }

  // MARK: The chain

  private mutating func ask(_ operation: HandedOperation) -> Bool {
    guard underWay < asked.count else { return false }
    for place in asked.indices where asked[place] == nil {
      asked[place] = operation
      underWay += 1
      return true
    }
    return false
  }

  public mutating func start(_ write: StorageWrite) -> Bool { ask(HandedOperation(write, isSync: false)) }

  public mutating func startSync(_ handle: Int32, token: UInt64) -> Bool {
    ask(
      HandedOperation(
        StorageWrite(
          file: handle, memory: UnsafeRawPointer(bitPattern: 1)!, count: 0, offset: 0, bufferIndex: -1,
          durable: false, token: token), isSync: true))
  }

  /// Who waits, with nothing finished, does it.
  public mutating func complete(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int, waitNanoseconds: UInt64
  ) throws(StorageFault) -> Int {
    if finishedCount == 0, waitNanoseconds > 0, let operation = take(blocksOnly: false) {
      finish(operation, result: operation.perform())
    }
    let count = min(capacity, finishedCount)
    for index in 0..<count { completions[index] = finished[index] }
    for index in count..<finishedCount { finished[index - count] = finished[index] }
    finishedCount -= count
    underWay -= count
    return count
  }

  public mutating func attach() throws(StorageFault) {}
  public mutating func register(memory: UnsafeMutableRawPointer, bytes: Int, index: Int32) -> Bool { false }
  public mutating func unregister(index: Int32) {}

  // MARK: Directory and whole files

  public mutating func list(_ body: (FileName) -> Void) throws(StorageFault) { try files.list(body) }
  public mutating func open(_ name: FileName, _ mode: OpenMode) throws(StorageFault) -> Int32 {
    try files.open(name, mode)
  }
  public mutating func close(_ handle: Int32, isIdle: Bool) { files.close(handle, isIdle: isIdle) }
  /// The directory is its owner's already, who has another chain in it.
  public mutating func lock(_ handle: Int32?) throws(StorageFault) -> Bool {
    try handle.map { (handle) throws(StorageFault) in try files.lock(handle) } ?? true
  }
  public mutating func size(_ handle: Int32) throws(StorageFault) -> UInt64 { try files.size(handle) }
  public mutating func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int {
    try files.read(handle, into: memory, count: count, offset: offset)
  }
  public mutating func write(
    _ handle: Int32, from memory: UnsafeRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) {
    try files.write(handle, from: memory, count: count, offset: offset)
  }
  public mutating func truncate(_ handle: Int32, to bytes: UInt64) throws(StorageFault) {
    try files.truncate(handle, to: bytes)
  }
  public mutating func sync(_ handle: Int32) throws(StorageFault) { try files.sync(handle) }
  public mutating func syncDirectory() throws(StorageFault) { try files.syncDirectory() }
  public mutating func rename(_ from: FileName, to: FileName, replaces: Bool) throws(StorageFault) {
    try files.rename(from, to: to, replaces: replaces)
  }
  public mutating func remove(_ name: FileName) throws(StorageFault) { try files.remove(name) }
  public mutating func randomLogID() -> LogID? { files.randomLogID() }
  public mutating func sleep(nanoseconds: UInt64) { files.sleep(nanoseconds: nanoseconds) }
}
