// SPDX-License-Identifier: Apache-2.0

import CLTP

/// Why a call failed: a status of the C contract, in words, and where in the trace, if it is about the trace.
public struct LTPError: Error, Hashable, Sendable, CustomStringConvertible {
  /// `LTP_ERROR_*`, or `LTPError.cancelled`.
  public let status: Int32
  /// One sentence that says what to do.
  public let message: String
  /// `errno`; 0 when the system is not to blame.
  public let systemError: Int32
  /// The trace segment's index and the byte offset in it; 0 when it is not about the trace.
  public let segment: UInt64
  public let offset: UInt64

  /// The status of a wait whose task was cancelled. No status of the C contract is negative.
  public static let cancelled: Int32 = -1

  public var description: String { message }

  init(status: Int32) {
    self.status = status
    message = status == Self.cancelled ? "the task was cancelled" : String(cString: ltp_status_text(status))
    systemError = 0
    segment = 0
    offset = 0
  }

  init(_ error: ltp_error) {
    status = error.status
    message = text(of: error.message)
    systemError = error.system_error
    segment = error.segment
    offset = error.offset
  }

  init(_ error: ltp_policy_error) {
    status = error.status
    message = text(of: error.message)
    systemError = 0
    segment = 0
    offset = 0
  }
}

/// Throws unless the status is LTP_OK.
func check(_ status: Int32) throws(LTPError) {
  guard status == LTP_OK else { throw LTPError(status: status) }
}

/// Calls with an `ltp_error` to fill in, and throws what it says.
func checkDetails(_ body: (UnsafeMutablePointer<ltp_error>) -> Int32) throws(LTPError) {
  var details = ltp_error()
  guard body(&details) == LTP_OK else { throw LTPError(details) }
}

/// The text in a C array of characters.
func text<Characters>(of characters: Characters) -> String {
  withUnsafeBytes(of: characters) { bytes in
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// Writes a text into a C array of characters; what does not fit is cut off.
func write<Characters>(_ text: String, to characters: inout Characters) {
  withUnsafeMutableBytes(of: &characters) { bytes in
    for (index, byte) in text.utf8.prefix(bytes.count - 1).enumerated() { bytes[index] = byte }
  }
}

extension Duration {
  /// Whole nanoseconds, between none and as many as there can be.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (product, isTooMuch) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let sum = product.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
    return isTooMuch || sum.overflow ? .max : sum.partialValue
  }
}
