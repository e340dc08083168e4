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

  /// Microseconds since boot in which something waited; nil: the file is not there, or not what it should be.
  func total() -> UInt64? {
    withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { buffer -> UInt64? in
      let name = UnsafeRawPointer(path.utf8Start).assumingMemoryBound(to: CChar.self)
      let descriptor = ltp_system_open_path(name, LTP_SYSTEM_READ_ONLY, 0)
      guard descriptor >= 0 else { return nil }
      defer { _ = ltp_system_close(descriptor) }
      let count = ltp_system_read_at(descriptor, buffer.baseAddress, buffer.count, 0)
      guard count > 0 else { return nil }
      return Self.total(in: UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)]))
    }
  }

  /// The number after the first "total=" in the first line, which is "some".
  static func total(in text: UnsafeRawBufferPointer) -> UInt64? {
    let (start, key): (StaticString, StaticString) = ("some ", "total=")
    guard begins(text, at: 0, with: start) else { return nil }
    var place = 0
    while place < text.count, text[place] != UInt8(ascii: "\n") {
      if begins(text, at: place, with: key) { return number(text, from: place + key.utf8CodeUnitCount) }
      place += 1
    }
    return nil
  }

  private static func begins(_ text: UnsafeRawBufferPointer, at place: Int, with word: StaticString) -> Bool {
    guard text.count - place >= word.utf8CodeUnitCount else { return false }
    for index in 0..<word.utf8CodeUnitCount where text[place + index] != word.utf8Start[index] {
      return false
    }
    return true
  }

  private static func number(_ text: UnsafeRawBufferPointer, from start: Int) -> UInt64? {
    var value: UInt64 = 0
    var place = start
    while place < text.count, text[place] >= UInt8(ascii: "0"), text[place] <= UInt8(ascii: "9") {
      let (product, isTooMuch) = value.multipliedReportingOverflow(by: 10)
      let (sum, isMore) = product.addingReportingOverflow(UInt64(text[place] - UInt8(ascii: "0")))
      if isTooMuch || isMore { return nil }
      value = sum
      place += 1
    }
    return place > start ? value : nil
  }
}

/// The three files, and when they are due.
public struct PressureObserver: ~Copyable {
  private var processor = PressureFile("/proc/pressure/cpu", signal: LTP_SIGNAL_CPU_PRESSURE)
  private var memory = PressureFile("/proc/pressure/memory", signal: LTP_SIGNAL_MEMORY_PRESSURE)
  private var disk = PressureFile("/proc/pressure/io", signal: LTP_SIGNAL_IO_PRESSURE)
  private let interval: UInt64
  private var due: UInt64 = 0

  public init(interval: UInt64) { self.interval = interval }

  /// Whether all three can be read here.
  public var isPossible: Bool { processor.total() != nil && memory.total() != nil && disk.total() != nil }

  /// Pushes what can be read, if it is time to.
  public mutating func observe(into observer: Observer, now: UInt64) {
    guard now >= due else { return }
    due = now &+ interval
    if let value = processor.read(now: now) { observer.push(processor.signal, value, now: now) }
    if let value = memory.read(now: now) { observer.push(memory.signal, value, now: now) }
    if let value = disk.read(now: now) { observer.push(disk.signal, value, now: now) }
  }
}
