// SPDX-License-Identifier: Apache-2.0
// Thousands of clients in one thread. Intents arrive by a Poisson process, whatever the server does (open loop). A client
// waits for its timeout and then tries again at once: badly behaved, as the ordinary client is. What LTP tells it, it obeys:
// it comes back after retry_after, and shakes hands again when it is asked to.

import CLTP
import Foundation
import LTP
import Stage

/// How clients behave.
struct ClientBehaviour {
  /// An attempt's timeout is drawn from this, in milliseconds.
  var timeoutMilliseconds: ClosedRange<UInt64> = 250...500
  /// Attempts of an intent that end by timeout, or in an error, at most.
  var attemptsMax = 4
  /// Denials of an intent after which its client comes back, at most.
  var returnsMax = 2
  /// Denials are obeyed; without LTP an error is one more reason to try again at once.
  var obeysDenials: Bool
}

private struct Intent {
  var session: Int32
  var priority: UInt8
  var attempts: UInt8 = 0
  var returns: UInt8 = 0
  var rehandshakes: UInt8 = 0
  var serial: UInt32
}

private struct Attempt {
  /// The intent, or `none` once its client has given the attempt up.
  var intent: UInt32
  var serial: UInt32
  var sentAt: UInt64
  var timeout: UInt64

  static let none = UInt32.max
}

/// A list whose places are used again; a serial tells a place's uses apart.
private struct Pool<Element> {
  private(set) var items: [Element] = []
  private var free: [UInt32] = []

  var count: Int { items.count - free.count }

  mutating func add(_ item: Element) -> UInt32 {
    if let index = free.popLast() {
      items[Int(index)] = item
      return index
    }
    items.append(item)
    return UInt32(items.count - 1)
  }

  mutating func remove(_ index: UInt32) { free.append(index) }

  subscript(index: UInt32) -> Element {
    get { items[Int(index)] }
    _modify { yield &items[Int(index)] }
  }
}

/// The clients of one server. Phases run one after the other on the same connections.
final class LoadGenerator {
  private static let retryBit: UInt64 = 1 << 63
  /// Order_create, in the built-in policy's numbering.
  private static let orderCreate: UInt8 = 25
  private static let bufferBytes = 64 << 10

  private let behaviour: ClientBehaviour
  private let poller: Poller
  private var sessions: [ClientSession] = []
  private var dirty: [Int32] = []
  private var intents = Pool<Intent>()
  private var attempts = Pool<Attempt>()
  private var lastSerial: UInt32 = 0
  private var wheel = TimerWheel(now: Clock.monotonic())
  private var random: SeededGenerator
  private var bins: [Bin] = []
  private var began: UInt64 = 0
  private var now: UInt64 = 0
  /// New attempts are made only while this is true.
  private var isOffering = false
  private let incoming = UnsafeMutableRawPointer.allocate(byteCount: LoadGenerator.bufferBytes, alignment: 64)
  private(set) var tally = Tally()
  /// By verdict, reason and state, while a phase runs: cheaper than texts.
  private var counts = [UInt64](repeating: 0, count: 3 * 32 * 8)
  private var failure: ScenarioFailure?

  /// Connects `count` clients and has each shake hands.
  init(port: UInt16, clients count: Int, behaviour: ClientBehaviour, seed: UInt64) throws(ScenarioFailure) {
    self.behaviour = behaviour
    random = SeededGenerator(seed: seed)
    poller = try Poller()
    for index in 0..<count {
      let descriptor = try Sockets.connect(port: port)
      sessions.append(ClientSession(descriptor: descriptor, identifier: random.next() | 1))
      poller.add(descriptor, data: UInt64(index), once: true)
    }
    now = Clock.monotonic()
    for index in sessions.indices { shakeHands(Int32(index)) }
    let limit = now + 10_000_000_000
    while sessions.contains(where: { $0.isShakingHands }) {
      try turn(waitingMilliseconds: 10)
      guard now < limit else {
        throw ScenarioFailure("not every client got an answer to its hello within 10 s")
      }
    }
  }

  deinit {
    for session in sessions { close(session.descriptor) }
    incoming.deallocate()
  }

  // MARK: Phases

  /// Offers the phase's load. `sample` is called about every 50 ms with the seconds since the beginning.
  func run(_ phase: Phase, sample: (Double) throws -> Void) throws -> (
    bins: [Bin], beganMonotonic: UInt64, beganUnix: UInt64
  ) {
    bins = Array(repeating: Bin(), count: Int((phase.seconds / PhaseResult.binSeconds).rounded()) + 1)
    began = Clock.monotonic()
    now = began
    let unix = Clock.unix()
    let end = began + UInt64(phase.seconds * 1e9)
    var nextArrival = began
    var nextSample = began
    isOffering = true
    while now < end {
      while nextArrival <= now {
        arrive()
        nextArrival += max(1, UInt64(-log(1 - random.unit()) / phase.rate * 1e9))
      }
      try turn(waitingMilliseconds: 1)
      if now >= nextSample {
        nextSample = now + 50_000_000
        try sample(Double(now - began) / 1e9)
      }
    }
    isOffering = false
    return (bins, began, unix)
  }

  /// Nobody asks any more; reads on until every request has its answer. Returns how many have none after `seconds`.
  @discardableResult
  func drain(seconds: Double) throws -> Int {
    wheel.clear()
    let limit = Clock.monotonic() + UInt64(seconds * 1e9)
    while attempts.count > 0 || sessions.contains(where: { $0.isShakingHands }) {
      try turn(waitingMilliseconds: 5)
      if now >= limit { break }
    }
    wheel.clear()
    for index in sessions.indices { sessions[index].waiting.removeAll() }
    tally.unanswered = UInt64(attempts.count)
    if attempts.count == 0 { intents = Pool() }
    return attempts.count
  }

  /// Orders done a second, with every client asking again as soon as it has its answer (closed loop).
  func closedLoop(clients: Int, warmSeconds: Double, seconds: Double) throws -> Double {
    bins = []
    isOffering = false
    var done = 0
    let start = Clock.monotonic()
    now = start
    let from = start + UInt64(warmSeconds * 1e9)
    let end = from + UInt64(seconds * 1e9)
    for index in 0..<clients { send(session: Int32(index)) }
    onAnswer = { [unowned self] session in
      if now >= from, now < end { done += 1 }
      if now < end { send(session: session) }
    }
    while now < end || attempts.count > 0 { try turn(waitingMilliseconds: 5) }
    onAnswer = nil
    return Double(done) / seconds
  }

  /// Of the closed loop.
  private var onAnswer: ((Int32) -> Void)?

  private func send(session: Int32) {
    lastSerial += 1
    let intent = intents.add(Intent(session: session, priority: 128, serial: lastSerial))
    attempt(intent, isCounted: false)
  }

  // MARK: One turn

  /// Fires timers, sends what is to be sent, waits for answers and takes them.
  private func turn(waitingMilliseconds: Int32) throws(ScenarioFailure) {
    now = Clock.monotonic()
    wheel.advance(to: now, into: &due)
    for mark in due { fire(mark) }
    flush()
    // Two milliseconds' answers together: the clients' own processor time is taken from the same machine.
    if isOffering { Clock.sleep(nanoseconds: 2_000_000) }
    ready.removeAll(keepingCapacity: true)
    poller.wait(milliseconds: isOffering ? 0 : waitingMilliseconds) { mark, _, _ in ready.append(Int32(mark))
    }
    now = Clock.monotonic()
    for session in ready { read(session) }
    flush()
    if let failure { throw failure }
  }

  private var due: [UInt64] = []
  private var ready: [Int32] = []

  private func flush() {
    var left: [Int32] = []
    for index in dirty {
      sessions[Int(index)].flush()
      sessions[Int(index)].isDirty = !sessions[Int(index)].outgoing.isEmpty
      if sessions[Int(index)].isDirty { left.append(index) }
    }
    dirty = left
  }

  private func queue<Frame>(_ frame: Frame, _ session: Int32) {
    sessions[Int(session)].append(frame)
    guard !sessions[Int(session)].isDirty else { return }
    sessions[Int(session)].isDirty = true
    dirty.append(session)
  }

  private func count(_ change: (inout Bin) -> Void) {
    guard !bins.isEmpty else { return }
    let index = Int(Double(now - min(now, began)) / (PhaseResult.binSeconds * 1e9))
    change(&bins[min(index, bins.count - 1)])
  }

  // MARK: Intents

  private func arrive() {
    lastSerial += 1
    let session = Int32(random.next() % UInt64(sessions.count))
    let intent = intents.add(
      Intent(session: session, priority: UInt8(truncatingIfNeeded: random.next() >> 32), serial: lastSerial))
    count { $0.offered += 1 }
    attempt(intent, isCounted: true)
  }

  private func attempt(_ index: UInt32, isCounted: Bool) {
    let session = intents[index].session
    intents[index].attempts += 1
    let range = behaviour.timeoutMilliseconds
    let timeout = (range.lowerBound + random.next() % UInt64(range.count)) * 1_000_000
    lastSerial += 1
    let place = attempts.add(Attempt(intent: index, serial: lastSerial, sentAt: now, timeout: timeout))
    let identifier = UInt64(lastSerial) << 32 | UInt64(place)
    var request = RouteRequest(
      id: identifier, session: sessions[Int(session)].identifier, actionClass: Self.orderCreate,
      priority: intents[index].priority, continuity: sessions[Int(session)].continuity)
    if isCounted {
      request.deadline = now + timeout
      wheel.add(identifier & ~Self.retryBit, at: now + timeout)
      let isRetry = intents[index].attempts > 1
      count {
        $0.requests += 1
        $0.retries += isRetry ? 1 : 0
      }
    }
    queue(request.fields, session)
  }

  private func retry(_ index: UInt32, after nanoseconds: UInt64) {
    wheel.add(UInt64(intents[index].serial) << 32 | UInt64(index) | Self.retryBit, at: now + nanoseconds)
  }

  private func fire(_ mark: UInt64) {
    let serial = UInt32(truncatingIfNeeded: (mark & ~Self.retryBit) >> 32)
    let place = UInt32(truncatingIfNeeded: mark)
    if mark & Self.retryBit != 0 {
      if intents[place].serial == serial, isOffering { attempt(place, isCounted: true) }
      return
    }
    guard attempts[place].serial == serial, attempts[place].intent != Attempt.none else { return }
    let intent = attempts[place].intent
    attempts[place].intent = Attempt.none
    count { $0.timeouts += 1 }
    again(intent)
  }

  /// The client's attempt came to nothing: it tries again at once, a few times.
  private func again(_ index: UInt32) {
    guard isOffering, intents[index].attempts < behaviour.attemptsMax else { return giveUp(index) }
    attempt(index, isCounted: true)
  }

  private func giveUp(_ index: UInt32) {
    count { $0.gaveUp += 1 }
    end(index)
  }

  private func end(_ index: UInt32) {
    intents[index].serial = 0
    intents.remove(index)
  }

  // MARK: Answers

  private func read(_ session: Int32) {
    let kept = sessions[Int(session)].partial.count
    if kept > 0 {
      sessions[Int(session)].partial.withUnsafeBytes {
        incoming.copyMemory(from: $0.baseAddress!, byteCount: kept)
      }
    }
    let count = recv(
      sessions[Int(session)].descriptor, incoming + kept, Self.bufferBytes - kept, Int32(MSG_DONTWAIT))
    guard count > 0 else {
      if count == 0 || errno != EAGAIN && errno != EINTR {
        failure = ScenarioFailure("the server closed a client's connection")
      }
      return
    }
    let whole = (kept + count) / 64 * 64
    for offset in stride(from: 0, to: whole, by: 64) { take(incoming + offset, session) }
    if whole < kept + count || kept > 0 {
      let rest = UnsafeRawBufferPointer(start: incoming + whole, count: kept + count - whole)
      sessions[Int(session)].partial = Array(rest)
    }
    if kept + count == Self.bufferBytes { read(session) }
  }

  private func take(_ frame: UnsafeRawPointer, _ session: Int32) {
    switch frame.load(as: ltp_frame_header.self).type {
    case LTP_FRAME_HELLO: greeted(frame.load(as: ltp_hello.self), session)
    case LTP_FRAME_ROUTE_RESPONSE: answered(frame.load(as: ltp_route_response.self), session)
    default: failure = ScenarioFailure("the server sent a frame that is no answer")
    }
  }

  private func answered(_ response: ltp_route_response, _ session: Int32) {
    let place = UInt32(truncatingIfNeeded: response.request_frame_id)
    let serial = UInt32(truncatingIfNeeded: response.request_frame_id >> 32)
    guard Int(place) < attempts.items.count, attempts[place].serial == serial else {
      failure = ScenarioFailure("the server answered a request that was not made")
      return
    }
    counts[Int(response.verdict) * 256 + Int(response.reason & 31) * 8 + Int(response.state & 7)] += 1
    let attempt = attempts[place]
    attempts[place].serial = 0
    attempts.remove(place)
    let isExecuted = response.verdict == LTP_VERDICT_EXECUTE
    let latency = now - min(now, attempt.sentAt)
    if let onAnswer {
      end(attempt.intent)
      return onAnswer(session)
    }
    let isInTime = attempt.intent != Attempt.none && latency <= attempt.timeout
    count {
      $0.good += isExecuted && isInTime ? 1 : 0
      $0.late += isExecuted && !isInTime ? 1 : 0
      $0.denied += isExecuted ? 0 : 1
      if isExecuted { $0.latencies.append(Float(latency) / 1e6) }
    }
    guard attempt.intent != Attempt.none else { return }
    if isExecuted { return end(attempt.intent) }
    refused(attempt.intent, response, session)
  }

  private func refused(_ intent: UInt32, _ response: ltp_route_response, _ session: Int32) {
    guard behaviour.obeysDenials else { return again(intent) }
    if needsHandshake(response.reason), intents[intent].rehandshakes < 3 {
      intents[intent].rehandshakes += 1
      count { $0.rehandshakes += 1 }
      sessions[Int(session)].waiting.append(intent)
      return shakeHands(session)
    }
    guard isOffering, intents[intent].returns < behaviour.returnsMax else { return giveUp(intent) }
    intents[intent].returns += 1
    retry(intent, after: UInt64(response.retry_after_ms) * 1_000_000)
  }

  /// An order_create holds in any epoch, so a new life may ask for it again.
  private func needsHandshake(_ reason: UInt8) -> Bool {
    reason == LTP_REASON_REHANDSHAKE_REQUIRED || reason == LTP_REASON_STALE_INTENT
  }

  private func shakeHands(_ session: Int32) {
    guard !sessions[Int(session)].isShakingHands else { return }
    sessions[Int(session)].isShakingHands = true
    var hello = ltp_hello()
    _ = ltp_frame_init(&hello, MemoryLayout<ltp_hello>.size, LTP_FRAME_HELLO, 0)
    lastSerial += 1
    hello.frame_id = UInt64(lastSerial)
    hello.session_id = sessions[Int(session)].identifier
    hello.client_nonce = random.next() | 1
    hello.version_min = UInt8(LTP_PROTOCOL_VERSION)
    hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
    queue(hello, session)
  }

  private func greeted(_ hello: ltp_hello, _ session: Int32) {
    tally.hellos += 1
    sessions[Int(session)].continuity = Continuity(hello)
    sessions[Int(session)].isShakingHands = false
    let waiting = sessions[Int(session)].waiting
    sessions[Int(session)].waiting.removeAll()
    for intent in waiting {
      if isOffering { attempt(intent, isCounted: true) } else { giveUp(intent) }
    }
  }

  /// What every answer so far said.
  func tallied() -> Tally {
    var result = tally
    for (index, count) in counts.enumerated() where count > 0 {
      let state = State(rawValue: UInt8(index & 7)) ?? .unknown
      let decision = Decision(rawValue: UInt8(index >> 8)) ?? .deny
      result.answers["\(state) \(decision) \(Reason(rawValue: UInt8(index >> 3 & 31)))"] = count
    }
    return result
  }
}

extension SeededGenerator {
  /// From 0 to less than 1.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
