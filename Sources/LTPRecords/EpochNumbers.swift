// SPDX-License-Identifier: Apache-2.0
// Epoch and continuity epoch in full. A word holds their low bits only, so that it can be loaded at once; the full numbers
// do not run out, and stand beside it: in transitions, in segments' records, in what a core keeps.

import CLTP

public struct EpochNumbers: Equatable, Sendable {
  /// Its low 32 bits are never all zero once anything is published: a word of epoch 0 says that nothing is.
  public var epoch: UInt64
  public var continuityEpoch: UInt64

  public init(epoch: UInt64 = 0, continuityEpoch: UInt64 = 0) {
    self.epoch = epoch
    self.continuityEpoch = continuityEpoch
  }

  public static func epoch(after epoch: UInt64) -> UInt64 {
    let next = epoch &+ 1
    return UInt32(truncatingIfNeeded: next) == 0 ? next &+ 1 : next
  }

  /// The low bits of `epoch`, as words, frames and verdicts have them.
  public static func low(epoch: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: epoch) }

  /// The numbers of a word that lies near these: at most 2^15 steps of continuity and 2^31 of the epoch away, either way.
  public func extended(to word: OrientationWord) -> EpochNumbers {
    let mask = UInt32(LTP_WORD_CONTINUITY_MASK)
    let behind = Int32(bitPattern: word.epoch &- UInt32(truncatingIfNeeded: epoch))
    let difference = (word.continuityEpoch &- UInt32(truncatingIfNeeded: continuityEpoch)) & mask
    let moved = difference > mask / 2 ? Int64(difference) - Int64(mask) - 1 : Int64(difference)
    return EpochNumbers(
      epoch: epoch &+ UInt64(bitPattern: Int64(behind)),
      continuityEpoch: continuityEpoch &+ UInt64(bitPattern: moved))
  }

  /// Whether the word holds the low bits of these.
  public func fit(_ word: OrientationWord) -> Bool {
    word.epoch == UInt32(truncatingIfNeeded: epoch)
      && word.continuityEpoch == UInt32(truncatingIfNeeded: continuityEpoch)
        & UInt32(LTP_WORD_CONTINUITY_MASK)
  }
}
