// SPDX-License-Identifier: Apache-2.0
// A chain of sealed blocks on disk, as a thing of its own: append, acknowledge, segments, watermark. What the blocks say
// is its owner's business. It has no thread: the owner reaps its queue, calls `settle`, `append` and
// `pump`, and takes what became durable.
//
// Invariants
//   - Blocks are sealed in the order of their index and acknowledged in that order, whatever order the device
//     completes them in. `nextDurable` gives a block only after its write completed with success and the watermark says so.
//   - Any fault that could mean lost data is final: after `failure` nothing is started or acknowledged any more.
//   - A block of another segment follows only once all of the segment before is durable.

import CLTP
import CLTPSystem
public import LTPRecords

/// What a block is sealed with beside its body.
public struct BlockContent {
  public var laneID: UInt32
  public var firstSequence: UInt64
  public var slotCount: Int
  public var orientationWord: UInt64 = 0
  public var limitsWord: UInt64 = 0
  public var baseMonotonicNanoseconds: UInt64
  public var baseUnixNanoseconds: UInt64
  /// The staging buffer that the body lies in, which goes back when the block is durable; -1: it lies elsewhere, and stays
  /// as it is until then.
  public var staging = -1
  /// Registered memory that holds a body that is not staged; -1: none.
  public var bufferIndex: Int32 = -1
  /// Comes back with the block when it is durable.
  public var reference = -1

  public init(
    laneID: UInt32, firstSequence: UInt64, slotCount: Int, baseMonotonicNanoseconds: UInt64,
    baseUnixNanoseconds: UInt64
  ) {
    self.laneID = laneID
    self.firstSequence = firstSequence
    self.slotCount = slotCount
    self.baseMonotonicNanoseconds = baseMonotonicNanoseconds
    self.baseUnixNanoseconds = baseUnixNanoseconds
  }
}

/// A block that is acknowledged.
public struct DurableBlock {
  public var index: UInt64
  public var bytes: Int
  /// What `append` was given.
  public var reference: Int
  /// Slots of its lane are durable below this.
  public var endSequence: UInt64
}

/// Whether a block of a certain size can be appended.
public enum ChainRoom: Equatable, Sendable {
  case fits
  /// Not before something has completed.
  case later
  /// The segment is full and the next one ready: the owner appends the segment's last block with `appendLast`.
  case segmentIsFull
}

public struct Chain: ~Copyable {
  let configuration: ChainConfiguration
  /// Where the next block belongs.
  public private(set) var position: ChainPosition
  /// Blocks below this are acknowledged.
  public private(set) var durableBlocks: UInt64
  var segments: Segments
  var inFlight: BlocksInFlight
  private var staging: StagingPool
  private var stagingBufferIndex: Int32 = -1
  private var isRegistered = false
  private let watermarkHandle: Int32
  private var filesAreClosed = false
  /// Final: why the chain takes nothing any more. Code 0 of a lock: somebody else has the next segment.
  public private(set) var failure: StorageFault?
  private var now: UInt64 = 0
  /// Something was appended, completed or begun; the owner puts it back.
  public var hasProgressed = false

  /// `staging`: `configuration.stagingBytes` of page-aligned memory, which outlives the chain.
  public init(
    _ recovered: RecoveredChain, configuration: ChainConfiguration, staging memory: UnsafeMutableRawPointer
  ) {
    self.configuration = configuration
    position = recovered.position
    durableBlocks = recovered.position.blockIndex
    watermarkHandle = recovered.watermarkHandle
    segments = Segments(recovered, configuration: configuration)
    inFlight = BlocksInFlight(capacity: configuration.inflightMax)
    staging = StagingPool(
      memory: memory, bufferBytes: configuration.blockBytes, count: configuration.stagingCount)
  }

  // Spelled out, so that the parts' memory is given back here: Embedded Swift finds no deinit of another module's
  // internal types.
  deinit {}

  // MARK: What there is

  /// There is a segment that takes blocks.
  public var isOpen: Bool { segments.current.map { !$0.isSealed } ?? false }
  /// Blocks in the current segment.
  public var segmentBlocks: UInt64 { segments.current?.blocks ?? 0 }
  /// Where in its segment the next block will begin.
  public var nextOffset: UInt64 { segments.current?.offset ?? 0 }
  /// Why the next segment cannot be had just now; nil: nothing is in the way.
  public var hindrance: StorageFault? { segments.hindrance }
  /// Operations are under way, or blocks wait to be acknowledged.
  public var isWaiting: Bool { failure == nil && (inFlight.count > 0 || segments.isBusy) }
  /// Everything that was appended is durable, and nothing is under way.
  public var isSettled: Bool { inFlight.count == 0 && !segments.isBusy }
  public var hasPlace: Bool { inFlight.hasPlace }

  // MARK: Staging

  public mutating func acquireStaging() -> Int? { staging.acquire() }
  public var freeStagingCount: Int { staging.freeCount }
  public mutating func releaseStaging(_ index: Int) { staging.release(index) }
  public func stagingMemory(_ index: Int) -> UnsafeMutableRawPointer { staging.memory(index) }

  // MARK: Appending

  /// Whether a block of `bytes` can be appended now, and one of `lastBytes` that ends the segment after it.
  public func room(for bytes: Int, before lastBytes: Int) -> ChainRoom {
    guard isOpen, failure == nil, inFlight.hasPlace, let current = segments.current else { return .later }
    let end = current.offset + UInt64(bytes) + UInt64(lastBytes)
    if end <= current.limit { return end <= current.zeroed ? .fits : .later }
    return canEndSegment ? .segmentIsFull : .later
  }

  /// The next segment is ready: the owner may append this one's last block with `appendLast`, full or not.
  public var canEndSegment: Bool {
    isOpen && failure == nil && inFlight.hasPlace && segments.phase == .ready
  }

  /// Seals the body in `memory` as the next block and starts its write. There is room for it. The memory stays the chain's
  /// until `nextDurable` gives the block back, whatever has completed by then.
  public mutating func append<Device: StorageDevice & ~Copyable>(
    _ memory: UnsafeMutableRawPointer, _ content: BlockContent, _ queue: inout StorageQueue<Device>
  ) {
    assert(content.slotCount > 0, "a block of 0 slots")
    // Sealed, it would make the log unreadable from here on while the status says OK.
    guard content.slotCount > 0 else { return refuse(content, StorageFault(.write, code: 0)) }
    let seal = BlockSeal(
      logID: position.logID, laneID: content.laneID, blockIndex: position.blockIndex,
      segmentIndex: position.segmentIndex, firstSequence: content.firstSequence,
      slotCount: content.slotCount, baseMonotonicNanoseconds: content.baseMonotonicNanoseconds,
      baseUnixNanoseconds: content.baseUnixNanoseconds, orientationWord: content.orientationWord,
      limitsWord: content.limitsWord, durableBlocks: durableBlocks, previousHash: position.previousHash)
    guard let hash = seal.seal(memory) else {
      return refuse(content, StorageFault(.hash, code: LTP_SYSTEM_ENOMEM))
    }
    let bytes = BlockHeader.sizeBytes(slotCount: content.slotCount)
    let added = inFlight.append(
      BlockInFlight(
        index: position.blockIndex, file: segments.current!.handle, memory: UnsafeRawPointer(memory),
        bytes: bytes, offset: segments.current!.offset,
        bufferIndex: content.staging >= 0 ? stagingBufferIndex : content.bufferIndex,
        staging: content.staging, reference: content.reference,
        endSequence: content.firstSequence + UInt64(content.slotCount)))
    segments.enterBlock(bytes: bytes)
    position.blockIndex += 1
    position.previousHash = hash
    hasProgressed = true
    start(added, &queue)
    // Hand it to the device now: it writes while the next block is hashed. And keep the zeros ahead of it.
    queue.reap(waitNanoseconds: 0)
    settle(&queue)
    if failure == nil { segments.prepare(now: now, &queue.device) }
  }

  /// Appends the block that ends the segment; `canEndSegment`. What comes then waits until all of the
  /// segment is durable: a drained queue for each segment buys a log whose torn end is in one place.
  public mutating func appendLast<Device: StorageDevice & ~Copyable>(
    _ memory: UnsafeMutableRawPointer, _ content: BlockContent, _ queue: inout StorageQueue<Device>
  ) {
    segments.current!.isSealed = true
    append(memory, content, &queue)
  }

  private mutating func refuse(_ content: BlockContent, _ fault: StorageFault) {
    if content.staging >= 0 { staging.release(content.staging) }
    fail(fault)
  }

  /// Begins the next segment, if the current one is sealed and durable, or there is none. True: one was begun now, and its
  /// first block shall make it readable by itself.
  public mutating func beginSegment<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>
  ) -> Bool {
    guard failure == nil, !isOpen, durableBlocks == position.blockIndex, segments.phase == .ready else {
      return false
    }
    do throws(StorageFault) {
      try segments.cutCurrent(&queue.device)
      try segments.adoptPrepared(&queue.device)
    } catch {
      fail(error)
      return false
    }
    position.segmentIndex = segments.current!.index
    hasProgressed = true
    return true
  }

  /// Segments below this are more than the configuration keeps once segment `index` is the current one. They go when the owner drops them.
  public func retentionEnd(at index: UInt64) -> UInt64 { segments.retentionEnd(at: index) }

  /// Takes away the segments in front of this one, which the owner needs no more.
  public mutating func dropSegments<Device: StorageDevice & ~Copyable>(
    below index: UInt64, _ queue: inout StorageQueue<Device>
  ) {
    guard failure == nil else { return }
    segments.drop(below: index, &queue.device)
  }

  // MARK: The device

  /// Starts what the device had no place for before, and keeps segments prepared.
  public mutating func pump<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    guard failure == nil else { return }
    startPending(&queue)
    segments.prepare(now: now, &queue.device)
  }

  private mutating func start<Device: StorageDevice & ~Copyable>(
    _ block: UnsafeMutablePointer<BlockInFlight>, _ queue: inout StorageQueue<Device>
  ) {
    let (started, done) = (block.pointee, block.pointee.done)
    block.pointee.isStarted = queue.device.start(
      StorageWrite(
        file: started.file, memory: started.memory + done, count: started.bytes - done,
        offset: started.offset + UInt64(done), bufferIndex: started.bufferIndex, durable: true,
        token: OperationToken(owner: configuration.owner, .block, number: started.index).rawValue))
  }

  /// Starts what the device's queue had no place for.
  private mutating func startPending<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>
  ) {
    for position in 0..<inFlight.count where !inFlight[position].pointee.isStarted {
      start(inFlight[position], &queue)
      if !inFlight[position].pointee.isStarted { return }
    }
  }

  /// Takes what `reap` has put into the chain's mailbox, and acknowledges. The owner then asks `nextDurable` and `failure`.
  /// Once at least before the first block.
  public mutating func settle<Device: StorageDevice & ~Copyable>(
    now: UInt64, _ queue: inout StorageQueue<Device>
  ) {
    self.now = now
    if !isRegistered { register(&queue.device) }
    settle(&queue)
  }

  private mutating func register<Device: StorageDevice & ~Copyable>(_ device: inout Device) {
    isRegistered = true
    let isKnown = device.register(
      memory: staging.memory(0), bytes: configuration.stagingBytes, index: configuration.stagingBufferIndex)
    stagingBufferIndex = isKnown ? configuration.stagingBufferIndex : -1
  }

  private mutating func settle<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    if let fault = queue.failure { fail(fault) }
    while let completion = queue.next(for: configuration.owner) {
      let token = OperationToken(rawValue: completion.token)
      guard failure == nil else {
        settleAfterFailure(token)
        continue
      }
      hasProgressed = true
      switch token.purpose {
      case .zeros: segments.completeZeros(result: completion.result, now: now, &queue.device)
      case .segmentSync: segments.completeSync(result: completion.result, now: now, &queue.device)
      case .block:
        guard let block = inFlight.block(of: token) else { continue }
        switch BlocksInFlight.enter(completion.result, into: block) {
        case .complete: break
        case .goesOn: start(block, &queue)
        case .failed(let fault):
          block.pointee.isComplete = true
          fail(fault)
        }
      case nil: continue
      }
    }
    acknowledge(&queue)
  }

  /// After the end: only that the device is done with the memory counts.
  private mutating func settleAfterFailure(_ token: OperationToken) {
    guard let purpose = token.purpose else { return }
    if purpose == .block {
      inFlight.block(of: token)?.pointee.isComplete = true
    } else {
      segments.endOperation(purpose)
    }
  }

  /// Says in the watermark how far the chain is complete, and only then to its owner.
  private mutating func acknowledge<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>
  ) {
    guard failure == nil, inFlight.count > 0 else { return }
    let end = inFlight[0].pointee.index + UInt64(inFlight.completeCount)
    guard end > durableBlocks else { return }
    do throws(StorageFault) {
      try Watermark.write(
        &queue.device, handle: watermarkHandle, logID: position.logID, durableBlocks: end)
    } catch {
      return fail(error)
    }
    durableBlocks = end
  }

  /// The next block that is acknowledged and has not been given yet. Its memory is the owner's again.
  public mutating func nextDurable() -> DurableBlock? {
    guard inFlight.count > 0, inFlight[0].pointee.index < durableBlocks else { return nil }
    let block = inFlight.removeFirst()
    if block.staging >= 0 { staging.release(block.staging) }
    return DurableBlock(
      index: block.index, bytes: block.bytes, reference: block.reference, endSequence: block.endSequence)
  }

  /// Ends the chain for good, if it has not ended yet.
  public mutating func fail(_ fault: StorageFault) { if failure == nil { failure = fault } }

  // MARK: The end

  /// Waits until the device has let go of every block, however it ended, so that their memory can be given back.
  public mutating func waitUntilIdle<Device: StorageDevice & ~Copyable>(
    _ queue: inout StorageQueue<Device>
  ) {
    var rounds = 0
    while inFlight.areUnderWay || segments.isBusy, rounds < 1000, queue.failure == nil {
      queue.reap(waitNanoseconds: 10_000_000)
      while let completion = queue.next(for: configuration.owner) {
        settleAfterFailure(OperationToken(rawValue: completion.token))
      }
      rounds += 1
    }
  }

  /// Cuts what was prepared off the end. Everything that was appended is durable.
  public mutating func finish<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    assert(isSettled)
    segments.dropPrepared(&queue.device)
    do throws(StorageFault) {
      try segments.cutCurrent(&queue.device)
      try queue.device.sync(watermarkHandle)
    } catch {
      fail(error)
    }
  }

  /// Closes every descriptor. The chain's lock goes with them. To be called by the thread that pumped, if any did:
  /// a ring lets go of files at once only for its own thread.
  public mutating func closeFiles<Device: StorageDevice & ~Copyable>(_ queue: inout StorageQueue<Device>) {
    guard !filesAreClosed else { return }
    filesAreClosed = true
    segments.close(isIdle: !inFlight.areUnderWay, &queue.device)
    queue.device.close(watermarkHandle)
  }

  // MARK: Invariants

  /// nil: all is as the file's head says; else what is not. `stagedOutside`: staging buffers that the owner has in hand.
  /// Between any two calls. Of a chain that has failed, nothing is promised.
  public func checkInvariants(stagedOutside: Int) -> StaticString? {
    guard failure == nil else { return nil }
    if let broken = inFlight.checkInvariants() ?? staging.checkInvariants() ?? segments.checkInvariants() {
      return broken
    }
    var staged = stagedOutside
    for place in 0..<inFlight.count where inFlight[place].pointee.staging >= 0 { staged += 1 }
    if staged != staging.usedCount { return "chain: a staging buffer is lost, or used twice" }
    if durableBlocks > position.blockIndex { return "chain: more is acknowledged than was appended" }
    if inFlight.count > 0 {
      let first = inFlight[0].pointee.index
      if first > durableBlocks { return "chain: a block was given before it was acknowledged" }
      if first + UInt64(inFlight.count) != position.blockIndex { return "chain: a block is on no way" }
    } else if durableBlocks != position.blockIndex {
      return "chain: a block that is not acknowledged is gone"
    }
    if let current = segments.current, current.index != position.segmentIndex {
      return "chain: blocks belong to another segment than the current one"
    }
    return nil
  }
}
