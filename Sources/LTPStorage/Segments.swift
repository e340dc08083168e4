// SPDX-License-Identifier: Apache-2.0
// The segments of a chain: the one that is being written, the next one on its way, and the oldest that is kept.
//
// Direct writes into space that was written before are three times as fast as writes that grow a file, so
// a segment is filled with zeros ahead of its use. It gets its name only once that is on disk, and so is every block
// of the segment before: under the name of a segment there is always one that can be trusted or recovered, and
// only the last one can have a torn end.
//
// Invariants
//   - Blocks end before the zeros do, and the zeros before the segment's limit.
//   - A next segment is prepared only while there is none ready, and its file is open while it is prepared.

import CLTP
import CLTPSystem
import LTPRecords

/// A segment that is being written.
struct OpenSegment {
  var index: UInt64
  var handle: Int32
  /// Nothing lies behind it. A segment keeps the one that it was begun with, whatever the configuration is by now.
  var limit: UInt64
  /// Where the next block goes.
  var offset: UInt64
  /// Bytes from the start that are on disk as zeros or data, and can be overwritten in place.
  var zeroed: UInt64
  var blocks: UInt64 = 0
  /// Its last block has been appended; the next segment comes once that is durable.
  var isSealed = false
}

/// The segment after the current one, on its way to being ready.
enum PreparationPhase { case idle, zeroing, zeroed, syncing, ready }

struct Segments: ~Copyable {
  private static let retryNanoseconds: UInt64 = 100_000_000

  private let configuration: ChainConfiguration
  var current: OpenSegment?
  private(set) var oldest: UInt64
  /// Of the segment that comes, while there is no current one.
  private let firstIndex: UInt64

  private(set) var phase = PreparationPhase.idle
  private var preparedHandle: Int32 = -1
  private var preparedZeros: UInt64 = 0
  private var zeroWriteIsBusy = false
  private var syncIsBusy = false
  /// The zero write under way goes to the current segment.
  private var zeroesCurrent = false
  /// Not before this time: the last try failed.
  private var retryAt: UInt64 = 0
  private var zeros: UnsafeMutableRawPointer?

  /// Why the next segment cannot be had just now; nil: nothing is in the way.
  private(set) var hindrance: StorageFault?

  init(_ chain: RecoveredChain, configuration: ChainConfiguration) {
    self.configuration = configuration
    oldest = chain.oldestSegment
    firstIndex = chain.position.segmentIndex
    guard let handle = chain.handle else { return }
    current = OpenSegment(
      index: chain.position.segmentIndex, handle: handle,
      limit: chain.segmentBytes ?? configuration.segmentBytes, offset: chain.offset, zeroed: chain.offset,
      blocks: chain.segmentBlocks)
  }

  deinit { if let zeros { ltp_system_unmap(zeros, configuration.zeroBytes) } }

  var isBusy: Bool { zeroWriteIsBusy || syncIsBusy }

  private var nextIndex: UInt64 { current.map { $0.index + 1 } ?? firstIndex }

  private func name(_ file: ChainFile) -> FileName { configuration.naming.name(of: file) }

  /// A block of so many bytes was put at the end of the current segment.
  mutating func enterBlock(bytes: Int) {
    current!.offset += UInt64(bytes)
    // A segment that is shorter than its summary lengthens the file.
    current!.zeroed = max(current!.zeroed, current!.offset)
    current!.blocks += 1
  }

  // MARK: Preparing

  /// Keeps zeros ahead of the writing: first to the end of the current segment, then in the next one.
  mutating func prepare<Device: StorageDevice & ~Copyable>(now: UInt64, _ device: inout Device) {
    guard !zeroWriteIsBusy, now >= retryAt else { return }
    if let current, current.zeroed < current.limit {
      startZeros(handle: current.handle, at: current.zeroed, isCurrent: true, now: now, &device)
      return
    }
    switch phase {
    case .idle: createNext(now: now, &device)
    case .zeroing:
      startZeros(handle: preparedHandle, at: preparedZeros, isCurrent: false, now: now, &device)
    case .zeroed: startSync(&device)
    case .syncing, .ready: break
    }
  }

  private mutating func createNext<Device: StorageDevice & ~Copyable>(
    now: UInt64, _ device: inout Device
  ) {
    zeroesCurrent = false
    // Not before it is needed: a service that decides little should not hold two segments of zeros.
    if let current, current.offset < current.limit / 4 { return }
    do throws(StorageFault) {
      preparedHandle = try device.open(
        name(.prepared(nextIndex)), OpenMode(creates: true, holdsBlocks: true))
      phase = .zeroing
      preparedZeros = 0
      startZeros(handle: preparedHandle, at: 0, isCurrent: false, now: now, &device)
    } catch {
      // An earlier try could not remove its file.
      if error.code == LTP_SYSTEM_EEXIST { removePrepared(&device) }
      postpone(error, now: now, &device)
    }
  }

  private mutating func startZeros<Device: StorageDevice & ~Copyable>(
    handle: Int32, at offset: UInt64, isCurrent: Bool, now: UInt64, _ device: inout Device
  ) {
    // Not registered: that would give the core pages of its own, where the system's one page of zeros does.
    if zeros == nil { zeros = ltp_system_map(configuration.zeroBytes, LTP_SYSTEM_ZEROS) }
    guard let zeros else {
      return postpone(StorageFault(.write, code: LTP_SYSTEM_ENOMEM), now: now, &device)
    }
    // Opening waits for the start of a first segment: a small one will do, the rest follows while it is used.
    let most = current == nil ? 2 * configuration.blockBytes : configuration.zeroBytes
    let limit = isCurrent ? current!.limit : configuration.segmentBytes
    let count = min(UInt64(most), limit - offset)
    zeroesCurrent = isCurrent
    zeroWriteIsBusy = device.start(
      StorageWrite(
        file: handle, memory: UnsafeRawPointer(zeros), count: Int(count), offset: offset, bufferIndex: -1,
        durable: false, token: OperationToken(owner: configuration.owner, .zeros).rawValue))
  }

  private mutating func startSync<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    syncIsBusy = device.startSync(
      preparedHandle, token: OperationToken(owner: configuration.owner, .segmentSync).rawValue)
    if syncIsBusy { phase = .syncing }
  }

  /// A zero write has ended.
  mutating func completeZeros<Device: StorageDevice & ~Copyable>(
    result: Int32, now: UInt64, _ device: inout Device
  ) {
    zeroWriteIsBusy = false
    guard result > 0 else {
      if StorageCompletion.isPassing(result) { return }
      return postpone(StorageFault(.write, code: StorageCompletion.code(of: result)), now: now, &device)
    }
    hindrance = nil
    // Whole pages only: a short write may end anywhere.
    let bytes = UInt64(result) / UInt64(LTP_TRACE_PAGE_BYTES) * UInt64(LTP_TRACE_PAGE_BYTES)
    if zeroesCurrent {
      current?.zeroed += bytes
      return
    }
    preparedZeros += bytes
    // A first segment is usable as soon as its start is there; the rest follows while it is used.
    if preparedZeros >= configuration.segmentBytes || current == nil { phase = .zeroed }
  }

  /// The sync of the segment that is being prepared has ended.
  mutating func completeSync<Device: StorageDevice & ~Copyable>(
    result: Int32, now: UInt64, _ device: inout Device
  ) {
    syncIsBusy = false
    // Nothing of the log is in this file yet, so it can be thrown away and made anew.
    if result < 0 { return postpone(StorageFault(.sync, code: -result), now: now, &device) }
    phase = .ready
  }

  /// After the end: only that the device is done with the memory counts.
  mutating func endOperation(_ purpose: OperationToken.Purpose) {
    switch purpose {
    case .zeros: zeroWriteIsBusy = false
    case .segmentSync: syncIsBusy = false
    case .block: break
    }
  }

  /// The next segment cannot be had now: what is being prepared is dropped, and tried again later. The current
  /// segment stays as it is; when it is full, whoever appends must wait.
  private mutating func postpone<Device: StorageDevice & ~Copyable>(
    _ fault: StorageFault, now: UInt64, _ device: inout Device
  ) {
    retryAt = now &+ Self.retryNanoseconds
    hindrance = fault
    if !zeroesCurrent { dropPrepared(&device) }
  }

  mutating func dropPrepared<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    guard preparedHandle >= 0 else { return }
    device.close(preparedHandle, isIdle: !isBusy)
    removePrepared(&device)
    preparedHandle = -1
    preparedZeros = 0
    phase = .idle
  }

  private func removePrepared<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    do throws(StorageFault) { try device.remove(name(.prepared(nextIndex))) } catch {}
  }

  // MARK: Going over

  /// Gives the prepared segment its name and makes it the current one. It is ready, and the one before is cut.
  mutating func adoptPrepared<Device: StorageDevice & ~Copyable>(_ device: inout Device) throws(StorageFault)
  {
    let index = nextIndex
    // Code 0: somebody else has it.
    guard try device.lock(preparedHandle) else { throw StorageFault(.lock, code: 0) }
    // Whatever else is wrong, no segment of a log is ever written over.
    try device.rename(name(.prepared(index)), to: name(.segment(index)), replaces: false)
    try device.syncDirectory()
    if let current { device.close(current.handle) }
    current = OpenSegment(
      index: index, handle: preparedHandle, limit: configuration.segmentBytes, offset: 0,
      zeroed: preparedZeros)
    phase = .idle
    preparedHandle = -1
    preparedZeros = 0
  }

  /// Cuts the unused end off the current segment, all of whose blocks are durable. Its zeros were never synced, so a power
  /// loss could leave anything there: only the last segment may look like that.
  func cutCurrent<Device: StorageDevice & ~Copyable>(_ device: inout Device) throws(StorageFault) {
    guard let current else { return }
    try device.truncate(current.handle, to: current.offset)
    try device.sync(current.handle)
  }

  /// Beside segment `index` as the current one, those below this are more than is to be kept.
  func retentionEnd(at index: UInt64) -> UInt64 {
    var end: UInt64 = 0
    func keep(_ count: UInt64) { end = max(end, index + 1 - min(index + 1, max(count, 2))) }
    if configuration.retainSegments > 0 { keep(configuration.retainSegments) }
    if configuration.retainBytes > 0 { keep(configuration.retainBytes / configuration.segmentBytes) }
    return end
  }

  /// Takes away the segments in front of this one, as far as that succeeds; the current one stays.
  mutating func drop<Device: StorageDevice & ~Copyable>(below index: UInt64, _ device: inout Device) {
    guard let current else { return }
    while oldest < min(index, current.index) {
      guard removeOldest(&device) else { return }
    }
  }

  private mutating func removeOldest<Device: StorageDevice & ~Copyable>(_ device: inout Device) -> Bool {
    do throws(StorageFault) { try device.remove(name(.segment(oldest))) } catch {
      // Gone already, if only the sync below failed.
      guard error.code == LTP_SYSTEM_ENOENT else { return false }
    }
    // One by one: a power loss that undid this removal and kept the next one would leave a hole.
    do throws(StorageFault) { try device.syncDirectory() } catch { return false }
    oldest += 1
    return true
  }

  /// Closes the descriptors. `isIdle`: no block is under way.
  mutating func close<Device: StorageDevice & ~Copyable>(isIdle: Bool, _ device: inout Device) {
    dropPrepared(&device)
    if let current { device.close(current.handle, isIdle: isIdle && !isBusy) }
    current = nil
  }

  /// nil: all is as the file's head says; else what is not.
  func checkInvariants() -> StaticString? {
    if let current {
      if current.offset > current.zeroed { return "segments: a block lies behind the zeros" }
      if current.zeroed > max(current.limit, current.offset) {
        return "segments: zeros behind the segment's limit"
      }
      if oldest > current.index { return "segments: the oldest comes after the current one" }
      if current.blocks == 0, current.offset > 0 { return "segments: bytes without a block" }
    }
    switch phase {
    case .idle:
      if preparedHandle >= 0 || syncIsBusy { return "segments: a file that is not being prepared" }
    case .zeroing, .zeroed, .ready:
      if preparedHandle < 0 || syncIsBusy { return "segments: what is being prepared has no file" }
    case .syncing:
      if preparedHandle < 0 || !syncIsBusy { return "segments: a sync that is not under way" }
    }
    if zeroWriteIsBusy, !zeroesCurrent, phase == .ready || phase == .syncing {
      return "segments: zeros for a segment that is ready"
    }
    return nil
  }
}
