// SPDX-License-Identifier: Apache-2.0
// File names: "%016x.ltp", "%016x.tmp", "durable", "torn-%016x-%016x.bin". Anything else in the directory is
// not the trace's and is left alone.

import CLTP

extension TraceFile {
  /// Calls `body` with the zero-terminated name.
  public func withName<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { name in
      var writer = NameWriter(name.baseAddress!)
      switch self {
      case .segment(let index):
        writer.hex(index)
        writer.text(".ltp")
      case .prepared(let index):
        writer.hex(index)
        writer.text(".tmp")
      case .watermark: writer.text("durable")
      case .preparedWatermark: writer.text("durable.tmp")
      case .torn(let segment, let offset):
        writer.text("torn-")
        writer.hex(segment)
        writer.text("-")
        writer.hex(offset)
        writer.text(".bin")
      }
      writer.end()
      return body(UnsafePointer(name.baseAddress!))
    }
  }

  /// The file with this name, or nil when it is not one of the trace's.
  public init?(name: UnsafePointer<CChar>) {
    func byte(_ index: Int) -> UInt8 { UInt8(bitPattern: name[index]) }
    func ends(at start: Int, with text: StaticString) -> Bool {
      for index in 0..<text.utf8CodeUnitCount where byte(start + index) != text.utf8Start[index] {
        return false
      }
      return name[start + text.utf8CodeUnitCount] == 0
    }
    if ends(at: 0, with: "durable") {
      self = .watermark
      return
    }
    if ends(at: 0, with: "durable.tmp") {
      self = .preparedWatermark
      return
    }
    var value: UInt64 = 0
    for index in 0..<16 {
      switch byte(index) {
      case 48...57: value = value << 4 | UInt64(byte(index) - 48)
      case 97...102: value = value << 4 | UInt64(byte(index) - 87)
      default: return nil
      }
    }
    if ends(at: 16, with: ".ltp") {
      self = .segment(value)
    } else if ends(at: 16, with: ".tmp") {
      self = .prepared(value)
    } else {
      return nil
    }
  }
}

private struct NameWriter {
  var next: UnsafeMutablePointer<CChar>

  init(_ start: UnsafeMutablePointer<CChar>) { next = start }

  mutating func text(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { byte(text.utf8Start[index]) }
  }

  mutating func hex(_ value: UInt64) {
    for shift in stride(from: 60, through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 0xF
      byte(digit < 10 ? 48 + digit : 87 + digit)
    }
  }

  mutating func end() { next.pointee = 0 }

  private mutating func byte(_ value: UInt8) {
    next.pointee = CChar(bitPattern: value)
    next += 1
  }
}
