// SPDX-License-Identifier: Apache-2.0
// A name in a log's directory. The seam knows files by it alone: which files there are is the business of whoever
// names them.

/// At most `FileName.bytesMax` bytes, followed by zeros.
public struct FileName: Equatable, Sendable {
  public static let bytesMax = 63

  private var bytes = InlineArray<64, CChar>(repeating: 0)
  public private(set) var count = 0

  public init() {}

  /// Nil: the name is longer than any that is given here.
  public init?(_ name: UnsafePointer<CChar>) {
    var length = 0
    while length <= Self.bytesMax, name[length] != 0 { length += 1 }
    guard length <= Self.bytesMax else { return nil }
    // Counted first: with `count += 1` in this initializer, Swift 6.3 left a count of 0 when it optimized.
    for index in 0..<length { bytes[index] = name[index] }
    count = length
  }

  public static func == (one: FileName, other: FileName) -> Bool {
    guard one.count == other.count else { return false }
    for index in 0..<one.count where one.bytes[index] != other.bytes[index] { return false }
    return true
  }

  /// The byte at `index`; 0 behind the end.
  public func byte(_ index: Int) -> UInt8 { index < count ? UInt8(bitPattern: bytes[index]) : 0 }

  /// Calls `body` with the zero-terminated name.
  public func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
    withUnsafeBytes(of: bytes) { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
  }

  /// Whether `text` stands at `start`.
  public func has(_ text: StaticString, at start: Int) -> Bool {
    for index in 0..<text.utf8CodeUnitCount where byte(start + index) != text.utf8Start[index] {
      return false
    }
    return true
  }

  mutating func append(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { append(text.utf8Start[index]) }
  }

  /// Sixteen digits.
  mutating func append(hex value: UInt64) {
    for shift in stride(from: 60, through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 0xF
      append(digit < 10 ? 48 + digit : 87 + digit)
    }
  }

  private mutating func append(_ byte: UInt8) {
    precondition(count < Self.bytesMax, "a file name is too long")
    bytes[count] = CChar(bitPattern: byte)
    count += 1
  }

  /// Sixteen lower-case digits from `start` on; nil: something else stands there.
  func hex(at start: Int) -> UInt64? {
    var value: UInt64 = 0
    for index in start..<start + 16 {
      switch byte(index) {
      case 48...57: value = value << 4 | UInt64(byte(index) - 48)
      case 97...102: value = value << 4 | UInt64(byte(index) - 87)
      default: return nil
      }
    }
    return value
  }
}
