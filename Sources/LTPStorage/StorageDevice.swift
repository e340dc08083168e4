// SPDX-License-Identifier: Apache-2.0
// The storage seam: everything that a chain asks of files and of the device. The system's storage (io_uring or
// pwritev) and the tests' simulator implement it; chains and their recovery know nothing else.

import CLTP
import CLTPSystem
public import LTPRecords

/// How a file is opened, for reading and writing.
public struct OpenMode: Equatable, Sendable {
  /// It must not exist yet.
  public var creates: Bool
  /// Blocks will be written to it: past the page cache where that can be had, and known to the ring.
  public var holdsBlocks: Bool

  public init(creates: Bool = false, holdsBlocks: Bool = false) {
    self.creates = creates
    self.holdsBlocks = holdsBlocks
  }
}

/// A system call that failed. `code` is an errno.
public struct StorageFault: Error, Equatable {
  public enum Operation: UInt8, Sendable {
    case open, create, lock, list, read, write, sync, truncate, rename, remove, size, hash
  }

  public let operation: Operation
  public let code: Int32

  public init(_ operation: Operation, code: Int32) {
    self.operation = operation
    self.code = code
  }
}

/// A completed write or sync. `result` is a byte count, or a negative errno.
public struct StorageCompletion: Equatable, Sendable {
  public var token: UInt64
  public var result: Int32

  public init(token: UInt64, result: Int32) {
    self.token = token
    self.result = result
  }
}

extension StorageCompletion {
  /// A result after which the same operation may be started again: nothing is known to be lost.
  static func isPassing(_ result: Int32) -> Bool {
    result == -LTP_SYSTEM_EINTR || result == -LTP_SYSTEM_EAGAIN || result == -LTP_SYSTEM_ECANCELED
  }

  /// The errno of a result that is no progress.
  static func code(of result: Int32) -> Int32 { result == 0 ? LTP_SYSTEM_EIO : -result }
}

/// A write to be started. `memory` must stay as it is until the completion.
public struct StorageWrite {
  public var file: Int32
  public var memory: UnsafeRawPointer
  public var count: Int
  public var offset: UInt64
  /// Index of the registered buffer that `memory` lies in, or -1.
  public var bufferIndex: Int32
  /// Complete only once the data is on the device.
  public var durable: Bool
  public var token: UInt64

  public init(
    file: Int32, memory: UnsafeRawPointer, count: Int, offset: UInt64, bufferIndex: Int32, durable: Bool,
    token: UInt64
  ) {
    self.file = file
    self.memory = memory
    self.count = count
    self.offset = offset
    self.bufferIndex = bufferIndex
    self.durable = durable
    self.token = token
  }
}

/// Files are named by small handles that `open` returns. All calls come from one thread.
public protocol StorageDevice: ~Copyable {
  // Directory and whole files: synchronous.
  /// Names that are longer than any of ours are left out.
  mutating func list(_ body: (FileName) -> Void) throws(StorageFault)
  mutating func open(_ name: FileName, _ mode: OpenMode) throws(StorageFault) -> Int32
  /// `isIdle`: no operation on it is under way, so its lock can go at once, whoever else has a copy of the descriptor.
  mutating func close(_ handle: Int32, isIdle: Bool)
  /// Takes the exclusive lock of the file (nil: of the directory) without waiting. False: somebody has it.
  mutating func lock(_ handle: Int32?) throws(StorageFault) -> Bool
  mutating func size(_ handle: Int32) throws(StorageFault) -> UInt64
  /// Fills `memory` from `offset` on; returns how many bytes there were.
  mutating func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int
  /// Writes whole pages now; not durable until `sync`.
  mutating func write(
    _ handle: Int32, from memory: UnsafeRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault)
  mutating func truncate(_ handle: Int32, to bytes: UInt64) throws(StorageFault)
  mutating func sync(_ handle: Int32) throws(StorageFault)
  mutating func syncDirectory() throws(StorageFault)
  /// `replaces`: a file of the new name goes. Otherwise it is a fault (EEXIST).
  mutating func rename(_ from: FileName, to: FileName, replaces: Bool) throws(StorageFault)
  mutating func remove(_ name: FileName) throws(StorageFault)

  // Blocks: asynchronous, completed in any order.
  /// The calling thread is the one that starts and completes from now on.
  mutating func attach() throws(StorageFault)
  /// False: the queue is full; reap first.
  mutating func start(_ write: StorageWrite) -> Bool
  mutating func startSync(_ handle: Int32, token: UInt64) -> Bool
  /// Hands what was started to the device, waits at most this long for a completion (0: not at all), and takes
  /// up to `capacity` completions. Throws when the device can take nothing any more.
  mutating func complete(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int, waitNanoseconds: UInt64
  ) throws(StorageFault) -> Int
  /// Makes memory known to the device; index as in `StorageWrite`. Returns false when it could not.
  mutating func register(memory: UnsafeMutableRawPointer, bytes: Int, index: Int32) -> Bool
  mutating func unregister(index: Int32)

  /// A name for a new log, or nil when no random bytes are to be had.
  mutating func randomLogID() -> LogID?

  /// For a wait between tries. The simulator moves its own clock.
  mutating func sleep(nanoseconds: UInt64)
}

extension StorageDevice where Self: ~Copyable {
  /// Of a file on which nothing was started.
  public mutating func close(_ handle: Int32) { close(handle, isIdle: true) }
}
