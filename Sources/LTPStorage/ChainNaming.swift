// SPDX-License-Identifier: Apache-2.0
// The files of one chain, and their names: "%016x.ltp", "%016x.tmp", "durable", "durable.tmp",
// "torn-%016x-%016x.bin", each behind the chain's prefix. Anything else in the directory is left alone.

import CLTP

/// A file of a chain, by what it holds.
public enum ChainFile: Equatable, Sendable {
  case segment(UInt64)
  /// A segment that is being prepared; never trusted.
  case prepared(UInt64)
  /// How much has been acknowledged.
  case watermark
  /// The watermark while it is being made.
  case preparedWatermark
  /// A copy of what recovery cut from the end of a segment.
  case torn(segment: UInt64, offset: UInt64)
}

/// Chains that share a directory differ in their prefix.
public struct ChainNaming: Sendable {
  private let prefix: StaticString

  /// The trace's: no prefix.
  public static let trace = ChainNaming(prefix: "")

  /// No prefix is sixteen hexadecimal digits, or begins as another chain's names do.
  public init(prefix: StaticString) { self.prefix = prefix }

  public func name(of file: ChainFile) -> FileName {
    var name = FileName()
    name.append(prefix)
    switch file {
    case .segment(let index):
      name.append(hex: index)
      name.append(".ltp")
    case .prepared(let index):
      name.append(hex: index)
      name.append(".tmp")
    case .watermark: name.append("durable")
    case .preparedWatermark: name.append("durable.tmp")
    case .torn(let segment, let offset):
      name.append("torn-")
      name.append(hex: segment)
      name.append("-")
      name.append(hex: offset)
      name.append(".bin")
    }
    return name
  }

  /// The chain's file of this name; nil: it is none of the chain's.
  public func file(named name: FileName) -> ChainFile? {
    let start = prefix.utf8CodeUnitCount
    guard name.has(prefix, at: 0) else { return nil }
    func ends(with text: StaticString, at start: Int) -> Bool {
      name.has(text, at: start) && name.count == start + text.utf8CodeUnitCount
    }
    if ends(with: "durable", at: start) { return .watermark }
    if ends(with: "durable.tmp", at: start) { return .preparedWatermark }
    if name.has("torn-", at: start) {
      guard let segment = name.hex(at: start + 5), name.has("-", at: start + 21),
        let offset = name.hex(at: start + 22), ends(with: ".bin", at: start + 38)
      else { return nil }
      return .torn(segment: segment, offset: offset)
    }
    guard let index = name.hex(at: start) else { return nil }
    if ends(with: ".ltp", at: start + 16) { return .segment(index) }
    if ends(with: ".tmp", at: start + 16) { return .prepared(index) }
    return nil
  }
}
