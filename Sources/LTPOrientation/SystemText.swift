// SPDX-License-Identifier: Apache-2.0
// The kernel's small text files, read without allocating.

import CLTPSystem

enum SystemText {
  /// More of a file is not looked at.
  private static var bytesMax: Int { 8192 }

  /// What `body` makes of the file's text; nil: it cannot be read.
  static func read<Answer>(
    _ path: UnsafePointer<CChar>, _ body: (UnsafeRawBufferPointer) -> Answer?
  ) -> Answer? {
    withUnsafeTemporaryAllocation(byteCount: bytesMax, alignment: 8) { buffer -> Answer? in
      let descriptor = ltp_system_open_path(path, LTP_SYSTEM_READ_ONLY, 0)
      guard descriptor >= 0 else { return nil }
      defer { _ = ltp_system_close(descriptor) }
      let count = ltp_system_read_at(descriptor, buffer.baseAddress, buffer.count, 0)
      guard count > 0 else { return nil }
      return body(UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)]))
    }
  }

  static func read<Answer>(_ path: StaticString, _ body: (UnsafeRawBufferPointer) -> Answer?) -> Answer? {
    read(UnsafeRawPointer(path.utf8Start).assumingMemoryBound(to: CChar.self), body)
  }

  static func begins(_ text: UnsafeRawBufferPointer, at place: Int, with word: StaticString) -> Bool {
    guard text.count - place >= word.utf8CodeUnitCount else { return false }
    for index in 0..<word.utf8CodeUnitCount where text[place + index] != word.utf8Start[index] {
      return false
    }
    return true
  }

  /// The decimal number at `start`; nil: there is none, or it has more than 64 bits.
  static func number(_ text: UnsafeRawBufferPointer, from start: Int) -> UInt64? {
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

  /// The number behind `key`, which begins a line.
  static func number(_ text: UnsafeRawBufferPointer, after key: StaticString) -> UInt64? {
    var place = 0
    while place < text.count {
      if begins(text, at: place, with: key) { return number(text, from: place + key.utf8CodeUnitCount) }
      place = nextLine(text, after: place)
    }
    return nil
  }

  static func nextLine(_ text: UnsafeRawBufferPointer, after place: Int) -> Int {
    var place = place
    while place < text.count, text[place] != UInt8(ascii: "\n") { place += 1 }
    return place + 1
  }
}
