// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix

/// The service's session at the venue, which it opens again whenever it is lost. Belongs to the event loop.
final class VenueLink: @unchecked Sendable {
  private static let retryInterval = TimeAmount.milliseconds(50)

  private let loop: any EventLoop
  private let port: Int
  private let changed: (Bool) -> Void
  private var channel: (any Channel)?
  private(set) var isUp = false
  private var hasEnded = false

  /// `changed`: called whenever the link comes or goes.
  init(port: Int, on loop: any EventLoop, changed: @escaping (Bool) -> Void) {
    self.port = port
    self.loop = loop
    self.changed = changed
  }

  func connect() {
    guard !hasEnded else { return }
    let bootstrap = ClientBootstrap(group: loop).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(LineDecoder()))
        try channel.pipeline.syncOperations.addHandler(VenueLinkHandler(self))
      }
    }
    bootstrap.connect(host: WebSocket.host, port: port).assumeIsolated().whenFailure { _ in self.retry() }
  }

  /// Tells the venue an order that rests there from now on; not while the link is down.
  func tell(order: UInt64) {
    guard isUp else { return }
    channel?.write(ByteBuffer(string: "ORDER \(order)\n"), promise: nil)
  }

  func flush() { channel?.flush() }

  func end() {
    hasEnded = true
    channel?.close(promise: nil)
  }

  private func retry() {
    loop.assumeIsolated().scheduleTask(in: Self.retryInterval) { self.connect() }
  }

  fileprivate func opened(_ channel: any Channel) {
    self.channel = channel
    channel.writeAndFlush(ByteBuffer(string: "LOGON\n"), promise: nil)
  }

  fileprivate func welcomed() {
    isUp = true
    changed(true)
  }

  fileprivate func closed() {
    channel = nil
    guard !hasEnded else { return }
    if isUp {
      isUp = false
      changed(false)
    }
    retry()
  }
}

private final class VenueLinkHandler: ChannelInboundHandler {
  typealias InboundIn = String

  private let link: VenueLink

  init(_ link: VenueLink) { self.link = link }

  func channelActive(context: ChannelHandlerContext) { link.opened(context.channel) }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if unwrapInboundIn(data) == "WELCOME" { link.welcomed() }
  }
  func channelInactive(context: ChannelHandlerContext) { link.closed() }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
