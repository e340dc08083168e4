// SPDX-License-Identifier: Apache-2.0
// Completions go to whoever started the operation, whoever takes them from the device.

import CLTP
import CLTPSystem
import LTPTestSupport
import Testing

@testable import LTPStorage

@Suite("The queue that chains share", .guarded)
struct StorageQueueTests {
  @Test("tokens keep owner, purpose and the lower 48 bits of a number")
  func tokens() {
    var random = TestSeed.random(1)
    for _ in 0..<1000 {
      let number = random.next()
      let owner = UInt8(truncatingIfNeeded: random.next())
      for purpose in [OperationToken.Purpose.block, .zeros, .segmentSync] {
        let token = OperationToken(rawValue: OperationToken(owner: owner, purpose, number: number).rawValue)
        #expect(token.owner == owner && token.purpose == purpose)
        #expect(token.isNumber(number) && !token.isNumber(number ^ 1))
      }
    }
    #expect(OperationToken(rawValue: 99 << 48).purpose == nil)
  }

  private func start(
    _ queue: inout StorageQueue<SimulatedStorage>, owner: UInt8, number: UInt64, file: Int32,
    _ page: UnsafeMutableRawPointer
  ) -> Bool {
    queue.device.start(
      StorageWrite(
        file: file, memory: page, count: 4096, offset: number * 4096, bufferIndex: -1, durable: true,
        token: OperationToken(owner: owner, .block, number: number).rawValue))
  }

  @Test("each owner gets its own completions, all of them, once")
  func routes() throws {
    var random = TestSeed.random(7)
    let disk = SimulatedDisk(seed: random.next())
    var queue = StorageQueue(SimulatedStorage(disk))
    let page = ltp_system_map(4096, 0)!
    defer { ltp_system_unmap(page, 4096) }
    let file = try queue.device.open(ChainNaming.trace.name(of: .segment(0)), OpenMode(creates: true))
    var started: [[UInt64]] = [[], [], []]
    var taken: [[UInt64]] = [[], [], []]
    for number in 0..<400 as Range<UInt64> {
      let owner = random.below(3)
      // Not more than a mailbox holds.
      if started[owner].count - taken[owner].count < 40,
        start(&queue, owner: UInt8(owner), number: number, file: file, page)
      {
        started[owner].append(number)
      }
      disk.now += UInt64(random.below(1_000_000))
      if random.oneIn(2) { queue.reap(waitNanoseconds: 0) }
      let looking = random.below(3)
      while random.oneIn(2), let completion = queue.next(for: UInt8(looking)) {
        taken[looking].append(OperationToken(rawValue: completion.token).number)
      }
    }
    disk.now += 10_000_000
    for owner in 0..<3 {
      // More may be under way than one call takes from the device.
      for _ in 0..<8 { queue.reap(waitNanoseconds: 0) }
      while let completion = queue.next(for: UInt8(owner)) {
        #expect(OperationToken(rawValue: completion.token).owner == owner)
        taken[owner].append(OperationToken(rawValue: completion.token).number)
      }
      #expect(started[owner].count > 20 && taken[owner].sorted() == started[owner])
    }
    #expect(queue.next(for: 3) == nil && queue.failure == nil)
  }

  @Test("a completion of no owner is nobody's, and the queue goes on")
  func stranger() throws {
    let disk = SimulatedDisk(seed: TestSeed.value(3))
    var queue = StorageQueue(SimulatedStorage(disk))
    let page = ltp_system_map(4096, 0)!
    defer { ltp_system_unmap(page, 4096) }
    let file = try queue.device.open(ChainNaming.trace.name(of: .segment(0)), OpenMode(creates: true))
    let isStarted = start(&queue, owner: 200, number: 1, file: file, page)
    let isStartedToo = start(&queue, owner: 2, number: 2, file: file, page)
    #expect(isStarted && isStartedToo)
    disk.now += 10_000_000
    queue.reap(waitNanoseconds: 0)
    #expect(queue.failure == nil)
    let numbers = (0..<4).map { owner in
      queue.next(for: UInt8(owner)).map { OperationToken(rawValue: $0.token).number }
    }
    #expect(numbers == [nil, nil, 2, nil])
  }
}
