// SPDX-License-Identifier: Apache-2.0
// Text being put together as bytes, without a String for each piece: a line of `show` costs no allocation.

public struct TextBuffer {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  public var count: Int { bytes.count }

  public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  public mutating func append(byte: UInt8) { bytes.append(byte) }

  public mutating func append(_ text: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  public mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

  /// Decimal, with leading zeros up to `width` digits.
  public mutating func append(_ value: UInt64, width: Int = 1) {
    var digits = 1
    var rest = value / 10
    while rest > 0 {
      digits += 1
      rest /= 10
    }
    for _ in 0..<max(0, width - digits) { bytes.append(48) }
    let start = bytes.count
    bytes.append(contentsOf: repeatElement(48, count: digits))
    rest = value
    for index in stride(from: start + digits - 1, through: start, by: -1) {
      bytes[index] = UInt8(48 + rest % 10)
      rest /= 10
    }
  }

  /// Spaces until `column` bytes have been written since `start`, at least one.
  public mutating func pad(to column: Int, since start: Int) {
    repeat { bytes.append(32) } while bytes.count - start < column
  }

  /// A JSON string in quotes.
  public mutating func append(json text: String) {
    bytes.append(34)
    for byte in text.utf8 {
      switch byte {
      case 34, 92:
        bytes.append(92)
        bytes.append(byte)
      case 0..<32:
        append("\\u00")
        bytes.append(byte < 16 ? 48 : 49)
        bytes.append((byte & 15) < 10 ? 48 + (byte & 15) : 87 + (byte & 15))
      default: bytes.append(byte)
      }
    }
    bytes.append(34)
  }

  public var text: String { String(decoding: bytes, as: UTF8.self) }
}
