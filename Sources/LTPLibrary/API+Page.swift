// SPDX-License-Identifier: Apache-2.0
// ltp.h: the orientation page. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPOrientation
import LTPRecords

@c @implementation
public func ltp_page_open(
  _ path: UnsafePointer<CChar>!, _ lease: UInt64, _ page: UnsafeMutablePointer<OpaquePointer?>!,
  _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let page else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  page.pointee = nil
  guard let path else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  guard (LTP_PAGE_LEASE_NS_MIN...LTP_PAGE_LEASE_NS_MAX).contains(lease) else {
    return report(details, fault: OptionFault("lease_ns is not from 1 ms to 1 h"))
  }
  return withCopy(ofPath: path, tooLong: LTP_ERROR_PAGE_FILE, details) { path in
    do throws(PageFault) {
      return open(
        try MappedPage.publishing(path), isPublisher: true, lease: lease, into: page, details: details)
    } catch {
      return report(details, fault: error)
    }
  }
}

@c @implementation
public func ltp_page_open_reader(
  _ path: UnsafePointer<CChar>!, _ flags: UInt32, _ page: UnsafeMutablePointer<OpaquePointer?>!,
  _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let page else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  page.pointee = nil
  guard let path else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  guard flags & ~LTP_OPEN_ANY_PAGE_OWNER == 0 else {
    return report(details, fault: OptionFault("unknown bit in flags"))
  }
  return withCopy(ofPath: path, tooLong: LTP_ERROR_PAGE_FILE, details) { path in
    do throws(PageFault) {
      let mapped = try MappedPage.reading(path, anyOwner: flags & LTP_OPEN_ANY_PAGE_OWNER != 0)
      return open(mapped, isPublisher: false, lease: 0, into: page, details: details)
    } catch {
      return report(details, fault: error)
    }
  }
}

private func open(
  _ mapped: MappedPage, isPublisher: Bool, lease: UInt64, into page: UnsafeMutablePointer<OpaquePointer?>,
  details: UnsafeMutablePointer<ltp_error>?
) -> Int32 {
  guard let opened = Page.open(mapped, isPublisher: isPublisher, lease: lease) else {
    mapped.release()
    return report(details, LTP_ERROR_NO_MEMORY)
  }
  page.pointee = opened.handle
  return report(details, LTP_OK)
}

@c @implementation
public func ltp_page_close(_ page: OpaquePointer!) -> Int32 { Page.close(page) }

@c @implementation
public func ltp_page_publish(
  _ page: OpaquePointer!, _ transition: UnsafePointer<ltp_transition>!, _ epoch: UnsafeMutablePointer<UInt32>!
) -> Int32 {
  withPage(page) { page in
    guard page.state.pointee.isPublisher else { return LTP_ERROR_PAGE_READ_ONLY }
    guard let transition else { return LTP_ERROR_NULL_ARGUMENT }
    let given: GivenTransition
    do throws(OptionFault) { given = try GivenTransition(transition) } catch { return error.status }
    guard !given.namesTexts else { return LTP_ERROR_OPTION_RANGE }
    let shared = page.state.pointee.mapped.page
    let lease = page.state.pointee.lease
    let status = page.withMutex {
      let status = given.publish(epoch: epoch) { evidence, text throws(PublishRefusal) in
        try shared.publish(
          given.change, evidence: evidence, evidenceCount: given.evidenceCount, text: text, lease: lease,
          now: ltp_system_monotonic_ns(), nowUnix: ltp_system_unix_ns())
      }
      if status == LTP_OK { page.publications.pointee += 1 }
      return status
    }
    if status == LTP_OK { page.wakeWaiters() }
    return status
  }
}

@c @implementation
public func ltp_page_renew(_ page: OpaquePointer!) -> Int32 {
  withPage(page) { page in
    guard page.state.pointee.isPublisher else { return LTP_ERROR_PAGE_READ_ONLY }
    let shared = page.state.pointee.mapped.page
    return page.withMutex {
      // What another process published is not this one's to vouch for.
      guard page.publications.pointee > 0 else { return LTP_ERROR_PAGE_UNPUBLISHED }
      if shared.renew(lease: page.state.pointee.lease, now: ltp_system_monotonic_ns()) {
        shared.countChange()
        page.wakeWaiters()
      }
      return LTP_OK
    }
  }
}

@c @implementation
public func ltp_page_read(
  _ page: OpaquePointer!, _ reading: UnsafeMutablePointer<ltp_page_reading>!, _ structSize: Int
) -> Int32 {
  withPage(page) { page in
    guard let reading else { return LTP_ERROR_NULL_ARGUMENT }
    guard structSize >= MemoryLayout<ltp_page_reading>.size, structSize <= 4096 else {
      return LTP_ERROR_STRUCT_SIZE
    }
    UnsafeMutableRawPointer(reading).initializeMemory(as: UInt8.self, repeating: 0, count: structSize)
    let found = page.state.pointee.mapped.page.read(now: ltp_system_monotonic_ns())
    reading.pointee.struct_size = UInt32(structSize)
    guard found.standing != .invalid else { return LTP_ERROR_PAGE_FORMAT }
    reading.pointee.epoch = found.word.epoch
    reading.pointee.continuity_epoch = found.word.continuityEpoch
    reading.pointee.to = found.isHeld ? found.word.state : LTP_STATE_UNKNOWN
    reading.pointee.reason = found.isHeld ? found.entry.reason : LTP_SIGNAL_ORIENTATION_LOST
    reading.pointee.lease_left_ns = found.leaseLeft
    guard found.standing != .unpublished else { return LTP_OK }
    let before = OrientationWord(rawValue: found.entry.word_before).state
    reading.pointee.from =
      found.isHeld ? (before < LTP_STATE_COUNT ? before : LTP_STATE_UNKNOWN) : found.word.state
    reading.pointee.priority_threshold = found.word.threshold
    reading.pointee.threshold_is_set = found.setsThreshold ? 1 : 0
    reading.pointee.time_unix_ns = found.entry.time_unix_ns
    reading.pointee.evidence_count = found.entry.evidence_count
    reading.pointee.evidence = found.entry.evidence
    reading.pointee.text = found.entry.text
    return LTP_OK
  }
}

@c @implementation
public func ltp_page_wait(
  _ page: OpaquePointer!, _ seen: UnsafePointer<ltp_page_reading>!, _ timeoutNanoseconds: UInt64
) -> Int32 {
  withPage(page) { page in
    guard let seen else { return LTP_ERROR_NULL_ARGUMENT }
    let last = copied(seen, as: ltp_page_reading.self)
    let (seenEpoch, wasHeld) = (last.epoch, last.lease_left_ns > 0)
    let shared = page.state.pointee.mapped.page
    let started = ltp_system_monotonic_ns()
    while true {
      let changes = shared.changeCount
      let now = ltp_system_monotonic_ns()
      let found = shared.read(now: now)
      guard found.standing != .invalid else { return LTP_ERROR_PAGE_FORMAT }
      if found.word.epoch != seenEpoch || found.isHeld != wasHeld { return LTP_OK }
      let waited = now &- started
      guard waited < timeoutNanoseconds else { return LTP_ERROR_TIMED_OUT }
      // At least now and then: a publisher that was killed before it could wake anyone is found out all the same.
      let limit = min(found.isHeld ? found.leaseLeft : UInt64.max, 100_000_000)
      _ = ltp_system_shared_futex_wait(
        shared.changes.assumingMemoryBound(to: UInt32.self), changes, min(timeoutNanoseconds - waited, limit))
    }
  }
}
