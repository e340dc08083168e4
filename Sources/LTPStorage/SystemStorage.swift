// SPDX-License-Identifier: Apache-2.0
// A log's storage on Linux: files through system calls, blocks through io_uring where it can be had, through
// pwritev2 where it cannot. Both write the same bytes with the same meaning of "durable" (RWF_DSYNC).

import CLTP
import CLTPSystem
public import LTPRecords

/// What the host asked for, and what it got.
public struct StorageChoice {
  /// LTP_STORAGE_IO_URING or LTP_STORAGE_PWRITEV.
  public var storage: UInt32
  public var direct: Bool
  public var registersBuffers: Bool
  /// errno of what kept io_uring away; 0 when it is in use or was not asked for.
  public var ringFault: Int32
}

public struct SystemStorage: StorageDevice, ~Copyable {
  static let handlesMax = 64  // of `registered`
  private static let submitTriesMax = 1000

  public private(set) var choice: StorageChoice
  private let directory: Int32
  private var ring: OpaquePointer?
  private var registersFiles = false
  /// A thread has attached itself. Until then blocks are written by pwritev.
  private var ringIsEnabled = false
  /// Its thread never waits for completions.
  private var ringIsPolled = false
  /// Descriptors in the ring's file table, by index; -1: free.
  private var registered = InlineArray<64, Int32>(repeating: -1)
  /// Completions of the pwritev road, which are known at once.
  private var finished: UnsafeMutablePointer<StorageCompletion>
  private var finishedCount = 0
  private let queueDepth: Int
  /// Operations that were handed over and have not been taken back.
  private var underWay = 0

  /// Opens the directory and chooses the road. `queueDepth`: how many operations may be under way.
  public init(
    path: UnsafePointer<CChar>, storage: UInt32, queueDepth: Int, bufferCount: Int
  ) throws(StorageFault) {
    let descriptor = ltp_system_open_directory(path)
    guard descriptor >= 0 else { throw StorageFault(.open, code: -descriptor) }
    directory = descriptor
    self.queueDepth = queueDepth
    finished = .allocate(capacity: queueDepth)
    choice = StorageChoice(
      storage: LTP_STORAGE_PWRITEV, direct: true, registersBuffers: false, ringFault: 0)
    guard storage != LTP_STORAGE_PWRITEV else { return }
    let result = ltp_system_ring_create(&ring, UInt32(queueDepth))
    guard result == 0, ring != nil else {
      choice.ringFault = -result
      return
    }
    choice.storage = LTP_STORAGE_IO_URING
    choice.registersBuffers = ltp_system_ring_reserve_buffers(ring, UInt32(bufferCount)) >= 0
    registersFiles = ltp_system_ring_reserve_files(ring, UInt32(Self.handlesMax)) >= 0
  }

  deinit {
    if let ring { ltp_system_ring_destroy(ring) }
    release(directory, isIdle: underWay == 0)
    finished.deallocate()
  }

  /// Whether the directory can be written; 0 or an errno.
  public borrowing func writeFault() -> Int32 { -ltp_system_is_writable(directory) }

  public borrowing func freeBytes() -> UInt64 { ltp_system_free_bytes(directory) }

  /// The calling thread becomes the one that may start and complete blocks. `notifying`: an eventfd that is raised
  /// with each completion; -1: none.
  public mutating func attach(notifying descriptor: Int32) throws(StorageFault) {
    guard choice.storage == LTP_STORAGE_IO_URING, !ringIsEnabled else { return }
    if ring == nil, !makeRingAgain() { return }
    var result = ltp_system_ring_enable(ring)
    if result >= 0, descriptor >= 0 { result = ltp_system_ring_notify(ring, descriptor) }
    guard result >= 0 else { throw StorageFault(.open, code: -result) }
    ringIsEnabled = true
    ringIsPolled = descriptor >= 0
  }

  public mutating func attach() throws(StorageFault) { try attach(notifying: -1) }

  /// False: it cannot be had any more, and blocks go by pwritev from now on.
  private mutating func makeRingAgain() -> Bool {
    let result = ltp_system_ring_create(&ring, UInt32(queueDepth))
    guard result == 0 else {
      choice.storage = LTP_STORAGE_PWRITEV
      return false
    }
    // Blocks name memory that was registered with the ring before: this one does without.
    choice.registersBuffers = false
    registersFiles = false
    registered = InlineArray(repeating: -1)
    return true
  }

  /// Any thread may attach itself from now on. Nothing is under way. A ring is its thread's for good, so this one ends,
  /// and with it what was registered there.
  public mutating func detach() {
    if let ring { ltp_system_ring_destroy(ring) }
    ring = nil
    ringIsEnabled = false
  }

  public var isUnderWay: Bool { underWay > 0 }

  private var ringForWrites: OpaquePointer? { ringIsEnabled ? ring : nil }

  // MARK: Directory and whole files

  public mutating func list(_ body: (FileName) -> Void) throws(StorageFault) {
    var stream: UnsafeMutableRawPointer?
    var failure: Int32 = 0
    while let name = ltp_system_next_entry(directory, &stream, &failure) {
      if let name = FileName(name) { body(name) }
    }
    guard failure == 0 else { throw StorageFault(.list, code: -failure) }
  }

  public mutating func open(_ name: FileName, _ mode: OpenMode) throws(StorageFault) -> Int32 {
    let wantsDirect = mode.holdsBlocks && choice.direct
    var flags = mode.creates ? LTP_SYSTEM_CREATE : 0
    if wantsDirect { flags |= LTP_SYSTEM_DIRECT }
    var descriptor = name.withCString { ltp_system_open_at(directory, $0, flags) }
    if descriptor == -LTP_SYSTEM_EINVAL, wantsDirect {
      // EINVAL: the file system has no direct I/O. O_CREAT may have made the file all the same.
      choice.direct = false
      if mode.creates { _ = name.withCString { ltp_system_unlink_at(directory, $0) } }
      descriptor = name.withCString { ltp_system_open_at(directory, $0, flags & ~LTP_SYSTEM_DIRECT) }
    }
    guard descriptor >= 0 else { throw StorageFault(mode.creates ? .create : .open, code: -descriptor) }
    if wantsDirect { registerFile(descriptor) }
    return descriptor
  }

  public mutating func close(_ handle: Int32, isIdle: Bool) {
    if let index = registeredIndex(handle) {
      registered[index] = -1
      if let ring { _ = ltp_system_ring_set_file(ring, UInt32(index), -1) }
    }
    release(handle, isIdle: isIdle)
  }

  /// Closes the descriptor. Its lock goes at once, even if a child of the host still has a copy of it; but not
  /// before every write to it has ended.
  private borrowing func release(_ descriptor: Int32, isIdle: Bool) {
    if isIdle { _ = ltp_system_unlock(descriptor) }
    _ = ltp_system_close(descriptor)
  }

  private mutating func registerFile(_ descriptor: Int32) {
    guard let ring, registersFiles, let index = registeredIndex(-1) else { return }
    if ltp_system_ring_set_file(ring, UInt32(index), descriptor) == 0 { registered[index] = descriptor }
  }

  private func registeredIndex(_ descriptor: Int32) -> Int? {
    for index in registered.indices where registered[index] == descriptor { return index }
    return nil
  }

  public mutating func lock(_ handle: Int32?) throws(StorageFault) -> Bool {
    let result = ltp_system_lock(handle ?? directory)
    if result == 0 { return true }
    guard result == -LTP_SYSTEM_EAGAIN || result == -LTP_SYSTEM_EINTR else {
      throw StorageFault(.lock, code: -result)
    }
    return false
  }

  public mutating func size(_ handle: Int32) throws(StorageFault) -> UInt64 {
    let size = ltp_system_size(handle)
    guard size >= 0 else { throw StorageFault(.size, code: Int32(-size)) }
    return UInt64(size)
  }

  public mutating func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int {
    try Self.read(handle, into: memory, count: count, offset: offset)
  }

  /// The same of any descriptor.
  package static func read(
    _ handle: Int32, into memory: UnsafeMutableRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) -> Int {
    var done = 0
    while done < count {
      let got = ltp_system_read_at(handle, memory + done, count - done, offset + UInt64(done))
      if got == Int64(-LTP_SYSTEM_EINTR) { continue }
      guard got >= 0 else { throw StorageFault(.read, code: Int32(-got)) }
      if got == 0 { break }
      done += Int(got)
    }
    return done
  }

  public mutating func write(
    _ handle: Int32, from memory: UnsafeRawPointer, count: Int, offset: UInt64
  ) throws(StorageFault) {
    var done = 0
    while done < count {
      let put = ltp_system_write_at(handle, memory + done, count - done, offset + UInt64(done), 0)
      if put == Int64(-LTP_SYSTEM_EINTR) { continue }
      guard put > 0 else { throw StorageFault(.write, code: put == 0 ? LTP_SYSTEM_EIO : Int32(-put)) }
      done += Int(put)
    }
  }

  public mutating func truncate(_ handle: Int32, to bytes: UInt64) throws(StorageFault) {
    let result = ltp_system_truncate(handle, bytes)
    guard result == 0 else { throw StorageFault(.truncate, code: -result) }
  }

  public mutating func sync(_ handle: Int32) throws(StorageFault) {
    let result = ltp_system_sync(handle)
    guard result == 0 else { throw StorageFault(.sync, code: -result) }
  }

  public mutating func syncDirectory() throws(StorageFault) { try sync(directory) }

  public mutating func rename(_ from: FileName, to: FileName, replaces: Bool) throws(StorageFault) {
    let result = from.withCString { old in
      to.withCString { ltp_system_rename_at(directory, old, $0, replaces ? 1 : 0) }
    }
    guard result == 0 else { throw StorageFault(.rename, code: -result) }
  }

  public mutating func remove(_ name: FileName) throws(StorageFault) {
    let result = name.withCString { ltp_system_unlink_at(directory, $0) }
    guard result == 0 else { throw StorageFault(.remove, code: -result) }
  }

  // MARK: Blocks

  public mutating func start(_ write: StorageWrite) -> Bool {
    if let ring = ringForWrites {
      let isQueued =
        ltp_system_ring_queue_write(
          ring, write.file, fileIndex(write.file), write.memory, UInt32(write.count), write.offset,
          choice.registersBuffers ? write.bufferIndex : -1, write.durable ? 1 : 0, write.token) == 0
      underWay += isQueued ? 1 : 0
      return isQueued
    }
    guard finishedCount < queueDepth else { return false }
    let put = ltp_system_write_at(
      write.file, write.memory, write.count, write.offset, write.durable ? 1 : 0)
    finish(token: write.token, result: Int32(truncatingIfNeeded: put))
    return true
  }

  private func fileIndex(_ handle: Int32) -> Int32 { registeredIndex(handle).map { Int32($0) } ?? -1 }

  public mutating func startSync(_ handle: Int32, token: UInt64) -> Bool {
    if let ring = ringForWrites {
      let isQueued = ltp_system_ring_queue_sync(ring, handle, fileIndex(handle), token) == 0
      underWay += isQueued ? 1 : 0
      return isQueued
    }
    guard finishedCount < queueDepth else { return false }
    finish(token: token, result: ltp_system_sync(handle))
    return true
  }

  private mutating func finish(token: UInt64, result: Int32) {
    finished[finishedCount] = StorageCompletion(token: token, result: result)
    finishedCount += 1
  }

  public mutating func complete(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int, waitNanoseconds: UInt64
  ) throws(StorageFault) -> Int {
    if finishedCount > 0 { return collectFinished(into: completions, capacity: capacity) }
    guard let ring = ringForWrites else { return 0 }
    try submit(ring)
    var count = reap(ring, into: completions, capacity: capacity)
    if count == 0, underWay > 0, waitNanoseconds > 0 || ringIsPolled {
      let result =
        waitNanoseconds > 0
        ? ltp_system_ring_wait(ring, waitNanoseconds) : ltp_system_ring_collect(ring)
      // ETIME: nothing yet. EINTR, EAGAIN, EBUSY: the next call tries again.
      guard result >= 0 || result == -LTP_SYSTEM_ETIME || Self.isPassing(-result) else {
        throw StorageFault(.write, code: -result)
      }
      count = reap(ring, into: completions, capacity: capacity)
    }
    underWay -= count
    return count
  }

  /// Hands over what is queued. Interruptions and a busy kernel are tried again, within bounds.
  private func submit(_ ring: OpaquePointer) throws(StorageFault) {
    var tries = 0
    while true {
      let result = ltp_system_ring_submit(ring)
      if result >= 0 { return }
      guard Self.isPassing(-result) else { throw StorageFault(.write, code: -result) }
      tries += 1
      // EAGAIN and EBUSY may last until completions are taken: leave the rest queued for the next call.
      if tries >= Self.submitTriesMax || result != -LTP_SYSTEM_EINTR { return }
    }
  }

  private static func isPassing(_ code: Int32) -> Bool {
    code == LTP_SYSTEM_EINTR || code == LTP_SYSTEM_EAGAIN || code == LTP_SYSTEM_EBUSY
  }

  private func reap(
    _ ring: OpaquePointer, into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int
  ) -> Int {
    withUnsafeTemporaryAllocation(of: ltp_system_completion.self, capacity: 32) { batch in
      let limit = min(capacity, batch.count)
      let count = Int(ltp_system_ring_reap(ring, batch.baseAddress, UInt32(limit)))
      for index in 0..<count {
        completions[index] = StorageCompletion(token: batch[index].token, result: batch[index].result)
      }
      return count
    }
  }

  private mutating func collectFinished(
    into completions: UnsafeMutablePointer<StorageCompletion>, capacity: Int
  ) -> Int {
    let count = min(capacity, finishedCount)
    for index in 0..<count { completions[index] = finished[index] }
    for index in count..<finishedCount { finished[index - count] = finished[index] }
    finishedCount -= count
    return count
  }

  public mutating func register(memory: UnsafeMutableRawPointer, bytes: Int, index: Int32) -> Bool {
    guard let ring, choice.registersBuffers else { return false }
    return ltp_system_ring_set_buffer(ring, UInt32(index), memory, bytes) == 0
  }

  public mutating func unregister(index: Int32) {
    guard let ring, choice.registersBuffers else { return }
    _ = ltp_system_ring_set_buffer(ring, UInt32(index), nil, 0)
  }

  public mutating func randomLogID() -> LogID? {
    var words: (UInt64, UInt64) = (0, 0)
    guard withUnsafeMutableBytes(of: &words, { ltp_system_random($0.baseAddress, $0.count) }) == 0 else {
      return nil
    }
    return LogID(low: words.0, high: words.1)
  }

  public mutating func sleep(nanoseconds: UInt64) { ltp_system_sleep_ns(nanoseconds) }
}
