// SPDX-License-Identifier: Apache-2.0
// The infrastructure observer: it sees how long a write to the database takes, and publishes the state that this means.

import LTP
import Stage
import Synchronization

final class Observer: Sendable {
  private static let interval: UInt64 = 20_000_000

  private let core: Core
  /// What a write may take. The 5,000 ms of the postmortem, compressed as its outage is.
  private let patience: UInt64
  private let state = Mutex(State.unknown)
  private let isEnding = Atomic(false)

  init(core: Core, patience: UInt64) {
    self.core = core
    self.patience = patience
  }

  var current: State { state.withLock { $0 } }

  func end() { isEnding.store(true, ordering: .relaxed) }

  /// A write, anybody's, that was not done within the patience.
  func isTooSlow(_ latency: UInt64) {
    publish(
      .unstable, from: State.allCases, because: .dbWriteLatency, latency,
      "DB Write Latency > \(patience / 1_000_000)ms")
  }

  /// `from`: in any other state nothing is published.
  private func publish(
    _ next: State, from: [State], because reason: Signal, _ latency: UInt64, _ text: String
  ) {
    // Within the lock, so that what is published last is what is current.
    state.withLock { state in
      guard state != next, from.contains(state) else { return }
      let evidence = Evidence(
        .dbWriteLatency, value: Int64((latency + 999_999) / 1_000_000), threshold: Int64(patience / 1_000_000)
      )
      do {
        try core.publish(Transition(to: next, because: reason, evidence: [evidence], text: text))
        state = next
      } catch {
        // The trace takes nothing for a moment. The next write says it again.
      }
    }
  }

  /// Until `end()`, in a thread of its own.
  func run(_ store: any OrderStore) {
    while !isEnding.load(ordering: .relaxed) {
      look(store)
      Clock.sleep(nanoseconds: Self.interval)
    }
  }

  private func look(_ store: any OrderStore) {
    let begun = Clock.monotonic()
    do throws(StoreFailure) {
      try store.persist(for: patience) { (store, deadline) throws(StoreFailure) in
        try store.probe(before: deadline)
      }
    } catch { return isTooSlow(Clock.monotonic() - begun) }
    let latency = Clock.monotonic() - begun
    guard latency <= patience else { return isTooSlow(latency) }
    publish(
      .recovering, from: [.unstable, .unknown], because: .metricsStabilized, latency,
      "DB Write Latency is normal")
    guard current == .recovering, let kept = try? core.deferralStatus(), kept.pending == 0 else { return }
    publish(
      .healthy, from: [.recovering], because: .recoveryComplete, latency, "No deferred order is left")
  }
}
