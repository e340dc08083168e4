// SPDX-License-Identifier: Apache-2.0
// Where each continuity domain stands, for lanes to copy when they come under a new word. Not in the word, which has no room, and
// yet as of the word.
//
// A word says that its transition concerned a domain, not which one: that stands in `changes`, under the word's epoch, before the word
// is published. What it says is entered into the tables afterwards, by whoever comes first: its publisher, the next publisher, before it
// replaces the word, or a lane that copies. So nobody waits for anybody; and a lane which finds the word unchanged after it has copied
// has copied what holds under that word, neither less nor more.
//
// Invariants
//   - `numbers` only grow, and `states` change by rising epochs, so entering a change twice, or late, does nothing.
//   - Changes of domains are published by one thread at a time (`mutex`), so that nobody else writes `changes`.

import CLTP
package import CLTPSystem
import LTPRecords
import Synchronization

/// What a transition says of a domain.
public struct DomainChange: Equatable, Sendable {
  public var domain: UInt8
  /// LTP_STATE_UNSTABLE: it is in an outage of its own; 0: in none.
  public var state: UInt8

  package init(domain: UInt8, state: UInt8) {
    self.domain = domain
    self.state = state
  }

  fileprivate init(bits: UInt64) {
    domain = UInt8(truncatingIfNeeded: bits)
    state = UInt8(truncatingIfNeeded: bits >> 8)
  }

  fileprivate func bits(epoch: UInt32, advances: Bool) -> UInt64 {
    UInt64(domain) | UInt64(state) << 8 | (advances ? 1 << 16 : 0) | UInt64(epoch) << 32
  }
}

/// A handle: copies refer to the same domains.
public struct Domains {
  private static let count = Int(LTP_DOMAIN_COUNT)

  /// Held by whoever publishes a change of a domain.
  package let mutex: UnsafeMutablePointer<ltp_system_mutex>
  /// By domain, then that of all: the number of the last move.
  private let numbers: UnsafeMutablePointer<Atomic<UInt64>>
  /// By domain: the epoch of its last change, in full, above its state.
  private let states: UnsafeMutablePointer<Atomic<UInt64>>
  /// Of epoch e at e modulo Orientation.transitionsMax.
  private let changes: UnsafeMutablePointer<Atomic<UInt64>>

  /// By domain. Under the mutex.
  let outages: UnsafeMutablePointer<DomainOutage>
  /// When the next stay is over; UInt64.max: none is under way.
  let nextEnd: UnsafeMutablePointer<Atomic<UInt64>>
  /// Not 0: some domain is out, or the service was told so.
  let outOrTold: UnsafeMutablePointer<Atomic<UInt64>>
  /// How many domains the service was told are out. Under the mutex.
  let told: UnsafeMutablePointer<UInt64>
  /// By domain: how long it stays in its last outage once it is back, in milliseconds.
  let stays: UnsafeMutablePointer<Atomic<UInt64>>

  let heartbeats: Heartbeats

  /// Zeroed memory that it takes, in bytes.
  static var memoryBytes: Int {
    64 + Heartbeats.memoryBytes + (3 * count + 1 + Orientation.transitionsMax + 3) * 8 + count
      * MemoryLayout<DomainOutage>.stride
  }

  /// `number`: the continuity epoch that the log has come to.
  init(memory: UnsafeMutableRawPointer, number: UInt64) {
    mutex = memory.bindMemory(to: ltp_system_mutex.self, capacity: 1)
    ltp_system_mutex_init(mutex)
    numbers = (memory + 64).bindMemory(to: Atomic<UInt64>.self, capacity: Self.count + 1)
    states = (memory + 64 + (Self.count + 1) * 8).bindMemory(to: Atomic<UInt64>.self, capacity: Self.count)
    changes = (memory + 64 + (2 * Self.count + 1) * 8)
      .bindMemory(to: Atomic<UInt64>.self, capacity: Orientation.transitionsMax)
    nextEnd = (memory + 64 + (2 * Self.count + 1 + Orientation.transitionsMax) * 8)
      .bindMemory(to: Atomic<UInt64>.self, capacity: 2)
    nextEnd.initialize(to: Atomic(UInt64.max))
    outOrTold = nextEnd + 1
    told = UnsafeMutableRawPointer(nextEnd + 2).bindMemory(to: UInt64.self, capacity: 1)
    stays = UnsafeMutableRawPointer(nextEnd + 3).bindMemory(to: Atomic<UInt64>.self, capacity: Self.count)
    outages = UnsafeMutableRawPointer(stays + Self.count).bindMemory(
      to: DomainOutage.self, capacity: Self.count)
    heartbeats = Heartbeats(memory: UnsafeMutableRawPointer(outages + Self.count))
    outages.initialize(repeating: DomainOutage(), count: Self.count)
    (numbers + Self.count).initialize(to: Atomic(number))
  }

  private func change(at epoch: UInt32) -> UnsafeMutablePointer<Atomic<UInt64>> {
    changes + Int(epoch) % Orientation.transitionsMax
  }

  /// To be called before the word of this epoch is published, under the mutex.
  func announce(_ change: DomainChange, epoch: UInt32, advances: Bool) {
    self.change(at: epoch).pointee.store(change.bits(epoch: epoch, advances: advances), ordering: .releasing)
  }

  /// Enters what a published word says. `numbers`: the word's, in full.
  func enter(_ word: OrientationWord, _ full: EpochNumbers) {
    switch word.scope {
    case LTP_SCOPE_ALL: raise(numbers + Self.count, to: full.continuityEpoch)
    case LTP_SCOPE_DOMAIN:
      let bits = change(at: word.epoch).pointee.load(ordering: .acquiring)
      // Another epoch's: then this one's was entered long ago.
      guard UInt32(truncatingIfNeeded: bits >> 32) == word.epoch else { return }
      let change = DomainChange(bits: bits)
      if bits & 1 << 16 != 0 { raise(numbers + Int(change.domain), to: full.continuityEpoch) }
      raise(states + Int(change.domain), to: full.epoch << 8 | UInt64(change.state))
    default: break
    }
  }

  /// An epoch has 56 bits here, which last.
  private func raise(_ cell: UnsafeMutablePointer<Atomic<UInt64>>, to value: UInt64) {
    _ = cell.pointee.max(value, ordering: .acquiringAndReleasing)
  }

  /// The number of its last move that concerned the domain.
  package func number(of domain: Int) -> UInt64 {
    max(
      numbers[domain].load(ordering: .acquiring), numbers[Self.count].load(ordering: .acquiring))
  }

  /// LTP_STATE_UNSTABLE in an outage of its own, else 0.
  package func state(of domain: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: states[domain].load(ordering: .acquiring))
  }
}
