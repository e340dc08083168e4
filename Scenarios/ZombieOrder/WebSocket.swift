// SPDX-License-Identifier: Apache-2.0
// WebSockets by swift-nio: both sides see whole binary messages.

import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

enum WebSocket {
  static let path = "/orders"
  static let host = "127.0.0.1"
  private static let messageBytesMax = 64 << 10

  /// Listens on the port (0: the system chooses); each client that upgrades gets a handler of its own.
  static func listen(
    port: Int, on group: any EventLoopGroup,
    handler: @escaping @Sendable () -> some ChannelInboundHandler
  ) -> EventLoopFuture<any Channel> {
    let upgrader = NIOWebSocketServerUpgrader(
      maxFrameSize: messageBytesMax,
      shouldUpgrade: { channel, head in
        channel.eventLoop.makeSucceededFuture(head.uri == path ? HTTPHeaders() : nil)
      },
      upgradePipelineHandler: { channel, _ in
        channel.eventLoop.makeCompletedFuture { try add(handler(), masks: false, to: channel) }
      })
    return ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let refusal = NotAWebSocket()
          let pipeline = channel.pipeline.syncOperations
          let bound = NIOLoopBound(refusal, eventLoop: channel.eventLoop)
          try pipeline.configureHTTPServerPipeline(
            withServerUpgrade: (
              upgraders: [upgrader],
              completionHandler: { context in
                context.pipeline.syncOperations.removeHandler(bound.value, promise: nil)
              }
            ))
          try pipeline.addHandler(refusal)
        }
      }
      .bind(host: host, port: port)
  }

  /// Connects, upgrades, and hands over to the handler; the channel is open when this is done, and perhaps not upgraded yet.
  static func connect(
    port: Int, on loop: any EventLoop, handler: @escaping @Sendable () -> some ChannelInboundHandler
  ) -> EventLoopFuture<any Channel> {
    ClientBootstrap(group: loop)
      .connectTimeout(.seconds(5))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let asking = UpgradeRequest()
          let pipeline = channel.pipeline.syncOperations
          let bound = NIOLoopBound(asking, eventLoop: channel.eventLoop)
          let upgrader = NIOWebSocketClientUpgrader(
            maxFrameSize: messageBytesMax,
            upgradePipelineHandler: { channel, _ in
              channel.eventLoop.makeCompletedFuture { try add(handler(), masks: true, to: channel) }
            })
          // The server's first message may come with the upgrade's last byte.
          try pipeline.addHTTPClientHandlers(
            leftOverBytesStrategy: .forwardBytes,
            withClientUpgrade: (
              upgraders: [upgrader],
              completionHandler: { context in
                context.pipeline.syncOperations.removeHandler(bound.value, promise: nil)
              }
            ))
          try pipeline.addHandler(asking)
        }
      }
      .connect(host: host, port: port)
  }

  private static func add(_ handler: some ChannelInboundHandler, masks: Bool, to channel: any Channel) throws
  {
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(
      NIOWebSocketFrameAggregator(
        minNonFinalFragmentSize: 1, maxAccumulatedFrameCount: 16, maxAccumulatedFrameSize: messageBytesMax))
    try pipeline.addHandler(Messages(masks: masks))
    try pipeline.addHandler(handler)
  }
}

/// Frames to messages and back. What is no message is answered here.
private final class Messages: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = WebSocketFrame

  /// Clients mask what they send (RFC 6455, 5.3).
  private let masks: Bool

  init(masks: Bool) { self.masks = masks }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    switch frame.opcode {
    case .binary: context.fireChannelRead(wrapInboundOut(frame.unmaskedData))
    case .ping: send(frame.unmaskedData, .pong, context, promise: nil)
    case .pong: break
    default: context.close(promise: nil)
    }
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    send(unwrapOutboundIn(data), .binary, context, promise: promise)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func send(
    _ data: ByteBuffer, _ opcode: WebSocketOpcode, _ context: ChannelHandlerContext,
    promise: EventLoopPromise<Void>?
  ) {
    let frame = WebSocketFrame(fin: true, opcode: opcode, maskKey: masks ? .random() : nil, data: data)
    context.write(wrapOutboundOut(frame), promise: promise)
    if opcode == .pong { context.flush() }
  }
}

/// Answers a request that does not ask for the upgrade.
private final class NotAWebSocket: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data) else { return }
    let answer = HTTPResponseHead(
      version: .http1_1, status: head.uri == WebSocket.path ? .upgradeRequired : .notFound,
      headers: ["Upgrade": "websocket", "Connection": "close", "Content-Length": "0"])
    context.write(wrapOutboundOut(.head(answer)), promise: nil)
    let channel = context.channel
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Asks for the upgrade.
private final class UpgradeRequest: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  func channelActive(context: ChannelHandlerContext) {
    let head = HTTPRequestHead(
      version: .http1_1, method: .GET, uri: WebSocket.path,
      headers: ["Host": WebSocket.host, "Content-Length": "0"])
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    context.fireChannelActive()
  }

  /// A response that is no upgrade.
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.close(promise: nil) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
