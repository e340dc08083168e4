// SPDX-License-Identifier: Apache-2.0
// Continuity domains: the outage of one leaves the sessions of the others alone; damping; many publishers at once.

import CLTP
import Foundation
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPOrientation
@testable import LTPRules

private let second: UInt64 = 1_000_000_000

extension LaneHarness {
  func report(_ event: UInt8, _ domain: UInt8, at now: UInt64 = second) {
    _ = try! orientation.report(event, of: domain, now: now)
  }
}

@Suite("Continuity domains", .guarded)
struct DomainTests {
  private let modify: UInt8 = 40
  private let read: UInt8 = 8

  @Test("the outage of one domain leaves the sessions of the others alone, and moves its epoch once")
  func blastRadius() throws {
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 65536)
    let lives = (0..<UInt8(100)).map { lane.greet(UInt64($0) + 1, domain: $0) }
    func ask(_ domain: UInt8, _ actionClass: UInt8? = nil) -> ltp_verdict {
      lane.admit(
        request(actionClass ?? modify, sessionID: UInt64(domain) + 1, priority: 255, life: lives[Int(domain)])
      )
    }
    for domain in UInt8(0)..<100 { #expect(ask(domain).verdict == LTP_VERDICT_EXECUTE) }
    let before = harness.orientation.current
    harness.report(LTP_TRANSPORT_DISCONNECTED, 42)
    #expect(harness.orientation.current.state == LTP_STATE_HEALTHY)
    #expect(harness.orientation.current.continuityEpoch == before.continuityEpoch + 1)
    for domain in UInt8(0)..<100 where domain != 42 {
      let verdict = ask(domain)
      #expect(verdict.verdict == LTP_VERDICT_EXECUTE && verdict.state == LTP_STATE_HEALTHY)
    }
    let refused = ask(42)
    #expect(refused.verdict == LTP_VERDICT_DENY && refused.reason == LTP_REASON_SYSTEM_UNSTABLE)
    #expect(refused.state == LTP_STATE_UNSTABLE && refused.epoch == harness.orientation.current.epoch)
    // What may run in UNSTABLE runs for the domain, too.
    #expect(ask(42, read).verdict == LTP_VERDICT_EXECUTE)
    #expect(ask(42, 24).verdict == LTP_VERDICT_DEFER)
    // More reports while it is out change nothing for anybody.
    harness.report(LTP_TRANSPORT_DISCONNECTED, 42)
    harness.report(LTP_TRANSPORT_RESTARTED, 42)
    #expect(harness.orientation.current.continuityEpoch == before.continuityEpoch + 1)
    var hello = ltp_hello()
    (hello.session_id, hello.client_nonce, hello.domain) = (43, 9, 42)
    var answer = ltp_hello()
    #expect(lane.answer(hello: hello, into: &answer) == LTP_ERROR_HELLO_LATER)
    #expect(answer.header.flags == LTP_HELLO_ANSWER | LTP_HELLO_LATER && answer.continuity_token == 0)
    #expect((1000...2000).contains(answer.retry_after_ms))
    // Its stay is over: the old tokens stay void.
    harness.orientation.endDomainOutages(now: 2 * second - 1)
    #expect(ask(42).reason == LTP_REASON_SYSTEM_UNSTABLE)
    harness.orientation.endDomainOutages(now: 2 * second)
    #expect(ask(42).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    let life = lane.greet(43, domain: 42, nonce: 2)
    #expect(lane.admit(request(modify, sessionID: 43, life: life)).verdict == LTP_VERDICT_EXECUTE)
    #expect(ask(41).verdict == LTP_VERDICT_EXECUTE)
    // An outage of the service is everybody's.
    harness.publish(LTP_STATE_UNSTABLE)
    harness.publish(LTP_STATE_HEALTHY)
    #expect(ask(41).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    #expect(
      lane.admit(request(modify, sessionID: 43, life: life)).reason == LTP_REASON_REHANDSHAKE_REQUIRED)
  }

  @Test(
    "one domain of a hundred is lost: its sessions come back at the policy's rate, and no session of another sees a denial; a million with LTP_LONG_TESTS=1"
  )
  func herd() {
    let harness = LaneHarness()
    var policy = builtInPolicy()
    policy.domains.hellos = ltp_rate(per_second: 2000, burst: 100)
    harness.load(policy, generation: 2)
    let lane = harness.lane(blockBytes: 65536, blockCount: 16)
    var now = 2 * second
    harness.tick(to: now)
    let sessionCount = TestSeed.isLong ? 1_000_000 : 50_000
    let lost: UInt8 = 42
    var lives = (1...UInt64(sessionCount)).map { harness.life(of: $0, domain: UInt8($0 % 100)) }
    func ask(_ place: Int) -> ltp_verdict {
      if place % 1000 == 0 { lane.release() }
      return lane.admit(
        request(modify, sessionID: lives[place].session_id, priority: 255, life: lives[place]))
    }
    var denied = 0
    for place in lives.indices where ask(place).verdict != LTP_VERDICT_EXECUTE { denied += 1 }
    #expect(denied == 0)

    harness.report(LTP_TRANSPORT_DISCONNECTED, lost, at: now)
    harness.report(LTP_TRANSPORT_CONNECTED, lost, at: now)
    let mine = lives.indices.filter { lives[$0].domain == lost }
    let others = lives.indices.filter { lives[$0].domain != lost }
    for place in others where ask(place).verdict != LTP_VERDICT_EXECUTE { denied += 1 }
    #expect(denied == 0)
    #expect(mine.allSatisfy { ask($0).verdict == LTP_VERDICT_DENY })

    now += 2 * second
    harness.tick(to: now)
    harness.orientation.endDomainOutages(now: now)
    var waiting = mine.map { (at: now, place: $0) }
    var grantedAt: [UInt64] = []
    var turn = 0
    while !waiting.isEmpty {
      var next: [(at: UInt64, place: Int)] = []
      for waits in waiting {
        guard waits.at <= now else {
          next.append(waits)
          continue
        }
        var hello = ltp_hello()
        (hello.session_id, hello.client_nonce, hello.domain) = (lives[waits.place].session_id, 2, lost)
        var answer = ltp_hello()
        if lane.answer(hello: hello, into: &answer) == LTP_OK {
          grantedAt.append(now)
          lives[waits.place] = answer
        } else {
          next.append((now + UInt64(answer.retry_after_ms) * 1_000_000, waits.place))
        }
      }
      waiting = next
      // Meanwhile the others go on.
      for _ in 0..<20 {
        turn = (turn + 7919) % others.count
        if ask(others[turn]).verdict != LTP_VERDICT_EXECUTE { denied += 1 }
      }
      now += 1_000_000
      harness.tick(to: now)
      lane.release()
    }
    #expect(denied == 0)
    #expect(grantedAt.count == mine.count)
    // The most within any second.
    var (first, most) = (0, 0)
    for last in grantedAt.indices {
      while grantedAt[last] - grantedAt[first] >= second { first += 1 }
      most = max(most, last - first + 1)
    }
    #expect(most <= 2000 + 100)
    #expect(mine.allSatisfy { ask($0).verdict == LTP_VERDICT_EXECUTE })
  }

  @Test("under a state that is as bad or worse, the service's own decides", arguments: [false, true])
  func worseStates(inBatch: Bool) {
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 65536)
    let life = lane.greet(5, domain: 3)
    harness.report(LTP_TRANSPORT_DISCONNECTED, 3)
    func ask(_ actionClass: UInt8, _ life: ltp_hello?) -> ltp_verdict {
      var asked = request(actionClass, sessionID: 5, priority: 255, life: life)
      asked.domain = 3
      guard inBatch else { return lane.admit(asked) }
      var verdicts = [ltp_verdict(), ltp_verdict()]
      let frames = [request(8), asked]
      _ = frames.withUnsafeBytes {
        lane.admitBatch($0.baseAddress!, stride: 64, count: 2, into: &verdicts)
      }
      return verdicts[1]
    }
    #expect(ask(8, nil).verdict == LTP_VERDICT_EXECUTE)
    harness.publish(LTP_STATE_FAILED)
    #expect(ask(8, life).state == LTP_STATE_FAILED && ask(8, life).verdict == LTP_VERDICT_DENY)
    harness.publish(LTP_STATE_RECOVERING)
    // The never list is the service's: what UNSTABLE lets in without a token, RECOVERING does not.
    let bare = ask(8, nil)
    #expect(bare.verdict == LTP_VERDICT_DENY && bare.reason == LTP_REASON_REHANDSHAKE_REQUIRED)
    #expect(bare.state == LTP_STATE_UNSTABLE)
    #expect(ask(0, nil).verdict == LTP_VERDICT_DENY)
    harness.publish(LTP_STATE_UNKNOWN)
    #expect(ask(8, nil).reason == LTP_REASON_ORIENTATION_UNKNOWN)
  }

  @Test(
    "a link that flaps stays out twice as long with each return, up to the bound; calm makes it short again")
  func damping() throws {
    let harness = LaneHarness()
    let lane = harness.lane(blockBytes: 65536)
    var now = second
    func isOut() -> Bool { lane.admit(request(modify, sessionID: 5)).state == LTP_STATE_UNSTABLE }
    func flap() -> UInt64 {
      harness.report(LTP_TRANSPORT_DISCONNECTED, 0, at: now)
      harness.report(LTP_TRANSPORT_CONNECTED, 0, at: now)
      #expect(isOut())
      var stay: UInt64 = 0
      while isOut() {
        stay += second / 2
        harness.orientation.endDomainOutages(now: now + stay)
        harness.drain()
        lane.release()
      }
      now += stay
      return stay
    }
    #expect([flap(), flap(), flap(), flap()] == [1, 2, 4, 8].map { $0 * second })
    for _ in 0..<4 { _ = flap() }
    #expect(flap() == 60 * second)
    now += 3600 * second
    #expect(flap() == second)
    // Each outage moved the epoch once.
    let last = harness.orientation.transition(epoch: harness.orientation.current.epoch)
    #expect(last?.domain == 0 && last?.domain_state == 0 && last?.reason == LTP_SIGNAL_RECOVERY_COMPLETE)
    #expect(last?.evidence.0.value == 1 && last?.evidence.0.threshold == 1000)
  }

  @Test("domains and states published by many threads: lanes decide as of their word, and no epoch is lost")
  func manyPublishers() {
    let harness = LaneHarness()
    let start = UInt64(harness.orientation.current.continuityEpoch)
    let moves = Counter()
    let threads = (0..<3).map { number in
      Thread {
        var random = SplitMix64(seed: UInt64(number) + 1)
        for round in 0..<400 {
          let domain = UInt8(random.below(4))
          if number == 2 {
            let state: UInt8 = round % 2 == 0 ? LTP_STATE_UNSTABLE : LTP_STATE_HEALTHY
            if (try? harness.orientation.publish(
              TransitionChange(to: state, reason: LTP_SIGNAL_OPERATOR), now: 2)) != nil, round % 2 == 0
            {
              moves.add()
            }
          } else {
            _ = try? harness.orientation.report(
              random.oneIn(2) ? LTP_TRANSPORT_DISCONNECTED : LTP_TRANSPORT_CONNECTED, of: domain,
              now: UInt64(round) * second)
            harness.orientation.endDomainOutages(now: UInt64(round) * second)
          }
        }
        moves.end()
      }
    }
    let lane = harness.lane(blockBytes: 65536, blockCount: 4)
    for thread in threads { thread.start() }
    var last = [UInt64](repeating: 0, count: 4)
    while moves.ended < 3 {
      _ = lane.admit(request(8))
      for domain in 0..<4 {
        let number = lane.state.pointee.domains[domain].number
        #expect(number >= last[domain])
        last[domain] = number
      }
      lane.release()
      harness.drain()
    }
    // By the transitions, one by one, the tables come to the same.
    _ = lane.admit(request(8))
    let end = harness.orientation.numbers(of: harness.orientation.current).continuityEpoch
    #expect(end >= start + moves.count)
    for domain in 0..<256 {
      #expect(lane.state.pointee.domains[domain].number == harness.orientation.domains.number(of: domain))
      #expect(lane.state.pointee.domains[domain].number <= end)
    }
    #expect((0..<4).contains { harness.orientation.domains.number(of: $0) == end } || end == last.max())
  }
}

/// Counts over threads.
private final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var value: UInt64 = 0
  private var ends = 0

  var count: UInt64 { lock.withLock { value } }
  var ended: Int { lock.withLock { ends } }
  func add() { lock.withLock { value += 1 } }
  func end() { lock.withLock { ends += 1 } }
}
