// SPDX-License-Identifier: Apache-2.0

/// What a user wants: client and number are what makes two sendings of it one order.
struct Order: BitwiseCopyable, Hashable, Sendable {
  var client: UInt64
  /// Counts from 1 for each client; also the frame's id.
  var number: UInt64
  var amount: UInt64

  var bytes: [UInt8] { withUnsafeBytes(of: self) { [UInt8]($0) } }

  init(client: UInt64, number: UInt64, amount: UInt64) {
    self.client = client
    self.number = number
    self.amount = amount
  }

  /// nil: these are not the bytes of an order.
  init?(bytes: [UInt8]) {
    guard bytes.count == MemoryLayout<Order>.size else { return nil }
    self = bytes.withUnsafeBytes { $0.loadUnaligned(as: Order.self) }
  }
}
