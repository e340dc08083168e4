// SPDX-License-Identifier: Apache-2.0
// Where each continuity domain stood under an epoch of the orientation: lanes may lag behind the last transition.

import CLTP
import LTPRecords

struct DomainHistory {
  /// So many changes are kept; after that, only where domains stand.
  static let changesMax = 1 << 18

  private struct Change {
    /// In full.
    var epoch: UInt64
    /// The domain's continuity epoch from here on, in full.
    var number: UInt64
    /// LTP_STATE_UNSTABLE in an outage of its own, else 0.
    var state: UInt8
  }

  /// What the last transition brought.
  private(set) var current = DomainTable()
  /// By domain, by rising epochs.
  private var own: [UInt8: [Change]] = [:]
  private var all: [Change] = []
  private var count = 0
  /// Of lower epochs nothing is known.
  private var floor: UInt64 = 0
  /// In some epoch since the floor a domain was in an outage.
  private var hasSeenOutages = false

  /// Takes this as what holds from `epoch` on; `apply` of the segment's DOMAINS records follows.
  mutating func begin(at epoch: UInt64, all number: UInt64) {
    self = DomainHistory()
    current = DomainTable(all: number)
    floor = epoch
    all = [Change(epoch: epoch, number: number, state: 0)]
  }

  mutating func apply(_ record: UnsafePointer<ltp_domains_record>) {
    current.apply(record)
    for index in 0..<Int(min(record.pointee.entry_count, UInt32(LTP_DOMAINS_ENTRIES))) {
      note(record.entry(index).pointee.domain, epoch: floor)
    }
  }

  mutating func apply(_ record: UnsafePointer<ltp_transition_record>) {
    let before = current
    current.apply(record)
    let epoch = record.pointee.epoch
    switch OrientationWord(rawValue: record.pointee.word_after).scope {
    case LTP_SCOPE_ALL:
      all.append(Change(epoch: epoch, number: current.all, state: 0))
      count += 1
      for domain in UInt8.min...UInt8.max where before.state(of: domain) != current.state(of: domain) {
        note(domain, epoch: epoch)
      }
    case LTP_SCOPE_DOMAIN: note(record.pointee.domain, epoch: epoch)
    default: return
    }
    if count > Self.changesMax { forget(before: epoch) }
  }

  private mutating func note(_ domain: UInt8, epoch: UInt64) {
    let state = current.state(of: domain)
    if state != 0 { hasSeenOutages = true }
    own[domain, default: []].append(
      Change(epoch: epoch, number: current.number(of: domain), state: state))
    count += 1
  }

  private mutating func forget(before epoch: UInt64) {
    let now = current
    begin(at: epoch, all: now.all)
    current = now
    for domain in UInt8.min...UInt8.max where now.isOwn(domain) { note(domain, epoch: epoch) }
    count = 0
  }

  private static func last(_ changes: [Change]?, at epoch: UInt64) -> Change? {
    changes?.last { $0.epoch <= epoch }
  }

  /// The domain's continuity epoch under this epoch, in full; nil: it is not known any more.
  func number(of domain: UInt8, at epoch: UInt64) -> UInt64? {
    guard epoch >= floor, let all = Self.last(all, at: epoch) else { return nil }
    return max(all.number, Self.last(own[domain], at: epoch)?.number ?? 0)
  }

  /// The domain was in this epoch already when what is retained begins.
  func isFromBefore(_ number: UInt64, of domain: UInt8) -> Bool {
    guard floor > 0, let first = self.number(of: domain, at: floor) else { return false }
    return number <= first
  }

  /// Nobody knows any more who was in an outage under this epoch.
  func isForgotten(_ epoch: UInt64) -> Bool { epoch < floor }

  /// By domain, who was in an outage of its own; nil: nobody was.
  func outages(at epoch: UInt64) -> [Bool]? {
    guard hasSeenOutages, epoch >= floor else { return nil }
    var states = [Bool](repeating: false, count: Int(LTP_DOMAIN_COUNT))
    var isAny = false
    for (domain, changes) in own where Self.last(changes, at: epoch)?.state ?? 0 != 0 {
      states[Int(domain)] = true
      isAny = true
    }
    return isAny ? states : nil
  }
}
