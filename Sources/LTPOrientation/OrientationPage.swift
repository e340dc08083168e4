// SPDX-License-Identifier: Apache-2.0
// An orientation that is shared between processes: ltp_page_layout in a mapped file. One process publishes, under the
// file's lock; any number read. Every word of the mapping that changes is read and written whole, so that a reader
// never sees half of one, and what it reads is checked before it is believed.

public import CLTP
public import LTPRecords
import Synchronization

/// A mapping: copies refer to the same page. The mapping must outlive them all.
public struct OrientationPage {
  private static let entryBytes = MemoryLayout<ltp_page_entry>.size
  private static let triesMax = 64
  /// Times may be a tick late, and a lease of an hour is a good one.
  private static let leaseBelieved = 2 * LTP_PAGE_LEASE_NS_MAX

  private let base: UnsafeMutableRawPointer
  /// Of the boot that this process runs in: leases of another one mean nothing.
  private let boot: (low: UInt64, high: UInt64)

  /// `base`: LTP_PAGE_BYTES, mapped. `boot`: 16 bytes of ltp_system_boot_id.
  public init(_ base: UnsafeMutableRawPointer, boot: UnsafeRawPointer) {
    self.base = base
    self.boot = (
      boot.loadUnaligned(as: UInt64.self), boot.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    )
  }

  private func word(at offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  /// The published word, as `OrientationWord`; its policy slot says whether its threshold counts.
  var word: UnsafeMutablePointer<Atomic<UInt64>> { word(at: LTP_AT_page_layout_word) }

  /// Futex word: grows with each change.
  public var changes: UnsafeMutableRawPointer { base + LTP_AT_page_layout_changes }

  // MARK: Format

  /// LTP_OK when the page is one that this library knows, or which LTP_ERROR_PAGE_* it is not.
  public var formatStatus: Int32 {
    guard word(at: LTP_AT_page_layout_magic).pointee.load(ordering: .acquiring) == LTP_PAGE_MAGIC else {
      return LTP_ERROR_PAGE_FORMAT
    }
    let versionAndSize = word(at: LTP_AT_page_layout_version).pointee.load(ordering: .relaxed)
    guard UInt32(truncatingIfNeeded: versionAndSize) == UInt32(LTP_PAGE_VERSION) else {
      return LTP_ERROR_PAGE_VERSION
    }
    return versionAndSize >> 32 == UInt64(LTP_PAGE_BYTES) ? LTP_OK : LTP_ERROR_PAGE_FORMAT
  }

  /// Nothing has been written yet: the file is new, or its maker died before it was done.
  public var isBlank: Bool { word(at: LTP_AT_page_layout_magic).pointee.load(ordering: .acquiring) == 0 }

  /// Makes a page of a blank one, with nothing published.
  public func format() {
    word(at: LTP_AT_page_layout_version).pointee.store(
      UInt64(LTP_PAGE_VERSION) | UInt64(LTP_PAGE_BYTES) << 32, ordering: .relaxed)
    word(at: LTP_AT_page_layout_magic).pointee.store(LTP_PAGE_MAGIC, ordering: .releasing)
  }

  /// From now on leases count in this boot; those of another have ended.
  public func enterBoot() {
    guard !isOfThisBoot else { return }
    endLease()
    word(at: LTP_AT_page_layout_boot_id).pointee.store(boot.low, ordering: .releasing)
    word(at: LTP_AT_page_layout_boot_id + 8).pointee.store(boot.high, ordering: .releasing)
  }

  private var isOfThisBoot: Bool {
    word(at: LTP_AT_page_layout_boot_id).pointee.load(ordering: .acquiring) == boot.low
      && word(at: LTP_AT_page_layout_boot_id + 8).pointee.load(ordering: .acquiring) == boot.high
  }

  // MARK: Leases

  // A lease is its word's own: it lies in the word's entry. So no word holds by another one's lease, wherever its
  // publisher stopped.

  /// How long `published`, if it is still the page's, holds at `now`, in nanoseconds; 0: it does not. A lease that ends
  /// later than any may is none.
  func leaseLeft(of published: UInt64, now: UInt64) -> UInt64 {
    // The boot first: whoever enters another one ends the lease before.
    guard isOfThisBoot, let until = leaseEnd(of: published) else { return 0 }
    guard until > now, until - now <= Self.leaseBelieved else { return 0 }
    return until - now
  }

  private func leaseEnd(of published: UInt64) -> UInt64? {
    let offset = entryOffset(OrientationWord(rawValue: published))
    guard word(at: offset).pointee.load(ordering: .acquiring) == published else { return nil }
    let until = word(at: offset + LTP_AT_page_entry_lease_until_ns).pointee.load(ordering: .acquiring)
    return word(at: offset).pointee.load(ordering: .relaxed) == published ? until : nil
  }

  /// Lets what is published hold for `lease` from `now` on. Says whether it had ended before. The publisher's.
  public func renew(lease: UInt64, now: UInt64) -> Bool {
    let published = word.pointee.load(ordering: .relaxed)
    let hadEnded = leaseLeft(of: published, now: now) == 0
    let offset = entryOffset(OrientationWord(rawValue: published))
    word(at: offset + LTP_AT_page_entry_lease_ns).pointee.store(lease, ordering: .relaxed)
    word(at: offset + LTP_AT_page_entry_lease_until_ns).pointee.store(now &+ lease, ordering: .releasing)
    return hadEnded
  }

  private func endLease() {
    let published = OrientationWord(rawValue: word.pointee.load(ordering: .relaxed))
    word(at: entryOffset(published) + LTP_AT_page_entry_lease_until_ns).pointee.store(0, ordering: .releasing)
  }

  /// To be followed by waking whoever sleeps on `changes`.
  public func countChange() {
    changes.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.wrappingAdd(
      1, ordering: .sequentiallyConsistent)
  }

  public var changeCount: UInt32 {
    changes.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .sequentiallyConsistent)
  }

  // MARK: Reading

  /// What the page says at `now`, with everything checked.
  public func read(now: UInt64) -> PageContent {
    for _ in 0..<Self.triesMax {
      let published = OrientationWord(rawValue: word.pointee.load(ordering: .acquiring))
      guard published.epoch > 0 else { return PageContent(word: published, standing: .unpublished) }
      guard let entry = entry(of: published) else { continue }
      guard entry.isValid, published.state < LTP_STATE_COUNT else { break }
      let left = leaseLeft(of: published.rawValue, now: now)
      return PageContent(
        word: published, standing: left > 0 ? .held : .ended, leaseLeft: left, entry: entry)
    }
    // No publisher leaves a page like this, nor writes so fast.
    return PageContent(
      word: OrientationWord(rawValue: word.pointee.load(ordering: .acquiring)), standing: .invalid)
  }

  /// A copy of the word's transition; nil when the publisher has gone on meanwhile.
  private func entry(of published: OrientationWord) -> ltp_page_entry? {
    let offset = entryOffset(published)
    guard word(at: offset).pointee.load(ordering: .acquiring) == published.rawValue else { return nil }
    var entry = ltp_page_entry()
    withUnsafeMutableBytes(of: &entry) { bytes in
      for place in stride(from: 0, to: Self.entryBytes, by: 8) {
        // Acquiring, so that the look at the first word below comes after them all.
        let value = word(at: offset + place).pointee.load(ordering: .acquiring)
        bytes.storeBytes(of: value, toByteOffset: place, as: UInt64.self)
      }
    }
    return word(at: offset).pointee.load(ordering: .relaxed) == published.rawValue ? entry : nil
  }

  private func entryOffset(_ word: OrientationWord) -> Int {
    LTP_AT_page_layout_entries + Int(word.epoch % UInt32(LTP_PAGE_ENTRIES)) * Self.entryBytes
  }

  // MARK: Publishing

  /// Publishes for one lease; one caller at a time, who then wakes the sleepers. Returns the new word.
  public func publish(
    _ change: TransitionChange, evidence: UnsafePointer<ltp_evidence>, evidenceCount: Int,
    text: UnsafePointer<CChar>, lease: UInt64, now: UInt64, nowUnix: UInt64
  ) throws(PublishRefusal) -> OrientationWord {
    let before = OrientationWord(rawValue: word.pointee.load(ordering: .relaxed))
    let next = before.next(
      to: change.to, advancesContinuity: change.advancesContinuity,
      policySlot: change.threshold == nil ? 0 : 1, threshold: change.threshold ?? 0)
    var entry = ltp_page_entry()
    entry.word = next.rawValue
    entry.word_before = before.rawValue
    entry.time_monotonic_ns = now
    entry.time_unix_ns = nowUnix
    entry.reason = change.reason
    entry.evidence_count = UInt8(evidenceCount)
    entry.lease_until_ns = now &+ lease
    entry.lease_ns = lease
    copyFacts(evidence: evidence, count: evidenceCount, to: &entry.evidence)
    copyText(text, to: &entry.text)
    store(entry, at: entryOffset(next), word: next.rawValue)
    word.pointee.store(next.rawValue, ordering: .releasing)
    countChange()
    return next
  }

  private func store(_ entry: ltp_page_entry, at offset: Int, word published: UInt64) {
    word(at: offset).pointee.store(0, ordering: .relaxed)
    withUnsafeBytes(of: entry) { bytes in
      for place in stride(from: 8, to: Self.entryBytes, by: 8) {
        // Releasing, so that whoever sees one of them also sees that the entry is being written.
        word(at: offset + place).pointee.store(
          bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self), ordering: .releasing)
      }
    }
    word(at: offset).pointee.store(published, ordering: .releasing)
  }
}

/// What a page said at one moment.
public struct PageContent {
  public enum Standing {
    /// A lease runs.
    case held
    /// Its lease has ended.
    case ended
    case unpublished
    /// It holds what no publisher writes.
    case invalid
  }

  public let word: OrientationWord
  public let standing: Standing
  /// In nanoseconds; 0 unless held.
  public var leaseLeft: UInt64 = 0
  /// Of held and ended ones.
  public var entry = ltp_page_entry()

  public var isHeld: Bool { standing == .held }
  /// Whether the word's threshold counts; else the policy says it.
  public var setsThreshold: Bool { word.policySlot & 1 != 0 }
}

extension ltp_page_entry {
  /// Holds nothing that a publisher does not write. What nobody reads is not looked at.
  fileprivate var isValid: Bool {
    guard isObservation(reason) || reason == LTP_SIGNAL_OPERATOR, evidence_count <= LTP_EVIDENCE_MAX,
      text.119 == 0
    else { return false }
    return withUnsafeBytes(of: evidence) { bytes in
      for index in 0..<Int(evidence_count) {
        let fact = bytes.loadUnaligned(
          fromByteOffset: index * MemoryLayout<ltp_evidence>.stride, as: ltp_evidence.self)
        guard fact.name_id == 0, fact.status == LTP_OK else { return false }
      }
      return true
    }
  }
}

/// Copies `count` facts into the beginning of `target`, which has room for them.
func copyFacts<Facts>(evidence: UnsafePointer<ltp_evidence>?, count: Int, to target: inout Facts) {
  guard let evidence, count > 0 else { return }
  withUnsafeMutableBytes(of: &target) { bytes in
    bytes.copyMemory(
      from: UnsafeRawBufferPointer(start: evidence, count: count * MemoryLayout<ltp_evidence>.stride))
  }
}

/// Copies a zero-terminated text into `target`, of which the last byte stays zero.
func copyText<Text>(_ text: UnsafePointer<CChar>?, to target: inout Text) {
  withUnsafeMutableBytes(of: &target) { bytes in
    var index = 0
    while let text, index < bytes.count - 1, text[index] != 0 {
      bytes[index] = UInt8(bitPattern: text[index])
      index += 1
    }
  }
}
