// SPDX-License-Identifier: Apache-2.0
// What client and service say over their socket. A client sends a hello, or a route_request with its order behind it; the service answers with
// a hello, or with a route_response and a receipt. Frames are the protocol's own.

import CLTP
import Foundation
import Stage

/// What the user is shown.
struct Receipt: Sendable {
  enum Kind: UInt32 {
    case error, confirmed, pending, denied
  }

  var kind: Kind
  /// Of a pending order; 0: none.
  var ticket: UInt64 = 0
  var text = ""
}

struct Answer: Sendable {
  var response: ltp_route_response
  var receipt: Receipt
}

/// A connected stream socket, for one thread at a time; nil and false say that it is of no use any more.
struct Wire: Sendable {
  private struct ReceiptHead: BitwiseCopyable {
    var kind: UInt32
    var textBytes: UInt32
    var ticket: UInt64
  }

  private static let textBytesMax: UInt32 = 256

  let descriptor: Int32

  func end() { close(descriptor) }

  func send<Value: BitwiseCopyable>(_ value: Value) -> Bool {
    withUnsafeBytes(of: value) { send($0) }
  }

  private func send(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = Glibc.send(
        descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  private func receive(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
    var received = 0
    while received < bytes.count {
      let count = recv(descriptor, bytes.baseAddress! + received, bytes.count - received, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      received += count
    }
    return true
  }

  func receive<Value: BitwiseCopyable>(_ type: Value.Type) -> Value? {
    withUnsafeTemporaryAllocation(
      byteCount: MemoryLayout<Value>.size, alignment: MemoryLayout<Value>.alignment
    ) { bytes in receive(bytes) ? bytes.load(as: Value.self) : nil }
  }

  /// The next frame, as long as its header says.
  func receiveFrame() -> [UInt8]? {
    guard let header = receive(ltp_frame_header.self) else { return nil }
    let size = Int(header.size_bytes)
    guard header.magic == LTP_FRAME_MAGIC, size > MemoryLayout<ltp_frame_header>.size, size <= 1 << 10
    else { return nil }
    var frame = [UInt8](repeating: 0, count: size)
    let isWhole = frame.withUnsafeMutableBytes { bytes in
      bytes.storeBytes(of: header, as: ltp_frame_header.self)
      return receive(.init(rebasing: bytes[MemoryLayout<ltp_frame_header>.size...]))
    }
    return isWhole ? frame : nil
  }

  func send(_ answer: Answer) -> Bool {
    let text = Array(answer.receipt.text.utf8.prefix(Int(Self.textBytesMax)))
    let head = ReceiptHead(
      kind: answer.receipt.kind.rawValue, textBytes: UInt32(text.count), ticket: answer.receipt.ticket)
    return send(answer.response) && send(head) && text.withUnsafeBytes { send($0) }
  }

  func receiveAnswer() -> Answer? {
    guard let response = receive(ltp_route_response.self), let head = receive(ReceiptHead.self),
      let kind = Receipt.Kind(rawValue: head.kind), head.textBytes <= Self.textBytesMax
    else { return nil }
    var text = [UInt8](repeating: 0, count: Int(head.textBytes))
    guard text.withUnsafeMutableBytes({ receive($0) }) else { return nil }
    return Answer(
      response: response,
      receipt: Receipt(kind: kind, ticket: head.ticket, text: String(decoding: text, as: UTF8.self)))
  }

  // MARK: Sockets

  private static func address(_ path: String) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { bytes in
      precondition(path.utf8.count < bytes.count, "a socket's path has at most \(bytes.count - 1) bytes")
      bytes.copyBytes(from: path.utf8)
    }
    return address
  }

  private static func with<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    withUnsafePointer(to: address(path)) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  private static func socket() -> Int32 {
    Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  }

  /// nil: nobody listens there now.
  static func connect(to path: String) -> Wire? {
    let made = socket()
    guard made >= 0 else { return nil }
    if with(path, { Glibc.connect(made, $0, $1) }) == 0 { return Wire(descriptor: made) }
    close(made)
    return nil
  }

  static func listen(at path: String) throws(ScenarioFailure) -> Int32 {
    unlink(path)
    let made = socket()
    guard made >= 0, with(path, { bind(made, $0, $1) }) == 0, Glibc.listen(made, 512) == 0 else {
      throw ScenarioFailure(system: "cannot listen at \(path)")
    }
    return made
  }
}
