// SPDX-License-Identifier: Apache-2.0
// Composes an error message in the caller's fixed buffer: no heap, no String, always zero-terminated.

/// Text goes in until the buffer is full; the rest is dropped.
public struct MessageBuffer {
  let base: UnsafeMutablePointer<CChar>
  let capacity: Int
  var count = 0

  /// `capacity` counts the terminating zero and is at least 1.
  public init(_ base: UnsafeMutableRawPointer, capacity: Int) {
    self.base = base.assumingMemoryBound(to: CChar.self)
    self.capacity = capacity
    self.base[0] = 0
  }

  mutating func append(byte: UInt8) {
    guard count + 1 < capacity else { return }
    base[count] = CChar(bitPattern: byte)
    count += 1
    base[count] = 0
  }

  public mutating func append(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { append(byte: text.utf8Start[index]) }
  }

  /// A zero-terminated text of at most `limit` bytes.
  public mutating func append(_ text: UnsafePointer<CChar>, limit: Int = 255) {
    var index = 0
    while index < limit, text[index] != 0 {
      append(byte: UInt8(bitPattern: text[index]))
      index += 1
    }
  }

  public mutating func append(_ value: UInt64) {
    if value >= 10 { append(value / 10) }
    append(byte: UInt8(48 + value % 10))
  }
}
