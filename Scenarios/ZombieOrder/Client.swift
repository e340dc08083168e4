// SPDX-License-Identifier: Apache-2.0
// One trader's program: a connection, a session, a few orders, and a user who changes them now and then.
//
// With LTP it keeps to the session protocol (`Session` in module LTP). Without, it does what programs do: it connects again at once, and
// sends again what was not answered.

import CLTP
import LTP
import NIOCore
import Stage

/// How a client takes the loss of its connection.
enum Habit {
  /// Its transport connects again by itself, and the program above does not notice.
  case unaware
  /// It knows that its session is lost, and shakes hands before anything else.
  case aware
}

/// Something that the user wants, once; as it went over the wire, it can be sent again.
struct Intent {
  var request: RouteRequest
  var action: OrderAction
  /// The life of its session that it was made in, counted by the client.
  var life = 0

  var id: IntentID { IntentID(frame: request.fields.frame_id, session: request.fields.session_id) }
}

/// Belongs to its fleet's event loop.
final class Client {
  enum Want {
    case create(order: UInt64)
    case modify
    /// The same again, as it was.
    case resend(Intent)
    /// The same again, if the session allows it.
    case again(Intent)
    /// The same again under the session's new token, whatever the session says of it.
    case careless(Intent)
  }

  let number: UInt64
  let habit: Habit
  let fleet: Fleet
  var random: SeededGenerator
  /// With LTP only.
  private(set) var session: Session?
  private(set) var channel: (any Channel)?
  private var isConnecting = false
  /// What it believes of its orders.
  private(set) var orders: [UInt64: OrderFacts] = [:]
  private var lastFrame: UInt64 = 0
  private var wants: [Want] = []
  private(set) var inFlight: Intent?
  private var look: RouteRequest?
  private var isGreeting = false
  /// The last MODIFY that was made, and the last one of a life that has ended.
  private(set) var lastMade: Intent?
  private(set) var old: Intent?
  private(set) var lastBlocked: Intent?
  private var attempts = 0
  /// The last life that the server's death has ended.
  private var lostLife = 0
  var tally = ClientTally()

  init(number: UInt64, habit: Habit, fleet: Fleet, seed: UInt64) throws {
    self.number = number
    self.habit = habit
    self.fleet = fleet
    random = SeededGenerator(seed: seed &+ number)
    if fleet.hasAdmission { session = try Session(id: number) }
  }

  /// Nothing is under way, and all that the user wanted has been asked.
  var isIdle: Bool { inFlight == nil && wants.isEmpty }
  /// How many things the user wants that have not been asked yet.
  var waiting: Int { wants.count }
  var isLive: Bool { channel != nil && (session.map { $0.phase == .live } ?? true) }

  /// Where it is, for whoever waits for it.
  var whereabouts: String {
    let session = session.map { "its session is \($0.phase)" } ?? "it has no session"
    let asked = inFlight.map { ", asked \($0.request.fields.frame_id)" } ?? ""
    return
      "client \(number) is \(channel == nil ? "not connected" : "connected"), \(session)\(asked), \(wants.count) wants wait"
  }

  // MARK: Connection

  func connect() {
    guard channel == nil, !isConnecting, !fleet.isEnding else { return }
    isConnecting = true
    tally.connects += 1
    attempts += 1
    let opening = WebSocket.connect(port: fleet.port, on: fleet.loop) { [fleet, number] in
      ClientConnection(fleet.client(number))
    }
    opening.assumeIsolated().whenComplete { opened in
      switch opened {
      case .success(let channel): channel.closeFuture.assumeIsolated().whenComplete { _ in self.closed() }
      case .failure:
        self.isConnecting = false
        self.connectLater()
      }
    }
  }

  fileprivate func opened(_ channel: any Channel) {
    self.channel = channel
    isConnecting = false
    attempts = 0
    if let hostility = fleet.hostility, let old { hostility.replay(old, by: self) }
    if session?.phase == .new || session?.phase == .greeting { greet() }
    if session?.phase == .resync { resync() }
    proceed()
  }

  fileprivate func closed() {
    // Also when it was never upgraded.
    guard channel != nil || isConnecting else { return }
    channel = nil
    isConnecting = false
    look = nil
    if let lost = inFlight {
      tally.unanswered.insert(lost.id)
      inFlight = nil
      // Nobody has answered, so it is asked again.
      if session == nil || habit == .unaware { wants.insert(.resend(lost), at: 0) }
    }
    // What nobody has answered is what one would most like to send again.
    old = lastMade
    lostLife = tally.lives
    if habit == .aware { try? session?.lost(spreadMilliseconds: fleet.spreadMilliseconds) }
    connectLater()
  }

  private func connectLater() {
    guard !fleet.isEnding else { return }
    // Without LTP: at once, and again. With it, the waits grow and are spread.
    var wait: UInt64 = 20
    if session != nil {
      let longest: UInt64 = min(1000, 100 << UInt64(min(attempts, 8)))
      wait = 20 + .random(in: 0..<longest, using: &random)
    }
    fleet.later(milliseconds: wait) { self.connect() }
  }

  func send(_ intent: Intent) {
    var message = ByteBuffer()
    message.write(frame: intent.request.fields)
    intent.action.write(to: &message)
    channel?.writeAndFlush(message, promise: nil)
  }

  // MARK: Session

  /// Sends the hello as soon as it may.
  private func greet() {
    guard let notBefore = session?.notBefore, !isGreeting else { return }
    isGreeting = true
    let now = Clock.monotonic()
    let wait = notBefore > now ? (notBefore - now) / 1_000_000 + 1 : 0
    fleet.later(milliseconds: wait) {
      self.isGreeting = false
      guard let channel = self.channel, let hello = try? self.session?.hello() else { return }
      var message = ByteBuffer()
      message.write(frame: hello)
      channel.writeAndFlush(message, promise: nil)
    }
  }

  private func greeted(_ answer: ltp_hello) {
    do { try session?.greeted(answer) } catch {
      if answer.isPutOff { tally.putOff += 1 }
      if session?.phase == .new { greet() }
      return
    }
    tally.lives += 1
    tally.livesAt.append(Clock.unix())
    if let hostility = fleet.hostility, let old, let session {
      hostility.dress(old, as: session, by: self)
    }
    resync()
  }

  /// Asks what became of the orders.
  private func resync() {
    guard look == nil, channel != nil else { return }
    var request = newRequest(OrderClass.list)
    guard (try? session?.look(&request)) != nil, (try? session?.carry(&request)) != nil else { return }
    look = request
    send(Intent(request: request, action: OrderAction()))
  }

  // MARK: The user

  func want(_ want: Want) {
    wants.append(want)
    proceed()
  }

  private func newRequest(_ actionClass: UInt8) -> RouteRequest {
    lastFrame += 1
    return RouteRequest(id: lastFrame, session: number, actionClass: actionClass)
  }

  /// Sends what the user wants next, one at a time.
  private func proceed() {
    guard inFlight == nil, isLive, let want = wants.first else { return }
    wants.removeFirst()
    guard let intent = intent(want) else { return proceed() }
    inFlight = intent
    tally.sent += 1
    if session != nil, intent.life <= lostLife { tally.oldSent.insert(intent.id) }
    if intent.request.fields.action_class == OrderClass.modify { fleet.modifies(by: self) }
    send(intent)
  }

  /// The intent as it is sent; nil: it is not.
  private func intent(_ want: Want) -> Intent? {
    switch want {
    case .create(let order):
      let action = OrderAction(order: order, quantity: 100, price: 1000, symbol: UInt32(order % 500) + 1)
      return made(OrderClass.create, action)
    case .modify:
      let open = orders.values.filter(\.isOpen).sorted { $0.order < $1.order }
      guard !open.isEmpty else { return nil }
      let order = open[Int(lastFrame % UInt64(open.count))]
      let action = OrderAction(
        order: order.order, quantity: .random(in: 50...500, using: &random),
        price: .random(in: 900...1100, using: &random),
        basedOn: order.version)
      return made(OrderClass.modify, action)
    case .resend(let intent): return intent
    case .again(var intent):
      guard session != nil else { return intent }
      guard (try? session?.carry(&intent.request)) != nil else {
        tally.refusedBeforeTheWire += 1
        return nil
      }
      return intent
    case .careless(var intent):
      guard let session else { return intent }
      // With an id of its own, so that each has one answer.
      lastFrame += 1
      intent.request.fields.frame_id = lastFrame
      intent.request.fields.continuity_token = session.fields.continuity_token
      intent.request.fields.incarnation = session.fields.incarnation
      tally.carelessSent += 1
      return intent
    }
  }

  /// A new one, stamped now.
  private func made(_ actionClass: UInt8, _ action: OrderAction) -> Intent? {
    var request = newRequest(actionClass)
    if session != nil {
      guard (try? session?.stamp(&request)) != nil, (try? session?.carry(&request)) != nil else { return nil }
    }
    let intent = Intent(request: request, action: action, life: tally.lives)
    if actionClass == OrderClass.modify { lastMade = intent }
    return intent
  }

  // MARK: Answers

  fileprivate func received(_ message: ByteBuffer) {
    var message = message
    switch message.frameType {
    case LTP_FRAME_HELLO:
      if let answer = message.read(frame: LTP_FRAME_HELLO, as: ltp_hello.self) { greeted(answer) }
    case LTP_FRAME_ORIENTATION:
      if let orientation = message.read(frame: LTP_FRAME_ORIENTATION, as: ltp_orientation.self) {
        tally.orientations += 1
        fleet.heard(State(rawValue: orientation.to) ?? .unknown, by: self)
      }
    default:
      guard let response = message.read(frame: LTP_FRAME_ROUTE_RESPONSE, as: ltp_route_response.self) else {
        return
      }
      var facts: [OrderFacts] = []
      while let fact = OrderFacts.read(from: &message) { facts.append(fact) }
      answered(response, facts)
    }
  }

  private func answered(_ response: ltp_route_response, _ facts: [OrderFacts]) {
    if Hostility.isHostile(response.request_frame_id) {
      fleet.hostility?.answered(response)
      return
    }
    if let asked = look, asked.fields.frame_id == response.request_frame_id {
      look = nil
      looked(response, facts, asked)
    } else if let asked = inFlight, asked.request.fields.frame_id == response.request_frame_id {
      inFlight = nil
      tally.count(response, asked)
      took(response, facts, asked)
    }
    proceed()
  }

  private func looked(_ response: ltp_route_response, _ facts: [OrderFacts], _ asked: RouteRequest) {
    _ = try? session?.told(response, to: asked)
    tally.count(response, look: true)
    guard response.verdict == LTP_VERDICT_EXECUTE else {
      if session?.phase == .new { return greet() }
      fleet.later(milliseconds: UInt64(max(20, response.retry_after_ms))) { self.resync() }
      return
    }
    orders = Dictionary(uniqueKeysWithValues: facts.map { ($0.order, $0) })
    tally.resyncs += 1
    try? session?.resynced()
  }

  private func took(_ response: ltp_route_response, _ facts: [OrderFacts], _ asked: Intent) {
    if response.verdict == LTP_VERDICT_EXECUTE {
      for fact in facts { orders[fact.order] = fact }
      if asked.request.fields.action_class == OrderClass.modify { fleet.modified(by: self) }
      return
    }
    lastBlocked = asked
    fleet.blocked(by: self)
    guard session != nil else { return }
    _ = try? session?.told(response, to: asked.request)
    switch session?.phase {
    case .new: greet()
    case .resync: resync()
    default: break
    }
  }
}

private final class ClientConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let client: Client

  init(_ client: Client) { self.client = client }

  func handlerAdded(context: ChannelHandlerContext) { client.opened(context.channel) }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { client.received(unwrapInboundIn(data)) }
}
