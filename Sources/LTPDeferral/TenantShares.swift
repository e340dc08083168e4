// SPDX-License-Identifier: Apache-2.0

import LTPRecords

/// What the pending intents of each tenant come to. Memory is the owner's.
struct TenantShares {
  struct Share {
    var tenant: UInt32 = 0
    var count: UInt32 = 0
    var bytes: UInt64 = 0
  }

  /// Tenants with pending intents, at most: a place has 16 bits, and 0 is nobody's.
  static var capacity: Int { 65_535 }

  private let shares: UnsafeMutablePointer<Share>
  private let index: SlotIndex
  private let secret: SipKey
  private var free: UInt32 = 0
  private(set) var fresh = 0

  /// `memory`: zeroed, `bytes` of it.
  init(_ memory: UnsafeMutableRawPointer, secret: SipKey) {
    shares = memory.bindMemory(to: Share.self, capacity: Self.capacity)
    index = SlotIndex(memory + Self.capacity * MemoryLayout<Share>.stride, capacity: Self.capacity)
    self.secret = secret
  }

  static var bytes: Int { capacity * MemoryLayout<Share>.stride + SlotIndex.bytes(capacity: capacity) }

  private func hash(_ tenant: UInt32) -> UInt64 { secret.hash([UInt64(tenant), 2]) }

  private func find(_ tenant: UInt32) -> Int? {
    index.find(hash(tenant)) { shares[$0].tenant == tenant }
  }

  func share(of tenant: UInt32) -> Share { find(tenant).map { shares[$0] } ?? Share() }

  /// Another intent of this tenant has a place.
  func hasRoom(for tenant: UInt32) -> Bool {
    tenant == 0 || free != 0 || fresh < Self.capacity || find(tenant) != nil
  }

  /// One more. The tenant's place; 0: it has none, as tenant 0.
  mutating func enter(_ tenant: UInt32, bytes: UInt32) -> UInt16 {
    guard tenant != 0 else { return 0 }
    let place = find(tenant) ?? begin(tenant)
    shares[place].count += 1
    shares[place].bytes += UInt64(bytes)
    return UInt16(place + 1)
  }

  private mutating func begin(_ tenant: UInt32) -> Int {
    let place = free != 0 ? Int(free) - 1 : fresh
    if free != 0 { free = shares[place].count } else { fresh += 1 }
    shares[place] = Share(tenant: tenant)
    index.insert(hash(tenant), place)
    return place
  }

  mutating func leave(_ place: UInt16, bytes: UInt32) {
    guard place != 0 else { return }
    let place = Int(place) - 1
    shares[place].count -= 1
    shares[place].bytes -= UInt64(bytes)
    guard shares[place].count == 0 else { return }
    index.remove(hash(shares[place].tenant), place) { hash(shares[$0].tenant) }
    // A free place: its count is the next one.
    shares[place] = Share(count: free)
    free = UInt32(place) + 1
  }
}
