// SPDX-License-Identifier: Apache-2.0
// Interned texts: names, node names, hints. Ids count from 1 and are never reused. Guarded by the core's control
// mutex; the trace's writer reads the texts below `count` without it, because they never change.

import CLTP
import Synchronization

public struct TextRegistry: ~Copyable {
  public static let textBytes = Int(LTP_TEXT_BYTES_MAX) + 1
  public static let memoryBytes = Int(LTP_TEXT_COUNT_MAX) * textBytes

  private let base: UnsafeMutableRawPointer
  private let published = Atomic<Int>(0)

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer) { base = memory }

  public var count: Int { published.load(ordering: .acquiring) }

  /// The zero-terminated text with this id, 1 to `count`.
  public func text(id: UInt32) -> UnsafePointer<CChar> {
    UnsafePointer(
      (base + (Int(id) - 1) * Self.textBytes).assumingMemoryBound(to: CChar.self))
  }

  /// The text's id, or nil when the registry is full. `length` is at most LTP_TEXT_BYTES_MAX.
  public func intern(_ text: UnsafePointer<CChar>, length: Int) -> UInt32? {
    for id in 1..<UInt32(count + 1) where equal(self.text(id: id), text, length: length) { return id }
    guard count < Int(LTP_TEXT_COUNT_MAX) else { return nil }
    let entry = base + count * Self.textBytes
    entry.copyMemory(from: text, byteCount: length)
    published.store(count + 1, ordering: .releasing)
    return UInt32(count)
  }

  private func equal(_ one: UnsafePointer<CChar>, _ other: UnsafePointer<CChar>, length: Int) -> Bool {
    for index in 0..<length where one[index] != other[index] { return false }
    return one[length] == 0
  }
}
