// SPDX-License-Identifier: Apache-2.0
// The core against a model that keeps what the core does not: a table of every life that was ever begun. Sessions, incarnations, domains,
// epochs, voids and outages at random; each decision must be the model's. Models with a fault planted must not agree.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@testable import LTPAdmission
@testable import LTPOrientation
@testable import LTPRules

/// What a model with a fault forgets.
private enum Fault: CaseIterable {
  case none, tokenOfAnyIncarnation, tokenOfAnyDomain, epochNotMoved, intentNotAsked, voidForgotten
}

/// A life as the model remembers it.
private struct Life: Hashable {
  var session: UInt64
  var incarnation: UInt32
  var domain: UInt8
  /// Moves that its domain had seen.
  var epoch: Int
  var voids: Int
}

private struct Model {
  var fault = Fault.none
  /// By domain.
  var epochs = [Int](repeating: 0, count: 256)
  var outages = [Bool](repeating: false, count: 256)
  var voids: [UInt64: Int] = [:]
  var granted: [UInt64: Life] = [:]
  var state = LTP_STATE_HEALTHY

  mutating func moveAll() {
    if fault == .epochNotMoved { return }
    for domain in 0..<256 { epochs[domain] += 1 }
  }

  /// What an order_modify with this token, whose intent was made in this epoch of the domain, is answered.
  func answer(
    token: UInt64, session: UInt64, incarnation: UInt32, domain: UInt8, intent: Int
  ) -> UInt8 {
    if state == LTP_STATE_UNSTABLE || outages[Int(domain)] { return LTP_REASON_SYSTEM_UNSTABLE }
    if token == 0 { return LTP_REASON_REHANDSHAKE_REQUIRED }
    guard let life = granted[token], life.session == session,
      life.incarnation == incarnation || fault == .tokenOfAnyIncarnation,
      life.domain == domain || fault == .tokenOfAnyDomain
    else { return LTP_REASON_CONTINUITY_FORGED }
    let isVoid = life.voids != voids[session, default: 0] && fault != .voidForgotten
    if life.epoch != epochs[Int(domain)] || isVoid { return LTP_REASON_REHANDSHAKE_REQUIRED }
    if fault == .intentNotAsked || intent == life.epoch { return LTP_REASON_ADMITTED }
    return intent > life.epoch ? LTP_REASON_CONTINUITY_FORGED : LTP_REASON_STALE_INTENT
  }
}

@Suite("Continuity against a model", .guarded)
struct ContinuityOracleTests {
  private static let modify: UInt8 = 43
  private static var decisions: Int {
    ProcessInfo.processInfo.environment["LTP_LONG_TESTS"] != nil ? 1_000_000 : 30_000
  }

  /// Runs core and model side by side; returns how many decisions differ, and how many of each reason there were.
  private func run(_ fault: Fault, decisions: Int, seed: UInt64) -> (differ: Int, reasons: [UInt8: Int]) {
    let harness = LaneHarness()
    let lanes = [
      harness.lane(id: 1, blockBytes: 65536, blockCount: 4),
      harness.lane(id: 2, blockBytes: 65536, blockCount: 4),
    ]
    var random = SplitMix64(seed: seed)
    var model = Model(fault: fault)
    // For each of the domain's moves, the number that the core gave it.
    var numbers = (0..<256).map { [harness.orientation.domains.number(of: $0)] }
    var lives: [(life: Life, token: UInt64)] = []
    var now: UInt64 = 2_000_000_000
    var (differ, reasons) = (0, [UInt8: Int]())

    func note(_ domain: Int) {
      harness.orientation.enterDomains(of: harness.orientation.current)
      let number = harness.orientation.domains.number(of: domain)
      if numbers[domain].last! != number { numbers[domain].append(number) }
    }

    func act() {
      switch random.below(40) {
      case 0:
        harness.publish(LTP_STATE_UNSTABLE)
        if model.state != LTP_STATE_UNSTABLE { model.moveAll() }
        model.state = LTP_STATE_UNSTABLE
        for domain in 0..<256 { note(domain) }
      case 1, 2:
        harness.publish(LTP_STATE_HEALTHY)
        model.state = LTP_STATE_HEALTHY
      case 3:
        let domain = random.below(8)
        _ = try? harness.orientation.report(LTP_TRANSPORT_RESTARTED, of: UInt8(domain), now: now)
        if !model.outages[domain], fault != .epochNotMoved { model.epochs[domain] += 1 }
        model.outages[domain] = true
        note(domain)
      case 4, 5:
        now += 120_000_000_000
        harness.tick(to: now)
        harness.orientation.endDomainOutages(now: now)
        model.outages = [Bool](repeating: false, count: 256)
      case 6:
        let session = UInt64(1 + random.below(30))
        #expect(lanes[random.below(2)].void(sessionID: session))
        // By hash: whoever shares the place is void with it.
        for other in 1...40 as ClosedRange<UInt64>
        where harness.voided.place(other) == harness.voided.place(session) {
          model.voids[other, default: 0] += 1
        }
      default:
        now += 1_000_000_000
        harness.tick(to: now)
        var hello = ltp_hello()
        hello.session_id = UInt64(1 + random.below(30))
        hello.client_nonce = 1 + random.next() % 1000
        hello.domain = UInt8(random.below(8))
        var answer = ltp_hello()
        let status = lanes[random.below(2)].answer(hello: hello, into: &answer)
        guard !model.outages[Int(hello.domain)] else {
          #expect(status == LTP_ERROR_HELLO_LATER)
          return
        }
        #expect(status == LTP_OK)
        let life = Life(
          session: hello.session_id, incarnation: answer.incarnation, domain: hello.domain,
          epoch: model.epochs[Int(hello.domain)], voids: model.voids[hello.session_id, default: 0])
        model.granted[answer.continuity_token] = life
        lives.append((life, answer.continuity_token))
        if lives.count > 300 { lives.removeFirst(100) }
      }
    }

    for count in 0..<decisions {
      if count % 7 == 0 { act() }
      guard let (life, token) = lives.randomElement(using: &random) else { continue }
      var (session, incarnation, domain, shown) = (life.session, life.incarnation, life.domain, token)
      switch random.below(12) {
      case 0: session = UInt64(1 + random.below(30))
      case 1: incarnation ^= 1 << UInt32(random.below(32))
      case 2: domain = UInt8(random.below(8))
      case 3: shown ^= 1 << UInt64(8 + random.below(56))
      case 4: shown = 0
      default: break
      }
      let known = numbers[Int(domain)]
      let current = model.epochs[Int(domain)]
      let intent =
        random.oneIn(3) ? max(0, current - random.below(4)) : random.oneIn(9) ? current + 1 : current
      var asked = request(Self.modify, frameID: UInt64(count), sessionID: session, priority: 255)
      asked.continuity_token = shown
      asked.incarnation = incarnation
      asked.domain = domain
      let number = intent < known.count ? known[intent] : known.last! + UInt64(intent - known.count + 1)
      asked.intent_epoch = UInt32(truncatingIfNeeded: number)
      let got = lanes[random.below(2)].admit(asked).reason
      let expected = model.answer(
        token: shown, session: session, incarnation: incarnation, domain: domain, intent: intent)
      reasons[got, default: 0] += 1
      if got != expected {
        differ += 1
        if fault == .none, differ < 4 {
          Issue.record("decision \(count): \(got), and the model says \(expected) of \(asked), \(life)")
        }
      }
      if count % 64 == 0 {
        harness.drain()
        for lane in lanes { lane.release() }
      }
    }
    return (differ, reasons)
  }

  @Test("every decision is the model's, which has a table of every life")
  func agrees() {
    var random = TestSeed.random(5)
    let (differ, reasons) = run(.none, decisions: Self.decisions, seed: random.next())
    #expect(differ == 0)
    for reason in [
      LTP_REASON_ADMITTED, LTP_REASON_REHANDSHAKE_REQUIRED, LTP_REASON_STALE_INTENT,
      LTP_REASON_CONTINUITY_FORGED,
      LTP_REASON_SYSTEM_UNSTABLE,
    ] { #expect(reasons[reason, default: 0] > Self.decisions / 200, "reason \(reason): \(reasons)") }
  }

  @Test("a fault is found: the comparison is not blind", arguments: Fault.allCases.filter { $0 != .none })
  private func planted(_ fault: Fault) { #expect(run(fault, decisions: 5000, seed: 7).differ > 0) }
}
