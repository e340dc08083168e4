// SPDX-License-Identifier: Apache-2.0
//
// A frame of any type: checked once when it is made, then read in place.
//
// Invariant: a FrameView exists only for bytes that passed the whole check. The check reads no byte beyond
// `available`.

public import CLTP

/// The frame as its type's view.
public enum FrameContent {
  case hello(HelloView)
  case heartbeat(HeartbeatView)
  case orientation(OrientationView)
  case routeRequest(RouteRequestView)
  case routeResponse(RouteResponseView)
  case focusSnapshot(FocusSnapshotView)

  init?(type: UInt8, bytes: UnsafeRawPointer) {
    switch type {
    case LTP_FRAME_HELLO: self = .hello(HelloView(checked: bytes))
    case LTP_FRAME_HEARTBEAT: self = .heartbeat(HeartbeatView(checked: bytes))
    case LTP_FRAME_ORIENTATION: self = .orientation(OrientationView(checked: bytes))
    case LTP_FRAME_ROUTE_REQUEST: self = .routeRequest(RouteRequestView(checked: bytes))
    case LTP_FRAME_ROUTE_RESPONSE: self = .routeResponse(RouteResponseView(checked: bytes))
    case LTP_FRAME_FOCUS_SNAPSHOT: self = .focusSnapshot(FocusSnapshotView(checked: bytes))
    default: return nil
    }
  }

  func checkBody() throws(FrameError) {
    switch self {
    case .hello(let view): try view.checkBody()
    case .heartbeat(let view): try view.checkBody()
    case .orientation(let view): try view.checkBody()
    case .routeRequest(let view): try view.checkBody()
    case .routeResponse(let view): try view.checkBody()
    case .focusSnapshot(let view): try view.checkBody()
    }
  }
}

/// A checked frame at the caller's bytes, which may be unaligned and must stay there, unchanged, meanwhile.
public struct FrameView {
  public let bytes: UnsafeRawPointer
  /// `LTP_FRAME_*`
  public let type: UInt8
  /// Of the whole frame: 64, 128 or 192.
  public let sizeBytes: Int
  public let content: FrameContent

  /// Checks everything once: header, enumerations, ranges, contradictions, reserved bytes, unused entries.
  ///
  /// - Parameter available: bytes that can be read; the frame may be followed by others.
  /// - Throws: what is wrong with the first wrong field, in offset order.
  public init(checking bytes: UnsafeRawPointer?, available: Int) throws(FrameError) {
    guard let bytes else { throw .nullArgument }
    let header = try FrameHeader(checking: bytes, available: available)
    guard let content = FrameContent(type: header.type, bytes: bytes) else {
      preconditionFailure("the header's check knows a type that has no view")
    }
    try content.checkBody()
    self.bytes = bytes
    self.type = header.type
    self.sizeBytes = header.sizeBytes
    self.content = content
  }

  /// Writes the same frame again, field by field, and checks it.
  ///
  /// - Throws: `LTP_ERROR_NULL_ARGUMENT` or `LTP_ERROR_BUFFER_TOO_SMALL`.
  public func write(into target: UnsafeMutableRawPointer?, capacity: Int) throws(FrameError) {
    switch content {
    case .hello(let view): try view.write(into: target, capacity: capacity)
    case .heartbeat(let view): try view.write(into: target, capacity: capacity)
    case .orientation(let view): try view.write(into: target, capacity: capacity)
    case .routeRequest(let view): try view.write(into: target, capacity: capacity)
    case .routeResponse(let view): try view.write(into: target, capacity: capacity)
    case .focusSnapshot(let view): try view.write(into: target, capacity: capacity)
    }
  }
}

/// The check as C wants it: a status, and what is wrong in `error`, which may be nil.
///
/// - Returns: `LTP_OK` (then `error` is zero, with an empty field name), or `error.status`.
public func frameCheck(
  _ bytes: UnsafeRawPointer?, available: Int, error: UnsafeMutablePointer<ltp_frame_error>?
) -> Int32 {
  do {
    _ = try FrameView(checking: bytes, available: available)
    error?.pointee = FrameError(status: LTP_OK, offset: 0, field: "").cValue
    return LTP_OK
  } catch let refusal {
    error?.pointee = refusal.cValue
    return refusal.status
  }
}
