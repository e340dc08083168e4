// SPDX-License-Identifier: Apache-2.0
// Linux pressure-stall information: how much of the time something waited for a processor, memory or the disk.
// Source: Documentation/accounting/psi.rst; the first line of each file ends in total=MICROSECONDS.

import CLTP
import CLTPSystem

/// One of /proc/pressure's files, read now and then.
public struct PressureFile: ~Copyable {
  private let path: StaticString
  public let signal: UInt8
  private var lastTotal: UInt64 = 0
  private var lastTime: UInt64 = 0

  init(_ path: StaticString, signal: UInt8) {
    self.path = path
    self.signal = signal
  }

  /// The share of the time since the last reading in which something waited, in hundredths of a percent. Nil the first
  /// time, and when the file cannot be read.
  public mutating func read(now: UInt64) -> Int64? {
    guard let total = total() else { return nil }
    defer { (lastTotal, lastTime) = (total, now) }
    guard lastTime > 0, now > lastTime, total >= lastTotal else { return nil }
    let elapsed = (now - lastTime) / 1000
    return elapsed > 0 ? Int64(min(10_000, (total - lastTotal) &* 10_000 / elapsed)) : nil
  }

  /// The next reading is the first one.
  mutating func reset() { lastTime = 0 }

  /// Microseconds since boot in which something waited; nil: the file is not there, or not what it should be.
  func total() -> UInt64? { SystemText.read(path, Self.total) }

  /// The number after the first "total=" in the first line, which is "some".
  static func total(in text: UnsafeRawBufferPointer) -> UInt64? {
    let (start, key): (StaticString, StaticString) = ("some ", "total=")
    guard SystemText.begins(text, at: 0, with: start) else { return nil }
    var place = 0
    while place < text.count, text[place] != UInt8(ascii: "\n") {
      if SystemText.begins(text, at: place, with: key) {
        return SystemText.number(text, from: place + key.utf8CodeUnitCount)
      }
      place += 1
    }
    return nil
  }
}
