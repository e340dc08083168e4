// SPDX-License-Identifier: Apache-2.0

/// Bytes to take payloads from: made once, because a test that draws each byte spends its time with that.
package enum SomeBytes {
  /// Pieces are at most this long.
  package static let countMax = 6000
  private static let startsCount = 4096

  nonisolated(unsafe) private static let all: UnsafeRawBufferPointer = {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: startsCount + countMax, alignment: 8)
    var random = SplitMix64(seed: 5)
    for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
    return UnsafeRawBufferPointer(bytes)
  }()

  /// A piece that is another one for another number, of 4,096 of them. It stays.
  package static func piece(_ number: UInt64, count: Int) -> UnsafeRawBufferPointer {
    let start = Int(number &* 37 % UInt64(startsCount))
    return UnsafeRawBufferPointer(rebasing: all[start..<start + count])
  }
}
