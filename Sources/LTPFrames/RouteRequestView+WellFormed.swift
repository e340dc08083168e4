// SPDX-License-Identifier: Apache-2.0
//
// The check on the path that every decision takes: whether bytes are a valid route_request, and nothing more.
//
// Invariant: the answer equals that of the full check. A test compares the two over mutated frames, and the
// fuzzer does so for every input.

public import CLTP

extension RouteRequestView {
  /// A header as the word that a reader loads, so that one comparison checks all of it.
  @inlinable
  @inline(__always)
  static func word(_ header: ltp_frame_header) -> UInt64 { unsafeBitCast(header, to: UInt64.self) }

  /// Flags as they lie in a header's word.
  @inlinable
  @inline(__always)
  static func word(flags: UInt16) -> UInt64 {
    word(ltp_frame_header(magic: 0, version: 0, type: 0, size_bytes: 0, flags: flags))
  }

  /// The header of a 64-byte request without flags.
  @inlinable
  @inline(__always)
  static var oneLineWord: UInt64 {
    word(
      ltp_frame_header(
        magic: LTP_FRAME_MAGIC, version: UInt8(LTP_PROTOCOL_VERSION), type: LTP_FRAME_ROUTE_REQUEST,
        size_bytes: UInt16(MemoryLayout<ltp_route_request>.size), flags: 0))
  }

  /// Whether `bytes`, of which `available` can be read, are a valid route_request. If so,
  /// `RouteRequestView(checked:)` may look at them.
  ///
  /// One line, the common case, is decided here with three branches; a request with a goal, a replay, and anything
  /// that is no request, goes to the full check.
  @inlinable
  @inline(__always)
  public static func isWellFormed(_ bytes: UnsafeRawPointer, available: Int) -> Bool {
    guard available >= MemoryLayout<ltp_route_request>.size else { return false }
    let header = bytes.loadUnaligned(as: UInt64.self)
    guard header & ~word(flags: LTP_REQUEST_HAS_DEADLINE) == oneLineWord else {
      return isWellFormedInFull(bytes, available: available)
    }
    return RouteRequestView(checked: bytes).contradictions(header) == 0
  }

  /// Whether the bytes are a valid request of one line that is no replay: what nearly all requests are. False
  /// says nothing: ask `isWellFormed`.
  @inlinable
  @inline(__always)
  public static func isCommon(_ bytes: UnsafeRawPointer, available: Int) -> Bool {
    guard available >= MemoryLayout<ltp_route_request>.size else { return false }
    let header = bytes.loadUnaligned(as: UInt64.self)
    let deadlineFlag = word(flags: LTP_REQUEST_HAS_DEADLINE)
    guard header & ~deadlineFlag == oneLineWord else { return false }
    let request = RouteRequestView(checked: bytes)
    // A deadline of 0 under its flag is valid, but not common: `lateness` takes 0 for none.
    let odd: UInt64 = (header & deadlineFlag != 0) == (request.deadlineNanoseconds != 0) ? 0 : 1
    return odd | request.mustBeZero == 0
  }

  /// LTP_INPUT_DEADLINE_EXCEEDED, or 0: whether the deadline of a common request has come at `clock`. No branch: which
  /// requests have deadlines is anyone's guess.
  @inlinable
  @inline(__always)
  public func lateness(_ clock: UInt64) -> UInt64 {
    deadlineNanoseconds &- 1 < clock ? UInt64(LTP_INPUT_DEADLINE_EXCEEDED) : 0
  }

  /// Action class, domain, priority and cohort as they lie side by side, the class lowest.
  @inlinable
  @inline(__always)
  public var attributes: UInt64 {
    UInt64(bytes.loadUnaligned(fromByteOffset: Int(LTP_AT_route_request_action_class), as: UInt32.self))
  }

  /// What is shed first: priority * 256 + cohort.
  @inlinable
  @inline(__always)
  public var level: UInt16 { UInt16(priority) &<< 8 | UInt16(cohort) }

  /// The reserved bytes, half a word (include/layout.c asserts it).
  @inlinable
  @inline(__always)
  var mustBeZero: UInt64 {
    UInt64(bytes.loadUnaligned(fromByteOffset: Int(LTP_AT_route_request_reserved), as: UInt32.self))
  }

  /// Zero when the fields of a one-line request agree with its flags, and what must be zero is.
  @inlinable
  @inline(__always)
  func contradictions(_ header: UInt64) -> UInt64 {
    let lacksDeadline: UInt64 = header & Self.word(flags: LTP_REQUEST_HAS_DEADLINE) == 0 ? 1 : 0
    let givesDeadline: UInt64 = deadlineNanoseconds != 0 ? 1 : 0
    return (lacksDeadline & givesDeadline) | mustBeZero
  }

  /// The same by the full check, out of line.
  @usableFromInline
  @inline(never)
  static func isWellFormedInFull(_ bytes: UnsafeRawPointer, available: Int) -> Bool {
    do {
      _ = try RouteRequestView(checking: bytes, available: available)
      return true
    } catch {
      return false
    }
  }
}
