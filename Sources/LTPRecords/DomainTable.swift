// SPDX-License-Identifier: Apache-2.0
// Where each continuity domain stands, as the log's transitions say it: for the writer, which says it again at a segment's start, and
// for the auditor.

package import CLTP

package struct DomainTable {
  /// The number of the last move of every domain.
  package var all: UInt64 = 0
  /// By domain: the number of its own last move; 0: none.
  private var moved = InlineArray<256, UInt64>(repeating: 0)
  /// By domain: LTP_STATE_UNSTABLE in an outage of its own, else 0.
  private var states = InlineArray<256, UInt8>(repeating: 0)

  package init(all: UInt64 = 0) { self.all = all }

  /// A domain's continuity epoch, in full.
  package func number(of domain: UInt8) -> UInt64 { max(all, moved[Int(domain)]) }
  package func state(of domain: UInt8) -> UInt8 { states[Int(domain)] }

  /// The domain is not like all, so that a segment has to tell of it.
  package func isOwn(_ domain: UInt8) -> Bool { moved[Int(domain)] > all || states[Int(domain)] != 0 }

  package mutating func apply(_ record: UnsafePointer<ltp_transition_record>) {
    let number = record.pointee.continuity_epoch
    switch OrientationWord(rawValue: record.pointee.word_after).scope {
    case LTP_SCOPE_ALL:
      all = number
      // A run begins with domains that nobody has reported anything of.
      if record.pointee.reason == LTP_SIGNAL_CORE_STARTED { states = InlineArray(repeating: 0) }
    case LTP_SCOPE_DOMAIN:
      let domain = record.pointee.domain
      let advances =
        OrientationWord(rawValue: record.pointee.word_before).continuityEpoch
        != OrientationWord(rawValue: record.pointee.word_after).continuityEpoch
      if advances { moved[Int(domain)] = number }
      states[Int(domain)] = record.pointee.domain_state
    default: break
    }
  }

  package mutating func apply(_ record: UnsafePointer<ltp_domains_record>) {
    for index in 0..<Int(min(record.pointee.entry_count, UInt32(LTP_DOMAINS_ENTRIES))) {
      let entry = record.entry(index)
      moved[Int(entry.pointee.domain)] = entry.pointee.continuity_epoch
      states[Int(entry.pointee.domain)] = entry.pointee.state
    }
  }

  /// Fills a record with the domains from `first` on that are not like all. nil: there are none left. Else the domain to go on
  /// with.
  package func record(from first: Int) -> (record: ltp_domains_record, next: Int)? {
    var record = ltp_domains_record()
    record.header = ltp_control_header(.domains)
    var domain = first
    withUnsafeMutableBytes(of: &record.entries) { bytes in
      let entries = bytes.assumingMemoryBound(to: ltp_domains_entry.self)
      while domain < Int(LTP_DOMAIN_COUNT), record.entry_count < UInt32(LTP_DOMAINS_ENTRIES) {
        if isOwn(UInt8(domain)) {
          entries[Int(record.entry_count)].continuity_epoch = number(of: UInt8(domain))
          entries[Int(record.entry_count)].domain = UInt8(domain)
          entries[Int(record.entry_count)].state = states[domain]
          record.entry_count += 1
        }
        domain += 1
      }
    }
    return record.entry_count == 0 ? nil : (record, domain)
  }
}
