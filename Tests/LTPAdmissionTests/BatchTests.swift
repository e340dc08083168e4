// SPDX-License-Identifier: Apache-2.0
// A batch against single calls: the same requests, of every odd kind, through two lanes of one orientation. Both have
// loops of their own, and both have a short way and a long one.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPOrientation

@Suite(.guarded) struct BatchTests {
  private static let now: UInt64 = 1_000_000_000

  private func randomRequest(_ random: inout SplitMix64, _ harness: LaneHarness, frameID: UInt64)
    -> ltp_long_request
  {
    let session = random.next() % 64
    let classes: [UInt8] = [0, 8, 9, 24, 25, 40, 44, 48, 56, 127, 128, 0xFF]
    let deadlines: [UInt64?] = [nil, nil, nil, 0, 1, Self.now - 1, Self.now, Self.now + 1, UInt64.max]
    var made = request(
      classes.randomElement(using: &random)!, frameID: frameID, sessionID: session,
      priority: .random(in: 0...255, using: &random),
      life: harness.life(of: session, domain: UInt8(random.next() % 3)),
      deadline: deadlines.randomElement(using: &random)!)
    switch random.next() % 32 {
    case 0: made.deadline_ns = 77  // perhaps without its flag
    case 1: made.header.magic ^= 1
    case 2: made.reserved.2 = 1
    case 3: made.header.flags |= 0x8000
    case 4: made.header.flags |= LTP_REQUEST_REPLAY  // without its second line
    case 5: made.intent_epoch &-= 1
    case 6, 7, 8: made.continuity_token = random.next() % 3
    case 9, 10: made.domain ^= 1
    case 11: made.incarnation ^= 1
    default: break
    }
    if random.next() % 16 == 0 { return replay(of: frameID / 2 + 1, made) }
    var long = ltp_long_request()
    long.request = made
    return long
  }

  @Test(
    "a batch decides, records and counts what single calls do, whatever is in it", arguments: [64, 67, 128])
  func equalsSingleCalls(stride: Int) {
    let harness = LaneHarness(now: Self.now)
    let single = harness.lane(id: 1)
    let batch = harness.lane(id: 2)
    var random = TestSeed.random(UInt64(stride))
    let states = (1..<UInt8(LTP_STATE_COUNT)).map { $0 }
    var frameID: UInt64 = 0
    var executed = 0
    var kinds = Set<UInt8>()
    for _ in 0..<400 {
      if random.next() % 4 == 0 { harness.publish(states.randomElement(using: &random)!) }
      if random.next() % 8 == 0 { harness.drain() }
      let count = Int.random(in: 1...64, using: &random)
      // One byte off, so that no field is aligned.
      let frames = UnsafeMutableRawPointer.allocate(byteCount: count * stride + 1, alignment: 64) + 1
      defer { (frames - 1).deallocate() }
      for index in 0..<count {
        frameID += 1
        withUnsafeBytes(of: randomRequest(&random, harness, frameID: frameID)) {
          (frames + index * stride).copyMemory(from: $0.baseAddress!, byteCount: min(stride, $0.count))
        }
      }
      let first = (single.issued, batch.issued)
      #expect(first.0 == first.1)
      var together = [ltp_verdict](repeating: ltp_verdict(), count: count)
      let said = batch.admitBatch(frames, stride: stride, count: count, into: &together)
      var admitted = 0
      for index in 0..<count {
        let alone = single.admit(frames + index * stride, available: stride)
        #expect(alone == unsafeBitCast(together[index], to: Verdict.self))
        admitted += alone.isExecute ? 1 : 0
      }
      #expect(said == admitted)
      executed += admitted
      guard single.issued == batch.issued else {
        Issue.record("\(single.issued) slots by single calls, \(batch.issued) by the batch")
        return
      }
      for sequence in first.0..<single.issued {
        kinds.insert(single.kind(sequence))
        let same = (0..<4).allSatisfy {
          single.slot(sequence).load(fromByteOffset: $0 * 8, as: UInt64.self)
            == batch.slot(sequence).load(fromByteOffset: $0 * 8, as: UInt64.self)
        }
        #expect(same, "slot \(sequence)")
      }
      single.release()
      batch.release()
    }
    var counts = [[UInt64]](repeating: [UInt64](repeating: 0, count: Lane.counterCount), count: 2)
    single.addCounters(to: &counts[0])
    batch.addCounters(to: &counts[1])
    #expect(counts[0] == counts[1])
    #expect(counts[0].reduce(0, +) == frameID)
    #expect(executed > 500)
    #expect(kinds.isSuperset(of: [LTP_RECORD_DECISION, LTP_RECORD_OBSERVED]))
    // A replay has two lines, which must fit the stride.
    #expect(kinds.contains(LTP_RECORD_REPLAY) == (stride >= MemoryLayout<ltp_long_request>.size))
  }
}
