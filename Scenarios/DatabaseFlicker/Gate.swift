// SPDX-License-Identifier: Apache-2.0
// LTP in the service: all of it. The rest of the service knows that an order is confirmed, pending or denied.

import CLTP
import Foundation
import LTP
import Stage
import Synchronization

final class Gate: Sendable {
  private static let laneCount = 24
  private static let workers = 2
  private static let roundsMax = 16
  /// As often as it takes: an order is never given up.
  private static let attemptsMax: UInt16 = 60_000

  /// A lane, for one thread at a time.
  private final class Slot: Sendable {
    let lane: Mutex<Lane>
    init(_ lane: consuming Lane) { self.lane = Mutex(lane) }
  }

  private let core: Core
  private let observer: Observer
  private let replayer: Replayer
  private let slots: Mutex<[Slot]>
  private let threads = DispatchGroup()

  init(trace: String, patience: UInt64) throws {
    var options = Core.Options(traceDirectory: trace)
    options.deferral = ltp_deferral_options()
    options.fields.lanes_max = UInt32(Self.laneCount + Self.workers)
    options.fields.block_bytes = 64 << 10
    options.fields.segment_bytes = 8 << 20
    core = try Core(options)
    observer = Observer(core: core, patience: patience)
    replayer = Replayer(core: core, observer: observer, patience: patience)
    let core = core
    slots = Mutex(try (0..<Self.laneCount).map { _ in Slot(try core.openLane()) })
  }

  func start(_ address: StoreAddress) {
    Threads.start(in: threads) { [observer] in observer.run(address.open()) }
    for _ in 0..<Self.workers {
      Threads.start(in: threads) { [replayer] in
        do { try replayer.run(address.open()) } catch {
          say("database-flicker serve: a worker has ended: \(error)")
          exit(1)
        }
      }
    }
  }

  /// In order, once no client is attended to: what is decided and kept is on disk afterwards.
  func close() throws {
    replayer.end()
    observer.end()
    threads.wait()
    slots.withLock { $0 = [] }
    try core.close()
  }

  private func slot(of session: UInt64) -> Slot {
    slots.withLock { $0[Int(session % UInt64($0.count))] }
  }

  func answer(hello frame: [UInt8], of session: UInt64) throws -> ltp_hello {
    try slot(of: session).lane.withLock { lane in
      try frame.withUnsafeBytes { try lane.answer(hello: RawSpan(_unsafeBytes: $0)) }
    }
  }

  /// Decides the order, and writes it by `write`, which says how long it took when it could not: that is the only way to an EXECUTE. Throws
  /// when nothing can be said of the order; whoever sends it again is told.
  func take(
    _ request: RouteRequest, _ order: Order, write: () throws(TooSlow) -> Void
  ) throws -> Answer {
    var keep = Keep(payload: order.bytes)
    keep.attemptsMax = Self.attemptsMax
    for _ in 0..<Self.roundsMax {
      let slot = slot(of: order.client)
      let (verdict, kept, mark, permits) = try slot.lane.withLock { lane in
        let (verdict, kept) = try lane.admit(request, keeping: keep)
        return (verdict, kept, lane.mark, lane.permits)
      }
      let response = try request.response(verdict)
      switch verdict.decision {
      case .execute:
        // So that the trace holds all that the database does.
        try mark.waitDurable()
        do throws(TooSlow) {
          try write()
          if let permit = verdict.permit { try? permits.release(permit, .success) }
          return Answer(response: response, receipt: .confirmed)
        } catch {
          // It may have happened, or happen yet. Asked again it is kept, and its key sees to it that it happens once.
          if let permit = verdict.permit { try? permits.release(permit, .dropped) }
          observer.isTooSlow(error.latency)
        }
      case .defer:
        try core.waitDurable(kept)
        guard let ticket = kept.ticket else { throw ScenarioFailure("a deferred order has no ticket") }
        return Answer(response: response, receipt: .pending(ticket, kept.commitment))
      case .deny:
        return Answer(
          response: response,
          receipt: verdict.reason == .alreadyReplayed
            ? .confirmed : Receipt(kind: .denied, text: "\(verdict.reason)"))
      }
    }
    throw ScenarioFailure("the state changes faster than an order can be written")
  }

  func status() throws -> GateStatus {
    let kept = try core.deferralStatus()
    return GateStatus(
      state: "\(observer.current)", pending: Int(kept.pending), kept: Int(kept.kept),
      carriedOut: Int(kept.committed), heldOff: replayer.heldOff.load(ordering: .relaxed))
  }
}

/// A write that was not done in the time that it may take.
struct TooSlow: Error { var latency: UInt64 }

/// What the service says of itself, since it was started.
struct GateStatus: Codable, Sendable {
  var state: String
  var pending: Int
  var kept: Int
  var carriedOut: Int
  /// Replays whose order was there already.
  var heldOff: Int
}

extension Receipt {
  static let confirmed = Receipt(kind: .confirmed, text: "Order Confirmed")
  static let error = Receipt(kind: .error, text: "500 Internal Server Error")

  static func pending(_ ticket: UInt64, _ commitment: String) -> Receipt {
    Receipt(
      kind: .pending, ticket: ticket,
      text: "Order Received - Pending Confirmation. Ticket \(ticket). \(commitment)")
  }
}
