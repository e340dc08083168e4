// SPDX-License-Identifier: Apache-2.0
// Handshakes are admitted, too: a rate for each domain, a session that counts once, and who is put off comes back spread.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPLimits
@testable import LTPOrientation

@Suite("Hellos", .guarded)
struct HelloTests {
  private let millisecond: UInt64 = 1_000_000

  private func harness(perSecond: UInt32, burst: UInt32 = 0) -> LaneHarness {
    let harness = LaneHarness()
    var policy = builtInPolicy()
    policy.domains.hellos = ltp_rate(per_second: perSecond, burst: burst)
    harness.load(policy, generation: 2)
    return harness
  }

  private func hello(_ session: UInt64, domain: UInt8 = 0, nonce: UInt64 = 1) -> ltp_hello {
    var hello = ltp_hello()
    (hello.session_id, hello.client_nonce, hello.domain) = (session, nonce, domain)
    return hello
  }

  @Test(
    "after an outage, those who obey come back at the policy's rate, whatever their number; other domains do not wait"
  )
  func herd() {
    let harness = harness(perSecond: 1000, burst: 10)
    let lane = harness.lane(blockBytes: 65536, blockCount: 16)
    var now: UInt64 = 2_000_000_000
    harness.tick(to: now)
    // When each session asks: all at once, then when it was told to.
    var waiting: [(at: UInt64, session: UInt64)] = (1...5000).map { (now, UInt64($0)) }
    var granted: [UInt64: Int] = [:]
    var tries = 0
    let start = now
    while !waiting.isEmpty {
      var next: [(at: UInt64, session: UInt64)] = []
      var isFirst = true
      for waits in waiting {
        guard waits.at <= now else {
          next.append(waits)
          continue
        }
        tries += 1
        var answer = ltp_hello()
        let status = lane.answer(hello: hello(waits.session, domain: 3), into: &answer)
        if status == LTP_OK {
          granted[(now - start) / 100_000_000, default: 0] += 1
        } else {
          #expect(status == LTP_ERROR_HELLO_LATER && answer.retry_after_ms > 0)
          next.append((now + UInt64(answer.retry_after_ms) * millisecond, waits.session))
        }
        if isFirst {
          // Nobody else notices.
          #expect(
            lane.answer(hello: hello(7, domain: 4, nonce: now), into: &answer) != LTP_ERROR_BACKPRESSURE)
          isFirst = false
        }
      }
      waiting = next
      now += millisecond
      harness.tick(to: now)
      lane.release()
    }
    #expect(granted.values.reduce(0, +) == 5000)
    // A tenth of a second lets in a tenth of the rate, and the burst once.
    for (tenth, count) in granted { #expect(count <= 100 + (tenth == 0 ? 12 : 2), "\(tenth): \(count)") }
    #expect(now - start < 5_600 * millisecond)
    #expect(tries < 5000 * 3)
  }

  @Test("a session counts once: the same hello is the same life, and others of it are put off")
  func onceASession() {
    let harness = harness(perSecond: 10, burst: 2)
    let lane = harness.lane(blockBytes: 65536)
    let hellos = harness.orientation.hellos
    let before = hellos.pointee.load(ordering: .relaxed)
    var first = ltp_hello()
    #expect(lane.answer(hello: hello(5), into: &first) == LTP_OK)
    let issued = lane.issued
    for _ in 0..<1000 {
      var again = ltp_hello()
      #expect(lane.answer(hello: hello(5), into: &again) == LTP_OK)
      #expect(again.continuity_token == first.continuity_token && again.incarnation == first.incarnation)
    }
    var refused = 0
    for nonce in 2...1000 as ClosedRange<UInt64> {
      var answer = ltp_hello()
      if lane.answer(hello: hello(5, nonce: nonce), into: &answer) == LTP_ERROR_HELLO_LATER {
        refused += 1
        #expect((1000...2000).contains(answer.retry_after_ms) && answer.continuity_token == 0)
      }
    }
    #expect(refused == 996)
    // Three more lives have a record; none of it took room from another session.
    #expect(lane.issued == issued + 3)
    #expect(hellos.pointee.load(ordering: .relaxed) == before + 1)
    var other = ltp_hello()
    #expect(lane.answer(hello: hello(6), into: &other) == LTP_OK)
    #expect(lane.answer(hello: hello(8), into: &other) == LTP_ERROR_HELLO_LATER)
    // An outage makes it a stranger again, to be greeted and counted.
    harness.publish(LTP_STATE_UNSTABLE)
    harness.publish(LTP_STATE_HEALTHY)
    harness.tick(to: 9_000_000_000)
    #expect(lane.answer(hello: hello(5), into: &other) == LTP_OK)
    #expect(other.continuity_token != first.continuity_token)
    #expect(hellos.pointee.load(ordering: .relaxed) == before + 3)
  }
}
