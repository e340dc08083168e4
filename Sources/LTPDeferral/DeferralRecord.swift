// SPDX-License-Identifier: Apache-2.0
// Records of a deferral log, read where they lie, and written in place.

package import CLTP
import LTPRecords

package enum DeferralRecord {
  /// How many slots an intent's record takes.
  package static func slotCount(payloadBytes: Int) -> Int {
    let slot = Int(LTP_SLOT_BYTES)
    return (MemoryLayout<ltp_deferral_intent>.size + payloadBytes + slot - 1) / slot
  }

  /// The largest payload that fits a block.
  package static func payloadBytesMax(blockBytes: Int) -> Int {
    BlockHeader.slotCountMax(blockBytes: blockBytes) * Int(LTP_SLOT_BYTES)
      - MemoryLayout<ltp_deferral_intent>.size
  }

  /// The record in a slot; nil: there is none that fits the block, or it is not what this version writes.
  package static func read(_ body: UnsafeRawPointer, slot: Int, of slotCount: Int) -> View? {
    let place = body + slot * Int(LTP_SLOT_BYTES)
    switch place.load(as: UInt8.self) {
    case LTP_DEFERRAL_INTENT:
      guard slot + Self.slotCount(payloadBytes: 0) <= slotCount else { return nil }
      let intent = place.assumingMemoryBound(to: ltp_deferral_intent.self)
      let count = Self.slotCount(payloadBytes: Int(intent.pointee.payload_bytes))
      guard intent.pointee.payload_bytes > 0, intent.pointee.attempts_max > 0, count <= slotCount - slot,
        intent.pointee.ticket >> UInt64(LTP_TICKET_SLOT_BITS) != 0
      else { return nil }
      return .intent(intent, slotCount: count)
    case LTP_DEFERRAL_STEP:
      let step = place.assumingMemoryBound(to: ltp_deferral_step.self)
      guard step.pointee.step > 0, step.pointee.step < LTP_STEP_COUNT, step.pointee.end < LTP_END_COUNT,
        (step.pointee.step == LTP_STEP_ENDED) == (step.pointee.end != LTP_END_NONE)
      else { return nil }
      return .step(step)
    case LTP_DEFERRAL_ENDED:
      let ended = place.assumingMemoryBound(to: ltp_deferral_ended.self)
      let count = MemoryLayout<ltp_deferral_ended>.size / Int(LTP_SLOT_BYTES)
      guard slot + count <= slotCount, ended.pointee.end < LTP_END_COUNT,
        ended.pointee.ticket >> UInt64(LTP_TICKET_SLOT_BITS) != 0
      else { return nil }
      return .ended(ended)
    case LTP_DEFERRAL_SEGMENT, LTP_DEFERRAL_SEALED, LTP_DEFERRAL_OPENED, LTP_DEFERRAL_HANDS_OUT:
      guard slot + MemoryLayout<ltp_deferral_mark>.size / Int(LTP_SLOT_BYTES) <= slotCount else { return nil }
      let mark = place.assumingMemoryBound(to: ltp_deferral_mark.self)
      return mark.pointee.version == LTP_DEFERRAL_VERSION ? .mark(mark) : nil
    default: return nil
    }
  }

  package enum View {
    case intent(UnsafePointer<ltp_deferral_intent>, slotCount: Int)
    case step(UnsafePointer<ltp_deferral_step>)
    case ended(UnsafePointer<ltp_deferral_ended>)
    case mark(UnsafePointer<ltp_deferral_mark>)

    /// It begins or ends a segment or a run, in the control lane.
    package var isMark: Bool {
      if case .mark = self { true } else { false }
    }

    package var slotCount: Int {
      switch self {
      case .intent(_, let slotCount): slotCount
      case .step: 1
      case .ended: MemoryLayout<ltp_deferral_ended>.size / Int(LTP_SLOT_BYTES)
      case .mark: MemoryLayout<ltp_deferral_mark>.size / Int(LTP_SLOT_BYTES)
      }
    }
  }
}

extension IntentKey {
  /// What names the intent that a record keeps.
  package init(_ intent: UnsafePointer<ltp_deferral_intent>) {
    self.init(intent.keyWords, intent.pointee.request)
  }

  /// What names the intent that a record remembers.
  package init(_ ended: UnsafePointer<ltp_deferral_ended>) {
    self.init(
      low: ended.pointee.key_low, high: ended.pointee.key_high, isDerived: ended.pointee.derived != 0)
  }

  /// All zero: session and frame id.
  package init(_ words: (UInt64, UInt64), _ request: ltp_route_request) {
    if words.0 | words.1 != 0 {
      self.init(low: words.0, high: words.1)
    } else {
      self.init(low: request.frame_id, high: request.session_id, isDerived: true)
    }
  }
}

/// The host's 16 bytes, as two words wherever they lie. Word by word: a tuple loaded from a field of bytes is undefined in an
/// optimized build of Swift 6.3.
package enum KeyWords {
  package static func load(_ bytes: UnsafeRawPointer) -> (UInt64, UInt64) {
    (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }

  package static func store(_ words: (UInt64, UInt64), to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: words.0, as: UInt64.self)
    bytes.storeBytes(of: words.1, toByteOffset: 8, as: UInt64.self)
  }
}

extension UnsafePointer<ltp_deferral_intent> {
  /// The host's key.
  var keyWords: (UInt64, UInt64) { KeyWords.load(UnsafeRawPointer(self) + LTP_AT_deferral_intent_key) }

  /// The first 8 bytes of its payload's hash.
  var contentWord: UInt64 {
    UnsafeRawPointer(self).loadUnaligned(fromByteOffset: LTP_AT_deferral_intent_content_hash, as: UInt64.self)
  }
}
