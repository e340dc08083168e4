// SPDX-License-Identifier: Apache-2.0
// What the host remembers, beside the trace and independently of it: every slot that each lane issued, as it lay
// in the ring when `admit` returned, and how far each lane was said to be durable. Outlives every crash.

/// The 32 bytes of a slot.
struct SlotBytes: Equatable {
  var words: (UInt64, UInt64, UInt64, UInt64)

  init(_ address: UnsafeRawPointer) {
    words = (
      address.loadUnaligned(as: UInt64.self), address.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
      address.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
      address.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    )
  }

  var kind: UInt8 { UInt8(truncatingIfNeeded: words.0) }

  static func == (one: SlotBytes, other: SlotBytes) -> Bool {
    one.words.0 == other.words.0 && one.words.1 == other.words.1 && one.words.2 == other.words.2
      && one.words.3 == other.words.3
  }
}

final class HostLedger {
  struct LaneBook {
    var slots: [SlotBytes] = []
    /// Slots below this were acknowledged as durable.
    var acknowledged = 0
    /// Decisions that were denied without a record.
    var unrecorded: UInt64 = 0
  }

  /// By lane id; ids are never used twice in a log.
  var lanes: [UInt32: LaneBook] = [:]
  /// Blocks below this were acknowledged as durable.
  var durableBlocks: UInt64 = 0
  /// Words that the host saw published, in order.
  var publishedWords: [UInt64] = []
  /// Bytes of oldest segments may be gone.
  var retainsEverything = true
  /// Intents that were sent to a deferral log beside the trace; nil: there is none.
  var intents: IntentBook?
}

/// What must not be. The text says where.
struct Violation: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
