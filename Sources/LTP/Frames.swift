// SPDX-License-Identifier: Apache-2.0
// Frames that Swift makes and answers. Each is the bytes of the wire, filled in in place.

public import CLTP

/// A frame that is malformed: which field, at which byte.
public struct FrameError: Error, Hashable, Sendable, CustomStringConvertible {
  /// `LTP_ERROR_FRAME_*`
  public let status: Int32
  /// Bytes from the frame's beginning.
  public let offset: Int
  /// For example `route_request.reserved`.
  public let field: String

  public var description: String { "\(field) at byte \(offset): \(String(cString: ltp_status_text(status)))" }
}

public enum Frame {
  /// Checks the frame at the beginning of `bytes`; returns its size, in bytes.
  public static func check(_ bytes: RawSpan) throws(FrameError) -> Int {
    var error = ltp_frame_error()
    let status = bytes.withUnsafeBytes { ltp_frame_check($0.baseAddress, $0.count, &error) }
    guard status == LTP_OK else {
      throw FrameError(status: status, offset: Int(error.offset), field: String(cString: error.field))
    }
    return Int(bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt16.self))
  }
}

/// An intent: may it run now? 64 bytes, the wire's own.
public struct RouteRequest: Sendable {
  /// The C contract's form of it.
  public var fields: ltp_route_request

  /// - Parameters:
  ///   - actionClass: what it wants to do, an index into the policy's classes.
  ///   - priority: 0 is shed first, 255 last.
  ///   - continuity: what the session's hello was answered; classes that change state need it. The intent counts as made in its
  ///     epoch: keep the request when it has to be asked again, and make no new one of an old intent.
  @inlinable
  public init(
    id: UInt64, session: UInt64, actionClass: UInt8, priority: UInt8 = 128, continuity: Continuity? = nil
  ) {
    fields = ltp_route_request()
    fields.header = ltp_frame_header(
      magic: LTP_FRAME_MAGIC, version: UInt8(LTP_PROTOCOL_VERSION), type: LTP_FRAME_ROUTE_REQUEST,
      size_bytes: UInt16(MemoryLayout<ltp_route_request>.size), flags: 0)
    fields.frame_id = id
    fields.session_id = session
    fields.action_class = actionClass
    fields.priority = priority
    guard let continuity else { return }
    fields.continuity_token = continuity.token
    fields.incarnation = continuity.incarnation
    fields.intent_epoch = continuity.epoch
    fields.domain = continuity.domain
  }

  /// One that came from the wire, or of which more has to be said than `init(id:session:actionClass:)` asks for.
  @inlinable
  public init(_ fields: ltp_route_request) { self.fields = fields }

  /// Nanoseconds of CLOCK_MONOTONIC from which on the answer would be too late; nil: never.
  public var deadline: UInt64? {
    get { fields.header.flags & LTP_REQUEST_HAS_DEADLINE != 0 ? fields.deadline_ns : nil }
    set {
      fields.deadline_ns = newValue ?? 0
      setFlag(LTP_REQUEST_HAS_DEADLINE, newValue != nil)
    }
  }

  private mutating func setFlag(_ flag: UInt16, _ isOn: Bool) {
    fields.header.flags = isOn ? fields.header.flags | flag : fields.header.flags & ~flag
  }

  /// The response that tells a verdict to this request's sender.
  public func response(_ verdict: Verdict) throws(LTPError) -> ltp_route_response {
    try withUnsafeBytes(of: fields) { bytes throws(LTPError) in
      var response = ltp_route_response()
      var verdict = verdict.fields
      try check(ltp_response_write(bytes.baseAddress, bytes.count, &verdict, &response))
      return response
    }
  }
}

/// A request that is asked again, as a new one. 128 bytes, the wire's own.
public struct ReplayRequest: Sendable {
  /// The C contract's form of it.
  public var fields: ltp_long_request

  /// - Parameters:
  ///   - request: the new request, with an id of its own.
  ///   - originalFrameID: of the first one; not 0.
  public init(_ request: RouteRequest, of originalFrameID: UInt64) {
    fields = ltp_long_request()
    fields.request = request.fields
    fields.request.header.flags |= LTP_REQUEST_REPLAY
    fields.request.header.size_bytes = UInt16(MemoryLayout<ltp_long_request>.size)
    fields.goal.original_frame_id = originalFrameID
  }
}

extension ltp_hello {
  /// Of an answer: nothing is granted, and `retry_after_ms` says when to ask again.
  public var isPutOff: Bool { header.flags & LTP_HELLO_LATER != 0 }
}

extension Lane {
  /// Shakes hands for a session: a new life of it begins, which its requests show from then on (`Continuity`).
  ///
  /// - Parameter domain: the continuity domain that the session is in: a gateway, a venue, a shard.
  public mutating func answer(hello id: UInt64, session: UInt64, domain: UInt8 = 0) throws(LTPError)
    -> ltp_hello
  {
    var hello = ltp_hello()
    try check(ltp_frame_init(&hello, MemoryLayout<ltp_hello>.size, LTP_FRAME_HELLO, 0))
    hello.frame_id = id
    hello.session_id = session
    hello.domain = domain
    hello.client_nonce = .random(in: 1 ... .max)
    hello.version_min = UInt8(LTP_PROTOCOL_VERSION)
    hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
    var answer = ltp_hello()
    try check(ltp_hello_answer(handle, &hello, MemoryLayout<ltp_hello>.size, &answer))
    return answer
  }

  /// The answering frame to a hello as it came in, to be sent: also one that puts the hello off (`ltp_hello.isPutOff`).
  public mutating func answer(hello: RawSpan) throws(LTPError) -> ltp_hello {
    var answer = ltp_hello()
    let status = hello.withUnsafeBytes { ltp_hello_answer(handle, $0.baseAddress, $0.count, &answer) }
    if status != LTP_ERROR_HELLO_LATER { try check(status) }
    return answer
  }
}
