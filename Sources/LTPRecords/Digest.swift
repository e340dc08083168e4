// SPDX-License-Identifier: Apache-2.0
// SHA-256 digests as values.

import CLTP
import CLTPSystem

public struct Digest: Equatable, Sendable {
  package var words: (UInt64, UInt64, UInt64, UInt64)

  /// 32 zero bytes: the hash before the first block.
  public init() { words = (0, 0, 0, 0) }

  /// The first 8 of its bytes.
  package var firstWord: UInt64 { words.0 }

  /// Reads 32 bytes.
  package init(from bytes: UnsafeRawPointer) {
    self.init()
    withUnsafeMutableBytes(of: &words) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: bytes, count: $0.count))
    }
  }

  /// SHA-256 of `count` bytes, or nil when libcrypto fails (it has no memory).
  package init?(of bytes: UnsafeRawPointer, count: Int) {
    self.init()
    let failed = withUnsafeMutableBytes(of: &words) { out in
      ltp_system_sha256(bytes, count, out.baseAddress!.assumingMemoryBound(to: UInt8.self)) != 0
    }
    if failed { return nil }
  }

  package func store(to bytes: UnsafeMutableRawPointer) {
    withUnsafeBytes(of: words) { bytes.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }

  public static func == (one: Digest, other: Digest) -> Bool {
    (one.words.0 ^ other.words.0) | (one.words.1 ^ other.words.1) | (one.words.2 ^ other.words.2)
      | (one.words.3 ^ other.words.3) == 0
  }
}

/// A log's 128-bit name.
public struct LogID: Equatable, Sendable {
  package var low: UInt64
  package var high: UInt64

  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// Reads 16 bytes.
  package init(from bytes: UnsafeRawPointer) {
    low = 0
    high = 0
    withUnsafeMutableBytes(of: &self) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: bytes, count: $0.count))
    }
  }

  package func store(to bytes: UnsafeMutableRawPointer) {
    withUnsafeBytes(of: self) { bytes.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }
}
