// SPDX-License-Identifier: Apache-2.0
// Which of the oldest segments may leave. An intent that waits is proven by the last INTENT record that tells it, so before the segment
// with that record goes, the deferral log has to copy the intent forward, which tells it again in a later segment. The trace asks for
// that one segment ahead, for all intents at once that were told before the current segment, so that it needs no list of what was told
// where.
//
// Invariants
//   - A segment goes only after a later one says, durably, that no pending intent is proven by it alone (`proof_sequence`).
//   - What is asked for is never taken back, so that a log that is slow is not asked anew with each segment.

import LTPRecords
import LTPStorage

struct Retention {
  /// What the deferral log is asked to tell again.
  private struct Wish {
    /// Intents whose last record ends at or below this.
    var sequence: UInt64
    /// Then segments below this one prove nothing that is pending.
    var segment: UInt64
    /// The log has copied all of them, and the trace has them once it has told up to here.
    var toldAt: UInt64?
  }

  /// Segments below this prove nothing that is pending, as the current one's preamble says.
  private var clearSegment: UInt64
  /// What had been told when the current segment began, or when the log was opened in it.
  private var toldBefore: UInt64
  private var wish: Wish?
  /// In the current segment: it was looked at what the next one drops; and what is clear was dropped.
  private var isPlanned = false
  private var isApplied = true
  /// The current segment's preamble is durable once so many blocks are.
  private var preambleEnd: UInt64 = 0

  /// `segment`: where the log goes on.
  init(_ told: ToldDeferral?, segment: UInt64) {
    let told = told ?? ToldDeferral()
    toldBefore = told.sequence
    clearSegment = told.proofSequence >= told.sequence ? segment : 0
  }

  /// A segment begins, after all that was told is durable. What its preamble may say of proofs.
  mutating func begin(_ segment: UInt64, _ told: ToldDeferral?) -> UInt64 {
    let told = told ?? ToldDeferral()
    var proven = told.proofSequence
    if let done = wish, let toldAt = done.toldAt, toldAt <= told.sequence {
      proven = max(proven, done.sequence)
      clearSegment = max(clearSegment, done.segment)
      wish = nil
    }
    if proven >= told.sequence {
      clearSegment = segment
    } else if proven >= toldBefore, segment > 0 {
      clearSegment = max(clearSegment, segment - 1)
    }
    toldBefore = told.sequence
    (isPlanned, isApplied) = (false, false)
    preambleEnd = .max
    return proven
  }

  /// The preamble is appended, up to this block.
  mutating func endPreamble(_ block: UInt64) { preambleEnd = block }

  /// Segments below this go now; nil: none. Once a segment.
  mutating func drop(durable: UInt64, chain: borrowing Chain) -> UInt64? {
    guard !isApplied, durable >= preambleEnd else { return nil }
    isApplied = true
    return min(clearSegment, chain.retentionEnd(at: chain.position.segmentIndex))
  }

  /// Asks for what has to be told again before the next segment can drop what it is to drop. Once a segment.
  mutating func plan(_ told: ToldDeferral?, chain: borrowing Chain) {
    guard !isPlanned, wish == nil else { return }
    isPlanned = true
    let segment = chain.position.segmentIndex
    guard let told, chain.retentionEnd(at: segment + 1) > clearSegment else { return }
    wish = Wish(sequence: told.sequence, segment: segment)
  }

  /// Pending intents whose last record ends at or below this are to be told again; 0: none.
  var wanted: UInt64 { wish.map { $0.toldAt == nil ? $0.sequence : 0 } ?? 0 }

  /// The deferral log has copied those that `wanted` named.
  mutating func isCopied(upTo sequence: UInt64, toldAt: UInt64) {
    if wish?.sequence == sequence { wish?.toldAt = toldAt }
  }
}

extension TraceWriter where Device: ~Copyable {
  /// A segment was begun: what its preamble says of proofs counts from here on.
  mutating func beginRetention() {
    let proven = retention.begin(chain.position.segmentIndex, control.sealed.told)
    control.sealed.told?.proofSequence = proven
    // What is being gathered comes after the preamble, and may know more.
    control.gathered.told?.raiseProof(proven)
    control.toldToOpen?.raiseProof(proven)
  }

  /// Drops what may go, and asks for what the next segment has to drop.
  mutating func applyRetention() {
    retention.plan(control.sealed.told, chain: chain)
    guard let end = retention.drop(durable: chain.durableBlocks, chain: chain) else { return }
    chain.dropSegments(below: end, &queue)
  }

  /// Pending intents whose last record in the deferral log ends at or below this are to be told again, so that the oldest segments can go;
  /// 0: none.
  package var wantedAgain: UInt64 { retention.wanted }

  /// The deferral log has copied them; the trace has them once it has told up to `toldAt`.
  package mutating func isCopied(upTo sequence: UInt64, toldAt: UInt64) {
    retention.isCopied(upTo: sequence, toldAt: toldAt)
  }
}
