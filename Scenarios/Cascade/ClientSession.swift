// SPDX-License-Identifier: Apache-2.0

import CLTP
import Glibc
import LTP

/// One client: one connection, one session. It reads every answer, late ones too.
struct ClientSession {
  let descriptor: Int32
  let identifier: UInt64
  /// From the last hello; 0: none yet.
  var continuity: Continuity?
  /// A hello is on its way.
  var isShakingHands = false
  /// Intents that wait for its answer.
  var waiting: [UInt32] = []
  /// Frames to be sent with the next flush.
  var outgoing: [UInt8] = []
  var isDirty = false
  /// The beginning of an answer.
  var partial: [UInt8] = []

  mutating func append<Frame>(_ frame: Frame) {
    withUnsafeBytes(of: frame) { outgoing.append(contentsOf: $0) }
  }

  /// Sends what there is; what the socket does not take stays.
  mutating func flush() {
    let count = outgoing.withUnsafeBytes {
      send(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
    }
    guard count > 0 else { return }
    if count == outgoing.count {
      outgoing.removeAll(keepingCapacity: true)
    } else {
      outgoing.removeFirst(count)
    }
  }
}
