// SPDX-License-Identifier: Apache-2.0
// What goes over a WebSocket, in binary messages, little-endian:
//
//   client: a hello of 64 bytes, or a route_request of 64 and an order's action of 32
//   server: the hello's answer; a route_response of 64 and, when the request was carried out, the orders that it concerns (24 each);
//           an orientation of 128, whenever that has changed
//
// Without LTP the frames are the same, and nobody looks at what is LTP's in them.

import CLTP
import LTP
import NIOCore

/// The classes of the policy that requests here are of.
enum OrderClass {
  static let list: UInt8 = 9
  static let create: UInt8 = 25
  static let modify: UInt8 = 43
}

/// What an intent wants of the order book.
struct OrderAction: Equatable {
  static let byteCount = 32

  var order: UInt64 = 0
  var quantity: UInt32 = 0
  var price: UInt32 = 0
  /// The order's version that the client knew when it made the intent.
  var basedOn: UInt32 = 0
  var symbol: UInt32 = 0

  func write(to buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(order, quantity, price, basedOn, symbol, UInt64(0), endianness: .little)
  }

  static func read(from buffer: inout ByteBuffer) -> OrderAction? {
    guard
      let (order, quantity, price, basedOn, symbol, reserved) = buffer.readMultipleIntegers(
        endianness: .little, as: (UInt64, UInt32, UInt32, UInt32, UInt32, UInt64).self), reserved == 0
    else { return nil }
    return OrderAction(order: order, quantity: quantity, price: price, basedOn: basedOn, symbol: symbol)
  }
}

/// An order as the server knows it.
struct OrderFacts: Equatable {
  static let byteCount = 24

  var order: UInt64
  var version: UInt32
  var quantity: UInt32
  var isOpen: Bool

  func write(to buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(order, version, quantity, UInt64(isOpen ? 1 : 0), endianness: .little)
  }

  static func read(from buffer: inout ByteBuffer) -> OrderFacts? {
    guard
      let (order, version, quantity, isOpen) = buffer.readMultipleIntegers(
        endianness: .little, as: (UInt64, UInt32, UInt32, UInt64).self), isOpen <= 1
    else { return nil }
    return OrderFacts(order: order, version: version, quantity: quantity, isOpen: isOpen == 1)
  }
}

extension ByteBuffer {
  /// Appends a frame as it lies in memory, which is how it goes over the wire.
  mutating func write<Frame: BitwiseCopyable>(frame: Frame) {
    withUnsafeBytes(of: frame) { _ = writeBytes($0) }
  }

  /// Takes the well-formed frame of this type at the beginning; nil: there is none.
  mutating func read<Frame: BitwiseCopyable>(frame type: UInt8, as _: Frame.Type) -> Frame? {
    let size = MemoryLayout<Frame>.size
    guard readableBytes >= size else { return nil }
    let frame: Frame? = withUnsafeReadableBytes { bytes in
      guard ltp_frame_check(bytes.baseAddress, bytes.count, nil) == LTP_OK, bytes[3] == type else {
        return nil
      }
      return bytes.loadUnaligned(as: Frame.self)
    }
    if frame != nil { moveReaderIndex(forwardBy: size) }
    return frame
  }

  /// The type of the frame that begins here; nil: too short for one.
  var frameType: UInt8? { getInteger(at: readerIndex + 3) }
}
