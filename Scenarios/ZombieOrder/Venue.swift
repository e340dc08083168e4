// SPDX-License-Identifier: Apache-2.0
// The market that the orders rest at. The service has one session there, over TCP; when that breaks, the market holds the session for
// dead or alive until it is sure, and lets nobody in meanwhile: that is the outage. What it does to the orders at once is in its drop copy,
// a file that anybody may read at any time.
//
// A line each way: "LOGON" is answered with "WELCOME" or the end of the connection; "ORDER id" tells an order that now rests.

import Foundation
import NIOCore
import NIOPosix
import Stage

/// What became of an order at the venue.
struct VenueReport {
  enum Fate: String, CaseIterable {
    /// A day order: cancelled when its owner's session broke.
    case cancelled = "CANCEL"
    case filled = "FILL"
    case partlyFilled = "PART"
  }

  var order: UInt64
  var fate: Fate

  /// All that the drop copy says so far.
  static func read(path: String) throws(ScenarioFailure) -> [VenueReport] {
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw ScenarioFailure("cannot read the venue's drop copy \(path)")
    }
    return text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard words.count == 2, let fate = Fate(rawValue: String(words[0])), let order = UInt64(words[1]) else {
        return nil
      }
      return VenueReport(order: order, fate: fate)
    }
  }
}

/// Belongs to its event loop.
final class Venue: @unchecked Sendable {
  private let loop: any EventLoop
  private let dropCopy: FileHandle
  private var channel: (any Channel)?
  private(set) var port = 0
  /// Orders that rest here.
  private var resting: Set<UInt64> = []
  /// The one connection that has logged on.
  private var member: ObjectIdentifier?
  private var isOpen = true

  init(dropCopy path: String, on loop: any EventLoop) throws {
    self.loop = loop
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let handle = FileHandle(forWritingAtPath: path)
    else { throw ScenarioFailure(system: "cannot write \(path)") }
    dropCopy = handle
  }

  func open() async throws {
    let listening = try await ServerBootstrap(group: loop)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(LineDecoder()))
          try channel.pipeline.syncOperations.addHandler(VenueConnection(self))
        }
      }
      .bind(host: WebSocket.host, port: 0).get()
    try await loop.submit {
      self.channel = listening
      self.port = listening.localAddress?.port ?? 0
    }.get()
  }

  func close() { channel?.close(promise: nil) }

  /// Whether the service has a session.
  func hasMember() async throws -> Bool { try await loop.submit { self.member != nil }.get() }
  /// The session is given up for dead: the service may log on again.
  func letIn() async throws { try await loop.submit { self.isOpen = true }.get() }

  // MARK: On the loop

  fileprivate func heard(_ line: String, _ channel: any Channel) {
    let words = line.split(separator: " ")
    switch words.first {
    case "LOGON":
      guard isOpen, member == nil else { return channel.close(promise: nil) }
      member = ObjectIdentifier(channel)
      channel.writeAndFlush(ByteBuffer(string: "WELCOME\n"), promise: nil)
    case "ORDER":
      if member == ObjectIdentifier(channel), words.count == 2, let order = UInt64(words[1]) {
        resting.insert(order)
      }
    default: channel.close(promise: nil)
    }
  }

  fileprivate func lost(_ channel: any Channel) {
    guard member == ObjectIdentifier(channel) else { return }
    member = nil
    isOpen = false
    var lines = ""
    // A quarter each: cancelled, filled, partly filled, and as it was.
    for order in resting.sorted() {
      let place = Int(order % 4)
      guard place < VenueReport.Fate.allCases.count else { continue }
      let fate = VenueReport.Fate.allCases[place]
      lines += "\(fate.rawValue) \(order)\n"
      if fate != .partlyFilled { resting.remove(order) }
    }
    dropCopy.write(Data(lines.utf8))
  }
}

private final class VenueConnection: ChannelInboundHandler {
  typealias InboundIn = String

  private let venue: Venue

  init(_ venue: Venue) { self.venue = venue }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    venue.heard(unwrapInboundIn(data), context.channel)
  }
  func channelInactive(context: ChannelHandlerContext) { venue.lost(context.channel) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Lines of text.
struct LineDecoder: ByteToMessageDecoder {
  typealias InboundOut = String

  mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
    guard let end = buffer.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else { return .needMoreData }
    let line = buffer.readString(length: end - buffer.readerIndex) ?? ""
    buffer.moveReaderIndex(forwardBy: 1)
    context.fireChannelRead(wrapInboundOut(line))
    return .continue
  }
}
