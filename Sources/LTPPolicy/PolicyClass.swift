// SPDX-License-Identifier: Apache-2.0
// A policy's classes in words.

public import CLTP
public import LTP

/// An action class as a policy describes it.
public struct PolicyClass: Hashable, Sendable {
  /// Every attribute's name and bit (`LTP_CLASS_*`).
  public static let allAttributes: [(name: String, bit: UInt32)] = [
    ("critical", LTP_CLASS_CRITICAL), ("mutating", LTP_CLASS_MUTATING),
    ("requires_continuity", LTP_CLASS_REQUIRES_CONTINUITY), ("deferrable", LTP_CLASS_DEFERRABLE),
    ("recovery", LTP_CLASS_RECOVERY), ("exempt", LTP_CLASS_EXEMPT),
    ("permit", LTP_CLASS_PERMIT), ("stateless", LTP_CLASS_STATELESS),
  ]

  /// Empty: the class does not exist.
  public let name: String
  /// `LTP_CLASS_*`
  public let attributes: UInt32

  public var attributeNames: [String] {
    Self.allAttributes.filter { attributes & $0.bit != 0 }.map(\.name)
  }
}

extension Policy {
  /// The concurrency limit's algorithms by name (`LTP_CONCURRENCY_*`), but for none.
  public static let concurrencyAlgorithms: [(name: String, value: UInt8)] = [
    ("fixed", LTP_CONCURRENCY_FIXED), ("aimd", LTP_CONCURRENCY_AIMD), ("vegas", LTP_CONCURRENCY_VEGAS),
    ("gradient2", LTP_CONCURRENCY_GRADIENT2),
  ]

  /// The rate of the class of this number, below `LTP_CLASS_COUNT`.
  public subscript(rate actionClass: Int) -> ltp_rate {
    get {
      withUnsafeBytes(of: fields.limits.classes) {
        $0.load(fromByteOffset: actionClass * MemoryLayout<ltp_rate>.stride, as: ltp_rate.self)
      }
    }
    set {
      withUnsafeMutableBytes(of: &fields.limits.classes) {
        $0.storeBytes(
          of: newValue, toByteOffset: actionClass * MemoryLayout<ltp_rate>.stride, as: ltp_rate.self)
      }
    }
  }

  /// How the class of this number, below `LTP_CLASS_COUNT`, is described.
  public func describedClass(_ number: Int) -> PolicyClass {
    withUnsafeBytes(of: fields.classes) { bytes in
      let start = number * MemoryLayout<ltp_policy_class>.stride
      let nameStart = start + MemoryLayout<UInt32>.size
      let name = bytes[nameStart..<nameStart + Int(LTP_CLASS_NAME_BYTES)].prefix { $0 != 0 }
      return PolicyClass(
        name: String(decoding: name, as: UTF8.self),
        attributes: bytes.load(fromByteOffset: start, as: UInt32.self))
    }
  }
}
