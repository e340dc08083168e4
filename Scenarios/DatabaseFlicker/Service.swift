// SPDX-License-Identifier: Apache-2.0
// The order service: a thread for each client, a few connections to the database. With LTP each order passes the gate; without, it is
// written as it comes, and what cannot be written is an error.

import CLTP
import Foundation
import LTP
import Stage
import Synchronization

final class Service: Sendable {
  private static let connectionCount = 24

  private let pool: StorePool
  private let patience: UInt64
  let gate: Gate?
  private let clients = DispatchGroup()
  private let open = Mutex<Set<Int32>>([])

  init(store: StoreAddress, gate: Gate?, patience: UInt64) {
    pool = StorePool(store, count: Self.connectionCount)
    self.gate = gate
    self.patience = patience
  }

  /// Takes clients until the listening socket is shut down.
  func accept(_ listener: Int32) {
    while true {
      let descriptor = Glibc.accept(listener, nil, nil)
      if descriptor < 0, errno == EINTR || errno == ECONNABORTED { continue }
      guard descriptor >= 0 else { return }
      open.withLock { _ = $0.insert(descriptor) }
      Threads.start(in: clients) { self.attend(Wire(descriptor: descriptor)) }
    }
  }

  /// Once nobody is accepted any more.
  func end() {
    open.withLock { for descriptor in $0 { shutdown(descriptor, Int32(SHUT_RDWR)) } }
    clients.wait()
  }

  private func attend(_ wire: Wire) {
    defer {
      open.withLock { _ = $0.remove(wire.descriptor) }
      wire.end()
    }
    /// Whose connection this is, since its first frame.
    var session: UInt64?
    while let frame = wire.receiveFrame() {
      let type = frame.withUnsafeBytes { $0.loadUnaligned(as: ltp_frame_header.self).type }
      guard let sender = Self.session(frame, type), session ?? sender == sender else { return }
      session = sender
      let isAnswered =
        type == LTP_FRAME_HELLO
        ? greet(frame, sender, wire) : take(frame, sender, wire)
      guard isAnswered else { return }
    }
  }

  /// nil: not a frame that a client sends.
  private static func session(_ frame: [UInt8], _ type: UInt8) -> UInt64? {
    frame.withUnsafeBytes { bytes in
      switch type {
      case LTP_FRAME_HELLO where bytes.count == MemoryLayout<ltp_hello>.size:
        bytes.loadUnaligned(as: ltp_hello.self).session_id
      case LTP_FRAME_ROUTE_REQUEST where bytes.count == MemoryLayout<ltp_route_request>.size:
        bytes.loadUnaligned(as: ltp_route_request.self).session_id
      default: nil
      }
    }
  }

  private func greet(_ frame: [UInt8], _ session: UInt64, _ wire: Wire) -> Bool {
    guard let answer = try? gate?.answer(hello: frame, of: session) else { return false }
    return wire.send(answer)
  }

  private func take(_ frame: [UInt8], _ session: UInt64, _ wire: Wire) -> Bool {
    let request = RouteRequest(frame.withUnsafeBytes { $0.loadUnaligned(as: ltp_route_request.self) })
    // The order's key is the frame's, so the two must agree.
    guard let order = wire.receive(Order.self), order.client == session,
      order.number == request.fields.frame_id
    else { return false }
    do {
      return wire.send(try gate.map { try pass(order, request, $0) } ?? writeAtOnce(order, request))
    } catch {
      // No answer is no lie: the client asks again.
      say("database-flicker serve: \(error)")
      return false
    }
  }

  private func pass(_ order: Order, _ request: RouteRequest, _ gate: Gate) throws -> Answer {
    try gate.take(request, order) { () throws(TooSlow) in
      let begun = Clock.monotonic()
      do throws(StoreFailure) {
        _ = try pool.insert(order, isOnce: true, patience: patience, isPatient: true)
      } catch { throw TooSlow(latency: Clock.monotonic() - begun) }
    }
  }

  private func writeAtOnce(_ order: Order, _ request: RouteRequest) throws -> Answer {
    var verdict = Verdict(ltp_verdict())
    verdict.fields.verdict = LTP_VERDICT_EXECUTE
    verdict.fields.reason = LTP_REASON_ADMITTED
    let response = try request.response(verdict)
    do throws(StoreFailure) {
      _ = try pool.insert(order, isOnce: false, patience: patience, isPatient: false)
      return Answer(response: response, receipt: .confirmed)
    } catch { return Answer(response: response, receipt: .error) }
  }
}
