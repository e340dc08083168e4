// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Stage
import Synchronization

/// The service's connections to the database: fewer than it has clients, as services do.
final class StorePool: Sendable {
  /// A connection is used by who has taken it, and nobody else.
  private struct Idle: @unchecked Sendable { var stores: [any OrderStore] }

  private let idle: Mutex<Idle>
  private let free: DispatchSemaphore

  init(_ address: StoreAddress, count: Int) {
    let stores = Idle(stores: (0..<count).map { _ in address.open() })
    idle = Mutex(stores)
    free = DispatchSemaphore(value: count)
  }

  /// Writes the order, waiting for a connection and for the database for no longer than `patience`. False: it was there.
  ///
  /// - Parameter isPatient: a failed attempt is tried again within the patience.
  func insert(_ order: Order, isOnce: Bool, patience: UInt64, isPatient: Bool) throws(StoreFailure) -> Bool {
    let begun = Clock.monotonic()
    guard free.wait(timeout: .now() + .nanoseconds(Int(patience))) == .success else {
      throw StoreFailure(description: "no connection is free")
    }
    defer { free.signal() }
    let took = idle.withLock { idle in Idle(stores: [idle.stores.removeLast()]) }
    let store = took.stores[0]
    defer { idle.withLock { idle in idle.stores.append(took.stores[0]) } }
    let left = patience - min(patience, Clock.monotonic() - begun)
    guard isPatient else { return try store.insert(order, isOnce: isOnce, before: Clock.monotonic() + left) }
    return try store.persist(for: left) { (store, deadline) throws(StoreFailure) in
      try store.insert(order, isOnce: isOnce, before: deadline)
    }
  }
}
