// SPDX-License-Identifier: Apache-2.0
// A core that follows a page, with time and publisher in the test's hands; and with threads, for the sanitizer.

import CLTP
import CLTPSystem
import LTPTestSupport
import Synchronization
import Testing

@testable import LTPAdmission
@testable import LTPOrientation

/// A page in plain memory, of a boot that is the test's.
private final class PageHarness: @unchecked Sendable {
  let page: OrientationPage
  let memory: UnsafeMutableRawPointer
  static let lease: UInt64 = 10_000_000

  init() {
    memory = ltp_system_map(Int(LTP_PAGE_BYTES), 0)!
    let boot: (UInt64, UInt64) = (1, 2)
    page = withUnsafeBytes(of: boot) { [memory] in OrientationPage(memory, boot: $0.baseAddress!) }
    page.format()
    page.enterBoot()
  }

  deinit { ltp_system_unmap(memory, Int(LTP_PAGE_BYTES)) }

  func publish(_ state: UInt8, now: UInt64, threshold: UInt8? = nil) {
    var fact = ltp_evidence()
    var change = TransitionChange(to: state, reason: LTP_SIGNAL_OPERATOR)
    change.threshold = threshold
    _ = try! "because".withCString {
      try page.publish(
        change, evidence: &fact, evidenceCount: 0, text: $0,
        lease: Self.lease, now: now, nowUnix: now)
    }
  }
}

@Suite("Following a page", .guarded)
struct FollowTests {
  private let shared = PageHarness()
  private let start: UInt64 = 1_000_000_000

  private func moved(_ harness: LaneHarness, to now: UInt64) {
    harness.orientation.followPage(now: now)
    harness.tick(to: now)
  }

  @Test("nothing published is UNKNOWN, and what is published is there with the next decision")
  func nextDecision() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane()
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    for state in [LTP_STATE_HEALTHY, LTP_STATE_FAILED, LTP_STATE_DEGRADED] {
      shared.publish(state, now: start)
      #expect(lane.admit(request()).state == state)
    }
    let record = harness.orientation.transition(epoch: harness.orientation.current.epoch)!
    #expect(record.reason == LTP_SIGNAL_OPERATOR)
    #expect(record.text.0 == CChar(UInt8(ascii: "b")))
  }

  @Test("a lease ends with the tick that sees its end, once, and says since when nobody renewed")
  func leaseEnds() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane()
    shared.publish(LTP_STATE_HEALTHY, now: start)
    #expect(lane.admit(request()).verdict == LTP_VERDICT_EXECUTE)
    let end = start + PageHarness.lease
    moved(harness, to: end - 1)
    #expect(lane.admit(request()).verdict == LTP_VERDICT_EXECUTE)
    moved(harness, to: end)
    let epoch = lane.admit(request()).epoch
    moved(harness, to: end + 1_000_000)
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    #expect(harness.orientation.current.epoch == epoch)
    let record = harness.orientation.transition(epoch: epoch)!
    #expect(record.reason == LTP_SIGNAL_ORIENTATION_LOST)
    #expect(record.evidence.0.value == 10 && record.evidence.0.threshold == 10)
  }

  @Test("a lane's late clock does not revive a lease that has ended")
  func lateClock() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane()
    shared.publish(LTP_STATE_HEALTHY, now: start)
    #expect(lane.admit(request()).state == LTP_STATE_HEALTHY)
    // The clock's thread saw the end, and its tick has not come yet.
    harness.orientation.followPage(now: start + PageHarness.lease)
    for _ in 0..<3 { #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN) }
  }

  @Test("renewed, it holds again; a new word is believed at once")
  func renewed() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane()
    shared.publish(LTP_STATE_HEALTHY, now: start)
    moved(harness, to: start + PageHarness.lease)
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    #expect(shared.page.renew(lease: PageHarness.lease, now: start + PageHarness.lease))
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    moved(harness, to: start + PageHarness.lease + 1)
    #expect(lane.admit(request()).state == LTP_STATE_HEALTHY)
    moved(harness, to: start + 3 * PageHarness.lease)
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    shared.publish(LTP_STATE_DEGRADED, now: start + 3 * PageHarness.lease)
    #expect(lane.admit(request()).state == LTP_STATE_DEGRADED)
  }

  @Test("a publisher that stops before its word is there revives nothing")
  func halfPublished() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane()
    shared.publish(LTP_STATE_HEALTHY, now: start)
    let healthy = shared.page.word.pointee.load(ordering: .relaxed)
    moved(harness, to: start + PageHarness.lease)
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    // All of FAILED but its word.
    shared.publish(LTP_STATE_FAILED, now: start + PageHarness.lease)
    shared.page.word.pointee.store(healthy, ordering: .relaxed)
    moved(harness, to: start + PageHarness.lease + 1)
    #expect(lane.admit(request()).state == LTP_STATE_UNKNOWN)
    #expect(shared.page.read(now: start + PageHarness.lease + 1).standing == .ended)
  }

  @Test("a policy that is loaded keeps the page's threshold")
  func threshold() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane()
    shared.publish(LTP_STATE_HEALTHY, now: start, threshold: 201)
    #expect(lane.admit(request(priority: 200)).reason == LTP_REASON_PRIORITY_BELOW_THRESHOLD)
    harness.drain()
    harness.load(builtInPolicy(), generation: 2)
    #expect(lane.admit(request(priority: 200)).reason == LTP_REASON_PRIORITY_BELOW_THRESHOLD)
    #expect(lane.admit(request(priority: 201)).verdict == LTP_VERDICT_EXECUTE)
    shared.publish(LTP_STATE_HEALTHY, now: start)
    #expect(lane.admit(request(priority: 200)).verdict == LTP_VERDICT_EXECUTE)
  }

  @Test("transitions that outrun the trace leave the core UNKNOWN, and it comes back when there is room")
  func overrun() {
    let harness = LaneHarness(following: shared.page)
    let lane = harness.lane(blockCount: 512)
    for round in 0...Orientation.transitionsMax {
      shared.publish(round % 2 == 0 ? LTP_STATE_HEALTHY : LTP_STATE_DEGRADED, now: start)
      let state = lane.admit(request()).state
      if round >= Orientation.transitionsMax - 2 { #expect(state == LTP_STATE_UNKNOWN) }
    }
    harness.drain()
    moved(harness, to: start + 1)
    #expect(lane.admit(request()).state == LTP_STATE_HEALTHY)
  }

  @Test("a page of another boot holds nothing")
  func otherBoot() {
    shared.publish(LTP_STATE_HEALTHY, now: start)
    (shared.memory + 16).storeBytes(of: 9, as: UInt64.self)
    let harness = LaneHarness(following: shared.page)
    #expect(harness.lane().admit(request()).state == LTP_STATE_UNKNOWN)
    shared.page.enterBoot()
    #expect(shared.page.read(now: start).standing == .ended)
  }

  @Test("publisher, clock and lanes at once: nobody goes back, and all end where the page does")
  func threads() {
    let harness = LaneHarness(following: shared.page)
    nonisolated(unsafe) let lanes = [harness.lane(id: 1), harness.lane(id: 2)]
    let done = Flag()
    let backwards = Tally()
    let shared = shared
    let start = start
    runThreads(4) { index in
      switch index {
      case 0:
        for round in 0..<3000 {
          shared.publish(round % 2 == 0 ? LTP_STATE_DEGRADED : LTP_STATE_HEALTHY, now: start)
          harness.drain()
        }
        done.set()
      case 1:
        var now = start
        while !done.isSet {
          now += 1
          harness.orientation.followPage(now: now)
          harness.tick(to: now)
        }
      default:
        var epoch: UInt32 = 0
        while !done.isSet {
          lanes[index - 2].release()
          let verdict = lanes[index - 2].admit(request())
          if verdict.epoch < epoch { backwards.add() }
          epoch = verdict.epoch
        }
      }
    }
    #expect(backwards.count == 0)
    for lane in lanes {
      lane.release()
      #expect(lane.admit(request()).state == LTP_STATE_HEALTHY)
    }
    #expect(lanes[0].admit(request()).epoch == lanes[1].admit(request()).epoch)
  }
}
