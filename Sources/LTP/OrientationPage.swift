// SPDX-License-Identifier: Apache-2.0
// The orientation page: one process publishes, any number follow.

public import CLTP

/// Publishes an orientation for every process that follows the page. One process at a time, the file's owner.
public final class PagePublisher: Sendable {
  nonisolated(unsafe) private let handle: OpaquePointer

  /// Makes the file if it is missing. `lease`: how long what is published holds unless it is renewed, 1 ms to 1 h.
  public init(path: String, lease: Duration) throws(LTPError) {
    var opened: OpaquePointer?
    try checkDetails { ltp_page_open(path, lease.nanoseconds, &opened, $0) }
    handle = opened!
  }

  /// What was published holds until its lease ends.
  deinit { _ = ltp_page_close(handle) }

  /// Evidence must have no `nameID`: texts are a core's own. Returns the page's epoch.
  @discardableResult
  public func publish(_ transition: Transition) throws(LTPError) -> UInt32 {
    try transition.publish { ltp_page_publish(handle, $0, $1) }
  }

  /// Lets what this publisher has published hold for another lease.
  public func renew() throws(LTPError) { try check(ltp_page_renew(handle)) }
}

/// Reads a page without a core.
public final class PageReader: Sendable {
  nonisolated(unsafe) private let handle: OpaquePointer

  /// `anyOwner`: also a page that neither this user nor root owns.
  public init(path: String, anyOwner: Bool = false) throws(LTPError) {
    var opened: OpaquePointer?
    try checkDetails { ltp_page_open_reader(path, anyOwner ? LTP_OPEN_ANY_PAGE_OWNER : 0, &opened, $0) }
    handle = opened!
  }

  deinit { _ = ltp_page_close(handle) }

  public func read() throws(LTPError) -> PageReading {
    var fields = ltp_page_reading()
    try check(ltp_page_read(handle, &fields, MemoryLayout<ltp_page_reading>.size))
    return PageReading(fields: fields)
  }

  /// Sleeps until the page says something other than `seen`; false when it did not within `limit`. Blocks the thread.
  public func wait(after seen: PageReading, atMost limit: Duration) throws(LTPError) -> Bool {
    var fields = seen.fields
    let status = ltp_page_wait(handle, &fields, limit.nanoseconds)
    if status == LTP_ERROR_TIMED_OUT { return false }
    try check(status)
    return true
  }
}

/// What a page said at one moment.
public struct PageReading: Sendable {
  /// The C contract's form of it.
  public let fields: ltp_page_reading

  /// `.unknown` without a lease that runs.
  public var state: State { State(rawValue: fields.to) ?? .unknown }
  public var from: State { State(rawValue: fields.from) ?? .unknown }
  public var reason: Signal { Signal(rawValue: fields.reason) }
  /// 0: nothing was published yet.
  public var epoch: UInt32 { fields.epoch }
  public var text: String { LTP.text(of: fields.text) }
  public var priorityThreshold: UInt8? { fields.threshold_is_set != 0 ? fields.priority_threshold : nil }
  /// Zero: it has ended.
  public var leaseLeft: Duration { .nanoseconds(Int64(clamping: fields.lease_left_ns)) }
  /// Of the publication, in nanoseconds since 1970.
  public var timeUnixNanoseconds: UInt64 { fields.time_unix_ns }

  public var evidence: [Evidence] {
    withUnsafeBytes(of: fields.evidence) { bytes in
      (0..<min(Int(fields.evidence_count), Int(LTP_EVIDENCE_MAX))).map { index in
        let entry = bytes.load(
          fromByteOffset: index * MemoryLayout<ltp_evidence>.stride, as: ltp_evidence.self)
        return Evidence(Signal(rawValue: entry.signal), value: entry.value, threshold: entry.threshold)
      }
    }
  }
}
