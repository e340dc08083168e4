// SPDX-License-Identifier: Apache-2.0
// The caller's side, with time in the test's hands.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@testable import LTPClient

private final class Client: @unchecked Sendable {
  private let memory = UnsafeMutablePointer<ltp_throttle>.allocate(capacity: 1)
  var throttle: Throttle { Throttle(memory)! }

  init(_ change: (inout ltp_throttle_options) -> Void = { _ in }) {
    memory.initialize(to: ltp_throttle())
    var options = ltp_throttle_options.builtIn()
    options.window_ns = 16_000_000_000
    change(&options)
    Throttle.initialize(memory, options)
  }

  deinit { memory.deallocate() }

  /// A second at a rate, of which the server accepts so many; returns how many were sent.
  func second(_ now: inout UInt64, requests: Int, capacity: Int) -> Int {
    var (sent, accepted) = (0, 0)
    for _ in 0..<requests {
      now += 1_000_000_000 / UInt64(requests)
      guard throttle.request(now: now) else { continue }
      sent += 1
      if accepted < capacity {
        accepted += 1
        throttle.accepted(now: now)
      }
    }
    return sent
  }
}

@Suite("The caller's side", .guarded)
struct ThrottleTests {
  @Test("a server that takes all is sent all; one that takes little is sent little more than K times that")
  func adapts() {
    let client = Client()
    var now: UInt64 = 1_000_000_000_000
    for _ in 0..<20 { #expect(client.second(&now, requests: 1000, capacity: 1000) == 1000) }
    // An overload: 1,000 a second are asked for, 100 taken. Once the window is past, about 200 are sent.
    var sent = 0
    for second in 0..<40 {
      let count = client.second(&now, requests: 1000, capacity: 100)
      if second >= 20 { sent += count }
    }
    #expect((180...260).contains(sent / 20), "\(sent / 20) a second")
    // Back again: within two windows everything is sent.
    for _ in 0..<40 { _ = client.second(&now, requests: 1000, capacity: 1000) }
    #expect(client.second(&now, requests: 1000, capacity: 1000) == 1000)
  }

  @Test("a server that is gone is still asked now and then")
  func gone() {
    let client = Client()
    var now: UInt64 = 5_000_000_000_000
    for _ in 0..<20 { _ = client.second(&now, requests: 1000, capacity: 0) }
    var sent = 0
    for _ in 0..<20 { sent += client.second(&now, requests: 1000, capacity: 0) }
    #expect(sent > 0 && sent < 60, "\(sent) in 20 s")
    // A window without requests forgets.
    now += 17_000_000_000
    #expect(client.throttle.request(now: now))
  }

  @Test("retries keep to their share, and a few a second are always there")
  func budget() {
    let client = Client { ($0.retry_ratio_permille, $0.retries_per_second_min) = (100, 1) }
    let now: UInt64 = 9_000_000_000_000
    for _ in 0..<1000 { _ = client.throttle.request(now: now) }
    let granted = (0..<500).count { _ in client.throttle.retry(now: now) }
    #expect(granted == 100 + 16)
    #expect(!client.throttle.retry(now: now + 15_000_000_000))
    // The window is past: only the few a second are left.
    let later = (0..<500).count { _ in client.throttle.retry(now: now + 17_000_000_000) }
    #expect(later == 16)
  }

  @Test("the same seed draws the same, another one otherwise")
  func seeds() {
    func course(_ seed: UInt64) -> [Bool] {
      let client = Client { $0.seed = seed }
      return (0..<200).map { client.throttle.request(now: 1_000_000_000_000 + UInt64($0)) }
    }
    #expect(course(1) == course(1) && course(1) != course(2))
  }

  @Test("threads lose no count")
  func threads() {
    let client = Client { $0.retries_per_second_min = 0 }
    let now: UInt64 = 1_000_000_000_000
    runThreads(4) { _ in
      for _ in 0..<5000 { _ = client.throttle.request(now: now) }
    }
    #expect((0..<5000).count { _ in client.throttle.retry(now: now) } == 2000)
  }

  @Test("options out of range")
  func options() {
    func isBad(_ change: (inout ltp_throttle_options) -> Void) -> Bool {
      var options = ltp_throttle_options.builtIn()
      change(&options)
      return options.fault != nil
    }
    #expect(!isBad { _ in })
    #expect(isBad { $0.accept_multiplier_percent = 99 } && isBad { $0.accept_multiplier_percent = 1001 })
    #expect(isBad { $0.window_ns = 0 } && isBad { $0.window_ns = .max })
    #expect(isBad { $0.retry_ratio_permille = 1001 } && isBad { $0.retries_per_second_min = .max })
  }
}
