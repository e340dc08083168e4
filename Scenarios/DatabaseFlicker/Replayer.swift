// SPDX-License-Identifier: Apache-2.0
// A worker that carries out what had to wait, as soon as the core hands it out.

import CLTP
import LTP
import Stage
import Synchronization

final class Replayer: Sendable {
  private static let idlePause: UInt64 = 2_000_000
  private static let retryDelay = Duration.milliseconds(200)

  private let core: Core
  private let observer: Observer
  private let patience: UInt64
  private let isEnding = Atomic(false)
  /// Those whose order was in the database already: the key held them off.
  let heldOff = Atomic(0)

  init(core: Core, observer: Observer, patience: UInt64) {
    self.core = core
    self.observer = observer
    self.patience = patience
  }

  func end() { isEnding.store(true, ordering: .relaxed) }

  /// Until `end()`, in a thread of its own, with a lane of its own.
  func run(_ store: any OrderStore) throws {
    var lane = try core.openLane()
    while !isEnding.load(ordering: .relaxed) {
      let next: Handout?
      do { next = try lane.beginIntent() } catch {
        guard error.status == LTP_ERROR_BACKPRESSURE else { throw error }
        next = nil
      }
      guard let handout = next else {
        Clock.sleep(nanoseconds: Self.idlePause)
        continue
      }
      let outcome = carryOut(handout, store)
      do { try lane.settle(handout, outcome) } catch {
        // The lease has run out: the intent is another's now, and the key sees to it that the order is there once.
        guard error.status == LTP_ERROR_NOT_YOURS else { throw error }
      }
    }
  }

  private func carryOut(_ handout: Handout, _ store: any OrderStore) -> CarriedOut {
    // What this service has not kept cannot be carried out by it.
    guard let order = Order(bytes: handout.payload) else { return .givenUp }
    let begun = Clock.monotonic()
    do throws(StoreFailure) {
      let isNew = try store.persist(for: patience) { (store, deadline) throws(StoreFailure) in
        try store.insert(order, isOnce: true, before: deadline)
      }
      if !isNew { heldOff.add(1, ordering: .relaxed) }
      return .done
    } catch {
      observer.isTooSlow(Clock.monotonic() - begun)
      return .later(Self.retryDelay)
    }
  }
}
