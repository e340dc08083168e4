// SPDX-License-Identifier: Apache-2.0
// The order server: WebSockets in front, the order book behind, the venue beside. With LTP, each request is decided before anything else
// is done for it; without, each is carried out.

import CLTP
import Foundation
import LTP
import NIOCore
import NIOPosix
import Stage

/// Belongs to its event loop.
final class Server: @unchecked Sendable {
  private static let lookInterval = TimeAmount.milliseconds(10)

  private let loop: any EventLoop
  private let writer: BookWriter
  private var admission: Admission?
  private var link: VenueLink!
  private var listener: (any Channel)?
  private var connections: [ObjectIdentifier: any Channel] = [:]
  private var orientation: ltp_orientation?

  init(book: OrderBook, admission: Admission?, venuePort: Int, on loop: any EventLoop) {
    self.loop = loop
    self.admission = admission
    writer = BookWriter(book) { error in
      say("zombie-order serve: \(error)")
      exit(1)
    }
    link = VenueLink(port: venuePort, on: loop) { [unowned self] in self.admission?.linkChanged(isUp: $0) }
  }

  /// The port that it listens on.
  func start(port: Int) async throws -> Int {
    try await loop.submit {
      // Nothing is there until it says so.
      self.admission?.linkChanged(isUp: false)
      self.link.connect()
      self.look()
    }.get()
    let listener = try await WebSocket.listen(port: port, on: loop) { ServerConnection(self) }.get()
    return try await loop.submit {
      self.listener = listener
      return listener.localAddress?.port ?? 0
    }.get()
  }

  /// Ends in order. Returns what remains to be closed: the core.
  func stop() async throws -> Core? {
    try await loop.submit {
      self.listener?.close(promise: nil)
      self.link.end()
      for channel in self.connections.values { channel.close(promise: nil) }
    }.get()
    writer.end()
    return try await loop.submit {
      defer { self.admission = nil }
      return self.admission?.core
    }.get()
  }

  /// Tells everybody when the orientation has changed.
  private func look() {
    loop.assumeIsolated().scheduleTask(in: Self.lookInterval) { self.look() }
    guard let news = admission?.news() else { return }
    orientation = news.orientation
    writer.add(BookWriter.Job(work: .raiseFence(news.fence)))
    for channel in connections.values { tell(news.orientation, channel) }
  }

  private func tell(_ orientation: ltp_orientation, _ channel: any Channel) {
    var message = ByteBuffer()
    message.write(frame: orientation)
    channel.writeAndFlush(message, promise: nil)
  }

  // MARK: Connections

  fileprivate func opened(_ channel: any Channel) {
    connections[ObjectIdentifier(channel)] = channel
    if let orientation { tell(orientation, channel) }
  }

  fileprivate func closed(_ channel: any Channel) { connections[ObjectIdentifier(channel)] = nil }

  /// False: what came is nothing that a client may send.
  fileprivate func received(_ message: ByteBuffer, _ connection: ServerConnection, _ channel: any Channel)
    -> Bool
  {
    var message = message
    switch message.frameType {
    case LTP_FRAME_HELLO:
      guard let hello = message.read(frame: LTP_FRAME_HELLO, as: ltp_hello.self) else { return false }
      guard let admission else { return true }
      guard let answer = admission.answer(hello: hello, over: &connection.life) else { return false }
      var reply = ByteBuffer()
      reply.write(frame: answer)
      channel.writeAndFlush(reply, promise: nil)
      return true
    case LTP_FRAME_ROUTE_REQUEST:
      guard let fields = message.read(frame: LTP_FRAME_ROUTE_REQUEST, as: ltp_route_request.self),
        let action = OrderAction.read(from: &message)
      else { return false }
      return take(fields, action, connection, channel)
    default: return false
    }
  }

  private func take(
    _ fields: ltp_route_request, _ action: OrderAction, _ connection: ServerConnection, _ channel: any Channel
  ) -> Bool {
    guard let work = Self.work(fields, action) else { return false }
    let request = RouteRequest(fields)
    var job = BookWriter.Job(work: work, frame: fields.frame_id, session: fields.session_id)
    // Without LTP whatever comes is good.
    var verdict = Verdict(ltp_verdict())
    verdict.fields.verdict = LTP_VERDICT_EXECUTE
    verdict.fields.reason = LTP_REASON_ADMITTED
    if let admission {
      verdict = admission.decide(request, over: connection.life)
      job.fence = admission.fence(of: verdict)
      job.mark = admission.mark
    }
    guard let response = try? request.response(verdict) else { return false }
    guard verdict.isExecute else {
      var reply = ByteBuffer()
      reply.write(frame: response)
      channel.writeAndFlush(reply, promise: nil)
      return true
    }
    job.answer = { facts in
      // Let in before an outage, and refused by the database after it: the connection ends, and its client looks what became of it.
      guard let facts else { return channel.close(promise: nil) }
      var reply = ByteBuffer()
      reply.write(frame: response)
      for fact in facts { fact.write(to: &reply) }
      channel.writeAndFlush(reply, promise: nil)
      guard case .create(let action) = work else { return }
      self.loop.execute {
        self.link.tell(order: action.order)
        self.link.flush()
      }
    }
    writer.add(job)
    return true
  }

  private static func work(_ request: ltp_route_request, _ action: OrderAction) -> BookWriter.Work? {
    switch request.action_class {
    case OrderClass.list: .list
    case OrderClass.create: .create(action)
    case OrderClass.modify: .modify(action)
    default: nil
    }
  }
}

private final class ServerConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let server: Server
  /// Whose frames are taken here.
  var life = Connection()

  init(_ server: Server) { self.server = server }

  func handlerAdded(context: ChannelHandlerContext) { server.opened(context.channel) }
  func channelInactive(context: ChannelHandlerContext) { server.closed(context.channel) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !server.received(unwrapInboundIn(data), self, context.channel) { context.close(promise: nil) }
  }
}
