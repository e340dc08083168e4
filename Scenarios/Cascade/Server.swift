// SPDX-License-Identifier: Apache-2.0
// The service: one I/O thread over all connections, a queue, a pool. Frames of 64 bytes in (hello, route_request) and out
// (hello, route_response). With admission each request is decided before it is queued; without, each is queued, and
// answered when it is done, or with an error when the queue is full.

import CLTP
import Foundation
import Glibc
import Stage

/// A client's connection.
private final class Connection {
  let descriptor: Int32
  /// Tells it from another that had the same descriptor.
  let serial: UInt32
  /// The beginning of a frame.
  var partial: [UInt8] = []
  /// What the socket did not take.
  var pending: [UInt8] = []

  init(descriptor: Int32, serial: UInt32) {
    self.descriptor = descriptor
    self.serial = serial
  }
}

final class Server {
  private static let frameBytes = 64
  private static let bufferBytes = 64 << 10
  /// How often signals are pushed.
  private static let observeInterval: UInt64 = 5_000_000
  /// What comes within this time is taken in one wake-up, as a network card's driver does.
  private static let gatherInterval: UInt64 = 2_000_000
  private static let listenerMark = UInt64.max
  private static let eventMark = UInt64.max - 1
  private static let controlMark = UInt64.max - 2

  private let poller: Poller
  private let listener: Int32
  let port: UInt16
  private let pool: WorkerPool
  private var admission: Admission?
  private var connections: [Connection?] = []
  private var lastSerial: UInt32 = 0
  private var requests: UInt64 = 0
  private var hasEnded = false
  private let incoming = UnsafeMutableRawPointer.allocate(byteCount: Server.bufferBytes, alignment: 64)
  /// Answers of one wake-up to one connection.
  private let outgoing = UnsafeMutableRawPointer.allocate(byteCount: Server.bufferBytes, alignment: 64)

  init(pool: WorkerPool, admission: Admission?) throws {
    self.pool = pool
    self.admission = admission
    poller = try Poller()
    (listener, port) = try Sockets.listen(backlog: 4096)
    poller.add(listener, data: Self.listenerMark)
    poller.add(pool.event, data: Self.eventMark)
    poller.add(STDIN_FILENO, data: Self.controlMark)
  }

  /// Serves until standard input ends or says "stop".
  func run() throws {
    var nextObservation: UInt64 = 0
    var ready: [(mark: UInt64, reads: Bool, writes: Bool)] = []
    while !hasEnded {
      if !ready.isEmpty { Clock.sleep(nanoseconds: Self.gatherInterval) }
      ready.removeAll(keepingCapacity: true)
      poller.wait(milliseconds: 5) { ready.append(($0, $1, $2)) }
      // First what is finished: it makes room for what comes.
      for event in ready where event.mark == Self.eventMark { answerCompletions() }
      for event in ready {
        switch event.mark {
        case Self.eventMark: break
        case Self.listenerMark: acceptAll()
        case Self.controlMark: obey()
        default: serve(Int32(event.mark), reads: event.reads, writes: event.writes)
        }
      }
      let now = Clock.monotonic()
      guard now >= nextObservation else { continue }
      nextObservation = now + Self.observeInterval
      let queued = pool.queue.oldest.map { now - min(now, $0) } ?? 0
      admission?.observe(oldestQueued: queued, oldestWrite: pool.oldestWrite(now: now))
    }
    // The lane goes with the admission; then the core can close.
    let core = admission?.core
    admission = nil
    try core?.close()
  }

  // MARK: Connections

  private func acceptAll() {
    while true {
      let descriptor = Sockets.accept(listener)
      guard descriptor >= 0 else { return }
      while connections.count <= Int(descriptor) { connections.append(nil) }
      lastSerial += 1
      connections[Int(descriptor)] = Connection(descriptor: descriptor, serial: lastSerial)
      poller.add(descriptor, data: UInt64(descriptor), once: true)
    }
  }

  private func drop(_ connection: Connection) {
    connections[Int(connection.descriptor)] = nil
    close(connection.descriptor)
  }

  private func serve(_ descriptor: Int32, reads: Bool, writes: Bool) {
    guard let connection = connections[Int(descriptor)] else { return }
    if writes { flush(connection) }
    guard reads else { return }
    let kept = connection.partial.count
    if kept > 0 {
      connection.partial.withUnsafeBytes { incoming.copyMemory(from: $0.baseAddress!, byteCount: kept) }
    }
    // At most as many requests as there is room for answers.
    // Fewer than were asked for are all: the next ones bring an event of their own.
    let count = recv(descriptor, incoming + kept, Self.bufferBytes - kept, Int32(MSG_DONTWAIT))
    guard count > 0 else {
      if count == 0 || errno != EAGAIN && errno != EINTR { drop(connection) }
      return
    }
    let total = kept + count
    let whole = total / Self.frameBytes * Self.frameBytes
    var answered = 0
    for offset in stride(from: 0, to: whole, by: Self.frameBytes) {
      guard let bytes = take(incoming + offset, from: connection, answer: outgoing + answered) else {
        drop(connection)
        return
      }
      answered += bytes
    }
    if whole < total || kept > 0 {
      connection.partial = Array(UnsafeRawBufferPointer(start: incoming + whole, count: total - whole))
    }
    if answered > 0 { answerNow(UnsafeRawBufferPointer(start: outgoing, count: answered), to: connection) }
    if total == Self.bufferBytes { serve(descriptor, reads: true, writes: false) }
  }

  private func answerNow(_ bytes: UnsafeRawBufferPointer, to connection: Connection) {
    var sent = 0
    if connection.pending.isEmpty {
      sent = max(0, Glibc.send(connection.descriptor, bytes.baseAddress, bytes.count, Self.sendFlags))
    }
    guard sent < bytes.count else { return }
    if connection.pending.isEmpty {
      poller.change(connection.descriptor, data: UInt64(connection.descriptor), writes: true)
    }
    connection.pending.append(contentsOf: bytes[sent...])
  }

  private static let sendFlags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)

  private func flush(_ connection: Connection) {
    let sent = connection.pending.withUnsafeBytes {
      Glibc.send(connection.descriptor, $0.baseAddress, $0.count, Self.sendFlags)
    }
    if sent > 0 { connection.pending.removeFirst(sent) }
    if connection.pending.isEmpty {
      poller.change(connection.descriptor, data: UInt64(connection.descriptor), writes: false)
    }
  }

  // MARK: Frames

  /// Takes one frame; returns how many bytes it was answered with at once, or nil when it is none that this server takes.
  private func take(
    _ frame: UnsafeRawPointer, from connection: Connection, answer: UnsafeMutableRawPointer
  ) -> Int? {
    let header = frame.load(as: ltp_frame_header.self)
    guard Int(header.size_bytes) == Self.frameBytes else { return nil }
    switch header.type {
    case LTP_FRAME_HELLO: return shakeHands(frame, answer)
    case LTP_FRAME_ROUTE_REQUEST:
      requests += 1
      let verdict = admission?.decide(frame) ?? Self.everyOne
      guard verdict.verdict == LTP_VERDICT_EXECUTE else { return respond(frame, verdict, answer) }
      let job = Job(
        connection: connection.descriptor, connectionSerial: connection.serial,
        request: frame.load(as: ltp_route_request.self), verdict: verdict, queuedAt: Clock.monotonic())
      if pool.queue.push(job) { return 0 }
      return respond(frame, Self.overload, answer)
    default: return nil
    }
  }

  /// Without admission: whoever comes is let in.
  private static let everyOne = ltp_verdict(
    epoch: 0, retry_after_ms: 0, policy_generation: 0, verdict: LTP_VERDICT_EXECUTE,
    reason: LTP_REASON_ADMITTED,
    state: LTP_STATE_UNKNOWN, commitment: 0)
  /// Without admission: the queue is full.
  private static let overload = ltp_verdict(
    epoch: 0, retry_after_ms: 0, policy_generation: 0, verdict: LTP_VERDICT_DENY,
    reason: LTP_REASON_CONCURRENCY_LIMITED, state: LTP_STATE_UNKNOWN, commitment: 0)
  /// The work failed: there is no order.
  private static let failed = ltp_verdict(
    epoch: 0, retry_after_ms: 0, policy_generation: 0, verdict: LTP_VERDICT_DENY,
    reason: LTP_REASON_SYSTEM_FAILED,
    state: LTP_STATE_UNKNOWN, commitment: 0)

  private func respond(
    _ frame: UnsafeRawPointer, _ verdict: ltp_verdict, _ answer: UnsafeMutableRawPointer
  ) -> Int? {
    var verdict = verdict
    let response = answer.assumingMemoryBound(to: ltp_route_response.self)
    return ltp_response_write(frame, Self.frameBytes, &verdict, response) == LTP_OK ? Self.frameBytes : nil
  }

  private func shakeHands(_ frame: UnsafeRawPointer, _ answer: UnsafeMutableRawPointer) -> Int? {
    if let admission {
      guard let hello = admission.answer(hello: frame) else { return nil }
      answer.storeBytes(of: hello, as: ltp_hello.self)
    } else {
      var hello = frame.load(as: ltp_hello.self)
      hello.header.flags = LTP_HELLO_ANSWER
      hello.continuity_token = 1
      hello.incarnation = 1
      answer.storeBytes(of: hello, as: ltp_hello.self)
    }
    return Self.frameBytes
  }

  private func answerCompletions() {
    for completion in pool.takeCompletions() {
      admission?.finished(completion)
      let job = completion.job
      guard let connection = connections[Int(job.connection)], connection.serial == job.connectionSerial
      else {
        continue
      }
      let verdict = completion.isDone || admission != nil ? job.verdict : Self.failed
      let count = withUnsafeBytes(of: job.request) { respond($0.baseAddress!, verdict, outgoing) }
      if let count { answerNow(UnsafeRawBufferPointer(start: outgoing, count: count), to: connection) }
    }
  }

  // MARK: Control

  /// Lines on standard input, from the process that started this one.
  private func obey() {
    let count = read(STDIN_FILENO, incoming, Self.bufferBytes)
    guard count > 0 else {
      hasEnded = true
      return
    }
    let text = String(decoding: UnsafeRawBufferPointer(start: incoming, count: count), as: UTF8.self)
    for line in text.split(separator: "\n") {
      switch line {
      case "stats": reportStats()
      default: hasEnded = true
      }
    }
  }

  private func reportStats() {
    var stats = ServerStats(processorTime: Clock.process(), requests: requests)
    for gauge in pool.gauges {
      stats.workerProcessorTime += gauge.processorTime.load(ordering: .relaxed)
      stats.done += gauge.done.load(ordering: .relaxed)
      stats.failed += gauge.failed.load(ordering: .relaxed)
    }
    let line = try! JSONEncoder().encode(stats) + Data("\n".utf8)
    FileHandle.standardOutput.write(line)
  }
}
